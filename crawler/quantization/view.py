"""A checkpoint whose weights are rounded as they are read, and one that is read once for many such views.

Weights come out in float32 on the grid of their blocks (`rounding`); everything else is the checkpoint's own. So what
reads checkpoints reads quantized ones too, one layer at a time, from a folder or the Hub. Knows no model.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cached_property
from math import prod

import torch
from torch import Tensor

from ...schema.errors import UsageError
from ..checkpoint.base import Checkpoint, Piece, Reader
from ..checkpoint.header import TensorInfo
from ..checkpoint.view import Through
from ..detection.rows import float_dtype
from .rounding import Rounding, round_matrix

Held = Mapping[str, Sequence[tuple[int, ...]]]
"""By name of a stored tensor the indices of scalars in it that keep their value."""


class _Same(Through):
    """What both views share: tensors as the checkpoint behind has them, read as it reads them."""

    @property
    def tensors(self) -> dict[str, TensorInfo]:
        """Its tensors."""
        return self.inner.tensors

    def read(self, names: Sequence[str], raw: Reader | None = None) -> Iterator[Piece]:
        """As the checkpoint behind does."""
        yield from self.inner.read(names, raw)


class ReadOnce(_Same):
    """A checkpoint that keeps what it reads within `keeping`: asked again it does not read again."""

    def __init__(self, inner: Checkpoint) -> None:
        super().__init__(inner)
        self._kept: dict[tuple[str, ...], list[Piece]] | None = None

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Keep what is read from now on until the end; it takes as much memory as it has bytes."""
        self._kept = {}
        try:
            yield
        finally:
            self._kept = None

    def read(self, names: Sequence[str], raw: Reader | None = None) -> Iterator[Piece]:
        """The bytes of tensors, from memory where they are kept."""
        if self._kept is None:
            yield from self.inner.read(names, raw)
            return
        key = tuple(names)
        if key not in self._kept:
            pieces = [(i, at, memoryview(bytearray(data))) for i, at, data in self.inner.read(names, raw)]
            self._kept[key] = pieces
        yield from self._kept[key]


@dataclass(frozen=True)
class RoundedTensor(TensorInfo):
    """A tensor that comes in float32, rounded."""

    stored: TensorInfo


def _rounded(info: TensorInfo) -> RoundedTensor:
    as_read = {"dtype": "float32", "bits": 32, "start": 0, "end": 4 * info.elements}
    plain = {f.name: getattr(info, f.name) for f in fields(TensorInfo)}
    return RoundedTensor(**{**plain, **as_read}, stored=info)


class Rounded(_Same):
    """A checkpoint with the tensors `names` rounded; each matrix (the last two axes) by itself.

    Raise UsageError for a tensor that is not there or is no matrix, or an index to hold that is not in it.
    """

    def __init__(self, inner: Checkpoint, names: Sequence[str], rounding: Rounding, held: Held | None = None) -> None:
        super().__init__(inner)
        self.rounding = rounding
        self.names = frozenset(names)
        self.held = {name: tuple(indices) for name, indices in (held or {}).items()}
        for name in sorted(self.names | set(self.held)):
            self._check(name)

    def _check(self, name: str) -> None:
        info = self.inner.tensors.get(name)
        if info is None or len(info.shape) < 2:
            raise UsageError(f"{self.place}: {name} is no matrix of the checkpoint; name tensors of two or more axes")
        for index in self.held.get(name, ()):
            inside = len(index) == len(info.shape) and all(0 <= i < n for i, n in zip(index, info.shape, strict=True))
            if name not in self.names or not inside:
                raise UsageError(f"{self.place}: {name}{list(index)} is not held out: it is not in a rounded tensor")

    @cached_property
    def tensors(self) -> dict[str, TensorInfo]:
        """All tensors, the rounded ones as float32."""
        return {n: _rounded(i) if n in self.names else i for n, i in self.inner.tensors.items()}

    def read(self, names: Sequence[str], raw: Reader | None = None) -> Iterator[Piece]:
        """The bytes of tensors; of rounded ones a matrix at a time."""
        begun: dict[str, _Matrices] = {}
        for info, at, data in self.inner.read(names, raw):
            if info.name not in self.names or not info.size:
                yield self.tensors[info.name], at, data
                continue
            matrices = begun.setdefault(info.name, _Matrices(self, info))
            for number, matrix in matrices.add(data):
                rounded = round_matrix(matrix, self.rounding, self._held_in(info, number)).contiguous()
                yield self.tensors[info.name], 4 * number * matrix.numel(), rounded.numpy().data.cast("B")

    def _held_in(self, info: TensorInfo, number: int) -> Tensor | None:
        """Rows and columns (n, 2) of what is held in one matrix of a tensor."""
        here = [i[-2:] for i in self.held.get(info.name, ()) if _matrix_of(i, info.shape) == number]
        return torch.tensor(here) if here else None


def _matrix_of(index: tuple[int, ...], shape: tuple[int, ...]) -> int:
    """The number of the matrix in which an element lies."""
    number = 0
    for at, size in zip(index[:-2], shape[:-2], strict=True):
        number = number * size + at
    return number


class _Matrices:
    """Puts the matrices of a tensor together from pieces that come in order."""

    def __init__(self, checkpoint: Checkpoint, info: TensorInfo) -> None:
        self.shape = info.shape[-2:]
        self.dtype = float_dtype(checkpoint, info)
        self._buffer = bytearray(prod(self.shape) * info.bits // 8)
        self._filled = self._number = 0

    def add(self, data: memoryview) -> Iterator[tuple[int, Tensor]]:
        """Take a piece; give each matrix (R, C) that is complete, and its number. It is valid until the next."""
        while len(data):
            part = data[: len(self._buffer) - self._filled]
            self._buffer[self._filled : self._filled + len(part)] = part
            self._filled, data = self._filled + len(part), data[len(part) :]
            if self._filled == len(self._buffer):
                yield self._number, torch.frombuffer(self._buffer, dtype=self.dtype).view(self.shape)
                self._filled, self._number = 0, self._number + 1
