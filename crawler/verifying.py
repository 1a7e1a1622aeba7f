"""Re-read each recorded scalar from the checkpoint by its own few bytes and compare the bits. Needs no torch.

Reads the index, the headers of the files that hold the tensors in question, and the bytes of the scalars. States are
those of `schema.survival`, for a model's own record as for that of its base. A record from outside sources has no
bits: then the stored number is held against the reported one, which sources often round. Of a quantized weight the
code is compared, and not its scale, which lies elsewhere.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import groupby
from typing import Any

from ..schema.bits import decode_bits
from ..schema.record import Record
from ..schema.survival import FLOATS, LOST, Compared, Fate, Scalar, fate_of
from ..schema.weight import SuperWeight
from .checkpoint.base import FIRST_READ, INDEX, Checkpoint
from .checkpoint.header import TensorInfo
from .refusal import Refusal, corrupt, failed
from .scalars import Found, NoScalar, code, find, read

ROUNDED = 1e-3
"""Relative difference up to which a reported number is taken for the stored one, rounded by its source."""
SPARE = 500_000
"""Bytes read behind headers at most, of all files together; between scalars none are."""
_LEAST_FIRST = 8


class Answer(StrEnum):
    """What became of a recorded scalar. `agrees`: it has no recorded bits, and the number is the reported one."""

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
    recorded_dtype: str | None
    recorded_bits: str | None
    recorded_value: float | None
    stored_dtype: str | None = None
    stored_bits: str | None = None
    stored_value: float | None = None
    compared: str | None = None
    """bits; value where dtypes differ or the record has no bits; null if nothing was."""
    drift: float | None = None
    """(stored - recorded) / |recorded|."""
    reason: str | None = None
    unread: bool = False
    """Whether it could not be read, as against being stored in a way that tells nothing."""


@dataclass(frozen=True)
class Verification:
    """All scalars of a record against one checkpoint."""

    model_id: str
    """The model that was read."""
    revision: str | None
    place: str
    record_of: str
    """The model whose record it was held against: itself, or its base."""
    record_revision: str | None
    record_version: int
    record_digest: str
    checks: tuple[Check, ...]
    header_bytes: int
    """Of the index and the headers, and what came with them."""
    scalar_bytes: int
    requests: int

    @property
    def counts(self) -> dict[str, int]:
        """How many scalars got which answer."""
        found = Counter(c.answer for c in self.checks)
        return {str(answer): found[answer] for answer in Answer}

    @property
    def exit_status(self) -> int:
        """1 if a scalar is not what the record says, 3 if one could not be read or none could be checked, else 0."""
        answers = {c.answer for c in self.checks}
        if answers & {Answer.DRIFTED, Answer.GONE}:
            return 1
        return 3 if answers <= {Answer.NOT_CHECKABLE} or any(c.unread for c in self.checks) else 0

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "checks": [asdict(c) for c in self.checks], "counts": self.counts}


def verify(record: Record, checkpoint: Checkpoint) -> Verification:
    """Compare every scalar of a record, of this model or its base, with the checkpoint.

    Raise a Refusal if the record names no scalar, or if the checkpoint cannot be read at all.
    """
    wanted, meter = record.super_weights, checkpoint.meter
    if not wanted:
        raise failed(f"{record.model.id}: its record names no scalar, so there is nothing to re-read")
    before = meter.bytes
    spots = _spots(wanted, checkpoint)
    behind_headers = meter.bytes
    checks = tuple(_checks(wanted, spots, _bits([s for s in spots if isinstance(s, Found)], checkpoint)))
    return Verification(
        model_id=checkpoint.model_id,
        revision=checkpoint.revision,
        place=checkpoint.place,
        record_of=record.model.id,
        record_revision=record.model.revision,
        record_version=record.provenance.version,
        record_digest=record.provenance.digest,
        checks=checks,
        header_bytes=behind_headers - before,
        scalar_bytes=meter.bytes - behind_headers,
        requests=meter.requests,
    )


# --- where the scalars are ---

Spot = Found | NoScalar | Refusal
"""Where a scalar is, or why there is none, or why it could not be found out."""


def _spots(weights: Sequence[SuperWeight], checkpoint: Checkpoint) -> list[Spot]:
    files = {file for w in weights if (file := checkpoint.file_of(w.tensor))}
    checkpoint.first_read = max(_LEAST_FIRST, min(FIRST_READ, SPARE // max(len(files), 1)))
    return [_spot(w, checkpoint) for w in weights]


def _spot(weight: SuperWeight, checkpoint: Checkpoint) -> Spot:
    try:
        info = _info(weight.tensor, checkpoint)
        if info and weight.shape is not None and not weight.packed and info.shape != weight.shape:
            shapes = f"{list(info.shape)}, and {list(weight.shape)} in the record"
            return NoScalar(f"the tensor has shape {shapes}", gone=True)
        return find(weight, info)
    except (NoScalar, Refusal) as why:
        return why


def _info(name: str, checkpoint: Checkpoint) -> TensorInfo | None:
    """The tensor of that name; None if there is none; raise NoScalar if it is stored otherwise, or a Refusal."""
    file = checkpoint.file_of(name)
    listed = checkpoint.tensors_in(file) if file else {}
    if name in listed:
        return listed[name]
    if file and len(checkpoint.weight_files) > 1:
        raise corrupt(f"{checkpoint.place}: the index says that {name!r} is in {file}, and it is not")
    module = name.rpartition(".")[0] + "."
    others = [n for n in listed or checkpoint.json(INDEX)["weight_map"] if n.startswith(module) and n[-5:] != ".bias"]
    if others:
        raise NoScalar(f"no tensor of that name, but {min(others)}: stored in another way", gone=False)
    return None


# --- what is there ---


def _bits(found: Sequence[Found], checkpoint: Checkpoint) -> dict[Found, str | Refusal]:
    """The bits of scalars, or why a file's could not be read."""
    bits: dict[Found, str | Refusal] = {}
    for _, group in groupby(sorted(found, key=lambda f: f.info.file), key=lambda f: f.info.file):
        of_file = list(group)
        try:
            bits.update(zip(of_file, read(checkpoint, of_file, gap=0), strict=True))
        except Refusal as refusal:
            bits.update(dict.fromkeys(of_file, refusal))
    return bits


