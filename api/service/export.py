"""The answers of the service as files, so that a plain file host gives them too: /v1/X is the file v1/X.json.

A page that is asked for with a cursor, or with `before`, is v1/X.CURSOR.json. For nginx the rule is
`try_files $uri $uri.json =404`. Files that say the same are left alone; each is replaced by rename. Needs no extra.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...index.errors import StoreError, os_reason
from ...schema.__main__ import json_schema
from ...schema.types import SCHEMA_VERSION
from ..names import parse_asked
from ..remote.cache import put
from ..results import LookupResult
from . import documents
from .catalogue import Wanted
from .cataloguing import read_catalogue
from .held import open_held
from .openapi_kept import document
from .problems import KINDS
from .settings import LIMIT_MOST
from .snapshot import Snapshot

Files = Iterator[tuple[str, Any]]
"""Paths and documents."""


def export(directory: Path, name: str | None = None) -> int:
    """Write the answers of the release in a directory beside it; how many files changed; raise StoreError.

    `name` is what the documents call the index, in place of the last part of the directory.
    """
    held = open_held(directory)
    snapshot = Snapshot(held, read_catalogue(directory, held), name or directory.resolve().name, None, 0)
    files = ((path, encoded(said)) for path, said in files_of(snapshot))
    return sum(_write(directory / path, data) for path, data in (*files, ("openapi.json", document())))


def encoded(said: Any) -> bytes:
    """A document as the service sends it."""
    return json.dumps(said, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def files_of(snapshot: Snapshot) -> Files:
    """Everything that is asked for without a question of one's own."""
    for row in snapshot.catalogue or ():
        yield from _model(snapshot, row.id)
    yield from _models(snapshot)
    yield from _changes(snapshot)
    yield "v1/dataset.json", documents.dataset(snapshot)
    yield f"v1/schema/{SCHEMA_VERSION}.json", json_schema()
    yield "v1/schema/view.json", view_schema()
    yield from ((f"problems/{name}.json", documents.kind_of_problem(name)) for name in KINDS)


def view_schema() -> dict[str, Any]:
    """The JSON Schema of the document of a lookup."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **LookupResult.model_json_schema()}


def _model(snapshot: Snapshot, model_id: str) -> Files:
    path, asked = f"v1/models/{model_id}", parse_asked(model_id)
    yield f"{path}.json", documents.model(snapshot, asked)
    yield f"{path}/history.json", documents.history(snapshot, model_id)
    yield f"{path}/verify.json", documents.verify(snapshot, asked)


def _models(snapshot: Snapshot) -> Files:
    cursor: str | None = None
    while True:
        page = documents.models(snapshot, Wanted(), cursor, LIMIT_MOST)
        yield f"v1/models{f'.{cursor}' if cursor else ''}.json", page
        cursor = page["cursor"]
        if cursor is None:
            return


def _changes(snapshot: Snapshot) -> Files:
    """The first page is cut so that the pages after it begin where they did before."""
    newest, before = snapshot.head.seq, None
    limit = (newest - 1) % LIMIT_MOST + 1 if newest else LIMIT_MOST
    while True:
        page = documents.changes(snapshot, None, before, limit)
        yield f"v1/changes{f'.{before}' if before else ''}.json", page
        before, limit = page["before"], LIMIT_MOST
        if before is None:
            return


def _write(path: Path, data: bytes) -> bool:
    try:
        if path.is_file() and path.read_bytes() == data:
            return False
        put(path, data)
    except OSError as error:
        raise StoreError(f"{path}: not written: {os_reason(error)}") from None
    return True
