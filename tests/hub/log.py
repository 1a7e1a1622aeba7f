"""What was asked of the Hub and how many bytes it sent, one entry per request.

An entry is there before the answer begins and its bytes are counted before they leave, so that a client which
has its answer finds it in the log. Bytes are those of the body as sent: none for HEAD, the compressed ones
after gzip, and after a cut those that were handed to the connection.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from starlette.types import Message, Scope


@dataclass
class Entry:
    """One request and its answer."""

    method: str
    path: str
    """Raw path, still percent-encoded, without the query."""
    query: str
    range: str | None
    """The Range header."""
    user: bool
    """Whether a token came with it."""
    port: int
    status: int | None = None
    """None as long as, or if, nothing was answered."""
    bytes: int = 0

    def note(self, message: Message) -> None:
        """Take in one message of the response."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif self.method != "HEAD":
            self.bytes += len(message.get("body", b""))


class Log:
    """All requests since the start or the last reset, in the order of their arrival."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def __len__(self) -> int:
        return len(self.entries)

    def open(self, scope: Scope, path: str) -> Entry:
        """Start the entry of a request."""
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        query, port = scope["query_string"].decode(), scope["server"][1]
        entry = Entry(scope["method"], path, query, headers.get("range"), "authorization" in headers, port)
        self.entries.append(entry)
        return entry

    def select(self, path: str = "", method: str = "") -> list[Entry]:
        """Return the entries whose `path?query` an expression is found in, of this method if one is given."""
        pattern = re.compile(path)
        return [
            entry
            for entry in list(self.entries)
            if method in ("", entry.method) and pattern.search(f"{entry.path}?{entry.query}")
        ]

    def count(self, path: str = "", method: str = "") -> int:
        """Return how many requests there were."""
        return len(self.select(path, method))

    def sent(self, path: str = "", method: str = "") -> int:
        """Return how many bytes of bodies were sent."""
        return sum(entry.bytes for entry in self.select(path, method))

    def reset(self) -> None:
        """Forget everything."""
        self.entries = []

    def document(self) -> dict[str, Any]:
        """Return all of it as JSON."""
        entries = [asdict(entry) for entry in list(self.entries)]
        return {
            "requests": len(entries),
            "bytes": sum(entry["bytes"] for entry in entries),
            "entries": entries,
        }
