"""One recorded scalar against the number that stands at its place, in a file or in a loaded model.

Stricter than `schema.survival`, which asks what became of a weight in a fine-tune: here one flipped bit is a change.

`intact`         the recorded bits, in the recorded dtype
`cast`           in another dtype exactly the bits that rounding the recorded number to it gives (nearest, ties to even)
`agrees`         the record has no plain bits (a source's number, or one with a scale): the number is it, up to rounding
`changed`        anything else that is finite
`gone`           not finite, or no such tensor
`not_checkable`  stored in a way, or recorded in a way, that leaves nothing to compare

Of a quantized weight in its own format the code is compared, not the scale, which lies elsewhere.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ...crawler.verifying import ROUNDED
from ...schema.bits import decode_bits, rounded_bits
from ...schema.record import Record
from ...schema.survival import FLOATS
from ...schema.types import Location
from ...schema.weight import SuperWeight

SCALED = 2.0**-7
"""Relative difference up to which a number is taken for a code times its scale: both are rounded, once each."""


class State(StrEnum):
    """What was found at the place of a recorded scalar; see the module."""

    INTACT = "intact"
    CAST = "cast"
    AGREES = "agrees"
    CHANGED = "changed"
    GONE = "gone"
    NOT_CHECKABLE = "not_checkable"


GOOD = frozenset({State.INTACT, State.CAST, State.AGREES})
BAD = frozenset({State.CHANGED, State.GONE})


@dataclass(frozen=True)
class Finding:
    """One scalar: what is recorded, what stands there, and the verdict. `place` says where, in a person's words."""

    weight: str
    place: str
    state: State
    recorded_dtype: str | None
    recorded_bits: str | None
    recorded_value: float | None
    dtype: str | None = None
    bits: str | None = None
    value: float | None = None
    """Null where it is not finite."""
    flipped: tuple[int, ...] = ()
    """Bits, 0 the lowest, in which it differs from what it should be in its dtype."""
    reason: str | None = None

    @property
    def ok(self) -> bool:
        """Whether it is what the record says."""
        return self.state in GOOD


def standing(record: Record) -> tuple[SuperWeight, ...]:
    """The scalars of a record that are not refuted: what a refuted claim says need not be so."""
    refuted = {s.weight for s in record.status.weights if s.location is Location.REFUTED}
    return tuple(w for w in record.super_weights if w.id not in refuted)


def judge(weight: SuperWeight, place: str, dtype: str, bits: str) -> Finding:
    """Compare a recorded scalar with the bits that stand at its place."""
    value = decode_bits(bits, dtype) * ((weight.scale or 1.0) if dtype == weight.dtype else 1.0)
    state, reason = _state(weight, dtype, bits, value)
    here: tuple[Any, ...] = (dtype, bits, value if math.isfinite(value) else None)
    return found(weight, place, state, *here, _flipped(weight, dtype, bits) if state in BAD else (), reason)


def found(weight: SuperWeight, place: str, state: State, *more: Any) -> Finding:
    """A finding on a scalar, with what the record says of it; `more` are the fields after that."""
    return Finding(weight.id, place, state, weight.dtype, weight.bits, weight.value, *more)


def expected_bits(weight: SuperWeight, dtype: str) -> str | None:
    """The bits that the recorded number has in a float dtype; None where the record does not fix them."""
    if weight.bits is None or weight.value is None or weight.packed:
        return None
    if weight.dtype == dtype:
        return weight.bits
    plain = weight.scale is None and {dtype, weight.dtype} <= FLOATS.keys()
    return rounded_bits(weight.value, dtype) if plain else None


def _state(weight: SuperWeight, dtype: str, bits: str, value: float) -> tuple[State, str | None]:
    if weight.value is None:
        return State.NOT_CHECKABLE, "the record has no number to compare with"
    expected = expected_bits(weight, dtype)
    if expected is not None and bits == expected:
        return (State.INTACT if weight.dtype == dtype else State.CAST), None
    if not math.isfinite(value):
        return State.GONE, f"the value is {value} here"
    if expected is not None:
        return State.CHANGED, None
    if dtype not in FLOATS:
        return State.NOT_CHECKABLE, f"stored as {dtype}, recorded as {weight.packed or weight.dtype}: no common numbers"
    near = math.isclose(weight.value, value, rel_tol=ROUNDED if weight.bits is None else SCALED)
    return (State.AGREES if near else State.CHANGED), None


def _flipped(weight: SuperWeight, dtype: str, bits: str) -> tuple[int, ...]:
    expected = expected_bits(weight, dtype)
    if expected is None or len(expected) != len(bits):
        return ()
    differs = int(expected, 16) ^ int(bits, 16)
    return tuple(n for n in range(4 * len(bits)) if differs >> n & 1)
