"""Re-read each recorded scalar from the checkpoint by its own few bytes and compare the bits. Needs no torch.

A record from outside sources has no bits: then the stored number is held against the reported one, which sources
often round. Of a quantized weight the bytes of its code are compared, and not its scale. Reads the header of a weight
file and the bytes of the scalars, nothing else.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from math import isclose
from typing import Any

from ..schema.bits import decode_bits
from ..schema.record import Record
from ..schema.weight import SuperWeight
from .checkpoint.base import Checkpoint
from .checkpoint.header import TensorInfo
from .refusal import Refusal
from .scalars import NoScalar, find, read

ROUNDED = 1e-3
"""Relative difference up to which a reported number is taken for the stored one, rounded by its source."""


class Answer(StrEnum):
    """What became of a recorded scalar."""

    SAME = "same"
    AGREES = "agrees"
    DRIFTED = "drifted"
    GONE = "gone"
    NOT_CHECKABLE = "not_checkable"


@dataclass(frozen=True)
class Check:
    """One scalar: what is recorded and what is stored."""

    weight: str
    tensor: str
    index: tuple[int, ...]
    answer: Answer
    recorded_bits: str | None
    recorded_value: float | None
    stored_bits: str | None = None
    stored_value: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Verification:
    """All scalars of a record against one checkpoint."""

    model_id: str
    revision: str | None
    place: str
    checks: tuple[Check, ...]
    bytes_read: int
    requests: int

    @property
    def exit_status(self) -> int:
        """1 if a scalar is not what the record says, 3 if none could be checked, else 0."""
        answers = {c.answer for c in self.checks}
        if answers & {Answer.DRIFTED, Answer.GONE}:
            return 1
        return 3 if answers <= {Answer.NOT_CHECKABLE} else 0

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "checks": [asdict(c) for c in self.checks]}


def verify(record: Record, checkpoint: Checkpoint) -> Verification:
    """Compare every scalar of the record with the checkpoint; raise a Refusal if it cannot be read at all."""
    tensors = checkpoint.tensors
    checks = tuple(_checks(record, checkpoint, tensors))
    meter = checkpoint.meter
    return Verification(record.model.id, checkpoint.revision, checkpoint.place, checks, meter.bytes, meter.requests)


def _checks(record: Record, checkpoint: Checkpoint, tensors: dict[str, TensorInfo]) -> Iterator[Check]:
    for weight in record.super_weights:
        yield _check(weight, checkpoint, tensors.get(weight.tensor))


def _check(weight: SuperWeight, checkpoint: Checkpoint, info: TensorInfo | None) -> Check:
    def answer(kind: Answer, reason: str | None = None, **stored: Any) -> Check:
        return Check(weight.id, weight.tensor, weight.index, kind, weight.bits, weight.value, reason=reason, **stored)

    try:
        found = find(weight, info)
        [bits] = read(checkpoint, [found])
    except NoScalar as error:
        return answer(Answer.GONE if error.gone else Answer.NOT_CHECKABLE, str(error))
    except Refusal as refusal:
        return answer(Answer.NOT_CHECKABLE, str(refusal))
    value = None if weight.packed else decode_bits(bits, str(found.info.dtype)) * (weight.scale or 1.0)
    return answer(_compare(weight, bits, value), stored_bits=bits, stored_value=value)


def _compare(weight: SuperWeight, bits: str, value: float | None) -> Answer:
    if weight.bits is not None:
        return Answer.SAME if weight.bits == bits else Answer.DRIFTED
    if weight.value is None or value is None:
        return Answer.NOT_CHECKABLE
    return Answer.AGREES if isclose(weight.value, value, rel_tol=ROUNDED) else Answer.DRIFTED
