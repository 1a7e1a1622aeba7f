"""Digests of all that is in the weight files of a checkpoint that is trusted, to hold a later one against.

A file of digests: of each weight file and of its header, and of each tensor by blocks of whole rows, so that a change
can be told by its rows; there are about BLOCKS of them, and at least one for each tensor. Of plain float tensors also
the digests that their casts to other float dtypes would have, so that a cast of the checkpoint can be checked too.
Config and tokenizer are not looked at. Digests are BLAKE2b of 128 bits; of whole files SHA-256, as the Hub states it.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError

from ...crawler.checkpoint.base import Checkpoint
from ...crawler.checkpoint.header import TensorInfo
from ...crawler.checkpoint.spans import spans_of
from ...index.errors import StoreError, os_reason
from ...schema.canonical import strict_loads
from ...schema.errors import JsonError, UsageError
from ...schema.types import Count, Part, Sha256, Text

BLOCKS = 1 << 16
CASTS = ("bfloat16", "float16", "float32")
"""Plain floats that checkpoints are cast to."""
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Step = Callable[[int, int], None]
"""Told (bytes read, bytes in all) from time to time."""


class FileDigests(Part):
    """A weight file."""

    size: Count
    sha256: Sha256
    header: Digest
    """Of its first 8 bytes and the JSON behind them."""


class TensorDigests(Part):
    """A tensor. A row is what lies behind one index of all axes but the last."""

    dtype: Text
    shape: tuple[Count, ...]
    rows: Annotated[int, Field(ge=1)]
    """Rows in a block; the last block may have fewer."""
    blocks: tuple[Digest, ...]
    whole: dict[str, Digest]
    """dtype -> digest of all its bytes, as stored and as cast to others; empty where blocks were enough."""


class Baseline(Part):
    """What was in a checkpoint."""

    format: Literal["swindex-baseline/1"] = "swindex-baseline/1"
    model: str | None = None
    files: dict[str, FileDigests]
    tensors: dict[str, TensorDigests]

    @classmethod
    def read(cls, path: Path) -> "Baseline":
        """Read a file of digests; raise StoreError if it cannot be read, UsageError if it is none."""
        try:
            text = path.read_bytes()
        except OSError as error:
            write = "to write one, of a checkpoint that you trust: swindex guard CHECKPOINT --write-baseline FILE"
            raise StoreError(f"{path}: {os_reason(error)}; {write}") from None
        try:
            strict_loads(text)
            return cls.model_validate_json(text)
        except (JsonError, ValidationError):
            raise UsageError(f"{path}: not a baseline of swindex guard ") from None


def take(
    checkpoint: Checkpoint, *, like: Baseline | None = None, casts: Sequence[str] = (), step: Step | None = None
) -> Baseline:
    """Read all weight files of a checkpoint and digest them; in the blocks of `like` where that has the tensor.

    `casts` names dtypes to digest plain float tensors in too, which needs torch. Raise a Refusal for what is not read.
    """
    infos = checkpoint.tensors
    total = sum(i.size for i in infos.values())
    known = like.tensors if like else {}
    sums = {
        name: _Tensor(i, _rows(i, total, known.get(name)), _dtypes(i, known.get(name), casts))
        for name, i in infos.items()
    }
    count = _Counter(total, step)
    files = {file: _file(checkpoint, file, sums, count) for file in checkpoint.weight_files}
    return Baseline(model=checkpoint.model_id, files=files, tensors={n: s.done() for n, s in sorted(sums.items())})


class _Counter:
    def __init__(self, total: int, step: Step | None) -> None:
        self.read, self.total, self.step = 0, total, step

    def add(self, more: int) -> None:
        self.read += more
        if self.step:
            self.step(self.read, self.total)


def _file(checkpoint: Checkpoint, file: str, sums: dict[str, "_Tensor"], count: _Counter) -> FileDigests:
    infos = sorted(checkpoint.tensors_in(file).values(), key=lambda t: t.start)
    header = bytes(checkpoint.read_range(file, 0, infos[0].start)) if infos else b""
    whole = hashlib.sha256(header)
    for span in spans_of(infos, checkpoint.max_read):
        view = memoryview(bytearray(span.size))
        checkpoint.read_into(file, span.start, view)
        whole.update(view)
        for info, _, data in span.pieces(view):
            sums[info.name].add(data)
        count.add(span.size)
    return FileDigests(size=checkpoint.entries[file].size, sha256=whole.hexdigest(), header=_blake(header).hexdigest())


def _blake(data: Any = b"") -> Any:
    return hashlib.blake2b(data, digest_size=16)


# --- one tensor ---


def _dtype(info: TensorInfo) -> str:
    return info.dtype or f"{info.bits} bits"


def _dtypes(info: TensorInfo, known: TensorDigests | None, casts: Sequence[str]) -> list[str]:
    """The dtypes in which all bytes are digested: none where a baseline has the blocks to compare."""
    if known is not None and (known.dtype, known.shape) == (_dtype(info), info.shape):
        return []
    return [_dtype(info), *(c for c in casts if c != info.dtype and info.dtype in CASTS)]


def _rows(info: TensorInfo, total: int, known: TensorDigests | None) -> int:
    """Rows of a block: few enough that all tensors together have BLOCKS blocks, or as many as the baseline took."""
    if known is not None and known.shape == info.shape:
        return known.rows
    row = _row_bytes(info)
    return max(1, math.ceil(total / BLOCKS / row)) if row else 1


def _row_bytes(info: TensorInfo) -> int:
    """Bytes of a row; of all where rows are no whole bytes."""
    bits = (info.shape[-1] if info.shape else 1) * info.bits
    return bits // 8 if bits % 8 == 0 else info.size


class _Tensor:
    """The digests of a tensor whose bytes come in order, in whole elements."""

    def __init__(self, info: TensorInfo, rows: int, dtypes: Sequence[str]) -> None:
        self.info, self.rows = info, rows
        self._block_bytes = max(1, rows * _row_bytes(info))
        self._blocks: list[str] = []
        self._block, self._filled = _blake(), 0
        self._whole = {dtype: _blake() for dtype in dtypes}

    def add(self, data: memoryview) -> None:
        """Take the next bytes."""
        if not data:
            return
        for dtype, digest in self._whole.items():
            digest.update(data if dtype == _dtype(self.info) else _cast(data, str(self.info.dtype), dtype))
        for part in self._cut(data):
            self._block.update(part)
            self._filled += len(part)
            if self._filled == self._block_bytes:
                self._close()

    def _cut(self, data: memoryview) -> Iterator[memoryview]:
        while data:
            room = self._block_bytes - self._filled
            yield data[:room]
            data = data[room:]

    def _close(self) -> None:
        self._blocks.append(self._block.hexdigest())
        self._block, self._filled = _blake(), 0

    def done(self) -> TensorDigests:
        """The digests, when all bytes have come."""
        if self._filled:
            self._close()
        whole, dtype = {name: digest.hexdigest() for name, digest in self._whole.items()}, _dtype(self.info)
        return TensorDigests(
            dtype=dtype, shape=self.info.shape, rows=self.rows, blocks=tuple(self._blocks), whole=whole
        )


def _cast(data: memoryview, stored: str, dtype: str) -> bytes:
    """The bytes of elements after a cast by torch, to nearest."""
    import torch

    made = torch.frombuffer(data, dtype=getattr(torch, stored)).to(getattr(torch, dtype))
    return bytes(made.view(torch.uint8).numpy())


def with_casts() -> tuple[str, ...]:
    """The dtypes that casts can be digested in: none without torch."""
    from importlib.util import find_spec

    return CASTS if find_spec("torch") else ()
