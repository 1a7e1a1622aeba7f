"""An answer as bytes: rendered once, sent many times. Knows ETags, compression and caches, not what is said.

The ETag is strong: the digest of the body, and another one for the compressed body. If-None-Match is compared weakly,
as RFC 9110 has it.
"""

import gzip
import json
import re
from collections.abc import Mapping
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import Any

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

JSON = "application/json"
_WORTH = 700
"""Bytes from which a body is compressed."""
_TAG = re.compile(r'(?:W/)?("[^"]*")')
_ACCEPTED = re.compile(r"\s*([A-Za-z0-9*_-]+)\s*(?:;\s*q=([0-9.]{1,5})\s*)?", re.ASCII)

SECURITY = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "cross-origin",
}
OPEN = {
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "ETag, Link, Retry-After, X-Request-ID, Content-Range, Accept-Ranges",
}
"""Anybody's page may read what anybody may read."""


def may_change(seconds: int) -> str:
    """Cache-Control of what the next change of the index may change."""
    return f"public, max-age={seconds}, stale-while-revalidate={5 * seconds}, stale-if-error=86400"


IMMUTABLE = "public, max-age=31536000, immutable"
"""Cache-Control of what is named by its content."""


class Answer(Response):
    """A body with all that is sent before it. It never changes, so it can be sent to many."""

    body: bytes

    def __init__(
        self,
        body: bytes,
        cache: str = "no-store",
        *,
        media: str = JSON,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        tagged: bool = True,
    ) -> None:
        self.body, self.status_code, self.background = body, status, None
        self.tag = f'"{sha256(body).hexdigest()[:40]}"' if tagged and status == 200 else None
        self.route = ""
        """The address it answers, as a pattern; noted by who keeps it."""
        said = {"content-type": media, "cache-control": cache, "vary": "Accept-Encoding", **SECURITY, **OPEN}
        self._head = {**said, **{name.lower(): value for name, value in (headers or {}).items()}}

    @classmethod
    def of(cls, document: Any, cache: str = "no-store", **more: Any) -> "Answer":
        """A document as compact JSON, ASCII."""
        text = json.dumps(document, separators=(",", ":"), allow_nan=False)
        return cls(text.encode() + b"\n", cache, **more)

    @property
    def size(self) -> int:
        """Bytes it takes to keep it, about."""
        return len(self.body) + len(self.body) // 4 + 2048

    @cached_property
    def plain(self) -> tuple[Message, Message]:
        """The messages that send it as it is."""
        return self._messages(self.body, self.tag, {})

    @cached_property
    def zipped(self) -> tuple[Message, Message]:
        """The messages that send it compressed; as it is, where that is not worth it."""
        if len(self.body) < _WORTH:
            return self.plain
        tag = self.tag and f'{self.tag[:-1]}-gzip"'
        return self._messages(gzip.compress(self.body, 6, mtime=0), tag, {"content-encoding": "gzip"})

    @cached_property
    def unchanged(self) -> tuple[Message, Message]:
        """The messages that say that the client has it."""
        names = ("cache-control", "vary", *SECURITY, *OPEN)
        head = {n: v for n, v in self._head.items() if n in names} | {"etag": self.tag or ""}
        return _start(304, head), {"type": "http.response.body", "body": b""}

    def messages(self, encodings: str | None, known: str | None) -> tuple[Message, Message]:
        """What is sent to a client with these Accept-Encoding and If-None-Match."""
        if known is not None and self.tag is not None and matches(known, self.tag):
            return self.unchanged
        return self.zipped if encodings is not None and takes_gzip(encodings) else self.plain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for message in self.messages(*asked(scope)):
            await send(message)

    def _messages(self, body: bytes, tag: str | None, more: dict[str, str]) -> tuple[Message, Message]:
        tagged = {"etag": tag} if tag else {}
        head = {**self._head, **more, **tagged, "content-length": str(len(body))}
        return _start(self.status_code, head), {"type": "http.response.body", "body": body}


def _start(status: int, headers: Mapping[str, str]) -> Message:
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": pairs}


def asked(scope: Scope) -> tuple[str | None, str | None]:
    """Accept-Encoding and If-None-Match of a request; several lines of one are one list."""
    found: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        if name in (b"accept-encoding", b"if-none-match"):
            text = value.decode("latin-1")
            found[name] = f"{found[name]}, {text}" if name in found else text
    return found.get(b"accept-encoding"), found.get(b"if-none-match")


def matches(known: str, tag: str) -> bool:
    """Whether an If-None-Match names a representation of this ETag, plain or compressed."""
    own = (tag, f'{tag[:-1]}-gzip"')
    return known.strip() == "*" or any(each in own for each in _TAG.findall(known))


@lru_cache(256)
def takes_gzip(encodings: str) -> bool:
    """Whether an Accept-Encoding takes gzip: by name, else by `*`, with a weight that is not 0."""
    weights = {}
    for part in encodings.split(","):
        if found := _ACCEPTED.fullmatch(part):
            weights[found[1].lower()] = found[2] is None or found[2].strip("0.") != ""
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", False)))
