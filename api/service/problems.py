"""What the service says when it cannot answer: problem details (RFC 9457), as one table.

`type` is `/problems/NAME`, which the service answers too; it never changes. Nothing of the machine is told: a detail
is either written here or one that is made of the question alone.
"""

import json
from typing import Any, NamedTuple

TYPE = "application/problem+json"


class Kind(NamedTuple):
    """A kind of problem."""

    status: int
    title: str
    detail: str
    """What is said where nothing more is known."""


KINDS = {
    "bad-request": Kind(400, "Not an HTTP request", "The request could not be read as HTTP/1.1."),
    "unauthorized": Kind(401, "Who submits?", "Send a token of this service: Authorization: Bearer TOKEN."),
    "forbidden": Kind(403, "Not with this token", "The token does not have the scope that this takes."),
    "read-only": Kind(403, "No submissions here", "This service only answers questions."),
    "not-in-index": Kind(404, "Not in the index", "The index has no record of this model."),
    "not-found": Kind(404, "No such address", "See /openapi.json for the addresses that there are."),
    "no-such-submission": Kind(404, "No such submission", "There is no submission of this id here."),
    "no-such-change": Kind(404, "No such change", "The index has not come so far."),
    "not-offered": Kind(404, "Not offered here", "The index that is served here does not have this form."),
    "method-not-allowed": Kind(405, "Method not allowed", "The header Allow names the methods of this address."),
    "timeout": Kind(408, "Too slow", "The request did not arrive in time."),
    "body-too-large": Kind(413, "Body too large", "Send less in one request."),
    "url-too-long": Kind(414, "Address too long", "Send a shorter path and query."),
    "range-not-satisfiable": Kind(416, "No such range", "The file ends before the range begins."),
    "invalid-request": Kind(422, "Invalid request", "A parameter or the body is malformed."),
    "too-many": Kind(429, "Too many submissions", "More is submitted than is taken; come back later."),
    "headers-too-large": Kind(431, "Headers too large", "Send fewer and shorter headers."),
    "internal": Kind(500, "Internal error", "It is in the log of the service, under the id in X-Request-ID."),
    "index-unreadable": Kind(500, "Index unreadable", "What was asked for cannot be read from the index."),
    "busy": Kind(503, "Busy", "More is asked at once than the service takes; come back in a moment."),
    "starting": Kind(503, "Not ready", "The catalogue of the index is still being read; models are answered already."),
}
WAIT = {"busy": 1, "starting": 5}
"""Seconds after which one may ask again, as Retry-After."""


class Problem(Exception):
    """Something that could not be answered, by its name in KINDS."""

    def __init__(self, name: str, detail: str | None = None, headers: dict[str, str] | None = None, **more: Any):
        super().__init__(name)
        self.name, self.kind = name, KINDS[name]
        self.detail = detail or self.kind.detail
        waits = {"Retry-After": str(WAIT[name])} if name in WAIT else {}
        self.headers = {**waits, **(headers or {})}
        self.more = more

    @property
    def document(self) -> dict[str, Any]:
        """The problem as plain data."""
        kind = self.kind
        said = {"type": f"/problems/{self.name}", "title": kind.title, "status": kind.status, "detail": self.detail}
        return {**said, **self.more}

    @property
    def body(self) -> bytes:
        """The problem as sent."""
        return json.dumps(self.document).encode()
