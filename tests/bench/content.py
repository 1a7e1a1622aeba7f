"""The bytes of generated weight files, made when they are asked for: any range of any file, without the file.

A matrix is cut out of one block of bfloat16 noise, from a place that follows from its name; the block's length is
prime, so that no two rows of a matrix are alike. Norms are 1. One scalar is planted, so that a scan has something to
find. The weights say nothing; their number is real.
"""

import hashlib
import json
from collections.abc import Iterator
from functools import cache, cached_property
from math import prod
from zlib import crc32

import torch

from .shapes import Shape

PERIOD = 8_388_593
"""Numbers in the block of noise; a prime."""
SPIKE = ("model.layers.1.mlp.down_proj.weight", 7, 11, 240.0)
"""Tensor, row, column, value."""
HASHED = 1 << 30
"""Bytes of a file whose real digest is made; of a larger one it is that of its recipe."""
PIECE = 1 << 18


@cache
def noise(scale: float) -> memoryview:
    """The block: normal bfloat16 numbers of this standard deviation, 0 for ones."""
    if scale == 0:
        values = torch.ones(1 << 16)
    else:
        values = torch.randn(PERIOD, generator=torch.Generator().manual_seed(1)).mul_(scale)
    return memoryview(values.bfloat16().view(torch.int16).numpy()).cast("B").toreadonly()


class Tensor:
    """The bytes of one tensor."""

    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        self.name, self.shape = name, shape
        self.size = 2 * prod(shape)
        fan_in = 0.0 if len(shape) == 1 else 0.02 if "embed" in name else 0.6 / shape[1] ** 0.5
        self._scale = fan_in
        self._start = 2 * (crc32(name.encode()) % PERIOD) if len(shape) > 1 else 0
        self._spike = 2 * (SPIKE[1] * shape[1] + SPIKE[2]) if name == SPIKE[0] else None

    def pieces(self, start: int, stop: int) -> Iterator[memoryview]:
        """The bytes [start, stop)."""
        at = self._spike
        if at is None or stop <= at or start >= at + 2:
            yield from self._noise(start, stop)
            return
        yield from self._noise(start, at)
        value = memoryview(torch.tensor([SPIKE[3]]).bfloat16().view(torch.uint8).numpy())
        yield value[max(start - at, 0) : stop - at]
        yield from self._noise(at + 2, stop)

    def _noise(self, start: int, stop: int) -> Iterator[memoryview]:
        block = noise(self._scale)
        while start < stop:
            at = (self._start + start) % len(block)
            size = min(stop - start, len(block) - at, PIECE)
            yield block[at : at + size]
            start += size


class WeightFile:
    """A safetensors file that is nowhere: its size, and any of its bytes."""

    def __init__(self, shape: Shape, name: str) -> None:
        self.shape, self.name = shape, name
        header, at = {}, 0
        self._parts: list[tuple[int, Tensor]] = []
        for tensor in (Tensor(*named) for named in shape.files[name].items()):
            offsets = [at, at + tensor.size]
            header[tensor.name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": offsets}
            self._parts.append((at, tensor))
            at += tensor.size
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        self.head = len(text).to_bytes(8, "little") + text
        self.size = len(self.head) + at

    def pieces(self, start: int, stop: int) -> Iterator[memoryview]:
        """The bytes [start, stop)."""
        if start < len(self.head):
            yield memoryview(self.head)[start:stop]
        start, stop = max(start - len(self.head), 0), stop - len(self.head)
        for at, tensor in self._parts:
            low, high = max(start, at), min(stop, at + tensor.size)
            if low < high:
                yield from tensor.pieces(low - at, high - at)

    @cached_property
    def sha256(self) -> str:
        """The digest of the content, or of the recipe where the content takes long."""
        digest = hashlib.sha256(self.head)
        if self.size <= HASHED:
            for piece in self.pieces(len(self.head), self.size):
                digest.update(piece)
        return digest.hexdigest()


def files(shape: Shape) -> dict[str, bytes | WeightFile]:
    """All files of a checkpoint."""
    return {**shape.small_files, **{name: WeightFile(shape, name) for name in shape.files}}
