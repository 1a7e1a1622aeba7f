"""What a curator decided on claims: which were taken out and why, and which were put in their place.

A decision carries the claims that it took out, whole, so nothing that a source ever said leaves a record: the claims
that stand and those of the decisions together are all of them. The status rule sees those that stand. Knows no record:
what a decision does to one is in `swindex.index.curation`.
"""

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from .canonical import canonical_bytes
from .conflicts import Conflict, ConflictKind
from .observation import Observation
from .types import Part, Text, UtcTime, WeightId


class DecisionKind(StrEnum):
    """What was decided.

    `settle`: a disagreement, or the reading of a claim; `withdraw`: a claim that does not stand; `split`: one claim
    that says several things, into those things.
    """

    SETTLE = "settle"
    WITHDRAW = "withdraw"
    SPLIT = "split"


class Settled(Part):
    """The disagreement that a decision settles, as the status names it."""

    kind: ConflictKind
    weights: Annotated[tuple[WeightId, ...], Field(min_length=1)]

    def is_of(self, conflict: Conflict) -> bool:
        """Whether this is that conflict: of its kind, about its weights in whatever order."""
        return self.kind is conflict.kind and set(self.weights) == set(conflict.weights)


class Decision(Part):
    """One decision of a curator. Claims are observations, whole and word for word. Schema 1.2."""

    kind: DecisionKind
    reason: Text
    by: Text
    time: UtcTime
    claims: tuple[Observation, ...] = ()
    """What it took out."""
    instead: tuple[Observation, ...] = ()
    """What it put in their place; without `claims`: what an earlier decision took out and this one puts back."""
    conflict: Settled | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.kind is DecisionKind.WITHDRAW and (not self.claims or self.instead):
            raise ValueError("a withdrawal takes claims out and puts nothing in their place")
        if self.kind is DecisionKind.SPLIT and (len(self.claims) != 1 or len(self.instead) < 2):
            raise ValueError("a split puts two claims or more in the place of one")
        if not self.claims and not self.instead and self.conflict is None:
            raise ValueError("a decision about no claim and no conflict")
        self._distinct()
        self._same_sources()
        return self

    def _distinct(self) -> None:
        ids = [claim_id(o) for o in (*self.claims, *self.instead)]
        if len(set(ids)) != len(ids):
            raise ValueError("a decision names a claim twice")

    def _same_sources(self) -> None:
        """What is put in a claim's place is another reading of its source, never somebody else's claim."""
        sources = {o.source.origin for o in self.claims}
        strange = sorted({o.source.origin for o in self.instead} - sources)
        if self.claims and strange:
            raise ValueError(f"{', '.join(strange)} said none of the claims that are replaced")


def claim_id(observation: Observation) -> str:
    """The id of a claim: hex sha256 over its canonical JSON; people write the first digits."""
    return claim_id_of(observation.model_dump(mode="json"))


def claim_id_of(observation: dict[str, Any]) -> str:
    """`claim_id` of plain JSON data."""
    return hashlib.sha256(canonical_bytes(observation)).hexdigest()


def taken_out(decisions: Sequence[Decision]) -> dict[str, tuple[Observation, Decision]]:
    """By id the claims that do not stand, each with the last decision that took it out."""
    out: dict[str, tuple[Observation, Decision]] = {}
    for decision in decisions:
        out |= {claim_id(o): (o, decision) for o in decision.claims}
        for observation in decision.instead:
            out.pop(claim_id(observation), None)
    return out


def check_decisions(decisions: Sequence[Decision], observations: Sequence[Observation]) -> None:
    """Raise ValueError unless these claims stand after these decisions."""
    standing, gone = {claim_id(o) for o in observations} if decisions else set(), taken_out(decisions)
    for decision in decisions:
        _check(decision, standing, gone)
    _check_put_back(decisions)


def _check(decision: Decision, standing: set[str], gone: dict[str, tuple[Observation, Decision]]) -> None:
    for observation in decision.claims:
        if claim_id(observation) in gone.keys() & standing:
            raise ValueError(f"claim {claim_id(observation)[:8]} stands, though it was taken out")
    for observation in decision.instead:
        if claim_id(observation) not in gone.keys() | standing:
            raise ValueError(f"claim {claim_id(observation)[:8]} of a decision does not stand, and nobody took it out")


def _check_put_back(decisions: Sequence[Decision]) -> None:
    """A decision without claims of its own puts back what an earlier one took out, and nothing else."""
    for number, decision in enumerate(decisions):
        known = taken_out(decisions[:number])
        new = [o for o in decision.instead if claim_id(o) not in known]
        if new and not decision.claims:
            raise ValueError(f"claim {claim_id(new[0])[:8]} is put back, though nobody took it out")
