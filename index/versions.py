"""What the next version of a record holds when a scan of ours is added, or when it is withdrawn.

Gives the parts of a version as `Index.add` wants them from its `build`. A record is of one revision: when a scan at
another revision is added, what we measured at the old one stays in the history and leaves the record. So does what was
compared there with base models; of each base the newest comparison stays.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError

from ..schema.effect import Effect
from ..schema.model import Model
from ..schema.record import Record, Withdrawn, explain
from ..schema.scan import Scan
from ..schema.survival import Survival
from ..schema.types import SCANNED
from ..schema.weight import Group, SuperWeight
from .errors import StoreError

_CARRIED = (
    "model",
    "super_weights",
    "groups",
    "effects",
    "scans",
    "observations",
    "remarks",
    "survivals",
    "decisions",
)
_PLACE = ("id", "tensor", "layer", "expert", "row", "col", "index")
"""The fields of a weight that a claim gives; all others are what a scan read or measured."""


def with_scan(
    previous: Record | None,
    *,
    model: Model,
    scan: Scan,
    super_weights: Sequence[SuperWeight] = (),
    groups: Sequence[Group] = (),
    effects: Sequence[Effect] = (),
    survivals: Sequence[Survival] = (),
) -> dict[str, Any] | None:
    """The parts of the version that adds a scan and its finds to `previous`; None if that scan is there already.

    A scan that could not be made adds itself and changes nothing else; the same scan made at last takes its place.
    `survivals` are what was compared with base models before the scan.
    """
    if previous is None:
        parts = (model, super_weights, groups, effects, (scan,), (), (), survivals, ())
        return dict(zip(_CARRIED, parts, strict=True))
    earlier = _other_scans(previous, scan)
    if earlier is None:
        return None
    scans = {"scans": (*earlier, scan)}
    if scan.outcome not in SCANNED:
        kept = previous.model if _is_known(previous) or previous.survivals else model
        return {**carried(previous), "model": kept, **scans, **_compared(previous, kept, survivals)}
    merged = _merged(previous, model, super_weights, groups, effects)
    return {**merged, **scans, **_compared(previous, model, survivals)}


def with_survival(previous: Record | None, *, model: Model, survival: Survival) -> dict[str, Any] | None:
    """The parts of the version that adds what became of a base model's super weights; None if that is known already.

    It moves no record to another revision: what a scan or a source says of the model stays, and `survival.revision`
    says where was looked.
    """
    if previous is None:
        return dict(zip(_CARRIED, (model, (), (), (), (), (), (), (survival,), ()), strict=True))
    if any(_is_same(survival, known) for known in previous.survivals):
        return None
    kept = previous.model if _is_known(previous) else model
    return {**carried(previous), "model": kept, **_compared(previous, kept, (survival,))}


def with_parts(previous: Record | None, *, model: Model, scan: Scan | None, **parts: Any) -> dict[str, Any] | None:
    """`with_scan` where there is a scan, else `with_survival` of the one survival there is."""
    if scan is not None:
        return with_scan(previous, model=model, scan=scan, **parts)
    [survival] = parts["survivals"]
    return with_survival(previous, model=model, survival=survival)


def _compared(previous: Record, model: Model, added: Sequence[Survival]) -> dict[str, tuple[Survival, ...]]:
    """The survivals of the version about `model`: new ones, and of other bases those of a revision that stays."""
    bases, moved = {s.base for s in added}, previous.model.revision != model.revision
    stay = (s for s in previous.survivals if s.base not in bases and (not moved or s.revision == model.revision))
    return {"survivals": (*stay, *added)}


def _is_same(survival: Survival, known: Survival) -> bool:
    """Whether two say the same of the same commits, whenever that was."""
    said = {"base", "base_revision", "base_record", "revision", "scalars"}
    return survival.model_dump(include=said) == known.model_dump(include=said)


def withdraw(previous: Record, reason: str, time: str) -> dict[str, Any] | None:
    """The parts of the version that withdraws a record (`time` in UTC); None if it is withdrawn for that reason."""
    if previous.provenance.withdrawn and previous.provenance.withdrawn.reason == reason:
        return None
    try:
        withdrawn = Withdrawn(time=time, reason=reason)
    except ValidationError as error:
        raise StoreError(f"withdrawal of {explain(error, previous.model.id)}") from None
    return {**carried(previous), "withdrawn": withdrawn}


def restore(previous: Record) -> dict[str, Any] | None:
    """The parts of the version that puts a withdrawn record back; None if it is not withdrawn."""
    return {**carried(previous), "withdrawn": None} if previous.provenance.withdrawn else None


def carried(previous: Record) -> dict[str, Any]:
    """The parts of a version that says what the one before says."""
    return {**{name: getattr(previous, name) for name in _CARRIED}, "withdrawn": previous.provenance.withdrawn}


def _other_scans(previous: Record, scan: Scan) -> tuple[Scan, ...] | None:
    """The earlier scans that stay; None if this one is there with the same outcome, or was made before."""
    same = next((s for s in previous.scans if s.id == scan.id), None)
    if same and (same.outcome in SCANNED or same.outcome is scan.outcome):
        return None
    return tuple(s for s in previous.scans if s.id != scan.id)


def _is_known(previous: Record) -> bool:
    """Whether the record says anything about its model but that it could not be scanned."""
    return bool(previous.observations) or any(s.outcome in SCANNED for s in previous.scans)


def _merged(
    previous: Record,
    model: Model,
    super_weights: Sequence[SuperWeight],
    groups: Sequence[Group],
    effects: Sequence[Effect],
) -> dict[str, Any]:
    moved = previous.model.revision != model.revision
    reported = tuple(g for g in previous.groups if g.reported)
    every_group = (*groups, *reported)  # ours first: of equally strong groups the status names the first
    old = {w.id: w for w in _old_weights(previous, reported, moved)}
    ours = {w.id for w in super_weights}
    kept = tuple(_in_group(w, w.group, every_group) for w in old.values() if w.id not in ours)
    found = (_in_group(w, old[w.id].group, every_group) if w.id in old else w for w in super_weights)
    weights = (*found, *kept)
    known = {w.id for w in weights}
    remarks = (r.model_copy(update={"about": tuple(i for i in r.about if i in known)}) for r in previous.remarks)
    return {
        "model": _with_base(model, previous.model),
        "super_weights": weights,
        "groups": every_group,
        "effects": (*(() if moved else previous.effects), *effects),
        "observations": previous.observations,
        "remarks": tuple(remarks),
        "decisions": previous.decisions,
    }


def _old_weights(previous: Record, reported: Sequence[Group], moved: bool) -> Iterable[SuperWeight]:
    """The weights that stay: all at the same revision, else those that outside sources name, without our figures."""
    named = {i for o in previous.observations for i in o.weights} | {i for g in reported for i in g.members}
    for weight in previous.super_weights:
        if weight.scan is None or not moved:
            yield weight
        elif weight.id in named:
            yield SuperWeight(**{name: getattr(weight, name) for name in _PLACE}, group=weight.group)


def _in_group(weight: SuperWeight, old: str | None, groups: Sequence[Group]) -> SuperWeight:
    """The weight in the group it names newly, else in its old one if that is left and still holds it."""
    if weight.group is not None and weight.group != old:
        return weight
    held = any(g.id == old and weight.id in g.members for g in groups)
    return weight.model_copy(update={"group": old if held else None})


def _with_base(model: Model, old: Model) -> Model:
    """The model as scanned; its base model as known before, if the scan does not say (a folder cannot)."""
    if model.base_model is not None or old.base_model is None:
        return model
    return model.model_copy(update={"base_model": old.base_model, "relation": old.relation})
