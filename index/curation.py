"""What the next version of a record holds when a curator settles, withdraws or splits claims, or puts one back.

Gives the parts of a version as `Index.add` wants them from its `build`: a claim is looked for in the version that is
newest by then, so of two curators who decide on one claim the second is told so. A decision carries what it takes out.
With a claim leaves what nobody else names and no scan found: its scalars, and the reported sets that hold them.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ..schema.decision import Decision, DecisionKind, Settled, claim_id, taken_out
from ..schema.errors import UsageError
from ..schema.observation import Observation
from ..schema.record import Record, Withdrawn, explain
from ..schema.weight import Coordinates, Group, SuperWeight
from .claimed import named, sets_of, told_value, weight_of
from .store import next_version
from .versions import carried

SHOWN = 8
"""Digits of a claim's id that are shown, and the fewest that name one."""
_CLAIM = re.compile(f"[0-9a-f]{{{SHOWN},64}}")


@dataclass(frozen=True)
class Order:
    """What a curator wants, in claim ids: the first digits, as `index review` shows them."""

    kind: DecisionKind
    reason: str
    by: str
    time: str
    """UTC."""
    claims: tuple[str, ...] = ()
    instead: tuple[Observation, ...] = ()
    restore: tuple[str, ...] = ()
    """Claims that an earlier decision took out and this one puts back."""
    conflict: str | None = None
    """The conflict that it settles, as `kind:weight`."""


def with_decision(previous: Record | None, order: Order, history: Sequence[Record] = ()) -> dict[str, Any]:
    """The parts of the version in which a decision holds; raise UsageError if it cannot be made of `previous`.

    `history`: versions of the record, to take from them the scalars and sets of a claim that is put back.
    """
    if previous is None:
        raise UsageError("a decision on claims needs a record: the index has none of this model")
    decision = decision_of(previous, order)
    parts = _decided(previous, decision, history)
    return {**parts, "decisions": (*previous.decisions, decision), "withdrawn": _withdrawn(previous, parts, decision)}


def preview(previous: Record, order: Order, history: Sequence[Record] = ()) -> Record:
    """The version that `with_decision` would give, which is appended nowhere; raise UsageError, RecordError."""
    return next_version(previous, with_decision(previous, order, history), order.by, order.time)


# --- what is meant ---


def decision_of(previous: Record, order: Order) -> Decision:
    """The decision that an order is in this version; raise UsageError."""
    back = tuple(_gone(previous, each) for each in order.restore)
    try:
        return Decision(
            kind=order.kind,
            reason=order.reason,
            by=order.by,
            time=order.time,
            claims=tuple(find_claim(previous, each) for each in order.claims),
            instead=(*order.instead, *back),
            conflict=None if order.conflict is None else find_conflict(previous, order.conflict),
        )
    except ValidationError as error:
        raise UsageError(f"this cannot be decided: {explain(error, previous.model.id)}") from None


def find_claim(record: Record, start: str) -> Observation:
    """The standing claim whose id begins so; raise UsageError if there is none, or more than one."""
    standing = {claim_id(o): o for o in record.observations}
    found = _matching(standing, start)
    if len(found) == 1:
        return standing[found[0]]
    if found:
        raise _ambiguous(start, found)
    gone = taken_out(record.decisions)
    for each in _matching(gone, start):
        by = gone[each][1]
        raise UsageError(f"claim {start} of {record.model.id} was taken out on {by.time[:10]} by {by.by}: {by.reason}")
    raise _unknown(record, start)


def _gone(record: Record, start: str) -> Observation:
    """The claim that was taken out and whose id begins so."""
    gone = taken_out(record.decisions)
    found = _matching(gone, start)
    if len(found) > 1:
        raise _ambiguous(start, found)
    if not found and _matching([claim_id(o) for o in record.observations], start):
        raise UsageError(f"claim {start} of {record.model.id} stands: there is nothing to put back")
    if not found:
        raise _unknown(record, start)
    return gone[found[0]][0]


