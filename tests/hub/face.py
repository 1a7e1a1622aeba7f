"""The Hub as tests use it: start it, fill it, script its faults, read its log.

    with Hub(page_size=2) as hub:
        repo = hub.add_folder("org/name", folder, downloads=5)
        hub.fault("status", r"/resolve/", status=429, reset=0, times=1)
        HfApi(endpoint=hub.url).model_info("org/name")
        assert hub.log.count(r"^/api/models/") == 1

It serves what it is given and changes no file on disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .app import build
from .blobs import Blob, Content
from .faults import Fault
from .log import Log
from .repos import Repository, Tree, folder_tree
from .server import HOST, Server
from .state import STRANGER, TOKEN, State, User
from .synthetic import Synthetic


class Hub:
    """A Hub on 127.0.0.1, up while its `with` block runs (or from start() to stop())."""

    token = TOKEN
    """May read everything and write."""
    stranger = STRANGER
    """A valid token that gated and private repositories refuse."""

    def __init__(
        self,
        *,
        port: int = 0,
        page_size: int = 1000,
        tree_page_size: int = 1000,
        cdn: bool = False,
        lfs_uploads: bool = False,
        synthetic: int = 0,
    ) -> None:
        self.state = State(page_size, tree_page_size, cdn, "", lfs_uploads, Synthetic(synthetic))
        self._server = Server(build(self.state), port)
        self.url, self.state.cdn_url = (f"http://{HOST}:{number}" for number in self._server.ports)

    def __repr__(self) -> str:
        return f"<Hub {self.url} with {len(self.state.repos)} repositories>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Serve from now on."""
        self._server.start()

    def stop(self) -> None:
        """Close all connections and end."""
        self._server.stop()

    @property
    def log(self) -> Log:
        """The requests so far."""
        return self.state.log

    def add(
        self, repo_id: str, files: Mapping[str, bytes | str | Path | Content], *, kind: str = "models", **meta: Any
    ) -> Repository:
        """Add a repository from content (bytes, text, or made when asked for) or paths of files; see add_folder."""
        tree: Tree = {path: Blob(held.encode() if isinstance(held, str) else held) for path, held in files.items()}
        return self._add(kind, repo_id, tree, meta)

    def add_folder(self, repo_id: str, folder: Path, *, kind: str = "models", **meta: Any) -> Repository:
        """Add a repository with the files of a folder, which stay on disk and must not change.

        `meta` overrides what the Hub says of it, by the names of its JSON: downloads, likes, gated, private,
        disabled, tags, pipeline_tag, library_name, lastModified, createdAt, safetensors, baseModels, ...;
        `base_model` and `base_model_relation` do what they do in a card. Adding to an id that exists is a new
        commit on its `main`.
        """
        return self._add(kind, repo_id, folder_tree(Path(folder)), meta)

    def _add(self, kind: str, repo_id: str, tree: Tree, meta: Mapping[str, Any]) -> Repository:
        found = self.state.repos.find(kind, repo_id)
        if found is None:
            return self.state.repos.create(kind, repo_id, tree, meta)
        found.commit("main", tree, "Update")
        found.meta.update(meta)
        return found

    def repo(self, repo_id: str, *, kind: str = "models") -> Repository:
        """Return a repository: `.head.sha`, `.meta`, `.write({path: content})`, ...; raise KeyError."""
        found = self.state.repos.find(kind, repo_id)
        if found is None:
            raise KeyError(repo_id)
        return found

    def move(self, repo_id: str, new_id: str, *, kind: str = "models") -> None:
        """Rename a repository; its old name redirects (307). Raise KeyError if there is none."""
        self.state.repos.move(kind, repo_id, new_id)

    def add_user(self, token: str, name: str, *, approved: bool = True) -> None:
        """Let a token in; `approved` users may read gated and private repositories, and write."""
        self.state.users[token] = User(name, approved)

    def fault(self, kind: str, path: str = "", **settings: Any) -> Fault:
        """Script a fault: a kind of kinds.py, an expression for path and query, the rest by name.

        The rule's settings are method, nth, times, probability and seed; all else are the kind's arguments.
        Raise KeyError, TypeError or re.error for what is no fault.
        """
        return self.state.faults.add(kind, path, **settings)

    def clear(self) -> None:
        """Drop all faults and reset the log."""
        self.state.faults.clear()
        self.state.log.reset()
