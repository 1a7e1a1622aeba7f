"""The states of a submission and what may follow what: one table. Knows no files and no findings."""

from enum import StrEnum

from ...schema.errors import SwindexError


class State(StrEnum):
    """Where a submission stands."""

    RECEIVED = "received"
    CHECKING = "checking"
    NEEDS_REVIEW = "needs_review"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    DUPLICATE = "duplicate"
    STALE = "stale"


MEANING: dict[State, str] = {
    State.RECEIVED: "kept, and not looked at yet (or the Hub could not be asked: it waits for another check)",
    State.CHECKING: "is being checked",
    State.NEEDS_REVIEW: "checked; a curator decides",
    State.ACCEPTED: "in the index, under the submitter's name",
    State.REJECTED: "something in it is wrong, or a curator said no",
    State.DUPLICATE: "the index, or a submission before it, has the same already",
    State.STALE: "the index has moved to another commit since: submit again upon that",
}

_ENDS = {State.ACCEPTED, State.REJECTED, State.DUPLICATE, State.STALE}
NEXT: dict[State | None, frozenset[State]] = {
    None: frozenset({State.RECEIVED}),
    State.RECEIVED: frozenset({State.CHECKING, State.REJECTED}),
    # a check that was killed begins again; one that could not ask the Hub goes back
    State.CHECKING: frozenset({State.CHECKING, State.RECEIVED, State.NEEDS_REVIEW, *_ENDS}),
    State.NEEDS_REVIEW: frozenset({State.CHECKING, *_ENDS}),
    # a curator may have it checked again
    State.REJECTED: frozenset({State.CHECKING}),
    State.DUPLICATE: frozenset({State.CHECKING}),
    State.STALE: frozenset({State.CHECKING}),
    State.ACCEPTED: frozenset(),
}
"""What may follow a state. Nothing follows accepted: the index never takes a version back."""
PENDING = frozenset({State.RECEIVED, State.CHECKING, State.NEEDS_REVIEW})
"""States in which a submission waits for somebody."""


class WrongState(SwindexError):
    """A step that does not follow the state that a submission is in."""

    exit_status = 1


def require(submission: str, before: State | None, after: State) -> None:
    """Raise WrongState unless one may follow the other."""
    if after not in NEXT[before]:
        may = ", ".join(sorted(NEXT[before])) or "nothing"
        raise WrongState(f"submission {submission} is {before or 'not there'} and cannot become {after} (only: {may})")
