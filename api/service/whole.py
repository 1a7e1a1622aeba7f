"""The addresses of the index as a whole: changes, the dataset in its forms, schemas."""

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response, StreamingResponse

from ...index.site import Root
from ...schema.__main__ import json_schema
from ...schema.types import SCHEMA_VERSION
from . import documents
from .answer import OPEN, SECURITY, matches, may_change
from .described import Before, Form, Limit, Since, Version, only_known, problems
from .export import view_schema
from .problems import Problem
from .replies import reply, snapshot_of
from .settings import LIMIT
from .shapes import ChangesPage, Dataset, DatasetFormat
from .static import send_file

router = APIRouter(prefix="/v1", tags=["index"], dependencies=[Depends(only_known)])
_LINES = "application/jsonl"
_CHUNK = 1 << 18


@router.get("/changes", response_model=ChangesPage, responses=problems("no-such-change"))
async def changes(request: Request, since: Since = None, before: Before = None, limit: Limit = LIMIT) -> Response:
    """What was appended to the index, newest first: the last changes, those before one, or the first after one."""
    return await reply(request, lambda snapshot: documents.changes(snapshot, since, before, limit))


@router.get("/dataset", response_model=Dataset, responses=problems())
async def dataset(request: Request) -> Response:
    """The forms in which the whole index can be had."""
    return await reply(request, documents.dataset)


@router.get(
    "/dataset/{form}",
    response_model=DatasetFormat,
    responses={
        200: {"content": {_LINES: {"schema": {"type": "string"}}, "application/octet-stream": {}}},
        206: {"description": "A part of the file.", "content": {"application/octet-stream": {}}},
        **problems("not-offered", "range-not-satisfiable"),
    },
)
async def dataset_form(request: Request, form: Form) -> Response:
    """The whole index: `jsonl` is every version, a line each; `parquet` a list of files; `duckdb` the database."""
    if form == "jsonl":
        return _lines(request)
    if form == "parquet":
        return await reply(request, lambda snapshot: documents.dataset_format(snapshot, form))
    root = snapshot_of(request).held.root
    documents.dataset_format(snapshot_of(request), form)
    return await send_file(request, documents.files_of(_known(root), form)[0]["path"])


@router.get("/schema/{version}", response_model=dict[str, Any], responses=problems("not-found"))
async def schema(request: Request, version: Version) -> Response:
    """The JSON Schema of a record (`1.x`), or that of the document of a lookup (`view`)."""
    return await reply(request, lambda _snapshot: _schema(version.removesuffix(".json")))


def _schema(version: str) -> dict[str, Any]:
    if version == "view":
        return view_schema()
    if version == SCHEMA_VERSION:
        return json_schema()
    raise Problem("not-found", f"there is no schema of this version here; known: {SCHEMA_VERSION}, view")


def _lines(request: Request) -> Response:
    """All versions in the order of the changes, streamed."""
    snapshot = snapshot_of(request)
    tag = f'"jsonl-{snapshot.head.chain[:40]}"'
    cache = may_change(request.app.state.settings.fresh)
    headers = {**SECURITY, **OPEN, "cache-control": cache, "etag": tag, "vary": "Accept-Encoding"}
    known = request.headers.get("if-none-match")
    if known is not None and matches(known, tag):
        return Response(status_code=304, headers=headers)
    headers["content-disposition"] = 'attachment; filename="super-weights.jsonl"'
    if request.scope["head"]:
        return Response(media_type=_LINES, headers=headers)
    return StreamingResponse(_gathered(snapshot.held.lines()), media_type=_LINES, headers=headers)


def _gathered(lines: Iterable[bytes]) -> Iterator[bytes]:
    held, size = [], 0
    for line in lines:
        held.append(line + b"\n")
        size += len(held[-1])
        if size >= _CHUNK:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)


def _known(root: Root | None) -> Root:
    if root is None:
        raise Problem("not-offered")
    return root
