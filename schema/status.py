"""The status of a record: derived from its figures by the rule written here, never typed in.

Location (is the coordinate right?), for each scalar, by independent origins (a paper and its code are one):
  confirmed  a scan of ours found it;
  refuted    one origin claims it at most, somebody denies it, and removing it was shown to do nothing, alone and
             in each of its groups that has figures;
  disputed   somebody denies it otherwise, or the same [row, col] is claimed in another layer not refuted;
  reported   somebody claims it and nobody denies it.
An origin that both claims and denies a scalar has withdrawn its claim (a candidate that its own test did not bear
out): it denies.

Effect, alone and in the best of its groups, by `rules`: our own effects if there are any (`measured`; the weakest
over the texts), else the sources' figures for exactly these weights (`reported`; the weakest over the sources).
In a group whose other members are known to do as much without it, a weight not known to do anything alone is inert:
a group's verdict is not passed on to those that merely stand in it.

Conflicts: a scalar in two layers; claimed and denied; verdicts that differ; values that differ by more than reading
one number in two dtypes explains; a set that leaves out weights which matter.

Outcome: that of our newest scan; `reported` if there is no scan of ours.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from enum import StrEnum

from . import rules
from .effect import Effect
from .observation import Granularity, Observation, Stance
from .scan import Scan
from .types import Basis, Intervention, Location, Part, Text, Verdict, WeightId
from .weight import Group, SuperWeight

REPORTED = "reported"
INCOMPLETE_RATIO = 1.05
"""A set is incomplete if a larger one that holds it does this much more damage (ratio of perplexities)."""
VALUE_TOLERANCE = 2.0**-8
"""Relative difference of two values of one scalar that rounding to bfloat16 can explain."""


class WeightStatus(Part):
    """What is established about one scalar."""

    weight: WeightId
    location: Location
    origins: tuple[Text, ...]
    """Independent origins that claim it and have not withdrawn the claim, ours excluded."""
    alone: Verdict
    alone_basis: Basis | None = None
    grouped: Verdict
    """The strongest verdict of a group with more than this weight in it; inert if it adds nothing to any of them."""
    grouped_basis: Basis | None = None
    grouped_in: Text | None = None
    """Id of that group."""


class GroupStatus(Part):
    """What is established about one group."""

    group: Text
    verdict: Verdict
    basis: Basis | None = None
    ppl_before: float | None = None
    ppl_after: float | None = None
    missing: tuple[WeightId, ...] = ()
    """Weights that others add to this set and that matter: if there are any, the set looks incomplete."""


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


class Status(Part):
    """What follows from a record's figures."""

    outcome: Text
    weights: tuple[WeightStatus, ...]
    groups: tuple[GroupStatus, ...]
    conflicts: tuple[Conflict, ...]


def derive(
    weights: Sequence[SuperWeight],
    groups: Sequence[Group],
    effects: Sequence[Effect],
    scans: Sequence[Scan],
    observations: Sequence[Observation],
) -> Status:
    """The status that these figures have by the rule."""
    verdicts = _Verdicts(effects, observations)
    group_status = tuple(_group_status(g, groups, verdicts) for g in groups)
    by_group = {s.group: s for s in group_status}
    together = {w.id: _together(w, groups, by_group, verdicts) for w in weights}
    refuted = {w.id for w in weights if _is_refuted(w, together[w.id][0], verdicts, observations)}
    weight_status = tuple(_weight_status(w, weights, together[w.id], refuted, verdicts, observations) for w in weights)
    return Status(
        outcome=scans[-1].outcome.value if scans else REPORTED,
        weights=weight_status,
        groups=group_status,
        conflicts=tuple(_conflicts(weights, group_status, observations)),
    )


# --- effects ---


def reported_delta_nll(observation: Observation) -> float | None:
    """Change of the mean NLL (nat per token) that a source's own figures give; None if they give none."""
    before, after = observation.ppl_before, observation.ppl_after
    if before and after:
        return math.log(after / before)
    if observation.ppl_ratio:
        return math.log(observation.ppl_ratio)
    if observation.nll_before is not None and observation.nll_relative_change is not None:
        return observation.nll_before * observation.nll_relative_change
    return None


def reported_verdict(observation: Observation) -> Verdict | None:
    """The verdict on a source's figures for zeroing scalars; None if it is about something else or has no figure."""
    if observation.changed is not Granularity.SCALAR or observation.intervention is not Intervention.ZERO:
        return None
    if observation.finite is False:
        return Verdict.NON_FINITE
    delta = reported_delta_nll(observation)
    return None if delta is None else rules.verdict_of(delta, None, controlled=False)


