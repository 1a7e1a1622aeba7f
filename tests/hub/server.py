"""Two loopback ports served by uvicorn's HTTP protocol in a thread of its own.

Binds 127.0.0.1 and nothing else; there is no setting for it. Starts and stops at once, without the waits of
uvicorn's own server loop, and tells each request which connection carries it, so that it can be hung up.
Knows nothing of the Hub.
"""

from __future__ import annotations

import asyncio
import socket
import threading

from starlette.types import ASGIApp, Receive, Scope
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

HOST = "127.0.0.1"


class HangUp(BaseException):
    """The connection is closed and the answer ends here. Not an Exception, so that nothing answers it."""


async def hang_up(scope: Scope, receive: Receive) -> None:
    """Close the connection once what was sent is out; raise HangUp."""
    scope["state"]["transport"].close()
    while (await receive())["type"] != "http.disconnect":
        pass
    raise HangUp


class Connection(H11Protocol):
    """uvicorn's protocol, with the transport in each request's `state`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class Server:
    """An application on two ports of the loopback interface."""

    def __init__(self, app: ASGIApp, port: int = 0) -> None:
        self._config = Config(app, lifespan="off", ws="none", log_config=None, access_log=False)
        self._config.timeout_keep_alive = 600
        self._config.load()
        self._state = ServerState()
        self._sockets = [_listen(port), _listen(0)]
        self.ports = [sock.getsockname()[1] for sock in self._sockets]
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="loopback-hub", daemon=True)
        self._ready = threading.Event()

    def start(self) -> None:
        """Serve; return when the ports answer."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Close the ports and all connections; return when the thread has ended."""
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        servers = [await self._loop.create_server(self._connection, sock=sock) for sock in self._sockets]
        self._ready.set()
        await self._stopped.wait()
        for server in servers:
            server.close()
        await self._drop()

    def _connection(self) -> Connection:
        return Connection(config=self._config, server_state=self._state, app_state={}, _loop=self._loop)

    async def _drop(self) -> None:
        """Close all connections, let them notice, then end what still runs."""
        for connection in list(self._state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)
        running = list(self._state.tasks)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _listen(port: int) -> socket.socket:
    # The protocol is named because asyncio turns Nagle's delay (40 ms an answer) off only where it is.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((HOST, port))
    sock.listen(128)
    return sock
