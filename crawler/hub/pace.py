"""How fast the Hub may be asked: what its rate-limit headers leave, shared by all workers of a machine.

The Hub counts requests in fixed windows, one count for its API, one for files, one for pages. A worker waits before
the last ones are spent, and all wait after a 429. Without such headers nothing is slowed. Sends nothing itself.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from huggingface_hub.utils import httpx, parse_ratelimit_headers

from . import retry
from .shared import Data, Shared, number

SLICE = 1.0
"""Seconds waited at once: after each it is looked again whether the wait is still due."""
TELL_EVERY = 30.0
"""Seconds of a wait after which it is told of again."""
SAME_WINDOW = 2.5
"""Seconds by which two answers of one window may differ in when it ends."""

Pause = Callable[[float], None]
"""Waits so many seconds; may raise to give up."""


@dataclass(frozen=True)
class Wait:
    """A wait that begins, or goes on."""

    bucket: str
    seconds: float
    """How long yet."""
    reason: str

    def __str__(self) -> str:
        return f"{self.bucket}: waiting {self.seconds:.0f} s: {self.reason}"


@dataclass
class _Window:
    """What is known of one count of requests; times are seconds since the epoch."""

    remaining: float = 0.0
    ends: float = 0.0
    limit: float = 0.0
    used: float = 0.0
    held_until: float = 0.0


def bucket_of(url: httpx.URL) -> str:
    """The count that a request is part of: the server, and api, resolvers or pages."""
    kind = "api" if url.path.startswith("/api/") else "resolvers" if "/resolve/" in url.path else "pages"
    return f"{url.netloc.decode('ascii', 'replace')[:200]} {kind}"


class Pacer:
    """Lets requests pass. `workers` processes keep as many requests in reserve; `share` of the limit is ours."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        workers: int = 1,
        share: float = 1.0,
        tell: Callable[[Wait], None] | None = None,
    ) -> None:
        self.reserve, self.share, self.tell = workers, share, tell
        self.waited = 0.0
        """Seconds that this process has waited so far."""
        self._shared = Shared("pace.json", folder)

    def before(self, bucket: str, pause: Pause | None = None) -> None:
        """Wait until a request may be sent, and count it."""
        told = 0.0
        while (wait := self._due(bucket)) is not None:
            told = self._tell(wait, told)
            self._pause(min(wait.seconds, SLICE), pause)

    def rest(self, bucket: str, seconds: float, reason: str, pause: Pause | None = None) -> None:
        """Wait so long before a repetition that concerns this request alone."""
        told, until = 0.0, time.time() + seconds
        while (left := until - time.time()) > 0:
            told = self._tell(Wait(bucket, left, reason), told)
            self._pause(min(left, SLICE), pause)

    def after(self, bucket: str, headers: httpx.Headers) -> None:
        """Take in what an answer says of the limit."""
        found = parse_ratelimit_headers(headers)
        if found is None:
            return
        ends = time.time() + min(found.reset_in_seconds + retry.ROUNDING, retry.MAX_WAIT)
        with self._shared.held() as data:
            window = _window(data, bucket)
            if abs(window.ends - ends) > SAME_WINDOW:
                window.remaining, window.used = found.remaining, 1.0
            window.remaining = min(window.remaining, found.remaining)
            window.ends, window.limit = ends, found.limit or found.remaining
            data[bucket] = asdict(window)

    def hold(self, bucket: str, seconds: float) -> None:
        """Make all workers wait, after a 429."""
        with self._shared.held() as data:
            window = _window(data, bucket)
            window.held_until = max(window.held_until, time.time() + min(seconds, retry.MAX_WAIT))
            data[bucket] = asdict(window)

    def _due(self, bucket: str) -> Wait | None:
        """The wait that is due now; None: the request is counted and may go."""
        with self._shared.held() as data:
            if bucket not in data:
                return None
            window, now = _window(data, bucket), time.time()
            if window.held_until > now:
                return Wait(bucket, window.held_until - now, "the Hub asked for it (429)")
            if window.ends <= now:
                del data[bucket]
                return None
            if self._spent(window):
                return Wait(bucket, window.ends - now, f"{window.remaining:.0f} requests left in this window")
            window.remaining, window.used = window.remaining - 1, window.used + 1
            data[bucket] = asdict(window)
        return None

    def _spent(self, window: _Window) -> bool:
        ours = window.limit * self.share - window.used if self.share < 1 else window.remaining
        return min(window.remaining, ours) <= self.reserve

    def _tell(self, wait: Wait, next_time: float) -> float:
        """Tell of a wait unless it was told of a moment ago; returns when to tell again."""
        now = time.time()
        if self.tell is None or now < next_time or (next_time == 0 and wait.seconds < SLICE):
            return next_time
        self.tell(wait)
        return now + TELL_EVERY

    def _pause(self, seconds: float, pause: Pause | None) -> None:
        self.waited += seconds
        (pause or time.sleep)(seconds)


def _window(data: Data, bucket: str) -> _Window:
    """What the file says of a count; a time further off than a wait may last is of a clock that was set back."""
    found: Any = data.get(bucket)
    values = {k: number(found.get(k)) for k in _Window.__dataclass_fields__} if isinstance(found, dict) else {}
    window, latest = _Window(**values), time.time() + retry.MAX_WAIT
    window.ends = window.ends if window.ends <= latest else 0.0
    window.held_until = window.held_until if window.held_until <= latest else 0.0
    return window
