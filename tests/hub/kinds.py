"""What a fault does: each kind wraps the application for one exchange.

A kind may answer in its place, change the request, change the messages of the response, or hang up. It knows
the exchange's messages and connection only; when it strikes is decided by the rules in faults.py.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .server import hang_up


def _changing(app: ASGIApp, start: Callable[[MutableHeaders], None]) -> ASGIApp:
    """Wrap an application so that the headers of its response are changed."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def relay(message: Message) -> None:
            if message["type"] == "http.response.start":
                start(MutableHeaders(scope=message))
            await send(message)

        await app(scope, receive, relay)

    return wrapped


def status(
    app: ASGIApp,
    status: int = 503,
    headers: dict[str, str] | None = None,
    reset: int | None = None,
    limit: int = 500,
    bucket: str = "api",
) -> ASGIApp:
    """Answer with this status instead; `reset` (seconds) adds the headers of a spent rate limit."""
    spent = {
        "RateLimit": f'"{bucket}";r=0;t={reset}',
        "RateLimit-Policy": f'"fixed window";"{bucket}";q={limit};w=300',
        "Retry-After": str(reset),
    }
    extra = {**(spent if reset is not None else {}), **(headers or {})}
    return JSONResponse({"error": f"scripted {status}"}, status, extra)


def cut(app: ASGIApp, after: int | None = None) -> ASGIApp:
    """Close the connection after so many bytes of the body (0: after the headers; None: before any work)."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if after is None:
            await hang_up(scope, receive)
        left = after or 0

        async def relay(message: Message) -> None:
            nonlocal left
            body = message.get("body", b"")
            if message["type"] == "http.response.start" or len(body) < left:
                left -= len(body)
                await send(message)
                return
            await send({**message, "body": body[:left], "more_body": True})
            await hang_up(scope, receive)

        await app(scope, receive, relay)

    return wrapped


def slow(app: ASGIApp, delay: float = 0.01, piece: int = 65536) -> ASGIApp:
    """Wait so many seconds before each piece (bytes) of the body."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def relay(message: Message) -> None:
            body = message.get("body", b"")
            for at in range(0, len(body), piece):
                await asyncio.sleep(delay)
                await send({**message, "body": body[at : at + piece], "more_body": True})
            if not (body and message.get("more_body")):
                await send({**message, "body": b""} if body else message)

        await app(scope, receive, relay)

    return wrapped


def _resized(app: ASGIApp, size: Callable[[int], int]) -> ASGIApp:
    """Announce another length; send no more than that, and hang up if there is less."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        left = 0

        async def relay(message: Message) -> None:
            nonlocal left
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                left = max(size(int(headers.get("content-length", "0"))), 0)
                headers["content-length"] = str(left)
                await send(message)
                return
            body, more = message.get("body", b"")[:left], bool(message.get("more_body"))
            left -= len(body)
            short = bool(left) and not more and scope["method"] != "HEAD"
            await send({**message, "body": body, "more_body": more or short})
            if short:
                await hang_up(scope, receive)

        await app(scope, receive, relay)

    return wrapped


def truncate(app: ASGIApp, keep: int = 0) -> ASGIApp:
    """Send only the first bytes of the body and announce that length, so that nothing looks wrong."""
    return _resized(app, lambda length: min(keep, length))


def length(app: ASGIApp, add: int = 1) -> ASGIApp:
    """Announce a Content-Length that is off by so many bytes; a negative one loses the end of the body."""
    return _resized(app, lambda length: length + add)


def ignore_range(app: ASGIApp) -> ASGIApp:
    """Answer 200 with the whole file whatever the Range."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        kept = [(name, value) for name, value in scope["headers"] if name != b"range"]
        await app({**scope, "headers": kept}, receive, send)

    return wrapped


def gzip(app: ASGIApp, keep_range: bool = False) -> ASGIApp:
    """Compress the body, asked or not, and (as a CDN does) ignore the Range; no Content-Length."""
    inner = app if keep_range else ignore_range(app)

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        packer = zlib.compressobj(wbits=31)

        async def relay(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["content-encoding"] = "gzip"
                del headers["content-length"]
                await send(message)
                return
            more = bool(message.get("more_body"))
            packed = packer.compress(message.get("body", b"")) + (b"" if more else packer.flush())
            await send({**message, "body": packed})

        await inner(scope, receive, relay)

    return wrapped


def headers(app: ASGIApp, set: dict[str, str | None] | None = None) -> ASGIApp:
    """Replace headers of the response (None removes)."""

    def change(found: MutableHeaders) -> None:
        for name, value in (set or {}).items():
            if value is None:
                del found[name]
            else:
                found[name] = value

    return _changing(app, change)


def etag(app: ASGIApp, value: str = "0" * 40) -> ASGIApp:
    """Claim that the file has another ETag (and X-Linked-Etag, where there is one)."""

    def change(found: MutableHeaders) -> None:
        for name in ("etag", "x-linked-etag"):
            if name in found:
                found[name] = f'"{value}"'

    return _changing(app, change)


def corrupt(app: ASGIApp, at: int = 0) -> ASGIApp:
    """Flip the lowest bit of one byte of the body (counted from its start)."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        seen = 0

        async def relay(message: Message) -> None:
            nonlocal seen
            body = bytearray(message.get("body", b""))
            if seen <= at < seen + len(body):
                body[at - seen] ^= 1
            seen += len(body)
            await send({**message, "body": bytes(body)} if "body" in message else message)

        await app(scope, receive, relay)

    return wrapped


def move_main(
    app: ASGIApp, repo: str, of: str = "models", files: dict[str, str | bytes | None] | None = None
) -> ASGIApp:
    """Commit to the repository's `main` just before the request is answered (by default to MOVED.md)."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        found: Any = scope["state"]["hub"].repos.find(of, repo)
        found.write(files or {"MOVED.md": f"{len(found.commits)}\n"}, title="main moved")
        await app(scope, receive, send)

    return wrapped


def lost(app: ASGIApp, status: int | None = 500) -> ASGIApp:
    """Do what was asked, then answer with this status (None: hang up) as if it had failed."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def swallow(message: Message) -> None:
            pass

        await app(scope, receive, swallow)
        if status is None:
            await hang_up(scope, receive)
        await JSONResponse({"error": f"scripted {status}"}, status or 500)(scope, receive, send)

    return wrapped


KINDS: dict[str, Callable[..., ASGIApp]] = {
    "status": status,
    "cut": cut,
    "slow": slow,
    "truncate": truncate,
    "length": length,
    "ignore_range": ignore_range,
    "gzip": gzip,
    "headers": headers,
    "etag": etag,
    "corrupt": corrupt,
    "move_main": move_main,
    "lost": lost,
}
"""Every kind of fault, by the name that a rule gives it."""