def _matching(ids: Iterable[str], start: str) -> list[str]:
    if not _CLAIM.fullmatch(start):
        raise UsageError(f"{start!r:.80} names no claim: give {SHOWN} or more hex digits of its id")
    return [each for each in ids if each.startswith(start)]


def _ambiguous(start: str, found: Sequence[str]) -> UsageError:
    return UsageError(f"{start} is short for several claims: {', '.join(sorted(found))}")


def _unknown(record: Record, start: str) -> UsageError:
    return UsageError(f"{record.model.id} has no claim {start}; to see them: swindex index review {record.model.id}")


def find_conflict(record: Record, text: str) -> Settled:
    """The conflict that `kind:weight` names, weight being one that it is about; raise UsageError."""
    kind, _, weight = text.partition(":")
    for conflict in record.status.conflicts:
        if kind == conflict.kind.value and weight in conflict.weights:
            return Settled(kind=conflict.kind, weights=conflict.weights)
    known = ", ".join(f"{c.kind.value}:{c.weights[0]}" for c in record.status.conflicts) or "none"
    raise UsageError(f"{record.model.id} has no conflict {text!r:.80}; it has: {known}")


# --- what follows ---


def _decided(previous: Record, decision: Decision, history: Sequence[Record]) -> dict[str, Any]:
    observations = _observations(previous, decision)
    weights = _weights(previous, decision, observations, history)
    known = {w.id for w in weights}
    groups = _groups(previous, decision, known, history)
    touched = named((*decision.claims, *decision.instead))
    remarks = (r.model_copy(update={"about": tuple(i for i in r.about if i in known)}) for r in previous.remarks)
    return {
        **carried(previous),
        "super_weights": _mended(weights, groups, observations, touched),
        "groups": groups,
        "observations": observations,
        "remarks": tuple(remarks),
    }


def _observations(previous: Record, decision: Decision) -> tuple[Observation, ...]:
    """The claims that stand: new ones where the first that they replace was, the rest in their order."""
    out = {claim_id(o) for o in decision.claims}
    ids = [claim_id(o) for o in previous.observations]
    at = next((n for n, each in enumerate(ids) if each in out), len(ids))
    new = [o for o in decision.instead if claim_id(o) not in ids]
    kept = [o for o, each in zip(previous.observations, ids, strict=True) if each not in out]
    return (*kept[:at], *new, *kept[at:])


def _weights(
    previous: Record, decision: Decision, observations: Sequence[Observation], history: Sequence[Record]
) -> list[SuperWeight]:
    """Those that are left, and those that the new claims name."""
    left = named(decision.claims) - named(observations) - _ours(previous)
    kept = [w for w in previous.super_weights if w.id not in left or w.scan is not None]
    known = {w.id for w in kept}
    places = {p.weight_id: p for o in decision.instead for p in o.targets if p.weight_id not in {None, *known}}
    return [*kept, *(_new(place, previous, history) for place in places.values())]


def _ours(previous: Record) -> set[str]:
    """The scalars that our own effects and groups are about."""
    return {i for e in previous.effects for i in e.weights} | {
        i for g in previous.groups if not g.reported for i in g.members
    }


def _new(place: Coordinates, previous: Record, history: Sequence[Record]) -> SuperWeight:
    """The scalar as the record last had it without a scan, else as the claim gives it."""
    for record in reversed(history):
        for weight in record.super_weights:
            if weight.id == place.weight_id and weight.scan is None:
                return weight.model_copy(update={"group": None})
    return weight_of(place, previous.super_weights)


def _groups(previous: Record, decision: Decision, known: set[str], history: Sequence[Record]) -> tuple[Group, ...]:
    """Those whose members are left; those that went with a claim that is back; and those of the new claims."""
    kept = [g for g in previous.groups if known.issuperset(g.members)]
    back = _groups_back(decision, kept, known, history)
    fresh = [o for o in decision.instead if decision.claims]
    return (*kept, *back, *sets_of(fresh, [*kept, *back]))


