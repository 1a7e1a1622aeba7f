"""What a model has of its base model's super weights: a few bytes for each recorded scalar, compared, and no scan.

Reads the index of the weight files, the headers of those that hold the tensors in question, and the scalars. The base
is its record alone: our own measurement, pinned to a commit and to bits. Rules of comparison: `schema.survival`.
"""

import math
from collections.abc import Sequence

from ...schema.bits import decode_bits
from ...schema.record import Record
from ...schema.survival import FLOATS, Fate, Scalar, Survival, Survivor, compared, drift_of, fate_of
from ...schema.types import Outcome
from ...schema.weight import SuperWeight
from ..checkpoint.base import Checkpoint
from ..checkpoint.header import TensorInfo
from ..parts.result import now
from ..refusal import corrupt, failed
from ..scalars import Found, NoScalar, find, read

MAX_SCALARS = 512
"""Recorded scalars that are compared at most; a base with more is a matter for a scan."""


def survey(base: Record, checkpoint: Checkpoint) -> Survival:
    """Compare every scalar that our scan of the base recorded with what stands at its place; raise a Refusal.

    The Refusal says that the base has nothing to compare, or that this checkpoint cannot be read.
    """
    wanted, revision = recorded(base), base.model.revision
    bytes_before, requests_before = checkpoint.meter.bytes, checkpoint.meter.requests
    scalars = _survivors(wanted, checkpoint)
    return Survival(
        base=base.model.id,
        base_revision=str(revision),
        base_record=base.provenance.digest,
        revision=checkpoint.revision,
        time=now(),
        bytes_read=checkpoint.meter.bytes - bytes_before,
        requests=checkpoint.meter.requests - requests_before,
        scalars=scalars,
    )


def recorded(base: Record) -> list[SuperWeight]:
    """The scalars of a base that can be compared: found by a scan of ours that confirmed some; raise a Refusal.

    Inert candidates among them count too. A base with a quantized scalar has none: what its bits mean depends on a
    scale that lies elsewhere.
    """
    where, found = base.model.id, {s.id for s in base.scans if s.outcome is Outcome.FOUND}
    weights = [w for w in base.super_weights if w.scan in found]
    if base.provenance.withdrawn or base.model.revision is None or not weights:
        raise failed(f"{where}: no super weight that we found at a known commit stands in its record")
    if len(weights) > MAX_SCALARS:
        raise failed(
            f"{where}: {len(weights)} scalars are recorded, at most {MAX_SCALARS} are compared; scan the model"
        )
    odd = next((w for w in weights if w.packed or w.scale is not None or w.dtype not in FLOATS or not w.value), None)
    if odd is not None:
        raise failed(f"{where}: {odd.id} is stored as {odd.packed or odd.dtype} and cannot be compared; scan the model")
    return weights


def _survivors(wanted: Sequence[SuperWeight], checkpoint: Checkpoint) -> tuple[Survivor, ...]:
    infos = tensors_of({w.tensor for w in wanted}, checkpoint)
    spots = [_spot(w, infos.get(w.tensor)) for w in wanted]
    found = [s for s in spots if isinstance(s, Found)]
    bits = dict(zip(found, read(checkpoint, found), strict=True))
    return tuple(_survivor(w, s, bits) for w, s in zip(wanted, spots, strict=True))


def tensors_of(names: set[str], checkpoint: Checkpoint) -> dict[str, TensorInfo]:
    """Those of the named tensors that there are, from the headers of the files that are to hold them and no others."""
    found: dict[str, TensorInfo] = {}
    for name in sorted(names):
        file = checkpoint.file_of(name)
        info = checkpoint.tensors_in(file).get(name) if file else None
        if info is not None:
            found[name] = info
        elif file and len(checkpoint.weight_files) > 1:
            raise corrupt(f"{checkpoint.place}: the index says that {name!r} is in {file}, and it is not")
    return found


def _spot(weight: SuperWeight, info: TensorInfo | None) -> Found | str:
    """Where the scalar is, or why it is gone."""
    if info is not None and info.dtype not in FLOATS:
        return f"stored as {info.dtype or 'packed'}: its few bytes do not tell the number"
    if info is not None and weight.shape is not None and info.shape != weight.shape:
        return f"the tensor has shape {list(info.shape)}, the base's {list(weight.shape)}"
    try:
        return find(weight, info)
    except NoScalar as error:
        return str(error)


def _survivor(weight: SuperWeight, spot: Found | str, bits: dict[Found, str]) -> Survivor:
    base = Scalar(dtype=str(weight.dtype), bits=str(weight.bits), value=float(weight.value or 0.0))
    here, reason = (None, spot) if isinstance(spot, str) else _scalar(spot, bits[spot])
    state = fate_of(base, here)
    if here is not None and state is Fate.GONE:
        reason = f"the value is {here.value:.3g} here and {base.value:.3g} in the base"
    return Survivor(
        weight=weight.id,
        tensor=weight.tensor,
        index=weight.index,
        base=base,
        here=here,
        state=state,
        compared=compared(base, here),
        drift=drift_of(base, here),
        reason=reason,
    )


def _scalar(found: Found, bits: str) -> tuple[Scalar | None, str | None]:
    """The scalar that is stored, or why it is no number."""
    dtype = str(found.info.dtype)
    value = decode_bits(bits, dtype)
    if not math.isfinite(value):
        return None, f"the value is {value} here"
    return Scalar(dtype=dtype, bits=bits, value=value), None
