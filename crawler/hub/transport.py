"""Every request to the Hub passes here: paced, counted, repeated where that can help, and with an end.

Reads (GET, HEAD) are repeated on 408, 429, 5xx, failing connections, and answers of the API that break off or are not
the JSON they claim to be; a body that is streamed is its reader's to check and to ask for again. What may send a token
to another server (a redirect, a link to the next page) finds it taken off here. Knows nothing of models.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from huggingface_hub import constants, set_client_factory
from huggingface_hub.utils import httpx

from . import retry
from .budget import Budget
from .network import Network, deadline
from .pace import Pacer, Pause, bucket_of

try:
    from huggingface_hub.utils._http import default_client_factory, hf_request_event_hook
except ImportError as error:  # pragma: no cover
    raise ImportError("this huggingface_hub has no request hook where swindex looks for it; use >=1.31,<3") from error

CONNECT, READ, WRITE, POOL = 30.0, 60.0, 60.0, 600.0
"""Seconds: to connect, without a byte read or written, for a free connection."""
HEAD = 120.0
"""Seconds for the head of an answer, besides what sending takes at MIN_RATE."""
MIN_RATE = 4096
"""Bytes per second that a body must bring once it has taken READ seconds, or it is given up."""
MAX_ANSWER = 64_000_000
"""Bytes of an answer of the API, uncompressed; a streamed body is limited by who reads it."""
MAX_ERROR = 100_000
"""Bytes of the body of an error or redirect that are kept."""
MAX_HEADER = 200
"""Characters of a header that holds numbers."""
_FRAMING = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})
_NUMBERS = ("RateLimit", "RateLimit-Policy", "Retry-After")


@dataclass
class Traffic:
    """What this process sent and got."""

    requests: int = 0
    bytes: int = 0
    repeated: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def add(self, requests: int = 0, bytes: int = 0, repeated: int = 0) -> None:
        """Count, from whatever thread."""
        with self._lock:
            self.requests, self.bytes = self.requests + requests, self.bytes + bytes
            self.repeated += repeated


@dataclass(frozen=True)
class _Caller:
    """On whose behalf a thread asks: told of each request; how to wait."""

    sent: Callable[[], None] | None = None
    pause: Pause | None = None


_NOBODY = _Caller()
_caller: ContextVar[_Caller] = ContextVar("caller", default=_NOBODY)
_trusted: set[tuple[str, str, int | None]] = set()
_installed: "Polite | None" = None
_lock = Lock()


@contextmanager
def caller(sent: Callable[[], None] | None = None, pause: Pause | None = None) -> Iterator[None]:
    """Within it, requests of this thread are told to `sent` one by one, and waits are made by `pause`."""
    token = _caller.set(_Caller(sent, pause))
    try:
        yield
    finally:
        _caller.reset(token)


def install(pacer: Pacer | None = None, budget: Budget | None = None) -> Traffic:
    """Make the Hub's client in this process ask through here; returns what it counts."""
    global _installed
    _installed = Polite(Network, pacer or Pacer(), budget)
    set_client_factory(_installed.client)
    _trust(constants.ENDPOINT)
    return _installed.traffic


def ensure(endpoint: str | None = None) -> None:
    """Install it unless that is done; the server of an endpoint (default: HF_ENDPOINT) may get the token."""
    with _lock:
        if _installed is None:
            install()
        _trust(endpoint or constants.ENDPOINT)


def _trust(endpoint: str) -> None:
    with suppress(httpx.InvalidURL):
        _trusted.add(_origin(httpx.URL(endpoint)))


def uninstall() -> None:
    """Give the client its own ways back and trust nobody."""
    global _installed
    if _installed is not None:
        _installed = None
        set_client_factory(default_client_factory)
    _trusted.clear()


