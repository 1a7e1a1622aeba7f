"""The bytes of files: HEAD and GET of /{repo}/resolve/{revision}/{path}, whole or by range.

Sends from memory or disk in pieces. A large file may be sent by the second port ("CDN"), to which the first
answers 302; that one asks for no token and knows no repositories, only digests.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .blobs import Blob, is_lfs
from .errors import HubError
from .repos import Commit
from .server import hang_up
from .state import open_files, repository, revision, state_of

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class BlobResponse(Response):
    """Bytes [start, stop) of a blob, read only as they are sent and while there is a reader."""

    def __init__(self, blob: Blob, start: int, stop: int, status: int, headers: dict[str, str]) -> None:
        super().__init__(status_code=status, headers=headers, media_type="application/octet-stream")
        self.blob, self.start, self.stop = blob, start, stop
        self.headers["Content-Length"] = str(stop - start)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] != "HEAD":
            for piece in self.blob.pieces(self.start, self.stop):
                if scope["state"]["transport"].is_closing():
                    await hang_up(scope, receive)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def span(header: str | None, size: int) -> tuple[int, int] | None:
    """Return [start, stop) of a Range header, None to send all (no range, several, or not understood).

    Raise ValueError if the range has no byte in a file of this size.
    """
    match = _RANGE.fullmatch((header or "").strip())
    if not match or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    start, stop = (int(first), int(last or size - 1) + 1) if first else (max(size - int(last), 0), size)
    if last and first and stop <= start:
        return None
    if start >= size or (not first and not int(last)):
        raise ValueError(header)
    return start, min(stop, size)


def send_blob(request: Request, blob: Blob, headers: dict[str, str]) -> Response:
    """Answer with a blob or with the range of it that the request asks for."""
    headers = {"Accept-Ranges": "bytes", **headers}
    try:
        found = span(request.headers.get("range"), blob.size)
    except ValueError:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{blob.size}"})
    if found is None:
        return BlobResponse(blob, 0, blob.size, 200, headers)
    start, stop = found
    return BlobResponse(blob, start, stop, 206, {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{blob.size}"})


def describe(commit: Commit, path: str, blob: Blob) -> dict[str, str]:
    """Return the headers that tell the client what it is about to read."""
    headers = {"X-Repo-Commit": commit.sha}
    if not is_lfs(path, blob):
        return {**headers, "ETag": f'"{blob.git_oid}"'}
    etag = f'"{blob.sha256}"'
    return {**headers, "ETag": etag, "X-Linked-Etag": etag, "X-Linked-Size": str(blob.size)}


def resolve(request: Request) -> Response:
    """Answer a read of a file."""
    repo, state = repository(request), state_of(request)
    open_files(request, repo)
    commit, path = revision(request, repo), unquote(request.path_params["path"])
    blob = commit.tree.get(path)
    if blob is None:
        raise HubError("entry", f"Entry not found: {path}", {"X-Repo-Commit": commit.sha})
    headers = describe(commit, path, blob)
    if state.cdn and is_lfs(path, blob):
        state.large[blob.sha256] = blob
        return Response(status_code=302, headers={**headers, "Location": f"{state.cdn_url}/cdn/{blob.sha256}"})
    return send_blob(request, blob, headers)


def cdn(request: Request) -> Response:
    """Answer a read of a large file by its digest; a token here is an error, as with signed addresses."""
    blob = state_of(request).large.get(request.path_params["sha256"])
    if blob is None:
        raise HubError("page")
    if "authorization" in request.headers:
        raise HubError("bad", "Only one auth mechanism allowed")
    return send_blob(request, blob, {"ETag": f'"{blob.sha256}"'})
