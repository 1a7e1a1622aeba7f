"""What a repository is: its page, its tree, its references and its commits.

Everything here is read-only. Gated repositories show all of this to anybody; only their files are closed (see
files.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .about import INFO, blobs, document, safetensors_header
from .blobs import Blob, is_lfs
from .errors import HubError
from .listing import decode, fields, next_link
from .repos import Commit, Tree
from .state import open_files, repository, revision, state_of

EXPANDED_PAGE = 50
"""Entries in one page of a tree when `expand` asks for commits, as on the Hub."""


def flag(value: str | None) -> bool:
    """Read a boolean query or form value."""
    return (value or "").lower() in ("true", "1")


def repo_info(request: Request) -> Response:
    """Answer model_info and dataset_info."""
    repo = repository(request)
    commit, query = revision(request, repo), request.query_params
    names: Sequence[str] = fields(query) if "expand" in query else INFO
    found = document(repo, commit, names)
    if flag(query.get("blobs")):
        found["siblings"] = blobs(commit)
    if flag(query.get("securityStatus")):
        found["securityRepoStatus"] = {"scansDone": True, "filesWithIssues": []}
    return JSONResponse(found, headers={"X-Repo-Commit": commit.sha})


def file_entry(path: str, blob: Blob) -> dict[str, Any]:
    """Return the tree entry of a file."""
    entry = {"type": "file", "path": path, "size": blob.size}
    if not is_lfs(path, blob):
        return {**entry, "oid": blob.git_oid}
    lfs = {"oid": blob.sha256, "size": blob.size, "pointerSize": blob.pointer.size}
    return {**entry, "oid": blob.pointer.git_oid, "lfs": lfs}


def under(tree: Tree, folder: str) -> Tree:
    """Return the files below a folder ('' is the root)."""
    start = f"{folder}/" if folder else ""
    return {path: blob for path, blob in tree.items() if path.startswith(start)}


def folder_entry(tree: Tree, folder: str) -> dict[str, Any]:
    """Return the tree entry of a folder."""
    inside = "".join(f"{path}\0{blob.sha256}\n" for path, blob in sorted(under(tree, folder).items()))
    return {"type": "directory", "path": folder, "size": 0, "oid": hashlib.sha1(inside.encode()).hexdigest()}


def folders(tree: Tree) -> set[str]:
    """Return every folder that holds a file."""
    parts = [path.split("/")[:-1] for path in tree]
    return {"/".join(part[:depth]) for part in parts for depth in range(1, len(part) + 1)}


def entry_at(tree: Tree, path: str) -> dict[str, Any] | None:
    """Return the entry of a file or folder, or None."""
    if path in tree:
        return file_entry(path, tree[path])
    return folder_entry(tree, path) if path in folders(tree) else None


def last_commit(commit: Commit, path: str) -> dict[str, str]:
    """Return the newest commit that changed a file or folder."""
    now = entry_at(commit.tree, path)
    for step in commit.history():
        if step.parent is None or entry_at(step.parent.tree, path) != now:
            break
    return {"id": step.sha, "title": step.title, "date": step.date}


def expanded(commit: Commit, entry: dict[str, Any]) -> dict[str, Any]:
    """Add what `expand=true` adds: the last commit and, for a file, its security scan."""
    security = {"status": "safe", "avScan": None, "pickleImportScan": None}
    more = {"securityFileStatus": security} if entry["type"] == "file" else {}
    return {**entry, "lastCommit": last_commit(commit, entry["path"]), **more}


def tree(request: Request) -> Response:
    """Answer list_repo_tree: the entries below a folder, page by page."""
    repo, query = repository(request), request.query_params
    commit = revision(request, repo)
    folder = unquote(request.path_params.get("path", "")).strip("/")
    inside = under(commit.tree, folder)
    if folder and not inside:
        raise HubError("entry", f"{folder} does not exist on {commit.sha}", {"X-Repo-Commit": commit.sha})
    depth = folder.count("/") + 1 if folder else 0
    paths = sorted({path for path in (*inside, *folders(inside)) if path.startswith(f"{folder}/" if folder else "")})
    wanted = [path for path in paths if flag(query.get("recursive")) or path.count("/") == depth]
    return tree_page(request, commit, wanted)


def tree_page(request: Request, commit: Commit, paths: list[str]) -> Response:
    """Answer the page of these paths that the cursor points at."""
    query, size = request.query_params, state_of(request).tree_page_size
    expand = flag(query.get("expand"))
    start, size = decode(query.get("cursor")), min(size, EXPANDED_PAGE) if expand else size
    held = commit.tree
    entries = [
        file_entry(path, held[path]) if path in held else folder_entry(held, path)
        for path in paths[start : start + size]
    ]
    shown = [expanded(commit, entry) for entry in entries] if expand else entries
    after = start + size if start + size < len(paths) else None
    return JSONResponse(shown, headers={"X-Repo-Commit": commit.sha, **next_link(request, after)})


async def paths_info(request: Request) -> Response:
    """Answer get_paths_info; a path that does not exist is left out."""
    repo = repository(request)
    commit, form = revision(request, repo), parse_qs((await request.body()).decode())
    entries = [entry_at(commit.tree, path.strip("/")) for path in form.get("paths", [])]
    found = [entry for entry in entries if entry]
    expand = flag(form.get("expand", [""])[0])
    return JSONResponse([expanded(commit, entry) for entry in found] if expand else found)


def _named(commits: dict[str, Commit], start: str) -> list[dict[str, str]]:
    return [{"name": name, "ref": f"{start}{name}", "targetCommit": commit.sha} for name, commit in commits.items()]


def refs(request: Request) -> Response:
    """Answer list_repo_refs."""
    repo = repository(request)
    found = {
        "branches": _named(repo.branches, "refs/heads/"),
        "converts": [],
        "tags": _named(repo.tags, "refs/tags/"),
    }
    if flag(request.query_params.get("include_prs")):
        found["pullRequests"] = _named({str(num): commit for num, commit in repo.pulls.items()}, "refs/pr/")
    return JSONResponse(found)


def commits(request: Request) -> Response:
    """Answer list_repo_commits, newest first."""
    repo = repository(request)
    history = list(revision(request, repo).history())
    start, size = decode(request.query_params.get("cursor")), state_of(request).tree_page_size
    page = [
        {
            "id": one.sha,
            "title": one.title,
            "message": one.message,
            "date": one.date,
            "authors": [{"user": one.author}],
        }
        for one in history[start : start + size]
    ]
    after = start + size if start + size < len(history) else None
    return JSONResponse(page, headers=next_link(request, after))


def safetensors_metadata(request: Request) -> Response:
    """Answer get_sharded_safetensors_metadata: the index without its map and all headers, of `main` only."""
    repo = repository(request)
    open_files(request, repo)
    name = unquote(request.path_params["path"])
    shards = {path: blob for path, blob in sorted(repo.head.tree.items()) if path.endswith(".safetensors")}
    if name not in repo.head.tree:
        raise HubError("entry")
    headers = {path: safetensors_header(blob) for path, blob in shards.items()}
    return JSONResponse({"index": {"metadata": {}}, "headers": headers})


def auth_check(request: Request) -> Response:
    """Answer auth_check: nothing, or the refusal that reading a file would meet."""
    open_files(request, repository(request))
    return Response()
