"""Serves an index until it is told to stop: uvicorn on one socket, in one process.

SIGTERM and Ctrl-C end it gracefully: no new connection is taken, requests in flight are answered.
"""

import logging
import signal
import socket
import threading
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

import uvicorn

from ...index.errors import StoreError, os_reason
from ...schema.errors import UsageError
from .app import build
from .current import Current
from .held import directory_of
from .logs import Handler, Log
from .protocol import protocol
from .settings import Settings

KEEP_ALIVE = 15
"""Seconds for which a connection without a request is kept open."""


def serve(
    source: str | Path | None = None,
    host: str = "127.0.0.1",
    port: int = 8750,
    *,
    name: str | None = None,
    log_ip: bool = False,
    submissions: Path | None = None,
    proxies: Sequence[str] = (),
    settings: Settings = Settings(),  # noqa: B008
    log: Log | None = None,
) -> None:
    """Serve an index or a release in a directory; return when stopped; raise StoreError, UsageError.

    `name` is what the index is called in answers, in place of its directory's last part. With a folder for
    `submissions` these are taken, and kept there. `proxies`: addresses or networks whose X-Forwarded-For is believed.
    """
    trusted = trusted_of(proxies)
    log = log or Log()
    directory = directory_of(source)
    current = Current(directory, name or directory.resolve().name, settings, log)
    try:
        with listening(host, port) as sock:
            address, bound = sock.getsockname()[:2]
            log("listening", url=f"http://{f'[{address}]' if ':' in address else address}:{bound}")
            running = server(current, settings, log, log_ip=log_ip, submissions=submissions, proxies=trusted)
            running.run(sockets=[sock])
    finally:
        current.close()
    log("stopped")


def trusted_of(proxies: Sequence[str]) -> list[str]:
    """The addresses and networks of proxies, checked: uvicorn would take any word for a name; raise UsageError."""
    try:
        return [str(ip_network(proxy, strict=False)) for proxy in proxies]
    except ValueError as error:
        raise UsageError(f"--proxy: {error}; give an address or a network, as 10.0.0.0/8") from None


def server(
    current: Current,
    settings: Settings,
    log: Log,
    *,
    log_ip: bool = False,
    submissions: Path | None = None,
    proxies: Sequence[str] = (),
) -> uvicorn.Server:
    """What serves it: `run` until a signal, or `should_exit`."""
    _log_to(log)
    config = uvicorn.Config(
        build(current, settings, log, log_ip=log_ip, submissions=submissions),
        http=protocol(settings),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
        h11_max_incomplete_event_size=settings.head,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=settings.stop_seconds,
    )
    return _Server(config)


class _Server(uvicorn.Server):
    """A server for which SIGTERM is the way to be stopped and no failure."""

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until stopped."""
        if threading.current_thread() is not threading.main_thread():
            super().run(sockets)
            return
        before = signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it again when it has stopped
        try:
            super().run(sockets)
        finally:
            signal.signal(signal.SIGTERM, before)


def listening(host: str, port: int) -> socket.socket:
    """A socket that is listened on; raise StoreError."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
            0
        ]
        sock = socket.socket(family, kind, socket.IPPROTO_TCP)  # named, since asyncio sets TCP_NODELAY only then
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(1024)
    except (OSError, OverflowError) as error:
        reason = os_reason(error) if isinstance(error, OSError) else str(error)
        raise StoreError(f"{host}:{port}: cannot be listened on: {reason}; choose others: --host, --port") from None
    return sock


def _log_to(log: Log) -> None:
    """Let uvicorn's own lines go to the log."""
    logger = logging.getLogger("uvicorn.error")
    logger.handlers, logger.propagate, logger.level = [Handler(log)], False, logging.WARNING
