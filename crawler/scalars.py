"""A recorded scalar in the files of a checkpoint: where its few bytes are, and reading those of many. Needs no torch.

Takes the record's word for tensor and index and the checked header's for dtype and shape. What became of a scalar is
not judged here: see `verifying` and `crawl.survival`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..schema.bits import DTYPES, bits_of
from ..schema.weight import SuperWeight
from .checkpoint.base import Checkpoint
from .checkpoint.header import TensorInfo
from .checkpoint.spans import Span
from .stored.words import PACKINGS, Packing


class NoScalar(Exception):
    """There is no such scalar (`gone`), or it is stored in a way that its few bytes do not tell."""

    def __init__(self, reason: str, *, gone: bool) -> None:
        super().__init__(reason)
        self.gone = gone


@dataclass(frozen=True)
class Found:
    """The bytes [start, end) of a file that hold a scalar, or the word that holds its code."""

    info: TensorInfo
    start: int
    end: int


def find(weight: SuperWeight, info: TensorInfo | None) -> Found:
    """Where a recorded scalar is in the tensor of its name; raise NoScalar."""
    if info is None:
        raise NoScalar("no tensor of that name", gone=True)
    packing = PACKINGS.get(weight.packed) if weight.packed else Packing(info.bits, info.bits // 8, -1)
    if packing is None:
        raise NoScalar(f"stored as {weight.packed}, which this version does not know", gone=False)
    if not weight.packed and info.dtype not in DTYPES:
        raise NoScalar(f"stored as {info.dtype or 'packed'}: no bits of its own", gone=False)
    if weight.packed and info.bits != packing.size * 8:
        raise NoScalar(f"stored as {info.dtype}, which is not how {weight.packed} is stored", gone=False)
    word = packing.word(info.shape, weight.index)
    if word is None or (not weight.packed and len(info.shape) != len(weight.index)):
        raise NoScalar(f"the tensor has shape {list(info.shape)}", gone=True)
    start = info.start + word.offset
    return Found(info, start, min(start + word.size, info.end))


def code(weight: SuperWeight, info: TensorInfo, bits: str) -> int:
    """The code of a packed scalar in the bits of its word, which other scalars share."""
    packing = PACKINGS[str(weight.packed)]
    word = packing.word(info.shape, weight.index)
    assert word is not None  # `find` said so
    return packing.code(bytes.fromhex(bits)[::-1], word)


def read(checkpoint: Checkpoint, found: Sequence[Found], gap: int | None = None) -> list[str]:
    """The bits of scalars in hex, in their order; those within `gap` bytes come in one range. Raise a Refusal."""
    bits: dict[Found, str] = {}
    within = checkpoint.gap if gap is None else gap
    for run in _runs(sorted(set(found), key=lambda f: (f.info.file, f.start)), within):
        start, end = run[0].start, max(f.end for f in run)
        view = memoryview(bytearray(end - start))
        checkpoint.fetch(Span(run[0].info.file, start, end, ()), view)
        bits |= {f: bits_of(bytes(view[f.start - start : f.end - start])) for f in run}
    return [bits[f] for f in found]


def _runs(found: Sequence[Found], gap: int) -> list[list[Found]]:
    """Scalars of one file with at most `gap` bytes between one and the next, together."""
    runs: list[list[Found]] = []
    for each in found:
        last = runs[-1][-1] if runs else None
        if last and last.info.file == each.info.file and each.start - last.end <= gap:
            runs[-1].append(each)
        else:
            runs.append([each])
    return runs
