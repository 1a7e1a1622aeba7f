"""How a crawl stands: counted by the run, drawn by whoever watches. Knows no terminal.

Throughput is that of this run; the time left supposes that what waits goes as fast as what is done, by bytes where
sizes are known, else by models.
"""

from collections import Counter
from dataclasses import dataclass, field
from time import monotonic


@dataclass(frozen=True)
class Step:
    """What a worker is at: `layers` or `effects`, how many of how many."""

    what: str = ""
    done: int = 0
    of: int = 0


@dataclass
class Status:
    """Counts of one run so far."""

    listed: int = 0
    """Rows of the listing, this run and those before that it goes on from."""
    eligible: int = 0
    indexed: int = 0
    """Of the eligible, known at their commit before the run came to them or by now."""
    listing: bool = False
    """Whether more of the listing is to come."""
    waiting: int = 0
    waiting_bytes: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    how: Counter[str] = field(default_factory=Counter)
    """Attempts by what they were: scan, twin, survival."""
    appended: int = 0
    bytes: int = 0
    requests: int = 0
    sized: int = 0
    """Bytes of the checkpoints that were scanned."""
    running: dict[str, Step] = field(default_factory=dict)
    budget: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By name: spent, and of how much."""
    began: float = field(default_factory=monotonic)

    @property
    def finished(self) -> int:
        """Models done in this run, however they ended."""
        return self.outcomes.total()

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return monotonic() - self.began

    @property
    def left(self) -> float | None:
        """Seconds left for what waits and runs, None while nothing is known."""
        if not self.finished:
            return None
        by_models = self.seconds / self.finished * (self.waiting + len(self.running))
        by_bytes = self.seconds / self.sized * self.waiting_bytes if self.sized else 0.0
        return max(by_models, by_bytes)
