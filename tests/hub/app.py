"""The application: which address is answered by which function.

Paths are matched raw, so that `refs%2Fpr%2F1` stays one segment; the functions unquote what they take. Around
the routes stands the gate, which logs and lets faults strike; the control addresses (/_log, /_faults) are
outside it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import commits, discussions, files, info, listing
from .errors import HubError, refuse
from .server import HangUp
from .state import State, state_of, user_of


class KindConvertor(Convertor[str]):
    """The kind of a repository in an address."""

    regex = "models|datasets"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class RepoConvertor(KindConvertor):
    """A repository's id: `org/name`, or `name` alone for the oldest ones."""

    regex = "[^/]+(?:/[^/]+)?"


register_url_convertor("kind", KindConvertor())
register_url_convertor("repo", RepoConvertor())


def whoami(request: Request) -> Response:
    """Answer whoami."""
    user = user_of(request)
    if user is None:
        raise HubError("token")
    access = {"displayName": "loopback", "role": "write" if user.approved else "read"}
    auth = {"type": "access_token", "accessToken": access}
    return JSONResponse({"type": "user", "id": user.name, "name": user.name, "orgs": [], "auth": auth})


async def log(request: Request) -> Response:
    """Show the log; DELETE resets it."""
    state = state_of(request)
    if request.method == "DELETE":
        state.log.reset()
    return JSONResponse(state.log.document())


async def faults(request: Request) -> Response:
    """Show the rules; POST adds one (JSON: kind, path, and the rest by name), DELETE drops all."""
    state = state_of(request)
    if request.method == "DELETE":
        state.faults.clear()
    if request.method == "POST":
        try:
            state.faults.add(**await request.json())
        except (KeyError, TypeError, ValueError) as error:
            raise HubError("bad", f"Not a fault: {error!r}") from error
    shown = ("kind", "path", "method", "nth", "times", "probability", "seed", "arguments", "seen", "hits")
    return JSONResponse([{name: getattr(rule, name) for name in shown} for rule in state.faults.rules])


async def missing(request: Request) -> Response:
    """Refuse an address that is not served."""
    raise HubError("page")


REPO = "/api/{kind:kind}/{repo:repo}"
EVERY = ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH"]

ROUTES: list[tuple[str, str, Any]] = [
    ("GET DELETE", "/_log", log),
    ("GET POST DELETE", "/_faults", faults),
    ("PUT", "/_lfs/{oid}", commits.lfs_upload),
    ("GET HEAD", "/cdn/{sha256}", files.cdn),
    ("GET", "/api/whoami-v2", whoami),
    ("POST", "/api/validate-yaml", commits.validate_yaml),
    ("POST", "/api/repos/create", commits.create_repo),
    ("DELETE", "/api/repos/delete", commits.delete_repo),
    ("GET", "/api/{kind:kind}", listing.listing),
    ("GET", REPO + "/tree/{rev}", info.tree),
    ("GET", REPO + "/tree/{rev}/{path:path}", info.tree),
    ("POST", REPO + "/paths-info/{rev}", info.paths_info),
    ("GET", REPO + "/refs", info.refs),
    ("GET", REPO + "/commits/{rev}", info.commits),
    ("GET", REPO + "/auth-check", info.auth_check),
    ("GET", REPO + "/safetensors-metadata/{path:path}", info.safetensors_metadata),
    ("POST", REPO + "/preupload/{rev}", commits.preupload),
    ("POST", REPO + "/commit/{rev}", commits.commit),
    ("POST", REPO + "/tag/{rev}", commits.create_tag),
    ("DELETE", REPO + "/tag/{rev}", commits.delete_tag),
    ("POST", REPO + "/branch/{rev}", commits.create_branch),
    ("DELETE", REPO + "/branch/{rev}", commits.delete_branch),
    ("GET", REPO + "/discussions", discussions.listing),
    ("POST", REPO + "/discussions", discussions.create),
    ("GET", REPO + "/discussions/{num:int}", discussions.details),
    ("POST", REPO + "/discussions/{num:int}/{action}", discussions.act),
    ("GET", REPO + "/xet-read-token/{rev}", missing),
    ("GET", REPO + "/xet-write-token/{rev}", missing),
    ("GET", REPO + "/revision/{rev}", info.repo_info),
    ("GET", REPO, info.repo_info),
    ("POST", "/{kind:kind}/{repo:repo}.git/info/lfs/objects/batch", commits.lfs_batch),
    ("POST", "/{repo:repo}.git/info/lfs/objects/batch", commits.lfs_batch),
    ("GET HEAD", "/{kind:kind}/{repo:repo}/resolve/{rev}/{path:path}", files.resolve),
    ("GET HEAD", "/{repo:repo}/resolve/{rev}/{path:path}", files.resolve),
]
"""Methods, address and function; the first that fits answers, so longer addresses come first."""


class Gate:
    """Puts log and faults around the routes and gives them the raw path."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self.app, self.state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["raw_path"].decode("ascii")
        scope = {**scope, "path": path, "state": {**scope["state"], "hub": self.state}}
        if path in ("/_log", "/_faults"):
            await self.app(scope, receive, send)
            return
        entry = self.state.log.open(scope, path)

        async def noted(message: Message) -> None:
            entry.note(message)
            await send(message)

        target = f"{path}?{entry.query}" if entry.query else path
        try:
            await self.state.faults.around(self.app, entry.method, target)(scope, receive, noted)
        except (HangUp, asyncio.CancelledError):
            return


def build(state: State) -> ASGIApp:
    """Return the application that serves this state."""
    routes = [Route(path, function, methods=methods.split()) for methods, path, function in ROUTES]
    app = Starlette(
        routes=[*routes, Route("/{anything:path}", missing, methods=EVERY)],
        exception_handlers={HubError: refuse},
    )
    app.state.hub = state
    return Gate(app, state)
