"""Whether the recorded coordinates still hold in a checkpoint, or a transform moved them. Reads bytes; needs no torch.

Rotations of the residual stream (QuaRot, SpinQuant R1) or of the neurons (R4, put into the weights) mix channels: the
recorded place holds nothing of note any more, while the length of its column or row stays. Folding puts the gains of
norms into other matrices and leaves ones (zeros where gains are stored less one). AWQ and SmoothQuant multiply columns.
A cast or a fine-tune changes a value a little and no place. Sees the row and the column of each scalar, and the gains.
"""

import math
import re
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from ...crawler.checkpoint.base import Checkpoint
from ...crawler.checkpoint.header import TensorInfo
from ...crawler.verifying import Answer, Check, verify
from ...schema.bits import DTYPES, bits_of, decode_bits
from ...schema.errors import SwindexError
from ...schema.record import Record
from ...schema.survival import FLOATS
from ...schema.weight import SuperWeight
from .kept import Kept
from .names import NUMBER

NEAR = 0.5
"""Relative change of a recorded value that a cast or a fine-tune explains; transforms change more."""
OUTLIER = 8.0
"""Times the median |w| of its row and its column: less is no outlier. Of normal numbers 1 in 10 million are above."""
MOST = 1 << 20
"""Elements of a line or a norm that are read at most; no model is as wide."""
_GAIN = re.compile(r"(norm|(^|[._])ln)[^.]*\.(weight|scale|gamma)$", re.IGNORECASE)


class Transformed(SwindexError):
    """A checkpoint in which the recorded coordinates do not hold. The recipe is refused."""

    exit_status = 1


class Lines(NamedTuple):
    """The row and the column of a matrix that cross at a scalar, without it; |w|, and the scalar's own value."""

    value: float
    row: list[float]
    col: list[float]

    @property
    def is_outlier(self) -> bool:
        """Whether the scalar stands out of both."""
        return all(abs(self.value) >= OUTLIER * (median(line) if line else 0.0) for line in (self.row, self.col))

    def holds(self, value: float) -> str | None:
        """Where the length of a recorded value may have gone: its column (channels mixed) or its row (neurons)."""
        lengths = {"column": math.hypot(self.value, *self.col), "row": math.hypot(self.value, *self.row)}
        return next((line for line, length in lengths.items() if length >= 0.9 * abs(value)), None)


def remarks(record: Record, kept: Sequence[Kept], checkpoint: Checkpoint) -> list[str]:
    """What a recipe says of a checkpoint in which the coordinates hold; raise Transformed, or a Refusal."""
    for each in kept:
        if each.tensor not in checkpoint.tensors:
            raise Transformed(f"{checkpoint.place}: NOT COMPARABLE: no tensor {each.tensor}; {_INSTEAD}")
    wanted = {w.id: w for k in kept for w in k.weights}
    checks = [c for c in verify(record, checkpoint).checks if c.weight in wanted] if wanted else []
    folded = is_folded(checkpoint)
    for check in checks:
        _require_in_place(check, wanted[check.weight], checkpoint, folded)
    if folded:
        raise Transformed(f"{checkpoint.place}: FOLDED: {_FOLDED}; {_INSTEAD}")
    drifted = [f"{c.weight} {c.drift:+.2%}" for c in checks if c.answer is Answer.DRIFTED and c.drift is not None]
    more = [f"they differ from the record's a little, as after a fine-tune: {', '.join(drifted)}"] if drifted else []
    if not checks:
        return [f"{checkpoint.place} has the tensors, and its norms are not folded; no scalar is recorded"]
    return [f"{len(checks)} recorded scalars were read in {checkpoint.place} and are in place", *more]


_FOLDED = "all gains of its norms are exactly one (or, stored less one, zero), so they were put into other weights"
_INSTEAD = (
    "make the recipe for the checkpoint as published and quantize that, or find the weights of this one: swindex scan"
)


