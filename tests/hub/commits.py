"""Writing: create and delete repositories, preupload, LFS, commits, tags and branches.

Uploads are kept in memory. A commit is refused with 412 if its parent is no longer the head, unless it opens
a pull request. Knows nothing of the discussion that a pull request also is, beyond opening it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from fnmatch import fnmatch
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .about import parse_card
from .blobs import Blob, is_lfs
from .discussions import open_pull_request, pushed
from .errors import HubError
from .repos import Commit, Repository, Tree
from .state import State, base_url, repository, revision, state_of, writer

GITATTRIBUTES = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n*.parquet filter=lfs diff=lfs merge=lfs -text\n"


async def create_repo(request: Request) -> Response:
    """Answer create_repo."""
    user, state, asked = writer(request), state_of(request), await request.json()
    kind, repo_id = (
        f"{asked.get('type') or 'model'}s",
        f"{asked.get('organization') or user.name}/{asked['name']}",
    )
    existing = state.repos.find(kind, repo_id)
    if existing is not None:
        return HubError("exists").response({"url": existing.url(base_url(request))})
    private = bool(asked.get("private")) or asked.get("visibility") == "private"
    repo = state.repos.create(kind, repo_id, {".gitattributes": Blob(GITATTRIBUTES)}, {"private": private})
    return JSONResponse({"url": repo.url(base_url(request)), "name": repo_id})


async def delete_repo(request: Request) -> Response:
    """Answer delete_repo."""
    user, state, asked = writer(request), state_of(request), await request.json()
    state.repos.delete(f"{asked.get('type') or 'model'}s", f"{asked.get('organization') or user.name}/{asked['name']}")
    return Response()


async def preupload(request: Request) -> Response:
    """Say for each file how to upload it and what it holds now (the client skips an equal file)."""
    writer(request)
    repo, asked = repository(request), await request.json()
    tree, lfs_wanted = revision(request, repo).tree, state_of(request).lfs_uploads

    def one(file: dict[str, Any]) -> dict[str, Any]:
        path, old = file["path"], tree.get(file["path"])
        lfs = lfs_wanted and is_lfs(path, Blob(b""))
        oid = None if old is None else (old.sha256 if lfs else old.git_oid)
        mode = "lfs" if lfs else "regular"
        return {"path": path, "uploadMode": mode, "shouldIgnore": ignored(tree, path), "oid": oid}

    return JSONResponse({"files": [one(file) for file in asked["files"]]})


def ignored(tree: Tree, path: str) -> bool:
    """Say whether the repository's .gitignore leaves a file out (plain patterns only); the client then sends it not."""
    lines = tree[".gitignore"].read().decode().split() if ".gitignore" in tree else []
    return any(fnmatch(path, line) or fnmatch(path.rpartition("/")[2], line) for line in lines)


async def lfs_batch(request: Request) -> Response:
    """Say where to PUT each large file, or nothing for one that is already here."""
    writer(request)
    repository(request)
    state, asked = state_of(request), await request.json()

    def one(wanted: dict[str, Any]) -> dict[str, Any]:
        known = {"oid": wanted["oid"], "size": wanted["size"]}
        upload = {"upload": {"href": f"{base_url(request)}/_lfs/{wanted['oid']}", "header": {}}}
        return known if wanted["oid"] in state.large else {**known, "actions": upload}

    return JSONResponse({"transfer": "basic", "objects": [one(wanted) for wanted in asked["objects"]]})


async def lfs_upload(request: Request) -> Response:
    """Keep an uploaded large file until a commit names it; refuse one whose digest is wrong."""
    body, oid = await request.body(), request.path_params["oid"]
    if hashlib.sha256(body).hexdigest() != oid:
        raise HubError("bad", "The content does not have the announced digest")
    state_of(request).large[oid] = Blob(body)
    return Response()


def _file(tree: Tree, value: dict[str, Any], state: State) -> None:
    plain = value.get("encoding", "utf-8") != "base64"
    tree[value["path"]] = Blob(value["content"].encode() if plain else base64.b64decode(value["content"]))


def _lfs_file(tree: Tree, value: dict[str, Any], state: State) -> None:
    if value["oid"] not in state.large:
        raise HubError("bad", f"The large file {value['oid']} was not uploaded")
    tree[value["path"]] = state.large[value["oid"]]


