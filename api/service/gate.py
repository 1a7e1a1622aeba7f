"""What stands around every request: limits, the answers that are ready, errors, the log, the figures.

Knows sizes, times and methods; not what an address means.
"""

import asyncio
import re
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .answer import Answer
from .current import Current
from .logs import Log
from .metrics import Metrics
from .problems import TYPE, Problem
from .settings import Settings

_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_ENCODED = re.compile(rb"%(?:2f|5c|00)|[\x00-\x20\x7f-\xff\\]", re.IGNORECASE)
"""What no address of the service has: an encoded slash would make two addresses of one."""
_NOWHERE = "(none)"


class Exchange:
    """A request, and what was sent for it."""

    def __init__(self, scope: Scope, send: Send) -> None:
        given = dict(scope["headers"]).get(b"x-request-id", b"")
        self.id = given if _ID.fullmatch(given) else uuid4().hex.encode()
        self.scope, self._send, self.began = scope, send, time.perf_counter()
        self.method: str = scope["method"]
        self.status = self.bytes = 0
        self.route: str | None = None

    async def send(self, message: Message) -> None:
        """Send a part of the answer, with the id of the request."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message["headers"], (b"x-request-id", self.id)]}
        elif self.method != "HEAD":
            self.bytes += len(message.get("body", b""))
        await self._send(message)

    async def answer(self, answer: Answer) -> None:
        """Send a whole answer."""
        await answer(self.scope, _nothing, self.send)

    async def refuse(self, problem: Problem) -> None:
        """Send a problem, unless an answer has begun."""
        if not self.status:
            await self.answer(answer_of(problem))


def answer_of(problem: Problem, cache: str = "no-store") -> Answer:
    """A problem as an answer."""
    return Answer(problem.body, cache, media=TYPE, status=problem.kind.status, headers=problem.headers)


class Gate:
    """The application within its limits."""

    def __init__(
        self,
        app: ASGIApp,
        current: Current,
        settings: Settings,
        log: Log,
        metrics: Metrics,
        routes: list[BaseRoute],
        *,
        log_ip: bool = False,
        larger: Mapping[str, int] | None = None,
    ) -> None:
        """`larger`: sizes of bodies by path, where more is taken than elsewhere."""
        self._larger, self._uploads = larger or {}, 0
        self._app, self._current, self._settings, self._log = app, current, settings, log
        self._metrics, self._routes, self._log_ip = metrics, routes, log_ip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, send)
        self._metrics.in_flight += 1
        try:
            await self._serve(exchange, receive)
        except Problem as problem:
            await exchange.refuse(problem)
        except Exception as error:
            self._log("error", "error", id=exchange.id.decode(), error=type(error).__name__, detail=_trace(error))
            await exchange.refuse(Problem("internal"))
        finally:
            self._metrics.in_flight -= 1
            self._note(exchange)

    async def _serve(self, exchange: Exchange, receive: Receive) -> None:
        scope, snapshot = exchange.scope, self._current.snapshot
        address = _address(scope)
        self._check(scope, address)
        if exchange.method == "OPTIONS":
            await exchange.answer(self._options(scope))
            return
        ready = snapshot.kept.get(address) if exchange.method in ("GET", "HEAD") else None
        if ready is not None:
            self._metrics.hits += 1
            exchange.route = ready.route
            await exchange.answer(ready)
            return
        method = "GET" if exchange.method == "HEAD" else exchange.method
        inner = {**scope, "method": method, "head": exchange.method == "HEAD", "snapshot": snapshot, "address": address}
        try:
            await self._asked(inner, exchange, receive)
        finally:
            exchange.route = getattr(inner.get("route"), "path", None)

    async def _asked(self, inner: dict[str, Any], exchange: Exchange, receive: Receive) -> None:
        if inner["method"] in ("POST", "PUT", "PATCH"):
            receive = _replay(await self._body(exchange.scope, receive))
        try:
            async with asyncio.timeout(self._settings.answer_seconds) as clock:

                async def send(message: Message) -> None:
                    clock.reschedule(None)  # what is being sent is watched by the connection
                    await exchange.send(message)

                await self._app(inner, receive, send)
        except TimeoutError:
            raise Problem("busy") from None

    def _check(self, scope: Scope, address: bytes) -> None:
        limits = self._settings
        if len(address) > limits.url:
            raise Problem("url-too-long", f"{limits.url} bytes are taken.")
        if sum(len(name) + len(value) for name, value in scope["headers"]) > limits.headers:
            raise Problem("headers-too-large", f"{limits.headers} bytes are taken.")
        if _ENCODED.search(scope["raw_path"]):
            raise Problem("not-found")

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        if scope["path"] not in self._larger:
            return await self._read(scope, receive, self._settings.body)
        if self._uploads >= self._settings.uploads:
            raise Problem("busy")
        self._uploads += 1
        try:
            return await self._read(scope, receive, self._larger[scope["path"]])
        finally:
            self._uploads -= 1

    async def _read(self, scope: Scope, receive: Receive, most: int) -> bytes:
        stated = dict(scope["headers"]).get(b"content-length", b"0")
        if not stated.isdigit() or len(stated) > 15 or int(stated) > most:
            raise Problem("body-too-large", f"{most} bytes are taken.")
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                return await _read(receive, most)
        except TimeoutError:
            raise Problem("timeout") from None

    def _options(self, scope: Scope) -> Answer:
        """What may be asked of an address, for people and for pages of other origins."""
        methods = methods_of(self._routes, scope)
        if not methods:
            raise Problem("not-found")
        allowed = ", ".join(methods)
        headers = {
            "allow": allowed,
            "access-control-allow-methods": allowed,
            "access-control-allow-headers": "Content-Type, If-None-Match, Range, X-Request-ID",
            "access-control-max-age": "86400",
        }
        return Answer(b"", status=204, headers=headers)

    def _note(self, exchange: Exchange) -> None:
        seconds = time.perf_counter() - exchange.began
        route = exchange.route or _NOWHERE
        self._metrics.note(route, exchange.method, exchange.status, seconds, exchange.bytes)
        client = exchange.scope.get("client")
        self._log(
            "request",
            id=exchange.id.decode(),
            method=exchange.method[:16],
            route=route,
            status=exchange.status,
            ms=round(seconds * 1000, 3),
            bytes=exchange.bytes,
            **({"ip": client[0]} if self._log_ip and client else {}),
        )


def methods_of(routes: list[BaseRoute], scope: Scope) -> list[str]:
    """The methods of an address, sorted; none if there is no such address."""
    found: set[str] = set()
    for route in routes:
        if route.matches({**scope, "method": "GET"})[0] is not Match.NONE:
            found |= set(getattr(route, "methods", None) or ())
    more = {"OPTIONS"} | ({"HEAD"} if "GET" in found else set())
    return sorted(found | more) if found else []


def _address(scope: Scope) -> bytes:
    query = scope["query_string"]
    return bytes(scope["raw_path"] + b"?" + query if query else scope["raw_path"])


async def _read(receive: Receive, most: int) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem("bad-request", "The request ended before its body.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise Problem("body-too-large", f"{most} bytes are taken.")
        if not message.get("more_body"):
            return b"".join(parts)


def _replay(body: bytes) -> Receive:
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    return receive


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def _trace(error: Exception) -> str:
    import traceback

    return "".join(traceback.format_exception(error))[-8000:]
