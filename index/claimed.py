"""What claims give a record: scalars without bits, their values, and the sets that a source removed together.

Knows observations and what they name; nothing of scans, decisions or where claims come from.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from ..schema.errors import UsageError
from ..schema.observation import Granularity, Observation
from ..schema.types import Intervention
from ..schema.weight import Coordinates, Group, GroupKind, SuperWeight


def named(observations: Iterable[Observation]) -> set[str]:
    """The ids of all scalars that these claims name."""
    return {weight for o in observations for weight in o.weights}


def value_of(told: Iterable[float | None]) -> float | None:
    """The value with the most significant digits, the first of equals: the one rounded least."""
    return max((v for v in told if v is not None), key=_digits, default=None)


def _digits(value: float) -> int:
    return len(Decimal(repr(value)).normalize().as_tuple().digits)


def told_value(weight: str, observations: Sequence[Observation]) -> float | None:
    """The value that claims about exactly this scalar give it."""
    return value_of(o.value for o in observations if o.weights == (weight,))


def kind_of(members: Sequence[Coordinates]) -> GroupKind:
    """What these scalars share."""
    if len({(m.layer, m.expert, m.col) for m in members}) == 1:
        return GroupKind.NEURON
    return GroupKind.CHANNEL if len({m.row for m in members}) == 1 else GroupKind.JOINT


def weight_of(place: Coordinates, siblings: Sequence[SuperWeight]) -> SuperWeight:
    """The scalar at a claimed place, in a record that has these others; raise UsageError if its tensor is unknown."""
    if place.weight_id is None or place.row is None or place.col is None:
        raise UsageError(f"layer {place.layer}: not a scalar: give its row and col")
    tensor = place.tensor or _tensor(place, siblings)
    held = place.model_dump(include={"layer", "expert", "row", "col"})
    return SuperWeight(id=place.weight_id, tensor=tensor, index=_index(place, tensor, siblings), **held)


def _index(place: Coordinates, tensor: str, siblings: Sequence[SuperWeight]) -> tuple[int, ...]:
    """The position in the stored tensor, stored as the others are."""
    row, col = int(place.row or 0), int(place.col or 0)
    at = (col, row) if any(_is_transposed(w) for w in siblings) else (row, col)
    fused = place.expert is not None and any(w.tensor == tensor and len(w.index) == 3 for w in siblings)
    return (int(place.expert or 0), *at) if fused else at


def _tensor(place: Coordinates, siblings: Sequence[SuperWeight]) -> str:
    """The name that another scalar of the same layer and expert has."""
    for weight in siblings:
        if (weight.layer, weight.expert) == (place.layer, place.expert):
            return weight.tensor
    raise UsageError(f"{place.weight_id}: the claim names no tensor, and the record has none of its layer: give it")


def _is_transposed(weight: SuperWeight) -> bool:
    return weight.row != weight.col and tuple(weight.index[-2:]) == (weight.col, weight.row)


def sets_of(observations: Sequence[Observation], groups: Sequence[Group]) -> list[Group]:
    """A group for each set of scalars that one of these claims zeroed together, where none of `groups` holds it."""
    seen = {frozenset(g.members) for g in groups}
    made: list[Group] = []
    for each in observations:
        members = tuple(dict.fromkeys(each.weights))
        if _is_zeroing(each) and len(members) > 1 and frozenset(members) not in seen:
            seen.add(frozenset(members))
            name = _free(each.source.origin, [*groups, *made])
            made.append(Group(id=name, kind=kind_of(each.targets), members=members, reported=True))
    return made


def _is_zeroing(observation: Observation) -> bool:
    return observation.intervention is Intervention.ZERO and observation.changed is Granularity.SCALAR


def _free(origin: str, groups: Sequence[Group]) -> str:
    taken = {g.id for g in groups}
    return next(name for n in range(1, len(taken) + 2) if (name := f"{origin}-set-{n}") not in taken)
