"""A service of swindex on loopback, in a thread, for tests; and indexes and releases for it to serve."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

from huggingface_hub.utils import httpx

from swindex.api.reading import shipped
from swindex.api.service.current import Current
from swindex.api.service.held import directory_of
from swindex.api.service.logs import Log
from swindex.api.service.run import listening, server
from swindex.api.service.settings import Settings


class Served:
    """A running service: its address, what it serves, what it logged."""

    def __init__(self, url: str, current: Current, stream: StringIO, desk: Any = None) -> None:
        self.url, self.current, self._stream, self.desk = url, current, stream, desk
        self.host, self.port = "127.0.0.1", int(url.rpartition(":")[2])

    def get(self, path: str, **headers: str) -> httpx.Response:
        """GET, with `_` for `-` in the names of headers; nothing is asked to be compressed."""
        return self.ask("GET", path, **headers)

    def ask(self, method: str, path: str, content: bytes | None = None, **headers: str) -> httpx.Response:
        """Any method."""
        named = {"accept-encoding": "identity", **{n.replace("_", "-"): v for n, v in headers.items()}}
        return httpx.request(method, self.url + path, headers=named, content=content, timeout=20)

    def raw(self, data: bytes, seconds: float = 5.0) -> bytes:
        """What comes back for these bytes, until the connection is closed or nothing comes for so long."""
        with socket.create_connection((self.host, self.port), timeout=seconds) as sock:
            sock.sendall(data)
            return read_all(sock)

    def target(self, target: bytes, *headers: bytes) -> tuple[int, bytes]:
        """Status and body for a request target sent as it is."""
        lines = [b"GET " + target + b" HTTP/1.1", b"Host: x", b"Connection: close", *headers, b"", b""]
        head, _, body = self.raw(b"\r\n".join(lines)).partition(b"\r\n\r\n")
        return int(head.split()[1]), body

    def lines(self, **fields: Any) -> list[dict[str, Any]]:
        """The lines of the log that say this; waits for one, since a line is written after its answer."""
        until(lambda: any(line.items() >= fields.items() for line in self.log))
        return [line for line in self.log if line.items() >= fields.items()]

    @property
    def log(self) -> list[dict[str, Any]]:
        """What was logged."""
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]


def read_all(sock: socket.socket) -> bytes:
    """Everything until the other side closes, or is silent for longer than the socket's timeout."""
    parts = []
    try:
        while part := sock.recv(1 << 16):
            parts.append(part)
    except (TimeoutError, ConnectionResetError):
        pass
    return b"".join(parts)


@contextmanager
def serving(source: Path | None = None, settings: Settings = Settings(), **more: Any) -> Iterator[Served]:  # noqa: B008
    """Serve an index or a release (the shipped index, if none is named) meanwhile."""
    stream = StringIO()
    log, directory = Log(stream), directory_of(source or shipped())
    current = Current(directory, directory.name, settings, log)
    sock = listening("127.0.0.1", 0)
    running = server(current, settings, log, **more)
    thread = threading.Thread(target=lambda: running.run(sockets=[sock]), daemon=True)
    thread.start()
    try:
        until(lambda: running.started)
        desk = running.config.app._app.state.desk  # type: ignore[union-attr]
        yield Served(f"http://127.0.0.1:{sock.getsockname()[1]}", current, stream, desk)
    finally:
        running.should_exit = True
        thread.join(20)
        sock.close()
        current.close()


def until(is_so: Callable[[], bool], seconds: float = 10.0) -> None:
    """Return when it is so; fail after so long."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not become so"
        time.sleep(0.02)


def copy_of_shipped(target: Path) -> Path:
    """A copy of the shipped index, to be changed."""
    for part in ("records", "changes"):
        shutil.copytree(shipped() / part, target / part)
    return target
