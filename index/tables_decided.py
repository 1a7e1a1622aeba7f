"""The tables of what curators decided on claims. See `tables` for how to read the columns."""

from collections.abc import Iterable
from dataclasses import dataclass

from .rows import Row, Table, Versions, items, table
from .tables_claims import CLAIM


@dataclass(frozen=True)
class _Part:
    """Where a claim stands in a decision."""

    decision: int
    part: str


def _claims(versions: Versions) -> Iterable[Row]:
    """One row for each claim that a decision of the newest version took out or put in place."""
    record = versions[-1][0]
    for number, decision in enumerate(record.decisions, 1):
        for part, claims in (("taken_out", decision.claims), ("put_in", decision.instead)):
            held = _Part(number, part)
            yield from (Row(record, claim, held, n) for n, claim in enumerate(claims, 1))


DECIDED: tuple[Table, ...] = (
    table(
        "decisions",
        "What a curator decided on claims.",
        items("decisions"),
        """
        decision         | int    | number                             | position in the record, from 1, oldest first
        kind             | text   |                                    | settle, withdraw, split
        decided_by       | text   | item.by                            | who decided
        time             | time   |                                    | when
        reason           | text   |                                    | why
        conflict_kind    | text   | item.conflict.kind                 | of the conflict that it settles; null: none
        conflict_weights | texts  | item.conflict.weights              | weight ids of that conflict
        claims           | int    | #item.claims                       | how many it took out
        instead          | int    | #item.instead                      | how many it put in their place
        """,
    ),
    table(
        "decision_claims",
        "A claim that a decision took out, or put in place. Those that stand are in observations too.",
        _claims,
        f"""
        decision         | int    | parent.decision                    | the decision
        part             | text   | parent.part                        | taken_out, put_in
        claim            | int    | number                             | position in that part, from 1
        {CLAIM}
        weights          | texts  |                                    | weight ids
        value            | float  |                                    | of the weight
        ppl_before       | float  |                                    | perplexity before
        ppl_after        | float  |                                    | perplexity after
        ppl_ratio        | float  |                                    | the source's own ratio
        caveat           | text   |                                    | what a reader must know
        """,
    ),
)