class _Verdicts:
    """Verdicts on sets of weights, by whose figures."""

    def __init__(self, effects: Sequence[Effect], observations: Sequence[Observation]) -> None:
        self.measured: dict[frozenset[str], list[Effect]] = defaultdict(list)
        self.reported: dict[frozenset[str], list[tuple[Verdict, Observation]]] = defaultdict(list)
        newest = effects[-1].scan if effects else None
        for effect in effects:
            if effect.intervention is Intervention.ZERO and effect.scan == newest:
                self.measured[frozenset(effect.weights)].append(effect)
        for observation in observations:
            verdict = reported_verdict(observation)
            if verdict is not None and not observation.second_hand:
                self.reported[frozenset(observation.weights)].append((verdict, observation))

    def of(self, members: Iterable[str]) -> tuple[Verdict, Basis | None]:
        key = frozenset(members)
        if key in self.measured:
            return rules.weakest([e.verdict for e in self.measured[key]]), Basis.MEASURED
        if key in self.reported:
            return rules.weakest([v for v, _ in self.reported[key]]), Basis.REPORTED
        return Verdict.UNTESTED, None

    def perplexities(self, members: Iterable[str]) -> tuple[float | None, float | None]:
        key = frozenset(members)
        if key in self.measured:
            effect = min(self.measured[key], key=lambda e: math.inf if e.delta_nll is None else e.delta_nll)
            return effect.ppl_before, effect.ppl_after
        if key in self.reported:
            verdict = rules.weakest([v for v, _ in self.reported[key]])
            found = next(o for v, o in self.reported[key] if v is verdict)
            return found.ppl_before, found.ppl_after
        return None, None

    def delta(self, members: Iterable[str]) -> float | None:
        key = frozenset(members)
        if key in self.measured:
            return max((math.inf if e.delta_nll is None else e.delta_nll for e in self.measured[key]), default=None)
        deltas = [math.inf if v is Verdict.NON_FINITE else reported_delta_nll(o) for v, o in self.reported.get(key, [])]
        return max((d for d in deltas if d is not None), default=None)

    def gain(self, members: Iterable[str], weight: str) -> float | None:
        """What removing `weight` adds to removing the rest (nat per token); None if not known on one basis."""
        rest = [m for m in members if m != weight]
        whole_delta, rest_delta = self.delta(members), self.delta(rest)
        if whole_delta is None or rest_delta is None or math.isinf(rest_delta):
            return None
        return whole_delta - rest_delta if self.of(members)[1] is self.of(rest)[1] else None


# --- groups ---


def _group_status(group: Group, groups: Sequence[Group], verdicts: _Verdicts) -> GroupStatus:
    verdict, basis = verdicts.of(group.members)
    before, after = verdicts.perplexities(group.members)
    return GroupStatus(
        group=group.id,
        verdict=verdict,
        basis=basis,
        ppl_before=before,
        ppl_after=after,
        missing=_missing(group, groups, verdicts),
    )


def _missing(group: Group, groups: Sequence[Group], verdicts: _Verdicts) -> tuple[WeightId, ...]:
    """Weights of larger sets whose removal on top of this one did clearly more."""
    own = verdicts.delta(group.members)
    if own is None:
        return ()
    extra: list[str] = []
    for other in groups:
        if set(other.members) > set(group.members):
            theirs = verdicts.delta(other.members)
            if theirs is not None and theirs - own > math.log(INCOMPLETE_RATIO):
                extra += [m for m in other.members if m not in group.members and m not in extra]
    return tuple(extra)


# --- weights ---


def _origins(weight: str, stance: Stance, observations: Sequence[Observation]) -> tuple[str, ...]:
    found = {o.source.origin for o in observations if o.stance is stance and weight in o.weights}
    if stance is Stance.CLAIMS:
        found -= set(_origins(weight, Stance.DENIES, observations))
    return tuple(sorted(found))


def _together(
    weight: SuperWeight, groups: Sequence[Group], by_group: dict[str, GroupStatus], verdicts: _Verdicts
) -> tuple[Verdict, GroupStatus | None]:
    """The strongest verdict that a group of more than this weight gives it, and that group."""
    mine = [g for g in groups if weight.id in g.members and len(g.members) > 1]
    found = [(_verdict_in(weight, g, by_group[g.id], verdicts), by_group[g.id]) for g in mine]
    return max(found, key=lambda f: rules.STRENGTH.index(f[0]), default=(Verdict.UNTESTED, None))


