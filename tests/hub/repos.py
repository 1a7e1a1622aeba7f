"""Repositories: trees of files, commits, branches, tags and pull requests' references.

A revision is 40 hex digits that follow from the content (path and sha256 of each file) and from the parent's
revision, so that equal folders have equal revisions in every run. Knows nothing of HTTP, of who may read, or
of what the files mean.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .blobs import Blob
from .errors import HubError

if TYPE_CHECKING:
    from .discussions import Discussion

Tree = dict[str, Blob]
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
PREFIXES = {"models": "", "datasets": "datasets/"}
"""Kind of repository, as in /api/<kind>, to the prefix of its download URLs."""


class Clock:
    """A clock that starts at EPOCH and moves one second each time it is read, so that runs repeat exactly."""

    def __init__(self) -> None:
        self._ticks = itertools.count()

    def now(self) -> str:
        """Return the next time, in the Hub's format."""
        return (EPOCH + timedelta(seconds=next(self._ticks))).strftime("%Y-%m-%dT%H:%M:%S.000Z")


@dataclass(frozen=True, eq=False)
class Commit:
    """One state of a repository."""

    tree: Tree
    parent: Commit | None
    title: str
    date: str
    message: str = ""
    author: str = "loopback"

    @cached_property
    def sha(self) -> str:
        """Full revision: sha1 over the sorted (path, sha256) pairs and the parent's revision, if any."""
        unknown = list(itertools.takewhile(lambda one: "sha" not in vars(one), self.history()))
        for ancestor in reversed(unknown[1:]):  # oldest first, or a long history would recurse as deep
            ancestor.sha  # noqa: B018
        digest = hashlib.sha1(self.parent.sha.encode() if self.parent else b"")
        for path, blob in sorted(self.tree.items()):
            digest.update(f"{path}\0{blob.sha256}\n".encode())
        return digest.hexdigest()

    def history(self) -> Iterator[Commit]:
        """Yield this commit and its ancestors, newest first."""
        commit: Commit | None = self
        while commit is not None:
            yield commit
            commit = commit.parent


@dataclass(eq=False)
class Repository:
    """A model or dataset repository with all its revisions."""

    kind: str
    id: str
    commits: list[Commit]
    clock: Clock
    meta: dict[str, Any] = field(default_factory=dict)
    """What the Hub would say of it and no file does: downloads, likes, gated, private, disabled, ..."""
    branches: dict[str, Commit] = field(default_factory=dict)
    tags: dict[str, Commit] = field(default_factory=dict)
    pulls: dict[int, Commit] = field(default_factory=dict)
    discussions: list[Discussion] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def head(self) -> Commit:
        """The newest commit of `main`."""
        return self.branches["main"]

    def url(self, base: str) -> str:
        """Return the address of its page."""
        return f"{base}/{PREFIXES[self.kind]}{self.id}"

    def refs(self) -> dict[str, Commit]:
        """Return every name that a revision may go by, short and full."""
        return {
            **{f"refs/pr/{num}": commit for num, commit in self.pulls.items()},
            **{f"refs/tags/{name}": commit for name, commit in self.tags.items()},
            **{f"refs/heads/{name}": commit for name, commit in self.branches.items()},
            **self.tags,
            **self.branches,
        }

    def at(self, revision: str) -> Commit:
        """Return the commit that a branch, tag, reference or (abbreviated) sha names; raise HubError."""
        named = self.refs().get(revision)
        if named is not None:
            return named
        for commit in reversed(self.commits):
            if len(revision) >= 7 and commit.sha.startswith(revision):
                return commit
        raise HubError("revision", f"Invalid rev id: {revision}")

    def commit(self, ref: str, tree: Tree, title: str, message: str = "", parent: Commit | None = None) -> Commit:
        """Add a commit with this tree and move the reference to it; an unchanged tree adds none."""
        with self.lock:
            parent = parent or self.refs().get(ref) or self.head
            if same_tree(parent.tree, tree):
                commit = parent
            else:
                commit = Commit(tree, parent, title, self.clock.now(), message)
                self.commits.append(commit)
            self.point(ref, commit)
            return commit

    def point(self, ref: str, commit: Commit) -> None:
        """Make a branch or a pull request's reference name this commit."""
        if ref.startswith("refs/pr/"):
            self.pulls[int(ref.removeprefix("refs/pr/"))] = commit
        else:
            self.branches[ref.removeprefix("refs/heads/")] = commit

    def write(self, files: Mapping[str, bytes | str | Path | None], title: str = "Update") -> str:
        """Commit files to `main` (None deletes) from Python and return the new revision."""
        tree = dict(self.head.tree)
        for path, content in files.items():
            tree.pop(path, None)
            if content is not None:
                tree[path] = Blob(content.encode() if isinstance(content, str) else content)
        return self.commit("main", tree, title).sha


def same_tree(one: Tree, other: Tree) -> bool:
    """Say whether two trees hold the same paths with the same content."""
    return one.keys() == other.keys() and all(
        blob is other[path] or blob.sha256 == other[path].sha256 for path, blob in one.items()
    )


class Repos:
    """All repositories of one Hub."""

    def __init__(self) -> None:
        self.clock = Clock()
        self._all: dict[tuple[str, str], Repository] = {}
        self.moved: dict[tuple[str, str], str] = {}
        """Former names, to the names that they lead to."""

    def __len__(self) -> int:
        return len(self._all)

    def of_kind(self, kind: str) -> list[Repository]:
        """Return the repositories of a kind."""
        return [repo for repo in list(self._all.values()) if repo.kind == kind]

    def find(self, kind: str, repo_id: str) -> Repository | None:
        """Return the repository, or None."""
        return self._all.get((kind, repo_id))

    def create(self, kind: str, repo_id: str, tree: Tree, meta: Mapping[str, Any]) -> Repository:
        """Add a repository whose first commit holds this tree."""
        first = Commit(tree, None, "initial commit", self.clock.now())
        repo = Repository(kind, repo_id, [first], self.clock, dict(meta), {"main": first})
        self._all[kind, repo_id] = repo
        return repo

    def move(self, kind: str, repo_id: str, new_id: str) -> None:
        """Rename a repository; the old name leads to the new one from now on. Raise KeyError if there is none."""
        repo = self._all.pop((kind, repo_id))
        repo.id = new_id
        self._all[kind, new_id] = repo
        self.moved[kind, repo_id] = new_id

    def delete(self, kind: str, repo_id: str) -> None:
        """Remove a repository; raise HubError if there is none."""
        if self._all.pop((kind, repo_id), None) is None:
            raise HubError("repo")


def folder_tree(folder: Path) -> Tree:
    """Return a folder as a tree whose files stay on disk; hidden folders such as .git are left out."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    named = ((path.relative_to(folder), path) for path in files)
    return {
        inside.as_posix(): Blob(path.resolve())
        for inside, path in named
        if not any(part.startswith(".") for part in inside.parts[:-1])
    }
