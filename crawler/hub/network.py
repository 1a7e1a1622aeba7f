"""Connections to servers: through the proxies that the environment names, and no answer's head may come forever.

The client's own timeouts count from byte to byte; a server that sends one header a minute never meets them.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from urllib.request import getproxies, proxy_bypass

from huggingface_hub.utils import httpx

_until: ContextVar[float | None] = ContextVar("until", default=None)
"""When the head that is being read must be there (monotonic seconds)."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Within it no read from a connection lasts beyond so many seconds from now; raises httpx.ReadTimeout."""
    token = _until.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _until.reset(token)


class Network(httpx.BaseTransport):
    """Sends each request directly or through the proxy of its scheme, as the client does by default."""

    def __init__(self) -> None:
        self._direct = _patient(httpx.HTTPTransport())
        proxies = getproxies()
        named = {scheme: proxies.get(scheme) or proxies.get("all") for scheme in ("http", "https")}
        self._proxied = {s: _patient(httpx.HTTPTransport(proxy=_address(p))) for s, p in named.items() if p}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; raise httpx's errors."""
        return self._route(request.url).handle_request(request)

    def close(self) -> None:
        """Close all connections."""
        for transport in (self._direct, *self._proxied.values()):
            transport.close()

    def _route(self, url: httpx.URL) -> httpx.BaseTransport:
        if url.scheme in self._proxied and not proxy_bypass(url.host):
            return self._proxied[url.scheme]
        return self._direct


def _address(proxy: str) -> str:
    return proxy if "://" in proxy else f"http://{proxy}"


class _Stream:
    """A connection that keeps the deadline of whoever reads from it."""

    def __init__(self, stream: Any, timeout: type[Exception]) -> None:
        self._stream, self._timeout = stream, timeout

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        until = _until.get()
        if until is None:
            return bytes(self._stream.read(max_bytes, timeout))
        left = until - time.monotonic()
        if left <= 0:
            raise self._timeout("the head of the answer took too long")
        return bytes(self._stream.read(max_bytes, left if timeout is None else min(timeout, left)))

    def start_tls(self, *arguments: Any, **named: Any) -> "_Stream":
        return _Stream(self._stream.start_tls(*arguments, **named), self._timeout)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Backend:
    """Makes connections that keep a deadline."""

    def __init__(self, backend: Any, timeout: type[Exception]) -> None:
        self._backend, self._timeout = backend, timeout

    def connect_tcp(self, *arguments: Any, **named: Any) -> _Stream:
        return _Stream(self._backend.connect_tcp(*arguments, **named), self._timeout)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


def _patient(transport: httpx.HTTPTransport) -> httpx.HTTPTransport:
    """The same, with deadlines; as it is where the client is built otherwise (these names are its own)."""
    pool = getattr(transport, "_pool", None)
    backend = getattr(pool, "_network_backend", None)
    if pool is not None and backend is not None:
        pool._network_backend = _Backend(backend, _core_timeout(pool))
    return transport


def _core_timeout(pool: Any) -> type[Exception]:
    """The timeout error of the library below, which httpx translates into its own."""
    core = __import__(type(pool).__module__.partition(".")[0])
    found: type[Exception] = core.ReadTimeout
    return found
