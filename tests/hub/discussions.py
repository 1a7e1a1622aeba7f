"""Discussions and pull requests: open, list, read, comment, rename, change status, merge.

A pull request is a discussion with a reference refs/pr/N. Merging takes the files that it changed since its
base; a file that `main` changed differently meanwhile is a conflict. Only `main` is a target.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .blobs import Blob, is_lfs
from .errors import HubError
from .repos import Commit, Repository, Tree
from .state import repository, writer

PAGE = 10
"""Discussions in one page of the list."""

Event = dict[str, Any]


@dataclass(eq=False)
class Discussion:
    """One discussion or pull request of a repository."""

    num: int
    title: str
    author: str
    created: str
    status: str = "open"
    base: Commit | None = None
    """Where the pull request branched off; None for a plain discussion."""
    merged: str | None = None
    events: list[Event] = field(default_factory=list)

    def add(self, repo: Repository, author: str, kind: str, **data: Any) -> Event:
        """Append an event and return it."""
        number = f"{self.num:04x}{len(self.events):04x}"
        event = {
            "id": number,
            "type": kind,
            "createdAt": repo.clock.now(),
            "author": {"name": author},
            "data": data,
        }
        self.events.append(event)
        return event

    def comment(self, repo: Repository, author: str, text: str) -> Event:
        """Append a comment and return its event."""
        latest = {
            "raw": text,
            "html": f"<p>{text}</p>",
            "updatedAt": self.created,
            "author": {"name": author},
        }
        return self.add(repo, author, "comment", edited=False, hidden=False, latest=latest, history=[])

    def document(self, repo: Repository) -> dict[str, Any]:
        """Return its entry in the list."""
        return {
            "num": self.num,
            "title": self.title,
            "author": {"name": self.author},
            "createdAt": self.created,
            "status": self.status,
            "isPullRequest": self.base is not None,
            "repo": {"name": repo.id, "type": repo.kind.removesuffix("s")},
        }


def open_discussion(repo: Repository, author: str, title: str, text: str, base: Commit | None = None) -> Discussion:
    """Start a discussion, or a pull request if a base is given."""
    with repo.lock:
        opened = Discussion(len(repo.discussions) + 1, title, author, repo.clock.now(), base=base)
        repo.discussions.append(opened)
    if text:
        opened.comment(repo, author, text)
    return opened


def open_pull_request(repo: Repository, author: str, title: str, text: str, base: Commit) -> Discussion:
    """Start a pull request whose reference still names its base."""
    opened = open_discussion(repo, author, title, text, base)
    repo.pulls[opened.num] = base
    return opened


def pushed(repo: Repository, ref: str, commit: Commit, author: str) -> None:
    """Note a commit in the pull request whose reference it moved, if it moved one."""
    if ref.startswith("refs/pr/"):
        discussion = repo.discussions[int(ref.removeprefix("refs/pr/")) - 1]
        discussion.add(repo, author, "commit", subject=commit.title, oid=commit.sha)


def changes(old: Tree, new: Tree) -> dict[str, Blob | None]:
    """Return the paths that differ with their new content (None if gone)."""
    paths = sorted(old.keys() | new.keys())
    return {path: new.get(path) for path in paths if digest(old.get(path)) != digest(new.get(path))}


def digest(blob: Blob | None) -> str | None:
    """Return the sha256 of a file that may be missing."""
    return blob.sha256 if blob else None


def conflicts(repo: Repository, discussion: Discussion) -> list[str]:
    """Return the files that both sides changed, and not alike."""
    if discussion.base is None or discussion.merged:
        return []
    theirs = changes(discussion.base.tree, repo.pulls[discussion.num].tree)
    ours = changes(discussion.base.tree, repo.head.tree)
    return [path for path in theirs if path in ours and digest(theirs[path]) != digest(ours[path])]


def diff(repo: Repository, discussion: Discussion) -> str | None:
    """Return the unified diff of a pull request; large files show only that they differ."""
    if discussion.base is None:
        return None
    old, new = discussion.base.tree, repo.pulls[discussion.num].tree
    return "".join(_file_diff(path, old.get(path), new.get(path)) for path in changes(old, new))


def _file_diff(path: str, old: Blob | None, new: Blob | None) -> str:
    head = f"diff --git a/{path} b/{path}\n"
    if any(blob and is_lfs(path, blob) for blob in (old, new)):
        return f"{head}Binary files differ\n"
    before, after = ((blob.read().decode(errors="replace") if blob else "").splitlines(True) for blob in (old, new))
    lines = difflib.unified_diff(before, after, f"a/{path}", f"b/{path}")
    return head + "".join(line if line.endswith("\n") else line + "\n" for line in lines)


def find(request: Request, repo: Repository) -> Discussion:
    """Return the discussion in the request's path; raise HubError."""
    num = int(request.path_params["num"])
    if not 1 <= num <= len(repo.discussions):
        raise HubError("page", f"Discussion {num} does not exist")
    return repo.discussions[num - 1]


