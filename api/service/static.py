"""The static site under the same origin: a release directory as it lies, its root as it was when it was taken.

With it `Client("http://...")`, `swindex download --from` and `--index` read from the service. Ranges are Starlette's,
one at a time.
"""

import re
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response

from ...index.site import CHANGES, NODES, ROOT, VERSIONS
from .answer import IMMUTABLE, JSON, OPEN, SECURITY, Answer, matches, may_change
from .problems import Problem
from .replies import snapshot_of

_MEDIA = {
    ".json": JSON,
    ".jsonl": "application/jsonl",
    ".md": "text/markdown; charset=utf-8",
    ".parquet": "application/vnd.apache.parquet",
}
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.ASCII)
_PATHS = (
    f"/{CHANGES}/{{name}}.jsonl",
    f"/{VERSIONS}/{{name}}.jsonl",
    f"/{NODES}/{{two}}/{{name}}.json",
    "/parquet/{table}/{name}.parquet",
    "/index.duckdb",
    "/README.md",
    "/CHANGELOG.md",
    "/croissant.json",
)


router = APIRouter()


@router.get(f"/{ROOT}", response_model=None, include_in_schema=False)
async def _root(request: Request) -> Response:
    """`root.json`, of the snapshot: what it names was there when it was taken."""
    offered = snapshot_of(request).offered
    if offered is None:
        raise _not_offered()
    return Answer(offered.content, may_change(request.app.state.settings.fresh))


async def _file(request: Request) -> Response:
    return await send_file(request, request.scope["path"][1:])


async def send_file(request: Request, path: str) -> Response:
    """A file of the site, or the range asked for."""
    offered = snapshot_of(request).offered
    if offered is None:
        raise _not_offered()
    tag = await run_in_threadpool(offered.tag_of, path)
    where = offered.folder / path
    if tag is None or not await run_in_threadpool(where.is_file):
        raise Problem("not-found")
    cache = IMMUTABLE if offered.is_immutable(path) else may_change(request.app.state.settings.fresh)
    headers = {**SECURITY, **OPEN, "cache-control": cache, "etag": f'"{tag}"'}
    known = request.headers.get("if-none-match")
    if known is not None and matches(known, f'"{tag}"'):
        return Response(status_code=304, headers=headers)
    request.scope["method"] = "HEAD" if request.scope["head"] else request.method
    _keep_one_range(request, where)
    media = _MEDIA.get(where.suffix, "application/octet-stream")
    return FileResponse(where, headers=headers, media_type=media)


def _keep_one_range(request: Request, where: Path) -> None:
    """Leave out a Range that is none or several, as one may; raise Problem for one beyond the end."""
    asked = request.headers.get("range")
    if asked is None:
        return
    found, size = _RANGE.fullmatch(asked), where.stat().st_size
    is_one = found is not None and (found[1] or found[2]) and not (found[2] and found[1] and _wrong(found))
    if not is_one or found is None:
        request.scope["headers"] = [pair for pair in request.scope["headers"] if pair[0] != b"range"]
    elif (int(found[1]) >= size) if found[1] else int(found[2]) == 0 or size == 0:
        raise Problem("range-not-satisfiable", headers={"Content-Range": f"bytes */{size}"})


def _wrong(found: re.Match[str]) -> bool:
    return int(found[2]) < int(found[1])


def _not_offered() -> Problem:
    how = "`swindex index release DIR` makes one, which `swindex serve --index DIR` serves"
    return Problem("not-offered", f"this index is too large to be made a static site of when the service starts: {how}")


for _path in _PATHS:
    router.add_api_route(_path, _file, response_model=None, include_in_schema=False)