class Polite(httpx.BaseTransport):
    """Sends requests over what `network` makes."""

    def __init__(self, network: Callable[[], httpx.BaseTransport], pacer: Pacer, budget: Budget | None = None) -> None:
        self._network, self.pacer, self.budget = network, pacer, budget
        self._inner: httpx.BaseTransport | None = None
        self._lock = Lock()
        self.traffic = Traffic()

    def client(self) -> httpx.Client:
        """A client of the Hub with connections of its own."""
        self._inner, self._lock = None, Lock()  # those of a parent process are not ours
        hooks: dict[str, list[Callable[..., Any]]] = {"request": [hf_request_event_hook]}
        return httpx.Client(transport=self, event_hooks=hooks, follow_redirects=True, timeout=READ)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, or httpx's error, of the last try."""
        _guard(request)
        _limit_time(request)
        bucket, tries = bucket_of(request.url), retry.TRIES if request.method in retry.METHODS else 1
        for attempt in range(tries - 1):
            try:
                response = self._once(request, bucket)
            except retry.RETRY_ERRORS as error:
                reason, wait = type(error).__name__, retry.backoff(attempt)
            else:
                asked = retry.asked_wait(response.headers)
                reason, wait = f"status {response.status_code}", retry.backoff(attempt) if asked is None else asked
                if not _passing(response) or wait > retry.MAX_WAIT:
                    return response
                response.close()
                if response.status_code == 429:
                    self.pacer.hold(bucket, wait)
                    wait = 0.0  # `before` makes this one wait with the others
            self.traffic.add(repeated=1)
            self.pacer.rest(bucket, wait, f"repeated after {reason}", _caller.get().pause)
        return self._once(request, bucket)

    def close(self) -> None:
        """Close all connections; the next request opens new ones."""
        with self._lock:
            inner, self._inner = self._inner, None
        if inner is not None:
            inner.close()

    def _once(self, request: httpx.Request, bucket: str) -> httpx.Response:
        """One try: the head of the answer, and its body where that is not streamed."""
        on_behalf = _caller.get()
        self.pacer.before(bucket, on_behalf.pause)
        self._count(requests=1)
        if on_behalf.sent:
            on_behalf.sent()
        with deadline(HEAD + _length(request) / MIN_RATE):
            response = self._open().handle_request(request)
        _shorten(response.headers)
        self.pacer.after(bucket, response.headers)
        response.stream = _Body(response.stream, self._count)
        streamed = response.status_code in (200, 206) and not bucket.endswith(" api")
        return response if streamed or request.method == "HEAD" else _whole(response)

    def _open(self) -> httpx.BaseTransport:
        with self._lock:
            if self._inner is None:
                self._inner = self._network()
            return self._inner

    def _count(self, requests: int = 0, bytes: int = 0) -> None:
        self.traffic.add(requests, bytes)
        if self.budget is not None:
            self.budget.spend(requests, bytes)


class _Body(httpx.SyncByteStream):
    """A body that is counted and must keep coming; only time spent waiting for it counts."""

    def __init__(self, stream: Any, count: Callable[..., None]) -> None:
        self._stream, self._count, self._got = stream, count, 0

    def __iter__(self) -> Iterator[bytes]:
        pieces, waited = iter(self._stream), 0.0
        while True:
            began = time.monotonic()
            piece = next(pieces, None)
            waited += time.monotonic() - began
            if piece is None:
                return
            self._got += len(piece)
            if waited > READ and self._got < MIN_RATE * waited:
                raise httpx.ReadTimeout(f"too slow: {self._got} bytes in {waited:.0f} s")
            yield piece

    def close(self) -> None:
        got, self._got = self._got, 0
        if got:
            self._count(bytes=got)
        self._stream.close()


def _whole(response: httpx.Response) -> httpx.Response:
    """The same with its body in memory, uncompressed; raise httpx's errors, also for one that is too long."""
    good, content = response.status_code in (200, 206), bytearray()
    try:
        for piece in response.iter_bytes():
            content += piece
            if len(content) > (MAX_ANSWER if good else MAX_ERROR):
                break
    finally:
        response.close()
    if good and len(content) > MAX_ANSWER:
        raise httpx.TransportError(f"an answer of more than {MAX_ANSWER} bytes")
    kept = [(k, v) for k, v in response.headers.raw if k.lower() not in _FRAMING]
    return httpx.Response(response.status_code, headers=kept, content=bytes(content[:MAX_ANSWER]))


def _passing(response: httpx.Response) -> bool:
    """Whether another try may give another answer."""
    if response.status_code != 200 or "json" not in response.headers.get("Content-Type", ""):
        return response.status_code in retry.RETRY_STATUS
    try:
        json.loads(response.content)
    except httpx.ResponseNotRead:
        return False
    except (ValueError, RecursionError):
        return True
    return False


def _length(request: httpx.Request) -> int:
    """Bytes that are sent with a request, as far as it says."""
    given = request.headers.get("Content-Length", "")
    return int(given) if given.isdecimal() else 0


def _guard(request: httpx.Request) -> None:
    """Take the token off unless the request goes to a server that may have it."""
    scheme, host, port = _origin(request.url)
    plain = ("http", host, 80) if (scheme, port) == ("https", 443) else None
    if not {(scheme, host, port), plain} & _trusted:
        request.headers.pop("Authorization", None)
        request.headers.pop("Cookie", None)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host.lower(), url.port or {"http": 80, "https": 443}.get(url.scheme)


def _limit_time(request: httpx.Request) -> None:
    """Give a request that may wait forever the usual limits."""
    usual = {"connect": CONNECT, "read": READ, "write": WRITE, "pool": POOL}
    given = request.extensions.get("timeout") or {}
    found = {k: usual[k] if given.get(k) is None else given[k] for k in usual}
    request.extensions = {**request.extensions, "timeout": found}


def _shorten(headers: httpx.Headers) -> None:
    """Drop headers of numbers that nobody could wait for; they are read by the client too."""
    for name in _NUMBERS:
        if len(headers.get(name, "")) > MAX_HEADER:
            del headers[name]