WANTED: dict[str, Callable[[Discussion, str], bool]] = {
    "type": lambda one, value: value == "all" or (one.base is not None) == (value == "pull_request"),
    "status": lambda one, value: value == "all" or (one.status in ("open", "draft")) == (value == "open"),
    "author": lambda one, value: one.author == value,
}
"""Query parameter to the test that a listed discussion must pass."""


def listing(request: Request) -> Response:
    """Answer get_repo_discussions, newest first."""
    repo, query = repository(request), request.query_params
    tests = [(test, query[key]) for key, test in WANTED.items() if key in query]
    found = [one for one in reversed(repo.discussions) if all(test(one, value) for test, value in tests)]
    start = int(query.get("p", "0")) * PAGE
    shown = [one.document(repo) for one in found[start : start + PAGE]]
    return JSONResponse({"discussions": shown, "count": len(found), "start": start})


def details(request: Request) -> Response:
    """Answer get_discussion_details."""
    repo = repository(request)
    one = find(request, repo)
    found = {**one.document(repo), "events": one.events}
    if one.base is not None:
        found["changes"] = {"base": "refs/heads/main", "mergeCommitId": one.merged}
        found["filesWithConflicts"] = conflicts(repo, one)
        found["diff"] = diff(repo, one)
    return JSONResponse(found)


async def create(request: Request) -> Response:
    """Answer create_discussion and create_pull_request (which opens a draft)."""
    user, repo, asked = writer(request), repository(request), await request.json()
    base = repo.head if asked.get("pullRequest") else None
    one = open_discussion(repo, user.name, asked["title"], asked.get("description") or "", base)
    if base is not None:
        one.status, repo.pulls[one.num] = "draft", base
    return JSONResponse({"num": one.num, "pullRequest": base is not None})


def _comment(repo: Repository, one: Discussion, author: str, body: dict[str, str]) -> dict[str, Any]:
    return {"newMessage": one.comment(repo, author, body["comment"])}


def _rename(repo: Repository, one: Discussion, author: str, body: dict[str, str]) -> dict[str, Any]:
    old, one.title = one.title, body["title"]
    return {"newTitle": one.add(repo, author, "title-change", **{"from": old, "to": one.title})}


def _status(repo: Repository, one: Discussion, author: str, body: dict[str, str]) -> dict[str, Any]:
    one.status = body["status"]
    event = one.add(repo, author, "status-change", status=one.status)
    if body.get("comment"):
        one.comment(repo, author, body["comment"])
    return {"newStatus": event}


def _merge(repo: Repository, one: Discussion, author: str, body: dict[str, str]) -> dict[str, Any]:
    if one.base is None or one.status not in ("open", "draft"):
        raise HubError("bad", "This is not an open pull request")
    if conflicts(repo, one):
        raise HubError("conflict")
    changed = changes(one.base.tree, repo.pulls[one.num].tree)
    tree = {path: blob for path, blob in {**repo.head.tree, **changed}.items() if blob is not None}
    one.merged = repo.commit("main", tree, f"{one.title} (#{one.num})").sha
    return _status(repo, one, author, {**body, "status": "merged"})


ACTIONS: dict[str, Callable[[Repository, Discussion, str, dict[str, str]], dict[str, Any]]] = {
    "comment": _comment,
    "title": _rename,
    "status": _status,
    "merge": _merge,
}
"""Last part of the path to what it does to the discussion."""


async def act(request: Request) -> Response:
    """Answer a change to a discussion."""
    user, repo, body = writer(request), repository(request), await request.body()
    if request.path_params["action"] not in ACTIONS:
        raise HubError("page")
    action = ACTIONS[request.path_params["action"]]
    return JSONResponse(action(repo, find(request, repo), user.name, json.loads(body or b"null") or {}))
