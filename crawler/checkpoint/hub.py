"""A checkpoint in a Hub repository, pinned to a commit and read by HTTP ranges; nothing is written to disk.

Every answer is checked (status 206, the range that was asked, its length, an unchanged ETag): the Hub client's own
file system returns the wrong bytes when a server ignores Range. Retries and rate limits are the client's.
"""

import re
from functools import cached_property
from typing import Any

from huggingface_hub import HfApi, constants, hf_hub_url
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_backoff, httpx

from ...schema.errors import UsageError
from ...schema.model import Relation
from ...schema.types import MODEL_ID, Outcome
from ..hub.retry import with_retries
from ..refusal import Refusal, corrupt, failed
from .base import Checkpoint, FileEntry

_RELATIONS = frozenset(r.value for r in Relation)
TIMEOUT = 60.0
"""Seconds without a byte."""
GARBLED_TRIES = 3

# The client's error -> outcome and what to do. Order matters: a gated repository is also one "not found".
_OUTCOMES: tuple[tuple[type[Exception], Outcome, str], ...] = (
    (GatedRepoError, Outcome.GATED, "gated: ask for access on its page and set HF_TOKEN"),
    (DisabledRepoError, Outcome.GATED, "disabled by the Hub"),
    (RevisionNotFoundError, Outcome.NOT_FOUND, "no such revision"),
    (RepositoryNotFoundError, Outcome.NOT_FOUND, "not on the Hub, or private (set HF_TOKEN if it is yours)"),
    (RemoteEntryNotFoundError, Outcome.NOT_FOUND, "a file vanished"),
    (OfflineModeIsEnabled, Outcome.FAILED, "HF_HUB_OFFLINE is set: unset it to read from the Hub"),
)


def refusal_of(error: Exception, place: str) -> Refusal:
    """Translate an error of the Hub client: once, here."""
    for kind, outcome, advice in _OUTCOMES:
        if isinstance(error, kind):
            return Refusal(outcome, f"{place}: {advice}")
    if isinstance(error, HfHubHTTPError) and error.response is not None:
        return failed(f"{place}: the Hub answered {error.response.status_code}; try again later")
    return failed(f"{place}: {type(error).__name__}: {error}; is {constants.ENDPOINT} reachable?")


class HubCheckpoint(Checkpoint):
    """A repository at one commit. `revision` may be a branch or tag: it is resolved once."""

    def __init__(self, model_id: str, revision: str | None = None, api: HfApi | None = None) -> None:
        super().__init__()
        self.model_id = model_id
        self.api = api or HfApi()
        self._etags: dict[str, str | None] = {}
        self._info = self._pin(revision)
        self.revision = self._info.sha

    @property
    def place(self) -> str:
        """The repository, with its commit once known."""
        revision: str | None = getattr(self, "revision", None)
        return f"{self.model_id}@{revision[:8]}" if revision else self.model_id

    def _pin(self, revision: str | None) -> Any:
        try:
            self.meter.requests += 1
            info = with_retries(lambda: self.api.model_info(self.model_id, revision=revision, files_metadata=True))
        except HFValidationError:
            raise UsageError(f"{self.model_id!r} is not a model id of the form org/name") from None
        except (HfHubHTTPError, httpx.HTTPError, OfflineModeIsEnabled) as error:
            raise refusal_of(error, self.model_id) from None
        if info.sha is None or len(info.sha) != 40:
            raise failed(f"{self.model_id}: the Hub names no commit, so nothing can be pinned")
        if info.gated and not _may_read(self.api, self.model_id):
            raise Refusal(Outcome.GATED, f"{self.model_id}: gated: ask for access on its page and set HF_TOKEN")
        return info

    @cached_property
    def entries(self) -> dict[str, FileEntry]:
        """The repository's files at the commit."""
        siblings = self._info.siblings or []
        return {s.rfilename: FileEntry(s.rfilename, s.size or 0, s.lfs.sha256 if s.lfs else None) for s in siblings}

    @property
    def base_model(self) -> tuple[str | None, str | None]:
        """What the model card says it was made from (`base_model:<relation>:<id>` tags), if it is one model."""
        found = [t.split(":", 2) for t in self._info.tags or [] if t.startswith("base_model:")]
        related = [(parts[2], parts[1]) for parts in found if len(parts) == 3 and parts[1] in _RELATIONS]
        plain = [parts[1] for parts in found if len(parts) == 2]
        model_id, relation = related[0] if len(related) == 1 else (plain[0] if len(plain) == 1 else None, None)
        return (model_id, relation) if model_id and re.match(MODEL_ID, model_id) else (None, None)

    def read_range(self, path: str, start: int, end: int) -> bytes:
        """Read exactly [start, end) at the pinned commit."""
        where = f"{self.place}/{path}"
        garbled: _Garbled | None = None
        for _ in range(GARBLED_TRIES):
            try:
                return self._get(path, start, end)
            except _Garbled as error:
                garbled = error
            except (HfHubHTTPError, httpx.HTTPError, OfflineModeIsEnabled) as error:
                raise refusal_of(error, where) from None
        raise failed(f"{where}: {garbled} ({GARBLED_TRIES} tries); this server cannot be trusted with ranges")

    def _get(self, path: str, start: int, end: int) -> bytes:
        url = hf_hub_url(self.model_id, path, revision=self.revision, endpoint=self.api.endpoint)
        headers = build_hf_headers(token=self.api.token)
        headers |= {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"}
        self.meter.requests += 1
        response = http_backoff("GET", url, headers=headers, timeout=TIMEOUT, follow_redirects=True)
        if response.status_code == 416:
            raise corrupt(f"{self.place}/{path}: shorter than the Hub says (no byte {start})")
        if response.status_code >= 400:
            hf_raise_for_status(response)
        self._check(response, path, start, end)
        self.meter.bytes += len(response.content)
        return bytes(response.content)

    def _check(self, response: Any, path: str, start: int, end: int) -> None:
        size, got = self.entries[path].size, len(response.content)
        whole = start == 0 and end == size
        if response.status_code != 206 and not (whole and response.status_code == 200):
            raise _Garbled(f"the server ignored Range (status {response.status_code})")
        expected = f"bytes {start}-{end - 1}/{size}"
        if response.status_code == 206 and response.headers.get("Content-Range") != expected:
            raise _Garbled(f"asked for {expected}, got {response.headers.get('Content-Range')}")
        if got != end - start:
            raise _Garbled(f"asked for {end - start} bytes, got {got}")
        etag = response.headers.get("ETag")
        if etag is not None and self._etags.setdefault(path, etag) != etag:
            raise corrupt(f"{self.place}/{path}: changed while it was read (ETag {self._etags[path]} became {etag})")


class _Garbled(Exception):
    """An answer that is not what was asked for."""


def _may_read(api: HfApi, model_id: str) -> bool:
    """Whether the token in use opens a gated repository."""
    try:
        with_retries(lambda: api.auth_check(model_id))
    except (HfHubHTTPError, httpx.HTTPError):
        return False
    return True
