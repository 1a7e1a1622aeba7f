"""Whether a loaded model is the one that a record speaks of: its commit where it is known, and the numbers themselves.

The mapping from disk to memory is proven by them: what stands at a place must be the recorded number in the parameter's
dtype. Nothing is written here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from transformers import PreTrainedModel

from ...schema.errors import UsageError
from ...schema.ids import is_model_id
from ...schema.record import Record
from ...schema.survival import LOST
from ...schema.weight import SuperWeight
from ..guarding.judging import Finding, judge, standing
from ..names import snapshot
from .errors import AnotherRevision, LoadedError, NotTheRecorded
from .holding import Element, Spot, read
from .mapping import Place, locate, unwrapped


@dataclass(frozen=True)
class Proven:
    """Recorded scalars in a loaded model, each found to be what the record says (or, if told, nearly so)."""

    model: PreTrainedModel
    record: Record
    places: tuple[Place, ...]
    findings: tuple[Finding, ...]


def record_of(record: Record | str) -> Record:
    """The record itself, or the newest of a model id in the index that `Client()` reads."""
    if isinstance(record, Record):
        return record
    from ..client import Client

    return Client().record(record)


def chosen(record: Record, weights: Iterable[str] | str | None = None) -> tuple[SuperWeight, ...]:
    """The scalars that are meant: those named by their ids, the members of a group by its id, or all not refuted."""
    if weights is None:
        return standing(record)
    named = (weights,) if isinstance(weights, str) else tuple(weights)
    groups = {g.id: g.members for g in record.groups}
    ids = {member for name in named for member in groups.get(name, (name,))}
    unknown = sorted(ids - {w.id for w in record.super_weights})
    if unknown:
        raise UsageError(f"{record.model.id}: its record has no weight or group {', '.join(unknown)}")
    return tuple(w for w in record.super_weights if w.id in ids)


def look(
    model: Any,
    record: Record | str,
    weights: Iterable[str] | str | None = None,
    originals: Mapping[Spot, Element] = MappingProxyType({}),
) -> Proven:
    """Find and judge the scalars, whatever they are; raise LoadedError if there are none.

    `originals` are elements that an edit has changed for a while: they are judged as they were.
    """
    plain, known = unwrapped(model), record_of(record)
    meant = chosen(known, weights)
    if not meant:
        raise LoadedError(f"{known.model.id}: its record names no super weight, so there is nothing to work on")
    places = locate(plain, meant)
    elements = read(plain, [p.spot for p in places])
    there = [originals.get(p.spot, e) for p, e in zip(places, elements, strict=True)]
    findings = tuple(judge(p.weight, str(p), e.dtype, e.bits) for p, e in zip(places, there, strict=True))
    return Proven(plain, known, places, findings)


def prove(seen: Proven, any_revision: bool = False) -> Proven:
    """Return it if the model is the record's; raise AnotherRevision or NotTheRecorded.

    `any_revision` takes a model of another commit, and scalars that drifted, but none that is lost.
    """
    if not any_revision:
        check_revision(seen.model, seen.record)
    wrong = [(p, f) for p, f in zip(seen.places, seen.findings, strict=True) if not _passes(f, any_revision)]
    if wrong:
        raise NotTheRecorded(_mismatch(seen, wrong))
    return seen


def _passes(found: Finding, any_revision: bool) -> bool:
    if found.ok or not any_revision or found.value is None:
        return found.ok
    return found.recorded_value is None or abs(found.value) >= LOST * abs(found.recorded_value)


def _mismatch(seen: Proven, wrong: Sequence[tuple[Place, Finding]]) -> str:
    place, found = wrong[0]
    here = found.reason or f"holds {found.value:.9g} ({found.dtype} {found.bits})"
    recorded = "no number" if found.recorded_value is None else f"{found.recorded_value:.9g}"
    told = f"the record of {seen.record.model.id} says {recorded} at {place.stored}"
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return f"{place}: {here}; {told}{more}; for another revision or a fine-tune: any_revision=True"


# --- which commit it is ---


def stated(model: PreTrainedModel) -> tuple[str | None, str | None]:
    """The model id and the commit that a loaded model states, each None where it does not say."""
    path = str(getattr(model.config, "_name_or_path", "") or "")
    commit = getattr(model.config, "_commit_hash", None)
    if cached := snapshot(Path(path).as_posix()):
        return cached[0], commit or cached[1]
    return path if is_model_id(path) and not Path(path).is_dir() else None, commit


def check_revision(model: PreTrainedModel, record: Record) -> None:
    """Raise AnotherRevision if the model says that it is another one, or of another commit."""
    name, commit = stated(model)
    known = record.model
    if name is not None and name.lower() != known.id.lower():
        raise AnotherRevision(f"the model is {name}, the record {known.id}'s; to go by the values: any_revision=True")
    if commit is not None and known.revision is not None and commit != known.revision:
        which = f"at {commit[:12]}, the record is of {known.revision[:12]}"
        raise AnotherRevision(f"the model is {known.id} {which}; to go by the values: any_revision=True")