def _require_in_place(check: Check, weight: SuperWeight, checkpoint: Checkpoint, folded: bool) -> None:
    """Raise Transformed, by the name of what was done, unless the scalar is where the record has it."""
    if check.answer in (Answer.SAME, Answer.AGREES) or (check.drift is not None and abs(check.drift) <= NEAR):
        return
    where = f"{checkpoint.place}: {{}}: {check.weight} in {check.tensor}"
    lines = _lines(weight, checkpoint)
    if lines is None:
        why = f": {check.reason or 'stored in another way'}; {_INSTEAD}"
        raise Transformed(where.format("NOT COMPARABLE") + why)
    if check.recorded_value is None and lines.is_outlier:
        return
    kind, why = _kind(check, lines)
    name = f"FOLDED AND {kind}" if folded else kind
    told = f" is {check.recorded_value:.4g} in the record and" if check.recorded_value is not None else " is"
    raise Transformed(where.format(name) + f"{told} {lines.value:.4g} here: {why}; {_INSTEAD}")


_WHY = {
    "column": "its column has the length still, so channels of the residual stream were mixed (QuaRot, SpinQuant R1)",
    "row": "its row has the length still, so neurons were mixed (QuaRot and SpinQuant R4, put into the weights)",
}


def _kind(check: Check, lines: Lines) -> tuple[str, str]:
    if lines.is_outlier:
        return "RESCALED", "it stands out still, with another size (AWQ, SmoothQuant, a norm put into it)"
    held = lines.holds(check.recorded_value) if check.recorded_value is not None else None
    if held:
        return "ROTATED", _WHY[held]
    return "ROTATED OR REPLACED", "nothing stands out there (rotations on both sides, pruning, or another model)"


# --- bytes ---


def is_folded(checkpoint: Checkpoint) -> bool:
    """Whether the gains of all norms in the layers are exactly one, or all zero."""
    vectors = (t for t in checkpoint.tensors.values() if len(t.shape) == 1 and t.shape[0] <= MOST)
    gains = (t for t in vectors if _GAIN.search(t.name) and NUMBER.search(t.name))
    return {_constant(info, checkpoint) for info in gains} in ({1.0}, {0.0})


def _constant(info: TensorInfo, checkpoint: Checkpoint) -> float | None:
    """The one value of all elements; None where there are several, or none that can be told."""
    data, size = bytes(checkpoint.read_range(info.file, info.start, info.end)), info.bits // 8
    first = data[:size]
    if info.dtype not in FLOATS or not first or data != first * (len(data) // size):
        return None
    return decode_bits(bits_of(first), info.dtype)


def _lines(weight: SuperWeight, checkpoint: Checkpoint) -> Lines | None:
    """The lines that cross at a scalar; None where the tensor is not there as plain numbers of that shape."""
    file = checkpoint.file_of(weight.tensor)
    info = checkpoint.tensors_in(file).get(weight.tensor) if file else None
    at = weight.index
    if info is None or info.dtype not in FLOATS or info.shape != (weight.shape or info.shape):
        return None
    if len(info.shape) != len(at) or any(i >= n for i, n in zip(at, info.shape, strict=True)) or weight.packed:
        return None
    if max(info.shape[-2:]) > MOST:
        return None
    along, across = _line(info, at, len(at) - 1, checkpoint), _line(info, at, len(at) - 2, checkpoint)
    value = along.pop(at[-1])
    across.pop(at[-2])
    row, col = (along, across) if at[-2:] == (weight.row, weight.col) else (across, along)
    return Lines(value, [abs(w) for w in row], [abs(w) for w in col])


def _line(info: TensorInfo, at: tuple[int, ...], axis: int, checkpoint: Checkpoint) -> list[float]:
    """The elements of a tensor along one axis through an index."""
    size, dtype = DTYPES[str(info.dtype)][0], str(info.dtype)
    strides = [math.prod(info.shape[n + 1 :]) for n in range(len(at))]
    first = sum(i * stride for n, (i, stride) in enumerate(zip(at, strides, strict=True)) if n != axis)
    count, step = info.shape[axis], strides[axis]
    starts = range(info.start + first * size, info.start + (first + count * step) * size, step * size)
    if step == 1:
        data = bytes(checkpoint.read_range(info.file, starts.start, starts.stop))
        return [decode_bits(bits_of(data[n : n + size]), dtype) for n in range(0, len(data), size)]
    return [decode_bits(bits_of(bytes(checkpoint.read_range(info.file, n, n + size))), dtype) for n in starts]
