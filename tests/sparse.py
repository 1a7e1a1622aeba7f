"""Checkpoints of any size that are nowhere: safetensors files of zeros, with a super weight at (2, 3) of each layer.

For tests of what is read of them: whoever asks for more than a megabyte at once is told off.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

from swindex.schema.record import Record

from . import records as make

ROWS, COLS = make.SHAPE
BITS = "be8c"
INDEX = "model.safetensors.index.json"
LARGE = 1 << 20


@dataclass(frozen=True)
class Sparse:
    """A weight file: its head, then zeros but for a few bytes."""

    head: bytes
    size: int
    values: dict[int, bytes]

    @cached_property
    def sha256(self) -> str:
        """Of the content; of a large file, of its head: nobody reads the whole."""
        small = self.size <= LARGE
        return sha256(b"".join(self.pieces(0, self.size)) if small else self.head).hexdigest()

    def pieces(self, start: int, stop: int) -> Iterator[memoryview]:
        """The bytes [start, stop)."""
        assert stop - start <= LARGE, "somebody reads the weights"
        made = bytearray(stop - start)
        for at, value in {0: self.head, **self.values}.items():
            low, high = max(start, at), min(stop, at + len(value))
            if low < high:
                made[low - start : high - start] = value[low - at : high - at]
        yield memoryview(bytes(made))


def shard(layer: int, *, bits: str = BITS, rest: int = 0, names: int = 0) -> Sparse:
    """The down projection of a layer, `rest` bytes before it, and `names` empty tensors for a long header."""
    size = 2 * ROWS * COLS
    header: dict[str, Any] = {f"empty.{layer}.{n}": tensor("U8", [0], rest, rest) for n in range(names)}
    header[f"rest.{layer}"] = tensor("U8", [rest], 0, rest)
    header[make.tensor(layer)] = tensor("BF16", [ROWS, COLS], rest, rest + size)
    text = json.dumps(header).encode()
    head = struct.pack("<Q", len(text)) + text
    at = len(head) + rest + 2 * (2 * COLS + 3)
    return Sparse(head, len(head) + rest + size, {at: bytes.fromhex(bits)[::-1]})


def tensor(dtype: str, shape: list[int], start: int, end: int) -> dict[str, Any]:
    """A tensor's entry in a header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def sharded(shards: dict[int, Sparse]) -> dict[str, Any]:
    """The files of a checkpoint with a shard for each layer."""
    where = {}
    for layer, made in shards.items():
        length = int.from_bytes(made.head[:8], "little")
        where |= dict.fromkeys(json.loads(made.head[8 : 8 + length]), file_of(layer))
    return {INDEX: json.dumps({"weight_map": where}), **{file_of(layer): made for layer, made in shards.items()}}


def file_of(layer: int) -> str:
    """The name of a layer's shard."""
    return f"layer-{layer:05d}.safetensors"


def record_of(*layers: int, model_id: str = "org/base", revision: str | None = None, **more: Any) -> Record:
    """A record of one scalar in each layer, with its bits."""
    known = {"value": make.VALUES[BITS], "bits": BITS, "dtype": "bfloat16", "shape": make.SHAPE}
    weights = (make.weight(layer, 2, 3, scan=None).model_copy(update=known) for layer in layers)
    return make.make({
        "model": make.model(model_id, revision, base_model=None, relation=None, layers=max(layers) + 1, **more),
        "super_weights": tuple(weights),
        "observations": (make.observation(*((layer, 2, 3) for layer in layers)),),
    })  # fmt: skip
