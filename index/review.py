"""What sources claim of a model side by side, what the rule concludes, why, and what curators decided: plain data.

    model, version, time, digest, outcome, withdrawn (null, or time and reason)
    weights[]    id, layer, expert, row, col, location, alone, grouped, grouped_in, why (location, alone, grouped),
                 claims[]
    groups[]     id, members, reported, verdict, missing, why, claims[] (about exactly its members)
    others[]     claims about rows, experts, tensors, the model, and sets that are no group
    conflicts[]  kind, weights, sides, settled (null, or by, time, reason of the decision)
    decisions[]  kind, by, time, reason, conflict (null, or kind and weights), claims[], instead[]
      claims[]   id (64 hex digits; the first 8 name it), origin, stance, granularity, weights, statement, value,
                 ppl_before, ppl_after, delta_nll (that its figures give, nat per token), finite, verdict (on them by
                 the rule; null if they are about something else), second_hand (such figures do not count), caveat,
                 source (title, url, repo, commit, path), observation (the claim itself, word for word)

Knows records, not files.
"""

from collections.abc import Iterable
from typing import Any

from ..schema.conflicts import Conflict
from ..schema.decision import Decision, claim_id
from ..schema.observation import Observation, Stance
from ..schema.record import Record
from ..schema.types import Location
from ..schema.verdicts import reported_delta_nll, reported_verdict
from .why import Reasons

Json = dict[str, Any]
_SIDES = (Stance.CLAIMS, Stance.DENIES, Stance.NOTES)
_COPIED = ("stance", "granularity", "statement", "value", "ppl_before", "ppl_after", "finite", "second_hand", "caveat")


def review(record: Record) -> Json:
    """What there is to review of one record."""
    said = record.model_dump(mode="json", include={"provenance": {"version", "time", "digest", "withdrawn"}})
    told = {frozenset({w.id}) for w in record.super_weights} | {frozenset(g.members) for g in record.groups}
    return {
        "model": record.model.id,
        **said["provenance"],
        "outcome": record.status.outcome,
        "weights": _weights(record),
        "groups": _groups(record),
        "others": [claim_of(o) for o in record.observations if frozenset(o.weights) not in told],
        "conflicts": [_conflict(c, record.decisions) for c in record.status.conflicts],
        "decisions": [_decision(d) for d in record.decisions],
    }


def overview(record: Record) -> Json:
    """One model in a list: how many claims, conflicts (and those that no decision settles), ... it has."""
    counted = record.provenance.withdrawn is None
    places = [w.location for w in record.status.weights if counted]
    conflicts = record.status.conflicts if counted else ()
    return {
        "model": record.model.id,
        "outcome": record.status.outcome,
        "claims": len(record.observations),
        "conflicts": len(conflicts),
        "open": sum(settled_by(c, record.decisions) is None for c in conflicts),
        "disputed": places.count(Location.DISPUTED),
        "refuted": places.count(Location.REFUTED),
        "decisions": len(record.decisions),
    }


def settled_by(conflict: Conflict, decisions: Iterable[Decision]) -> Decision | None:
    """The last decision that settles a conflict; None if it is open."""
    found = [d for d in decisions if d.conflict is not None and d.conflict.is_of(conflict)]
    return found[-1] if found else None


def claim_of(observation: Observation) -> Json:
    """One claim."""
    plain = observation.model_dump(mode="json")
    verdict = reported_verdict(observation)
    return {
        "id": claim_id(observation),
        "origin": observation.source.origin,
        "weights": list(observation.weights),
        **{name: plain[name] for name in _COPIED},
        "delta_nll": reported_delta_nll(observation),
        "verdict": verdict and verdict.value,
        "source": {k: v for k, v in plain["source"].items() if k != "origin"},
        "observation": plain,
    }


def _weights(record: Record) -> list[Json]:
    reasons = Reasons(record)
    return [
        {
            **weight.model_dump(include={"id", "layer", "expert", "row", "col"}),
            **status.model_dump(mode="json", include={"location", "alone", "grouped", "grouped_in"}),
            "why": {
                "location": reasons.location(weight),
                "alone": reasons.alone(status),
                "grouped": reasons.grouped(status),
            },
            "claims": _about({weight.id}, record),
        }
        for weight, status in zip(record.super_weights, record.status.weights, strict=True)
    ]


def _groups(record: Record) -> list[Json]:
    reasons = Reasons(record)
    return [
        {
            **group.model_dump(mode="json", include={"id", "members", "reported"}),
            **status.model_dump(mode="json", include={"verdict", "missing"}),
            "why": reasons.group(status, group.members),
            "claims": _about(set(group.members), record),
        }
        for group, status in zip(record.groups, record.status.groups, strict=True)
        if len(group.members) > 1
    ]


def _about(weights: set[str], record: Record) -> list[Json]:
    """The claims about exactly these scalars: who claims, who denies, then who notes."""
    found = [o for o in record.observations if set(o.weights) == weights]
    return [claim_of(o) for stance in _SIDES for o in found if o.stance is stance]


def _conflict(conflict: Conflict, decisions: Iterable[Decision]) -> Json:
    by = settled_by(conflict, decisions)
    settled = by and by.model_dump(mode="json", include={"by", "time", "reason"})
    return {**conflict.model_dump(mode="json"), "settled": settled}


def _decision(decision: Decision) -> Json:
    said = decision.model_dump(mode="json", include={"kind", "by", "time", "reason", "conflict"})
    parts = {"claims": decision.claims, "instead": decision.instead}
    return {**said, **{name: [claim_of(o) for o in part] for name, part in parts.items()}}
