"""What sources disagree about, so that a reader sees it. Knows no verdict on who is right: see `status`."""

import math
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from .observation import Observation, Stance
from .types import Part, Text, WeightId
from .verdicts import reported_delta_nll, reported_verdict
from .weight import SuperWeight

VALUE_TOLERANCE = 2.0**-8
"""Relative difference of two values of one scalar that rounding to bfloat16 can explain."""


class ConflictKind(StrEnum):
    """What sources disagree about."""

    LAYER = "layer"
    LOCATION = "location"
    EFFECT = "effect"
    VALUE = "value"
    SET = "set"


class Conflict(Part):
    """A disagreement that a reader must see: which weights, and who says what."""

    kind: ConflictKind
    weights: tuple[WeightId, ...]
    sides: tuple[Text, ...]


def origins(weight: str, stance: Stance, observations: Sequence[Observation]) -> tuple[str, ...]:
    """Who takes this stance on a scalar; an origin that denies it has withdrawn its claim."""
    found = {o.source.origin for o in observations if o.stance is stance and weight in o.weights}
    if stance is Stance.CLAIMS:
        found -= set(origins(weight, Stance.DENIES, observations))
    return tuple(sorted(found))


def rivals(weight: SuperWeight, weights: Sequence[SuperWeight]) -> list[SuperWeight]:
    """The same [row, col] in other layers."""
    return [w for w in weights if (w.row, w.col) == (weight.row, weight.col) and w.layer != weight.layer]


def conflicts(
    weights: Sequence[SuperWeight], missing: Mapping[str, tuple[str, ...]], observations: Sequence[Observation]
) -> Iterable[Conflict]:
    """Yield every disagreement. `missing`: by group the weights that it leaves out though they matter."""
    for weight in weights:
        yield from _layer_conflict(weight, weights, observations)
        yield from _location_conflict(weight, observations)
        yield from _effect_conflict(weight, observations)
        yield from _value_conflict(weight, observations)
    for group, left_out in missing.items():
        if left_out:
            sides = (f"{group} leaves out weights that make its removal clearly worse",)
            yield Conflict(kind=ConflictKind.SET, weights=left_out, sides=sides)


def _layer_conflict(
    weight: SuperWeight, weights: Sequence[SuperWeight], observations: Sequence[Observation]
) -> Iterable[Conflict]:
    everywhere = sorted([weight, *rivals(weight, weights)], key=lambda w: w.layer)
    if len(everywhere) < 2 or everywhere[0] is not weight:
        return
    sides = tuple(f"layer {w.layer}: {', '.join(_claimants(w, observations)) or 'nobody'}" for w in everywhere)
    yield Conflict(kind=ConflictKind.LAYER, weights=tuple(w.id for w in everywhere), sides=sides)


def _location_conflict(weight: SuperWeight, observations: Sequence[Observation]) -> Iterable[Conflict]:
    denies, claims = origins(weight.id, Stance.DENIES, observations), _claimants(weight, observations)
    if denies and claims:
        sides = (f"claimed by {', '.join(claims)}", f"denied by {', '.join(denies)}")
        yield Conflict(kind=ConflictKind.LOCATION, weights=(weight.id,), sides=sides)


def _effect_conflict(weight: SuperWeight, observations: Sequence[Observation]) -> Iterable[Conflict]:
    found = [(v, o) for o in observations if o.weights == (weight.id,) and (v := reported_verdict(o)) is not None]
    if len({v for v, _ in found}) > 1:
        sides = tuple(f"{v}: {o.source.origin} ({_figure(o)})" for v, o in found)
        yield Conflict(kind=ConflictKind.EFFECT, weights=(weight.id,), sides=sides)


def _value_conflict(weight: SuperWeight, observations: Sequence[Observation]) -> Iterable[Conflict]:
    told = [(o.value, o.source.origin) for o in observations if o.weights == (weight.id,) and o.value is not None]
    if weight.scan is not None and weight.value is not None:
        told.append((weight.value, "our scan"))
    values = [v for v, _ in told]
    if values and max(values) - min(values) > VALUE_TOLERANCE * max(map(abs, values)):
        sides = tuple(dict.fromkeys(f"{value!r}: {who}" for value, who in told))
        yield Conflict(kind=ConflictKind.VALUE, weights=(weight.id,), sides=sides)


def _claimants(weight: SuperWeight, observations: Sequence[Observation]) -> list[str]:
    """Who says that it is there, our scan included."""
    ours = [] if weight.scan is None else ["our scan"]
    return [*origins(weight.id, Stance.CLAIMS, observations), *ours]


def _figure(observation: Observation) -> str:
    delta = reported_delta_nll(observation)
    return "not finite" if delta is None else f"perplexity x{math.exp(delta):.4g}"
