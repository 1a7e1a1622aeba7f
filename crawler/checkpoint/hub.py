"""A checkpoint in a Hub repository, pinned to a commit and read by HTTP ranges; nothing is written to disk.

Every answer is checked (status 206, the range that was asked, its length, an unchanged ETag, and the digest where a
file came whole): the Hub client's own file system returns the wrong bytes when a server ignores Range. A body that
fails or breaks off is asked for again and then refused; it is not read further than what was asked for. What fails
before its body is repeated below, by the transport.
"""

import hashlib
import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import cached_property, partial
from threading import Event
from typing import Any

from huggingface_hub import HfApi, constants, hf_hub_url
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status, httpx

from ...schema.errors import UsageError
from ...schema.ids import is_model_id
from ...schema.model import Relation
from ...schema.types import Outcome
from ..hub import retry, transport
from ..refusal import Refusal, passing
from .base import Cancelled, Checkpoint, FileEntry
from .header import TensorInfo

_RELATIONS = frozenset(r.value for r in Relation)
TIMEOUT = 60.0
"""Seconds without a byte."""
GATED = "gated: ask for access on its page and set HF_TOKEN"
TOKEN = "the Hub does not take the token: check HF_TOKEN"

# The client's error -> outcome and what to do. Order matters: a gated repository is also one "not found".
_OUTCOMES: tuple[tuple[type[Exception], Outcome, str], ...] = (
    (GatedRepoError, Outcome.GATED, GATED),
    (DisabledRepoError, Outcome.GATED, "disabled by the Hub"),
    (RevisionNotFoundError, Outcome.NOT_FOUND, "no such revision"),
    (RepositoryNotFoundError, Outcome.NOT_FOUND, "not on the Hub, or private (set HF_TOKEN if it is yours)"),
    (RemoteEntryNotFoundError, Outcome.FAILED, "the Hub lists this file and does not have it; try again later"),
    (OfflineModeIsEnabled, Outcome.FAILED, "HF_HUB_OFFLINE is set: unset it to read from the Hub"),
    # These two would print the header they stumbled over, which is the token.
    (httpx.LocalProtocolError, Outcome.FAILED, "a request cannot be sent: HF_TOKEN holds what no token does"),
    (UnicodeEncodeError, Outcome.FAILED, "a request cannot be sent: HF_TOKEN holds what no token does"),
)
_ERRORS = (HfHubHTTPError, httpx.HTTPError, httpx.InvalidURL, OfflineModeIsEnabled, UnicodeEncodeError)
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What the client raises over an answer that is not the JSON it expects."""


def refusal_of(error: Exception, place: str, endpoint: str = constants.ENDPOINT) -> Refusal:
    """Translate an error of the Hub client: once, here. What the Hub says of a model lasts, trouble passes."""
    for kind, outcome, advice in _OUTCOMES:
        if isinstance(error, kind) and _is_said(error):
            return Refusal(outcome, f"{place}: {advice}", lasting=outcome is not Outcome.FAILED)
    if isinstance(error, HfHubHTTPError) and error.response is not None:
        status = error.response.status_code
        text = TOKEN if status in (401, 403) else f"{endpoint} answered {status}; try again later"
        return passing(f"{place}: {text}")
    return passing(f"{place}: {type(error).__name__}: {error}; is {endpoint} reachable?")


def _is_said(error: Exception) -> bool:
    """Whether it is the Hub that says so: the client takes any 401 for "no such repository"."""
    if not isinstance(error, RepositoryNotFoundError) or error.response is None:
        return True
    return any(name in error.response.headers for name in ("X-Error-Code", "X-Error-Message"))


class HubCheckpoint(Checkpoint):
    """A repository at one commit. `revision` may be a branch or tag: it is resolved once."""

    connections = 4

    def __init__(self, model_id: str, revision: str | None = None, api: HfApi | None = None) -> None:
        super().__init__()
        if not is_model_id(model_id):
            raise UsageError(f"{model_id!r} is not a model id of the form org/name")
        if revision is not None and not revision.strip():
            raise UsageError(f"{model_id}: the revision is empty")
        self.model_id = model_id
        self.api = api or HfApi()
        transport.ensure(self.api.endpoint)
        self._etags: dict[str, str] = {}
        self._info = self._pin(revision)
        self.revision = self._info.sha
        self.listed_as = str(self._info.id) if str(self._info.id).lower() != model_id.lower() else None

    @property
    def place(self) -> str:
        """The repository, with its commit once known."""
        revision: str | None = getattr(self, "revision", None)
        return f"{self.model_id}@{revision[:8]}" if revision else self.model_id

    @property
    def name(self) -> str:
        """The id under which the Hub answered; another than asked for where a repository was renamed."""
        return str(self._info.id)

    def _pin(self, revision: str | None) -> Any:
        try:
            with self._asking():
                info = self.api.model_info(self.model_id, revision=revision, files_metadata=True, timeout=TIMEOUT)
                may_read = not info.gated or self._may_read()
        except _ERRORS as error:
            raise refusal_of(error, self.model_id, self.api.endpoint) from None
        except _UNREADABLE as error:
            reason = f"the answer of {self.api.endpoint} cannot be read ({type(error).__name__}); try again later"
            raise passing(f"{self.model_id}: {reason}") from None
        if not isinstance(info.sha, str) or not re.fullmatch("[0-9a-f]{40}", info.sha):
            raise passing(f"{self.model_id}: the Hub names no commit, so nothing can be pinned")
        if not may_read:
            raise Refusal(Outcome.GATED, f"{self.model_id}: {GATED}", info.sha)
        return info

    def _may_read(self) -> bool:
        """Whether the token in use opens a gated repository; an outage is no answer and is raised."""
        try:
            self.api.auth_check(self.model_id)
        except RepositoryNotFoundError as error:
            if not _is_said(error):
                raise
            return False
        return True

    def _asking(self, stop: Event | None = None) -> AbstractContextManager[None]:
        """Requests within it are this checkpoint's; their waits end soon after `stop` is set."""
        pause = None if stop is None else partial(_pause, stop)
        return transport.caller(partial(self.meter.add, requests=1), pause)

    @cached_property
    def entries(self) -> dict[str, FileEntry]:
        """The repository's files at the commit."""
        return {s.rfilename: self._entry(s) for s in self._info.siblings or []}

    def _entry(self, sibling: Any) -> FileEntry:
        if not isinstance(sibling.size, int):
            raise passing(f"{self.place}: the Hub does not say how large {sibling.rfilename} is; try again later")
        sha256 = _hex(sibling.lfs.sha256, 64) if sibling.lfs else None
        git_oid = None if sibling.lfs else _hex(sibling.blob_id, 40)
        return FileEntry(sibling.rfilename, sibling.size, sha256, git_oid)

    @property
    def base_model(self) -> tuple[str | None, str | None]:
        """What the model card says it was made from (`base_model:<relation>:<id>` tags), if it is one model."""
        found = [t.split(":", 2) for t in self._info.tags or [] if t.startswith("base_model:")]
        related = [(parts[2], parts[1]) for parts in found if len(parts) == 3 and parts[1] in _RELATIONS]
        plain = [parts[1] for parts in found if len(parts) == 2]
        model_id, relation = related[0] if len(related) == 1 else (plain[0] if len(plain) == 1 else None, None)
        return (model_id, relation) if model_id and is_model_id(model_id) else (None, None)

    def _header(self, file: str) -> dict[str, TensorInfo]:
        """The header of a file. A damaged one is fetched twice: `corrupt` is remembered, a bad line must not be."""
        try:
            return super()._header(file)
        except Refusal as refusal:
            if refusal.outcome is not Outcome.CORRUPT:
                raise
            return super()._header(file)

    def read_into(self, path: str, start: int, view: memoryview, stop: Event | None = None) -> None:
        """Fill `view` with the bytes of a file at the pinned commit from `start` on."""
        where, attempt = f"{self.place}/{path}", 0
        while True:
            try:
                with self._asking(stop):
                    return self._get(path, start, view, stop)
            except (_Garbled, _Broken) as error:
                attempt += 1
                if attempt == retry.TRIES:
                    raise self._given_up(error, where) from None
                if isinstance(error, _Broken):
                    (time.sleep if stop is None else partial(_pause, stop))(retry.backoff(attempt - 1))
            except _ERRORS as error:
                raise refusal_of(error, where, self.api.endpoint) from None

    def _given_up(self, error: "_Garbled | _Broken", where: str) -> Refusal:
        if isinstance(error, _Broken):
            return refusal_of(error.cause, where, self.api.endpoint)
        return passing(f"{where}: {error} ({retry.TRIES} tries); this server cannot be trusted with ranges")

    def _get(self, path: str, start: int, view: memoryview, stop: Event | None) -> None:
        url = hf_hub_url(self.model_id, path, revision=self.revision, endpoint=self.api.endpoint)
        headers = build_hf_headers(token=self.api.token)
        end = start + len(view)
        headers |= {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"}
        with get_session().stream("GET", url, headers=headers, timeout=TIMEOUT, follow_redirects=True) as response:
            if response.status_code == 416:
                raise _Garbled(f"no byte {start}, though the Hub lists more")
            if response.status_code >= 400:
                hf_raise_for_status(response)
            entry = self.entries[path]
            _check_head(response, entry, start, end)
            self._check_etag(response, entry)
            self._body(response, view, stop)
        if len(view) == entry.size and not _is_content(entry, view):
            raise _Garbled("its content has another digest than the Hub lists")

    def _body(self, response: Any, view: memoryview, stop: Event | None) -> None:
        got = 0
        for piece in _pieces(response):
            if stop is not None and stop.is_set():
                raise Cancelled
            self.meter.add(len(piece))
            view[got : got + len(piece)] = piece[: len(view) - got]
            got += len(piece)
            if got > len(view):
                break
        if got != len(view):
            raise _Garbled(f"asked for {len(view)} bytes, got {'more' if got > len(view) else got}")

    def _check_etag(self, response: Any, entry: FileEntry) -> None:
        """The ETag of a file never changes; the Hub's own for a large file is its sha256."""
        linked = (response.history or [response])[0].headers.get("X-Linked-Etag")
        etag = linked or response.headers.get("ETag")
        if etag is None:
            return
        etag = etag.removeprefix("W/").strip('"')
        known = self._etags.setdefault(entry.path, entry.sha256 if linked and entry.sha256 else etag)
        if etag != known:
            raise _Garbled(f"ETag {known} became {etag}")


def _pause(stop: Event, seconds: float) -> None:
    """Wait, unless nobody waits for the answer any more."""
    if stop.wait(seconds):
        raise Cancelled


class _Garbled(Exception):
    """An answer that is not what was asked for."""


class _Broken(Exception):
    """A body that broke off."""

    def __init__(self, cause: httpx.HTTPError) -> None:
        super().__init__()
        self.cause = cause


def _pieces(response: Any) -> Iterator[bytes]:
    """The body as it comes; raise _Broken if it breaks off."""
    try:
        yield from response.iter_raw()
    except retry.RETRY_ERRORS as error:
        raise _Broken(error) from None


def _check_head(response: Any, entry: FileEntry, start: int, end: int) -> None:
    """Raise _Garbled unless the status line and headers promise the bytes that were asked for."""
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise _Garbled(f"the server sent {encoding}, which nobody asked for")
    expected = f"bytes {start}-{end - 1}/{entry.size}"
    if response.status_code == 206:
        if response.headers.get("Content-Range") != expected:
            raise _Garbled(f"asked for {expected}, got {response.headers.get('Content-Range')}")
    elif response.status_code != 200 or (start, end) != (0, entry.size):
        raise _Garbled(f"the server ignored Range (status {response.status_code})")


def _hex(value: Any, length: int) -> str | None:
    return value if isinstance(value, str) and re.fullmatch(f"[0-9a-f]{{{length}}}", value) else None


def _is_content(entry: FileEntry, data: memoryview) -> bool:
    """Whether a whole file has the digest that the Hub lists; true where it lists none."""
    if entry.sha256:
        return hashlib.sha256(data).hexdigest() == entry.sha256
    if entry.git_oid:
        return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == entry.git_oid
    return True
