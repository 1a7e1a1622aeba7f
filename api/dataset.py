"""A dataset repository on the Hub, as a publisher needs it: what is there, one commit, tags.

Errors of the Hub's client are translated here, once: `Trouble` may be gone at another try and may hide that the work
was done, so whoever catches it looks again first. Knows releases only by `root.json`.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status, httpx

from ..crawler.checkpoint.hub import refusal_of
from ..crawler.hub import retry, transport
from ..index.errors import DamagedRelease, StoreError
from ..index.site import ROOT, ROOT_MOST, Root
from ..schema.errors import SwindexError, UsageError
from ..schema.ids import is_model_id

_STALE = 412
_THERE = 409
_REFUSED = (401, 403)
_ERRORS = (HfHubHTTPError, httpx.HTTPError, httpx.InvalidURL, OfflineModeIsEnabled, UnicodeEncodeError)
_UPLOAD_ERRORS = (OSError, RuntimeError)
"""What the client raises over an upload that failed; what it says may hold signed addresses."""


_T = TypeVar("_T")


class NotPublished(SwindexError):
    """The repository cannot be published to."""


class Trouble(NotPublished):
    """Something that may be gone at another try: the repository moved on, a rate limit, an outage."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait
        """Seconds to wait; None if nobody says."""


class Patience(NamedTuple):
    """How long work goes on that meets trouble."""

    tries: int
    longest: float
    """Seconds waited at most before another try."""


def tried(work: Callable[[], _T], patience: Patience, pause: Callable[[float], None]) -> _T:
    """Do it, and again after trouble: what it does begins with a look at what is there; raise the last Trouble."""
    for attempt in range(patience.tries - 1):
        try:
            return work()
        except Trouble as trouble:
            wait = retry.backoff(attempt) if trouble.wait is None else trouble.wait
            if wait > patience.longest:
                raise
            pause(wait)
    return work()


@dataclass(frozen=True)
class There:
    """A repository at one commit."""

    sha: str
    digests: dict[str, str]
    """By path: sha256 of a large file, else git's own digest."""
    root: Root | None
    """What `root.json` says; None if there is none."""


class Dataset:
    """A dataset repository. The token is the client's own: HF_TOKEN, or that of `hf auth login`."""

    def __init__(self, repo: str, api: HfApi | None = None) -> None:
        if not is_model_id(repo):
            raise UsageError(f"{repo!r:.120} is not a repository: write ORG/NAME")
        self.repo = repo
        self.api = api or HfApi()
        transport.ensure(self.api.endpoint)

    @property
    def address(self) -> str:
        """Where people find it."""
        return f"{self.api.endpoint}/datasets/{self.repo}"

    def look(self, revision: str | None = None) -> There | None:
        """What is there, now or at a revision; None if there is no such repository, or none that the token sees."""
        with self.asking():
            try:
                sha = str(self.api.repo_info(self.repo, revision=revision, repo_type="dataset").sha)
            except RepositoryNotFoundError as error:
                if error.response is not None and "X-Error-Code" not in error.response.headers:
                    raise
                return None
            tree = self.api.list_repo_tree(self.repo, recursive=True, revision=sha, repo_type="dataset")
            digests = {f.path: f.lfs.sha256 if f.lfs else f.blob_id for f in tree if isinstance(f, RepoFile)}
            return There(sha, digests, self._root(sha) if ROOT in digests else None)

    def create(self) -> None:
        """Make the repository; one that is there already will do."""
        with self.asking():
            self.api.create_repo(self.repo, repo_type="dataset", exist_ok=True)

    def commit(self, files: Mapping[str, Path], removed: Sequence[str], parent: str, title: str, text: str) -> str:
        """Commit all this at once upon `parent`; the new revision. Raise Trouble if `main` is elsewhere by now."""
        operations: list[CommitOperationAdd | CommitOperationCopy | CommitOperationDelete] = [
            *(CommitOperationAdd(path, str(file)) for path, file in sorted(files.items())),
            *(CommitOperationDelete(path) for path in removed),
        ]
        with self.asking():
            done = self.api.create_commit(
                self.repo,
                operations,
                commit_message=title,
                commit_description=text,
                repo_type="dataset",
                parent_commit=parent,
            )
            return str(done.oid)

    def tags(self) -> dict[str, str]:
        """The revision of each tag."""
        with self.asking():
            refs = self.api.list_repo_refs(self.repo, repo_type="dataset")
            return {tag.name: tag.target_commit for tag in refs.tags}

    def tag(self, name: str, revision: str, message: str) -> None:
        """Make a tag; raise Trouble if there is one of that name by now."""
        with self.asking():
            self.api.create_tag(self.repo, tag=name, revision=revision, tag_message=message, repo_type="dataset")

    def _root(self, sha: str) -> Root:
        try:
            return Root.parse(self.read(ROOT, sha, ROOT_MOST))
        except DamagedRelease as error:
            raise NotPublished(f"{self.repo} holds what is no release: {error}") from None

    def read(self, path: str, sha: str, most: int) -> bytes:
        """A file at a commit; of a larger one than `most` bytes a little more than that."""
        url = hf_hub_url(self.repo, path, repo_type="dataset", revision=sha, endpoint=self.api.endpoint)
        headers = {**build_hf_headers(token=self.api.token), "Accept-Encoding": "identity"}
        data = bytearray()
        with get_session().stream("GET", url, headers=headers, follow_redirects=True) as response:
            hf_raise_for_status(response)
            for piece in response.iter_raw():
                data += piece
                if len(data) > most:
                    break
        return bytes(data)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Requests within it raise NotPublished, Trouble, or a Refusal's words, and nothing of the client's."""
        try:
            yield
        except _ERRORS as error:
            raise self._translated(error) from None
        except ValueError as error:  # the client's own checks, such as that of the card
            raise NotPublished(f"{self.repo}: {' '.join(str(error).split())[:300]}") from None
        except _UPLOAD_ERRORS as error:
            raise Trouble(f"{self.repo}: uploading failed ({type(error).__name__}); try again later") from None

    def _translated(self, error: Any) -> SwindexError:
        response = getattr(error, "response", None)
        status = response.status_code if response is not None else None
        if status == _STALE:
            return Trouble(f"{self.repo}: somebody else committed at the same time; publish again", 0.0)
        if status == _THERE:
            return Trouble(f"{self.repo}: is there already; publish again", 0.0)
        if status in _REFUSED:
            return NotPublished(
                f"{self.repo}: the Hub does not let this token write: check HF_TOKEN, or `hf auth login`"
            )
        said = refusal_of(error, self.repo, self.api.endpoint)
        passes = status in retry.RETRY_STATUS or (status is None and isinstance(error, retry.RETRY_ERRORS))
        return (
            Trouble(str(said), response and retry.asked_wait(response.headers)) if passes else NotPublished(str(said))
        )


def digest_like(path: Path, there: str) -> str:
    """The digest of a file, of the kind of another one: sha256, or git's own of a small file; raise StoreError."""
    try:
        with path.open("rb") as file:
            if len(there) == 64:
                return hashlib.file_digest(file, "sha256").hexdigest()
            digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
            while piece := file.read(1 << 20):
                digest.update(piece)
            return digest.hexdigest()
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from None
