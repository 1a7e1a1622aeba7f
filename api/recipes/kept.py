"""Which stored tensors of a record are worth keeping at high precision, and on whose word. Knows no tool.

Scalars by the rule in `standing`. Of claims about whole rows and experts (super experts) the tensor that they name
counts, unless somebody denies the same place.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ...schema import rules
from ...schema.observation import Granularity, Observation, Stance
from ...schema.record import Record
from ...schema.status import WeightStatus
from ...schema.types import Basis, Location, Verdict
from ...schema.weight import Coordinates, SuperWeight
from ..paste import short
from ..standing import counts

_WHOLE = (Granularity.ROW, Granularity.EXPERT)


@dataclass
class Kept:
    """A stored matrix that is to keep its precision (of an expert where there are such), and what is in it."""

    tensor: str
    layer: int
    expert: int | None
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    words: list[str] = field(default_factory=list)
    """Place and standing of what is in it, as `L1[2070,7310] confirmed alone, reported`."""
    weights: list[SuperWeight] = field(default_factory=list)


class Chosen(NamedTuple):
    """What a recipe keeps, and what it leaves out."""

    kept: tuple[Kept, ...]
    left_out: tuple[str, ...]
    """Places known to do nothing."""
    measured: bool
    """Whether some verdict rests on our own figures."""


def chosen(record: Record) -> Chosen:
    """The matrices of a record to keep, in the order of layers."""
    by_matrix: dict[tuple[str, int | None], Kept] = {}
    standing = {s.weight: s for s in record.status.weights}
    left_out: list[str] = []
    for weight in record.super_weights:
        status, place = standing[weight.id], short(weight.model_dump())
        if not counts(status.alone, status.grouped):
            left_out.append(place)
            continue
        found = Kept(weight.tensor, weight.layer, weight.expert, weight.shape, weight.dtype)
        kept = by_matrix.setdefault((weight.tensor, weight.expert), found)
        kept.words.append(f"{place} {words_of(status)}")
        kept.weights.append(weight)
    for tensor, target in _claimed_whole(record.observations):
        kept = by_matrix.setdefault((tensor, target.expert), Kept(tensor, target.layer, target.expert))
        word = f"{short(target.model_dump())} claimed as a whole, reported"
        kept.words += [word] if word not in kept.words else []
    measured = any(Basis.MEASURED in (s.alone_basis, s.grouped_basis) for s in record.status.weights)
    ordered = sorted(by_matrix.values(), key=lambda k: (k.layer, k.tensor, k.expert or 0))
    return Chosen(tuple(ordered), tuple(left_out), measured)


def words_of(status: WeightStatus) -> str:
    """What is known of a scalar, in a few words: verdict alone, together, and on whose figures."""
    told = [
        f"{verdict.value.replace('_', ' ')} {how}"
        for verdict, how in ((status.alone, "alone"), (status.grouped, "together"))
        if verdict is not Verdict.UNTESTED
    ]
    strongest = max((status.alone, status.grouped), key=rules.STRENGTH.index)
    basis = status.alone_basis if strongest is status.alone else status.grouped_basis
    if not told:
        place = "found by a scan" if status.location is Location.CONFIRMED else f"{status.location.value} only"
        return f"{place}, effect untested"
    return ", ".join((*told, basis.value if basis else "no basis"))


def _claimed_whole(observations: tuple[Observation, ...]) -> Iterator[tuple[str, Coordinates]]:
    """Rows and experts that somebody claims and nobody denies, with the tensor that they name."""
    denied = {_place(t) for o in observations if o.stance is Stance.DENIES for t in o.targets}
    for observation in observations:
        if observation.stance is Stance.CLAIMS and observation.granularity in _WHOLE:
            for target in observation.targets:
                if target.tensor and _place(target) not in denied:
                    yield target.tensor, target


def _place(at: Coordinates) -> tuple[int | None, ...]:
    return at.layer, at.expert, at.row, at.col
