"""Repeat requests to the Hub that failed for a while: the client does so for some of its calls and not for others.

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
RETRY_ERRORS = (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError, httpx.ProxyError)
TRIES = 6
BASE_WAIT = 0.5
"""Seconds before the first repetition; doubles each time."""
ROUNDING = 1.0
"""Seconds added to what a server asks for, since it counts in whole ones."""
MAX_WAIT = 300.0
"""Seconds waited at most for one repetition: the Hub's rate window. Who asks for more is not asked again."""


def with_retries(call: Callable[[], T], pause: Callable[[float], None] | None = None) -> T:
    """The result of `call`; repeats it on 408, 429, 5xx and transport errors, then raises what it raised last.

    `pause` waits so many seconds, in place of sleeping.
    """
    for attempt in range(TRIES - 1):
        try:
            return call()
        except HfHubHTTPError as error:
            wait = _wait_after(error)
            if wait is not None and wait > MAX_WAIT:
                raise
        except RETRY_ERRORS:
            wait = None
        (pause or time.sleep)(_backoff(attempt) if wait is None else wait)
    return call()


def _wait_after(error: HfHubHTTPError) -> float | None:
    """Seconds that the server asks to wait, None if it does not say; raises the error if it will not pass."""
    if error.response is None or error.response.status_code not in RETRY_STATUS:
        raise error
    return _asked_wait(error.response.headers)


def _asked_wait(headers: httpx.Headers) -> float | None:
    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return limit.reset_in_seconds + ROUNDING
    after = headers.get("Retry-After", "").strip()
    return int(after) + ROUNDING if after.isdecimal() and after.isascii() else None


def _backoff(attempt: int) -> float:
    return float(BASE_WAIT * 2**attempt * random.uniform(0.5, 1.5))