def _deleted_file(tree: Tree, value: dict[str, Any], state: State) -> None:
    if tree.pop(value["path"], None) is None:
        raise HubError("entry", f"A file with this name doesn't exist: {value['path']}")


def _deleted_folder(tree: Tree, value: dict[str, Any], state: State) -> None:
    for path in [path for path in tree if path.startswith(value["path"].rstrip("/") + "/")]:
        del tree[path]


OPERATIONS: dict[str, Callable[[Tree, dict[str, Any], State], None]] = {
    "file": _file,
    "lfsFile": _lfs_file,
    "deletedFile": _deleted_file,
    "deletedFolder": _deleted_folder,
}
"""Key of a line in a commit's body to what it does to the tree."""


def apply(tree: Tree, lines: list[dict[str, Any]], state: State) -> Tree:
    """Return a copy of the tree with the operations done; raise HubError."""
    changed = dict(tree)
    for line in lines:
        if line["key"] not in OPERATIONS:
            raise HubError("bad", f"Unknown operation {line['key']!r}")
        OPERATIONS[line["key"]](changed, line["value"], state)
    return changed


def base_commit(request: Request, repo: Repository, parent: str | None, create_pr: bool) -> Commit:
    """Return the commit to build on; raise HubError if the named parent is stale or unknown."""
    head = revision(request, repo)
    if parent is None or head.sha.startswith(parent):
        return head
    if not create_pr:
        raise HubError("stale")
    return repo.at(parent)


async def commit(request: Request) -> Response:
    """Answer create_commit: to a branch, to an open pull request, or as a new pull request."""
    user, repo, state = writer(request), repository(request), state_of(request)
    header, *lines = [json.loads(line) for line in (await request.body()).splitlines() if line.strip()]
    said = header["value"]
    create_pr, ref = request.query_params.get("create_pr") == "1", unquote(request.path_params["rev"])
    base = base_commit(request, repo, said.get("parentCommit"), create_pr)
    tree, url = apply(base.tree, lines, state), None
    if create_pr:
        opened = open_pull_request(repo, user.name, said["summary"], said.get("description", ""), base)
        ref, url = f"refs/pr/{opened.num}", f"{repo.url(base_url(request))}/discussions/{opened.num}"
    elif ref not in repo.refs():
        raise HubError("revision")
    made = repo.commit(ref, tree, said["summary"], said.get("description", ""), base)
    pushed(repo, ref, made, user.name)
    where = f"{repo.url(base_url(request))}/commit/{made.sha}"
    return JSONResponse({"success": True, "commitOid": made.sha, "commitUrl": where, "pullRequestUrl": url})


async def create_tag(request: Request) -> Response:
    """Answer create_tag."""
    writer(request)
    repo, asked = repository(request), await request.json()
    if asked["tag"] in repo.tags:
        raise HubError("reference-exists")
    repo.tags[asked["tag"]] = revision(request, repo)
    return Response()


def delete_tag(request: Request) -> Response:
    """Answer delete_tag."""
    writer(request)
    if repository(request).tags.pop(unquote(request.path_params["rev"]), None) is None:
        raise HubError("revision")
    return Response()


async def create_branch(request: Request) -> Response:
    """Answer create_branch."""
    writer(request)
    repo, name = repository(request), unquote(request.path_params["rev"])
    asked = json.loads(await request.body() or b"{}")
    if name in repo.branches:
        raise HubError("reference-exists")
    repo.branches[name] = repo.at(asked.get("startingPoint", "main"))
    return Response()


def delete_branch(request: Request) -> Response:
    """Answer delete_branch; `main` stays."""
    writer(request)
    repo, name = repository(request), unquote(request.path_params["rev"])
    if name == "main" or repo.branches.pop(name, None) is None:
        raise HubError("revision")
    return Response()


async def validate_yaml(request: Request) -> Response:
    """Answer the check of a card's head that precedes a commit of README.md."""
    content = (await request.json())["content"]
    try:
        parse_card(content)
    except ValueError as error:
        return JSONResponse({"errors": [{"message": str(error)}], "warnings": []}, 400)
    return JSONResponse({"errors": [], "warnings": []})