def _verdict_in(weight: SuperWeight, group: Group, status: GroupStatus, verdicts: _Verdicts) -> Verdict:
    """The group's verdict; inert for a weight that is not known to add anything, alone or to the rest."""
    gain = verdicts.gain(group.members, weight.id)
    idle = verdicts.of([weight.id])[0] in (Verdict.UNTESTED, Verdict.INERT)
    return Verdict.INERT if idle and gain is not None and gain <= math.log(INCOMPLETE_RATIO) else status.verdict


def _is_refuted(
    weight: SuperWeight, together: Verdict, verdicts: _Verdicts, observations: Sequence[Observation]
) -> bool:
    if weight.scan is not None or verdicts.of([weight.id])[0] is not Verdict.INERT:
        return False
    denied = bool(_origins(weight.id, Stance.DENIES, observations))
    claims = _origins(weight.id, Stance.CLAIMS, observations)
    return denied and len(claims) <= 1 and together in (Verdict.UNTESTED, Verdict.INERT)


def _rivals(weight: SuperWeight, weights: Sequence[SuperWeight]) -> list[SuperWeight]:
    """The same [row, col] in other layers."""
    return [w for w in weights if (w.row, w.col) == (weight.row, weight.col) and w.layer != weight.layer]


def _location(
    weight: SuperWeight,
    weights: Sequence[SuperWeight],
    refuted: set[str],
    observations: Sequence[Observation],
) -> Location:
    if weight.scan is not None:
        return Location.CONFIRMED
    if weight.id in refuted:
        return Location.REFUTED
    rivals = [r for r in _rivals(weight, weights) if r.id not in refuted and r.scan is None]
    if rivals or _origins(weight.id, Stance.DENIES, observations):
        return Location.DISPUTED
    return Location.REPORTED


def _weight_status(
    weight: SuperWeight,
    weights: Sequence[SuperWeight],
    together: tuple[Verdict, GroupStatus | None],
    refuted: set[str],
    verdicts: _Verdicts,
    observations: Sequence[Observation],
) -> WeightStatus:
    alone, basis = verdicts.of([weight.id])
    grouped, best = together
    return WeightStatus(
        weight=weight.id,
        location=_location(weight, weights, refuted, observations),
        origins=_origins(weight.id, Stance.CLAIMS, observations),
        alone=alone,
        alone_basis=basis,
        grouped=grouped,
        grouped_basis=best.basis if best else None,
        grouped_in=best.group if best else None,
    )


# --- conflicts and outcome ---


def _conflicts(
    weights: Sequence[SuperWeight], groups: Sequence[GroupStatus], observations: Sequence[Observation]
) -> Iterable[Conflict]:
    for weight in weights:
        yield from _layer_conflict(weight, weights, observations)
        yield from _location_conflict(weight, observations)
        yield from _effect_conflict(weight, observations)
        yield from _value_conflict(weight, observations)
    for status in groups:
        if status.missing:
            sides = (f"{status.group} leaves out weights that make its removal clearly worse",)
            yield Conflict(kind=ConflictKind.SET, weights=status.missing, sides=sides)


def _layer_conflict(
    weight: SuperWeight, weights: Sequence[SuperWeight], observations: Sequence[Observation]
) -> Iterable[Conflict]:
    everywhere = sorted([weight, *_rivals(weight, weights)], key=lambda w: w.layer)
    if len(everywhere) < 2 or everywhere[0] is not weight:
        return
    sides = tuple(f"layer {w.layer}: {', '.join(_claimants(w, observations)) or 'nobody'}" for w in everywhere)
    yield Conflict(kind=ConflictKind.LAYER, weights=tuple(w.id for w in everywhere), sides=sides)


def _location_conflict(weight: SuperWeight, observations: Sequence[Observation]) -> Iterable[Conflict]:
    denies, claims = _origins(weight.id, Stance.DENIES, observations), _claimants(weight, observations)
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
    return [*_origins(weight.id, Stance.CLAIMS, observations), *ours]


def _figure(observation: Observation) -> str:
    delta = reported_delta_nll(observation)
    return "not finite" if delta is None else f"perplexity x{math.exp(delta):.4g}"
