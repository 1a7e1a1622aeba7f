"""The refusals of the Hub, as one table: status, X-Error-Code, X-Error-Message.

The unmodified client picks its exception class by these headers; over plain http a bare 401 or 404 is not
enough. Knows nothing of when to refuse.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

REFUSALS: dict[str, tuple[int, str | None, str]] = {
    "moved": (307, None, "Temporary Redirect"),
    "entry": (404, "EntryNotFound", "Entry not found"),
    "revision": (404, "RevisionNotFound", "Invalid rev id"),
    "repo": (404, "RepoNotFound", "Repository not found"),
    "repo-anonymous": (401, "RepoNotFound", "Invalid username or password."),
    "gated": (
        403,
        "GatedRepo",
        "Access to this repository is restricted and you are not in the authorized list.",
    ),
    "gated-anonymous": (
        401,
        "GatedRepo",
        "Access to this repository is restricted. You must be authenticated.",
    ),
    "disabled": (403, None, "Access to this resource is disabled."),
    "token": (401, None, "Invalid credentials in Authorization header"),
    "write": (403, None, "You do not have the rights to write to this repository."),
    "exists": (409, None, "You already created this repository."),
    "reference-exists": (409, None, "Reference already exists"),
    "conflict": (409, None, "The pull request has conflicts with its target branch."),
    "stale": (412, None, "A commit has happened since. Please refresh and try again."),
    "bad": (400, None, "Bad request"),
    "page": (404, None, "Sorry, we can't find the page you are looking for."),
}


class HubError(Exception):
    """A refusal, named by its key in REFUSALS, with its own words and headers where needed."""

    def __init__(self, key: str, message: str | None = None, headers: dict[str, str] | None = None) -> None:
        self.status, self.code, default = REFUSALS[key]
        self.message = message or default
        self.extra = headers or {}
        super().__init__(f"{self.status} {self.code}: {self.message}")

    def response(self, body: dict[str, object] | None = None) -> Response:
        """Return the refusal as the Hub would send it."""
        headers = {"X-Error-Message": self.message, **self.extra}
        if self.code:
            headers["X-Error-Code"] = self.code
        return JSONResponse({"error": self.message, **(body or {})}, self.status, headers)


async def refuse(request: Request, error: Exception) -> Response:
    """Turn a HubError into its response (a Starlette exception handler)."""
    if not isinstance(error, HubError):
        raise error
    return error.response()
