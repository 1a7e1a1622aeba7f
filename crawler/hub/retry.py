"""Repeat the Hub client's calls that the client does not repeat itself (`model_info`, `auth_check`, headers).

Waits as long as the rate-limit headers say, else doubling with jitter. Only for calls that change nothing.
"""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import httpx, parse_ratelimit_headers

T = TypeVar("T")

RETRY_STATUS = frozenset({408, 429, 500, 502, 503, 504})
TRIES = 6
BASE_WAIT = 0.5
"""Seconds before the first repetition; doubles each time."""
MAX_WAIT = 300.0
"""Seconds waited at most for one repetition: the Hub's rate window."""


def with_retries(call: Callable[[], T]) -> T:
    """The result of `call`; repeats it on 408, 429, 5xx and transport errors, then raises what it raised last."""
    for attempt in range(TRIES):
        try:
            return call()
        except HfHubHTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            if status not in RETRY_STATUS or attempt == TRIES - 1:
                raise
            wait = _asked_wait(error.response.headers)
        except httpx.TransportError:
            if attempt == TRIES - 1:
                raise
            wait = None
        time.sleep(min(MAX_WAIT, wait if wait is not None else _backoff(attempt)))
    raise AssertionError


def _asked_wait(headers: httpx.Headers) -> float | None:
    """Seconds the server asks to wait, one more for rounding; None if it does not say."""
    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds) + 1
    after = headers.get("Retry-After", "")
    return float(after) if after.isdigit() else None


def _backoff(attempt: int) -> float:
    return float(BASE_WAIT * 2**attempt * random.uniform(0.5, 1.5))