def _groups_back(decision: Decision, kept: Sequence[Group], known: set[str], history: Sequence[Record]) -> list[Group]:
    """Reported sets that left the record with a scalar that a claim which is put back names."""
    back, held = named(decision.instead), {g.id for g in kept} | {frozenset(g.members) for g in kept}
    older = {g.id: g for record in history for g in record.groups if g.reported and back.intersection(g.members)}
    whole = (g for g in older.values() if known.issuperset(g.members))
    return [g for g in whole if g.id not in held and frozenset(g.members) not in held]


def _mended(
    weights: Iterable[SuperWeight], groups: Sequence[Group], observations: Sequence[Observation], touched: set[str]
) -> tuple[SuperWeight, ...]:
    """The scalars in groups that are there, and those that no scan read with the values that the claims give them."""
    made = []
    for weight in weights:
        told = {"value": told_value(weight.id, observations)} if weight.id in touched and weight.bits is None else {}
        made.append(weight.model_copy(update={"group": _group(weight, groups, touched), **told}))
    return tuple(made)


def _group(weight: SuperWeight, groups: Sequence[Group], touched: set[str]) -> str | None:
    mine = [g for g in groups if weight.id in g.members]
    if any(g.id == weight.group for g in mine) or (weight.group is None and weight.id not in touched):
        return weight.group
    largest = max(mine, key=lambda g: len(g.members), default=None)
    return largest.id if largest else None


def _withdrawn(previous: Record, parts: dict[str, Any], decision: Decision) -> Withdrawn | None:
    """A record of which nothing stands is withdrawn with its last claim; with a claim that is put back it counts."""
    before = previous.provenance.withdrawn
    if parts["scans"] or parts["survivals"]:
        return before
    if not parts["observations"]:
        return before or Withdrawn(time=decision.time, reason=decision.reason)
    return None if _is_emptied(previous) else before


def _is_emptied(record: Record) -> bool:
    """Whether it is withdrawn because a decision took out the last claim."""
    said = record.provenance.withdrawn
    return said is not None and any((d.time, d.reason) == (said.time, said.reason) for d in record.decisions)


# --- claims that come again ---


def with_claims(
    previous: Record | None,
    offered: dict[str, Any],
) -> dict[str, Any] | None:
    """The parts of the version that adds claims to a record; None if it has them all, or took them out.

    `offered` are the parts of a record made of claims, as an import gives them. A claim that a decision took out does
    not come back so: to put it back takes a decision.
    """
    if previous is None:
        return offered
    known = {claim_id(o) for o in previous.observations} | taken_out(previous.decisions).keys()
    new = [o for o in offered["observations"] if claim_id(o) not in known]
    if not new:
        return None
    ids = {w.id for w in previous.super_weights}
    weights = [w for w in offered["super_weights"] if w.id in named(new) - ids]
    everywhere = ids | {w.id for w in weights}
    groups = [g for g in offered["groups"] if everywhere.issuperset(g.members) and not _holds(previous.groups, g)]
    return _joined(previous, weights, groups, new)


def _holds(groups: Sequence[Group], group: Group) -> bool:
    return any(g.id == group.id or set(g.members) == set(group.members) for g in groups)


def _joined(
    previous: Record, weights: Sequence[SuperWeight], groups: Sequence[Group], new: Sequence[Observation]
) -> dict[str, Any]:
    every_group, observations = (*previous.groups, *groups), (*previous.observations, *new)
    every_weight = (*previous.super_weights, *weights)
    return {
        **carried(previous),
        "super_weights": _mended(every_weight, every_group, observations, named(new)),
        "groups": every_group,
        "observations": observations,
        "withdrawn": None if _is_emptied(previous) else previous.provenance.withdrawn,
    }