def _checks(weights: Sequence[SuperWeight], spots: Sequence[Spot], bits: dict[Found, str | Refusal]) -> Iterator[Check]:
    for weight, spot in zip(weights, spots, strict=True):
        known = (weight.id, weight.tensor, weight.index)
        recorded = (weight.dtype, weight.bits, weight.value)
        stored = bits[spot] if isinstance(spot, Found) else spot
        if isinstance(spot, Found) and isinstance(stored, str):
            answer, more = _compare(weight, spot.info, stored)
        else:
            answer, more = _absent(stored)
        yield Check(*known, answer, *recorded, **more)


_Answered = tuple[Answer, dict[str, Any]]


def _absent(why: object) -> _Answered:
    gone = isinstance(why, NoScalar) and why.gone
    answer = Answer.GONE if gone else Answer.NOT_CHECKABLE
    return answer, {"reason": str(why), "unread": isinstance(why, Refusal)}


def _compare(weight: SuperWeight, info: TensorInfo, bits: str) -> _Answered:
    dtype = str(info.dtype)
    if weight.packed:
        same = weight.bits is not None and code(weight, info, weight.bits) == code(weight, info, bits)
        told = {"stored_dtype": weight.packed, "stored_bits": bits, "compared": "bits"}
        return Answer.SAME if same else Answer.DRIFTED, told
    value = decode_bits(bits, dtype) * (weight.scale or 1.0)
    stored = {"stored_dtype": dtype, "stored_bits": bits, "stored_value": value if math.isfinite(value) else None}
    if weight.value is None:
        return Answer.NOT_CHECKABLE, {**stored, "reason": "the record has no number to compare with"}
    drift = _drift(weight.value, value)
    answer, more = _judged(weight, dtype, bits, value)
    return answer, {**stored, "drift": drift if more.get("compared") else None, **more}


def _judged(weight: SuperWeight, dtype: str, bits: str, value: float) -> _Answered:
    """The answer on a number, by the rules of `schema.survival` where both are plain numbers."""
    recorded = float(weight.value or 0.0)
    by = {"compared": str(Compared.BITS if weight.bits and weight.dtype == dtype else Compared.VALUE)}
    if weight.bits is None:
        return Answer.AGREES if math.isclose(recorded, value, rel_tol=ROUNDED) else Answer.DRIFTED, by
    if (weight.dtype, weight.bits) == (dtype, bits):
        return Answer.SAME, by
    if not math.isfinite(value):
        return Answer.GONE, {**by, "reason": f"the value is {value} here"}
    if weight.dtype != dtype and (weight.scale is not None or not {dtype, weight.dtype} <= FLOATS.keys()):
        return Answer.NOT_CHECKABLE, {"reason": f"stored as {dtype}, recorded as {weight.dtype}: no common numbers"}
    if abs(value) < LOST * abs(recorded):
        return Answer.GONE, {**by, "reason": f"the value is {value:.3g} here and {recorded:.3g} in the record"}
    if weight.dtype == dtype:
        return Answer.DRIFTED, by
    fate = fate_of(_scalar(weight.dtype, weight.bits, recorded), _scalar(dtype, bits, value))
    return Answer.SAME if fate is Fate.SAME else Answer.DRIFTED, by


def _scalar(dtype: str | None, bits: str, value: float) -> Scalar:
    return Scalar(dtype=str(dtype), bits=bits, value=value)


def _drift(recorded: float, stored: float) -> float | None:
    """The relative change, signed; None where it has no finite number."""
    drift = (stored - recorded) / abs(recorded) if recorded else math.nan
    return drift if math.isfinite(drift) else None
