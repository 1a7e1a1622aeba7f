"""HTTP/1.1 on a connection, by uvicorn and h11, with an end to all waiting.

uvicorn waits for ever for the head of a first request and for a client that does not read what it asked for; here
both have a limit. What is no HTTP is told so as a problem, like everything else.
"""

import asyncio
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from .problems import TYPE, Problem
from .settings import Settings


class Protocol(H11Protocol):
    """A connection."""

    settings: ClassVar[Settings] = Settings()
    _waiting: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request; refuse a connection that is one too many."""
        super().connection_made(transport)
        if len(self.connections) > self.settings.connections:
            self._refuse(Problem("busy"))
            return
        self._waiting = self.loop.call_later(self.settings.head_seconds, self._give_up)

    def data_received(self, data: bytes) -> None:
        """Begin to wait for the rest of a head, or stop: it is whole."""
        super().data_received(data)
        is_whole = self.conn.their_state is not h11.IDLE
        if is_whole and self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        elif not is_whole and self._waiting is None and not self.transport.is_closing():
            self._waiting = self.loop.call_later(self.settings.head_seconds, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        for timer in (self._waiting, self._stalled):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        self._stalled = self.loop.call_later(self.settings.stall_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads."""
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; one whose client has not read its answer by now is cut."""
        super().timeout_keep_alive_handler()
        if self.transport.get_write_buffer_size():
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Say that this is no HTTP request."""
        too_long = len(self.conn.trailing_data[0]) >= self.settings.head
        self._refuse(Problem("headers-too-large" if too_long else "bad-request"))

    def _give_up(self) -> None:
        """Close a connection on which no whole head of a request has come."""
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self._refuse(Problem("timeout"))

    def _refuse(self, problem: Problem) -> None:
        body = problem.body
        headers: list[Any] = [
            ("content-type", TYPE),
            ("content-length", str(len(body))),
            ("cache-control", "no-store"),
            ("connection", "close"),
            *problem.headers.items(),
        ]
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            start = h11.Response(status_code=problem.kind.status, headers=headers)
            for event in (start, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def protocol(limits: Settings) -> type[Protocol]:
    """The class of connections with these limits."""
    return type("LimitedProtocol", (Protocol,), {"settings": limits})
