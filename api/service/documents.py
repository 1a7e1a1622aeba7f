"""The documents of the service: each a function from a snapshot and what is asked to plain data.

Nothing here knows HTTP, so that the same answers can be written as files. Raise Problem, NotInIndex, UsageError, or
StoreError, whose words may name paths of this machine and are not for the client.
"""

from typing import Any

from ...index.errors import NotInIndex
from ...index.site import Root
from ...schema.errors import SwindexError, UsageError
from ..answer import answer, not_in_index
from ..changes import history as history_of
from ..names import Asked, parse_asked
from ..reader import find
from ..recent import Appended
from ..verifiable import verifiable
from .catalogue import Catalogue, Wanted
from .problems import KINDS, Problem
from .snapshot import Snapshot

Json = dict[str, Any]


# --- one model ---


def model(snapshot: Snapshot, asked: Asked, base: str | None = None) -> Json:
    """What `swindex lookup --json` prints."""
    return answer(asked, snapshot.reader, base)


def history(snapshot: Snapshot, model_id: str) -> Json:
    """What `swindex history --json` prints."""
    versions = history_of(model_id, snapshot.reader)
    return {"model": model_id, "versions": [version.model_dump(mode="json") for version in versions]}


def verify(snapshot: Snapshot, asked: Asked) -> Json:
    """What to read, and where, to see for oneself that the record is right."""
    found = find(snapshot.reader, asked)
    if found is None:
        raise NotInIndex(not_in_index(asked.model_id, snapshot.reader))
    return verifiable(found.record)


# --- many models ---


def models(snapshot: Snapshot, wanted: Wanted, cursor: str | None, limit: int) -> Json:
    """A page of the models that are wanted, in the order of their lower-cased ids."""
    catalogue = _catalogue(snapshot)
    rows, more = catalogue.page(wanted, _after(cursor), limit)
    after = _cursor(rows[-1].id) if more else None
    return {"models": [row.document for row in rows], "cursor": after, "indexed": len(catalogue)}


def query(snapshot: Snapshot, names: list[str]) -> Json:
    """What is known of each of these models (`ORG/NAME`, `ORG/NAME@REVISION`), in their order; errors in place."""
    return {"results": [_result(snapshot, name) for name in names]}


def _result(snapshot: Snapshot, name: str) -> Json:
    try:
        return {"asked": name, "document": model(snapshot, parse_asked(name)), "problem": None}
    except SwindexError as error:
        return {"asked": name, "document": None, "problem": problem_of(error).document}


def problem_of(error: SwindexError) -> Problem:
    """The problem that an error of swindex is: of some the words are for the client, of others for the log."""
    if isinstance(error, NotInIndex):
        return Problem("not-in-index", str(error))
    if isinstance(error, UsageError):
        return Problem("invalid-request", str(error))
    return Problem("index-unreadable")


def kind_of_problem(name: str) -> Json:
    """What a type of problem means."""
    return {"type": f"/problems/{name}", **KINDS[name]._asdict()}


# --- the index ---


def changes(snapshot: Snapshot, since: int | None, before: int | None, limit: int) -> Json:
    """Changes, newest first: the last ones, those before a number, or the first ones after one."""
    newest = snapshot.head.seq
    if since is not None and since > newest:
        raise Problem("no-such-change", f"change {since} is not there yet: the last one is {newest}")
    end = newest if before is None else min(before - 1, newest)
    first = max(end - limit + 1, 1) if since is None else since + 1
    last = end if since is None else min(since + limit, end)
    told = [Appended(**entry._asdict()).model_dump() for entry in snapshot.held.entries(first, last)]
    return {
        "changes": told[::-1],
        "next": told[-1]["seq"] if told else since or newest,
        "newest": newest,
        "before": told[0]["seq"] if told and since is None and first > 1 else None,
    }


def dataset(snapshot: Snapshot) -> Json:
    """The forms of the whole index, and where each is."""
    root = snapshot.held.root
    return {
        "seq": snapshot.head.seq,
        "chain": snapshot.head.chain,
        "models": snapshot.models,
        "newest": snapshot.newest,
        "released": root.released if root else None,
        "root": "/root.json" if snapshot.offered or root else None,
        "formats": [
            {"format": "jsonl", "url": "/v1/dataset/jsonl", "files": []},
            *(_format(root, name) for name in ("parquet", "duckdb") if root and files_of(root, name)),
        ],
    }


_FILES = {"parquet": "parquet/", "duckdb": "index.duckdb"}
"""How the paths of a form begin in a release."""


def files_of(root: Root, name: str) -> list[Json]:
    """The files of a form of a release."""
    begins = _FILES[name]
    return [
        {"path": path, "url": f"/{path}", "sha256": file.sha256, "size": file.size}
        for path, file in sorted(root.files.items())
        if path.startswith(begins)
    ]


def dataset_format(snapshot: Snapshot, name: str) -> Json:
    """A form that consists of files."""
    root = snapshot.held.root
    if root is None or not files_of(root, name):
        how = "`swindex index release DIR` makes one, which `swindex serve --index DIR` serves"
        raise Problem("not-offered", f"what is served here is no release with {name} files: {how}")
    return _format(root, name)


def _format(root: Root, name: str) -> Json:
    return {"format": name, "url": f"/v1/dataset/{name}", "files": files_of(root, name)}


# --- cursors ---


def _cursor(model_id: str) -> str:
    return f"m{model_id.encode().hex()}"


def _after(cursor: str | None) -> str:
    """The model after which a page begins; a cursor is ASCII in hex, see `described.Cursor`."""
    return bytes.fromhex(cursor[1:]).decode("ascii") if cursor else ""


def _catalogue(snapshot: Snapshot) -> Catalogue:
    if snapshot.catalogue is None:
        raise Problem("starting")
    return snapshot.catalogue
