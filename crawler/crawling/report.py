"""What a run did, for people and programs: totals, and a row for each model up to a number."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from ...schema.types import Outcome
from .state import Noted
from .status import Status

SHOWN = 10_000
"""Rows of models in a report; the rest are counted."""


@dataclass(frozen=True)
class CrawlReport:
    """What a run did."""

    run: str
    started: str
    ended: str
    status: Status
    stopped: str | None = None
    """Why it stopped before all was done."""
    skipped: dict[str, int] = field(default_factory=dict)
    """Listed models that needed nothing, by reason."""
    attempts: tuple[Noted, ...] = ()
    """The first SHOWN of the run."""
    held: tuple[str, ...] = ()
    """Models whose results were held back by the circuit breaker."""
    seconds: float = 0.0

    @property
    def outcomes(self) -> dict[str, int]:
        """How many attempts ended how."""
        return dict(sorted(self.status.outcomes.items()))

    @property
    def exit_status(self) -> int:
        """3 if the run was stopped, or every model that was tried failed; else 0."""
        tried = {o: n for o, n in self.status.outcomes.items() if o != "skipped"}
        return 3 if self.held or self.stopped or (tried and set(tried) == {Outcome.FAILED}) else 0

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        status = self.status
        return {
            "run": self.run,
            "started": self.started,
            "ended": self.ended,
            "seconds": round(self.seconds, 3),
            "stopped": self.stopped,
            "listed": status.listed,
            "eligible": status.eligible,
            "indexed": status.indexed,
            "outcomes": self.outcomes,
            "how": dict(sorted(status.how.items())),
            "skipped": self.skipped,
            "appended": status.appended,
            "bytes": status.bytes,
            "requests": status.requests,
            "held": list(self.held),
            "models": [asdict(a) for a in self.attempts],
            "models_not_shown": max(0, status.finished - len(self.attempts)),
        }


def first(noted: Iterable[Noted]) -> tuple[Noted, ...]:
    """The first SHOWN."""
    return tuple(each for each, _ in zip(noted, range(SHOWN), strict=False))
