"""What one Hub holds while it runs: repositories, users, settings, large files, log and faults.

Also the two questions every endpoint asks first: which repository does this request name, and may this caller
see it. Knows nothing of the answers' form.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast
from urllib.parse import unquote

from starlette.requests import Request

from .about import get
from .blobs import Blob
from .errors import HubError
from .faults import Faults
from .log import Log
from .repos import Commit, Repos, Repository
from .synthetic import Synthetic


@dataclass(frozen=True)
class User:
    """Somebody who holds a token."""

    name: str
    approved: bool = True
    """May read gated and private repositories, and write."""


TOKEN = "hf_loopback"
STRANGER = "hf_stranger"


@dataclass
class State:
    """Everything that the endpoints share."""

    page_size: int = 1000
    """Repositories in one page of a listing, at most."""
    tree_page_size: int = 1000
    """Entries in one page of a tree, at most."""
    cdn: bool = False
    """Send readers of large files to the second port with a 302."""
    cdn_url: str = ""
    lfs_uploads: bool = False
    """Ask for large files to be uploaded through LFS instead of inside the commit."""
    synthetic: Synthetic = field(default_factory=lambda: Synthetic(0))
    repos: Repos = field(default_factory=Repos)
    users: dict[str, User] = field(
        default_factory=lambda: {TOKEN: User("tester"), STRANGER: User("stranger", approved=False)}
    )
    large: dict[str, Blob] = field(default_factory=dict)
    """sha256 to content: what the second port may be asked for, and uploads that wait for their commit."""
    log: Log = field(default_factory=Log)
    faults: Faults = field(default_factory=Faults)


def state_of(request: Request) -> State:
    """Return the Hub that this request reached."""
    return cast(State, request.app.state.hub)


def base_url(request: Request) -> str:
    """Return the address by which the caller reached this Hub."""
    return f"http://{request.headers.get('host', '127.0.0.1')}"


def user_of(request: Request) -> User | None:
    """Return who is asking, None if anonymous; raise HubError for a token that nobody holds."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return None
    user = state_of(request).users.get(token)
    if user is None:
        raise HubError("token")
    return user


def writer(request: Request) -> User:
    """Return who is asking; raise HubError unless they may write."""
    user = user_of(request)
    if user is None:
        raise HubError("repo-anonymous")
    if not user.approved:
        raise HubError("write")
    return user


def _elsewhere(request: Request, repo_id: str) -> str:
    """Return the request's path and query with another repository in it, as the Hub redirects (relative)."""
    path = str(request.scope["path"]).replace(f"/{request.path_params['repo']}", f"/{repo_id}", 1)
    return f"{path}?{request.url.query}" if request.url.query else path


def repository(request: Request) -> Repository:
    """Return the repository in the request's path; raise HubError if it is missing, moved, private or disabled."""
    state, user = state_of(request), user_of(request)
    kind, repo_id = request.path_params.get("kind", "models"), unquote(request.path_params["repo"])
    moved = state.repos.moved.get((kind, repo_id))
    if moved is not None and state.repos.find(kind, repo_id) is None:
        raise HubError("moved", headers={"Location": _elsewhere(request, moved)})
    repo = state.repos.find(kind, repo_id) or (state.synthetic.find(repo_id) if kind == "models" else None)
    if repo is None or (get(repo, repo.head, "private") and not (user and user.approved)):
        raise HubError("repo" if user else "repo-anonymous")
    if get(repo, repo.head, "disabled"):
        raise HubError("disabled")
    return repo


def open_files(request: Request, repo: Repository) -> None:
    """Raise HubError if the repository is gated and the caller was not let in."""
    user = user_of(request)
    if get(repo, repo.head, "gated") and not (user and user.approved):
        raise HubError("gated" if user else "gated-anonymous")


def revision(request: Request, repo: Repository) -> Commit:
    """Return the commit that the request's path names (`main` if it names none)."""
    return repo.at(unquote(request.path_params.get("rev", "main")))
