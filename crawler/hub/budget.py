"""What a crawl may cost: requests, bytes, hours; counted over all its processes on a machine.

A budget starts and stops no work by itself: the crawl asks before each task, and a scan that runs when the budget ends
is finished, so that nothing read is thrown away. What is spent may exceed it by the scans that were running.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from ...schema.errors import UsageError
from .shared import Shared, number


@dataclass(frozen=True)
class Amount:
    """Requests, bytes, hours; None: no limit."""

    requests: float | None = None
    bytes: float | None = None
    hours: float | None = None

    def items(self) -> list[tuple[str, float | None]]:
        """Each with its name."""
        return [("requests", self.requests), ("bytes", self.bytes), ("hours", self.hours)]


class Budget:
    """So many requests, bytes and hours at most; None: any."""

    def __init__(
        self,
        requests: int | None = None,
        bytes: int | None = None,
        hours: float | None = None,
        folder: Path | None = None,
    ) -> None:
        self.limit = Amount(requests, bytes, hours)
        for name, value in self.limit.items():
            if value is not None and not value > 0:
                raise UsageError(f"a budget of {value} {name} allows nothing; give more than 0")
        self._shared = Shared("budget.json", folder)

    def begin(self) -> None:
        """Forget what was spent: a new run starts now. Workers do not call it."""
        with self._shared.held() as data:
            data.clear()
            data.update(started=time.time(), requests=0, bytes=0)

    def spend(self, requests: int = 0, bytes: int = 0) -> None:
        """Count."""
        with self._shared.held() as data:
            data.setdefault("started", time.time())
            data["requests"] = int(number(data.get("requests"))) + requests
            data["bytes"] = int(number(data.get("bytes"))) + bytes

    def spent(self) -> Amount:
        """Spent so far by all processes."""
        with self._shared.held() as data:
            now = time.time()
            started = number(data.get("started"), now)
            return Amount(number(data.get("requests")), number(data.get("bytes")), max(now - started, 0.0) / 3600)

    def left(self) -> Amount:
        """What is left, never below 0; None: no limit."""
        spent = dict(self.spent().items())
        return Amount(**{k: None if v is None else max(v - (spent[k] or 0.0), 0.0) for k, v in self.limit.items()})

    def exhausted(self) -> str | None:
        """One line that says which part is spent; None while all have something left."""
        for name, left in self.left().items():
            if left is not None and left <= 0:
                return f"the budget of {dict(self.limit.items())[name]:g} {name} is spent; run again to go on"
        return None

    def may_start(self, size: int | None) -> bool:
        """Whether a task that reads `size` bytes (None: nobody knows) fits into what is left."""
        left = self.left().bytes
        return self.exhausted() is None and (left is None or size is None or size <= left)
