"""The circuit breaker: stops a run whose results change too much at once, and holds such results back.

A model that was known to have super weights and now gives none, or cannot be read, is a loss. One loss may be true;
many at once are most likely a fault of the detector, the network or the Hub. They wait until the run has ended well.
"""

from dataclasses import dataclass, field

from ...schema.record import Record
from ...schema.types import Outcome
from .jobs import Done
from .policy import BreakerRule


@dataclass
class Breaker:
    """Watches what a run would change."""

    rule: BreakerRule = field(default_factory=BreakerRule)
    known: int = 0
    """Models that were known to have super weights and came up again."""
    lost: list[str] = field(default_factory=list)
    failing: int = 0
    """Passing failures in a row."""

    def note(self, previous: Record | None, done: Done) -> bool:
        """Take in a result beside the newest record of its model; whether it is a loss, to be held back."""
        self.failing = 0 if done.lasting else self.failing + 1
        if not done.lasting or done.how == "survival" or previous is None or previous.status.outcome != Outcome.FOUND:
            return False
        self.known += 1
        if done.outcome == Outcome.FOUND:
            return False
        self.lost.append(done.job.model_id)
        return True

    @property
    def tripped(self) -> str | None:
        """Why the run must stop, None if it may go on."""
        if self.failing >= self.rule.outage:
            return (
                f"{self.failing} models in a row failed for reasons that pass: the Hub or the network seems to be down"
            )
        if len(self.lost) >= self.rule.least and len(self.lost) > self.rule.share * self.known:
            first = ", ".join(self.lost[:3])
            return (
                f"{len(self.lost)} of {self.known} models known to have super weights lost them at once ({first}, ...)"
            )
        return None
