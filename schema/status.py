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
over the texts, and where a set was measured both behind `<s>` and without it, the stronger of the two), else the
sources' figures for exactly these weights (`reported`; the weakest over the sources).
In a group whose other members are known to do as much without it, a weight not known to do anything alone is inert:
a group's verdict is not passed on to those that merely stand in it.

Conflicts: a scalar in two layers; claimed and denied; verdicts that differ; values that differ by more than reading
one number in two dtypes explains; a set that leaves out weights which matter.

Outcome: that of our newest scan; without one `reported` if outside sources speak of the model, else `inherited`: all
that is known is what became here of a base model's super weights (`survival`). That confirms nothing: a survival gives
no location, no verdict and no weight of its own.
"""

import math
from collections.abc import Sequence

from . import rules
from .conflicts import Conflict, conflicts, origins, rivals
from .effect import Effect
from .observation import Observation, Stance
from .scan import Scan
from .survival import Survival
from .types import Basis, Location, Part, Text, Verdict, WeightId
from .verdicts import Verdicts
from .weight import Group, SuperWeight

REPORTED = "reported"
INHERITED = "inherited"
INCOMPLETE_RATIO = 1.05
"""A set is incomplete if a larger one that holds it does this much more damage (ratio of perplexities)."""


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
    survivals: Sequence[Survival] = (),
) -> Status:
    """The status that these figures have by the rule."""
    verdicts = Verdicts(effects, observations)
    group_status = tuple(_group_status(g, groups, verdicts) for g in groups)
    by_group = {s.group: s for s in group_status}
    together = {w.id: _together(w, groups, by_group, verdicts) for w in weights}
    refuted = {w.id for w in weights if _is_refuted(w, together[w.id][0], verdicts, observations)}
    weight_status = tuple(_weight_status(w, weights, together[w.id], refuted, verdicts, observations) for w in weights)
    return Status(
        outcome=scans[-1].outcome.value if scans else INHERITED if survivals and not observations else REPORTED,
        weights=weight_status,
        groups=group_status,
        conflicts=tuple(conflicts(weights, {s.group: s.missing for s in group_status}, observations)),
    )


# --- groups ---


def _group_status(group: Group, groups: Sequence[Group], verdicts: Verdicts) -> GroupStatus:
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


def _missing(group: Group, groups: Sequence[Group], verdicts: Verdicts) -> tuple[WeightId, ...]:
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


def _together(
    weight: SuperWeight, groups: Sequence[Group], by_group: dict[str, GroupStatus], verdicts: Verdicts
) -> tuple[Verdict, GroupStatus | None]:
    """The strongest verdict that a group of more than this weight gives it, and that group."""
    mine = [g for g in groups if weight.id in g.members and len(g.members) > 1]
    found = [(_verdict_in(weight, g, by_group[g.id], verdicts), by_group[g.id]) for g in mine]
    return max(found, key=lambda f: rules.STRENGTH.index(f[0]), default=(Verdict.UNTESTED, None))


def _verdict_in(weight: SuperWeight, group: Group, status: GroupStatus, verdicts: Verdicts) -> Verdict:
    """The group's verdict; inert for a weight that is not known to add anything, alone or to the rest."""
    gain = verdicts.gain(group.members, weight.id)
    idle = verdicts.of([weight.id])[0] in (Verdict.UNTESTED, Verdict.INERT)
    return Verdict.INERT if idle and gain is not None and gain <= math.log(INCOMPLETE_RATIO) else status.verdict


def _is_refuted(
    weight: SuperWeight, together: Verdict, verdicts: Verdicts, observations: Sequence[Observation]
) -> bool:
    if weight.scan is not None or verdicts.of([weight.id])[0] is not Verdict.INERT:
        return False
    denied = bool(origins(weight.id, Stance.DENIES, observations))
    claims = origins(weight.id, Stance.CLAIMS, observations)
    return denied and len(claims) <= 1 and together in (Verdict.UNTESTED, Verdict.INERT)


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
    others = [r for r in rivals(weight, weights) if r.id not in refuted and r.scan is None]
    if others or origins(weight.id, Stance.DENIES, observations):
        return Location.DISPUTED
    return Location.REPORTED


def _weight_status(
    weight: SuperWeight,
    weights: Sequence[SuperWeight],
    together: tuple[Verdict, GroupStatus | None],
    refuted: set[str],
    verdicts: Verdicts,
    observations: Sequence[Observation],
) -> WeightStatus:
    alone, basis = verdicts.of([weight.id])
    grouped, best = together
    return WeightStatus(
        weight=weight.id,
        location=_location(weight, weights, refuted, observations),
        origins=origins(weight.id, Stance.CLAIMS, observations),
        alone=alone,
        alone_basis=basis,
        grouped=grouped,
        grouped_basis=best.basis if best else None,
        grouped_in=best.group if best else None,
    )
