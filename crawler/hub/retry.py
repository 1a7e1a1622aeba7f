"""Which requests to the Hub are worth repeating, and after how long. Repeats nothing: the transport does.

As long as the rate-limit headers say, else doubling with jitter.
"""

import random

from huggingface_hub.utils import httpx, parse_ratelimit_headers

METHODS = frozenset({"GET", "HEAD"})
"""Methods that change nothing."""
RETRY_STATUS = frozenset({408, 429, 500, 502, 503, 504})
RETRY_ERRORS = (
    httpx.TimeoutException,
    httpx.NetworkError,
    httpx.RemoteProtocolError,
    httpx.ProxyError,
    httpx.DecodingError,
)
TRIES = 6
BASE_WAIT = 0.5
"""Seconds before the first repetition; doubles each time."""
ROUNDING = 1.0
"""Seconds added to what a server asks for, since it counts in whole ones."""
MAX_WAIT = 300.0
"""Seconds waited at most for one repetition: the Hub's rate window. Who asks for more is not asked again."""


def asked_wait(headers: httpx.Headers) -> float | None:
    """Seconds that the server asks to wait before the next request, None if it does not say."""
    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return limit.reset_in_seconds + ROUNDING
    after = headers.get("Retry-After", "").strip()
    return int(after) + ROUNDING if after.isdecimal() and after.isascii() else None


def backoff(attempt: int) -> float:
    """Seconds before repetition `attempt` (from 0) where the server does not say."""
    return float(BASE_WAIT * 2**attempt * random.uniform(0.5, 1.5))
