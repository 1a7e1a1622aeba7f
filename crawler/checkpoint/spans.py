"""Which byte ranges of the weight files are fetched for a set of tensors, and what in them belongs to which tensor.

Tensors that lie side by side are fetched in one run, cut where it is long and never inside an element. Knows nothing
of where the bytes come from.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import lcm

from .header import TensorInfo


@dataclass(frozen=True)
class Span:
    """Bytes [start, end) of a file and the tensors, in file order, that lie in them wholly or in part."""

    file: str
    start: int
    end: int
    tensors: tuple[TensorInfo, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start

    def pieces(self, data: memoryview) -> Iterator[tuple[TensorInfo, int, memoryview]]:
        """The span's bytes cut by tensor: (tensor, first byte within it, data)."""
        for info in self.tensors:
            low, high = max(info.start, self.start), min(info.end, self.end)
            yield info, low - info.start, data[low - self.start : high - self.start]


def spans_of(infos: Sequence[TensorInfo], most: int) -> list[Span]:
    """The spans that hold these tensors, each of at most `most` bytes (at least 8), in file order."""
    return [span for run in _runs(infos) for span in _cut(run, most)]


def _runs(infos: Sequence[TensorInfo]) -> list[list[TensorInfo]]:
    """Tensors that follow one another in a file without a gap, together; an empty tensor by itself."""
    runs: list[list[TensorInfo]] = []
    for info in sorted(infos, key=lambda t: (t.file, t.start, t.end)):
        last = runs[-1][-1] if runs else None
        if last and info.size and last.size and (last.file, last.end) == (info.file, info.start):
            runs[-1].append(info)
        else:
            runs.append([info])
    return runs


def _cut(run: list[TensorInfo], most: int) -> Iterator[Span]:
    file, at, end, first = run[0].file, run[0].start, run[-1].end, 0
    if at == end:
        yield Span(file, at, end, (run[0],))
    while at < end:
        last = next(n for n in range(first, len(run)) if run[n].end >= min(at + most, end))
        stop = _between_elements(run[last], min(at + most, end))
        yield Span(file, at, stop, tuple(t for t in run[first : last + 1] if t.start < stop))
        at, first = stop, last + (stop == run[last].end)


def _between_elements(info: TensorInfo, at: int) -> int:
    """The last position up to `at` at which an element of the tensor begins, or its end."""
    return at if at == info.end else at - (at - info.start) % (lcm(info.bits, 8) // 8)
