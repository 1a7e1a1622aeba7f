"""Pull requests on the index's dataset repository: open one, see what one adds, answer it.

What a pull request says of itself is not believed: what it changes is seen from two trees, that of its commit and that
of the commit of `main` that it began from. Nothing is ever merged: it may change between a check and a merge.
Every step begins with a look, so that one whose answer was lost is found and not repeated.
"""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.community import DiscussionComment
from huggingface_hub.hf_api import RepoFile

from ...index.submissions.codes import Said
from ...index.submissions.document import MOST, PREFIX, Submission, read
from ...index.submissions.entry import Pull, Sender
from ...schema.errors import UsageError
from ..dataset import Dataset, NotPublished, Patience, tried

PATIENCE = Patience(tries=5, longest=300.0)
PATH = re.compile(rf"{PREFIX}/[A-Za-z0-9._-]{{1,200}}/[0-9a-f]{{16}}\.json", re.ASCII)
LISTED = 100
"""Files that a pull request has more than `main`: so many are listed and no more."""
_AUTHOR = re.compile(r"[A-Za-z0-9_.-]{1,96}", re.ASCII)
_SHA = re.compile("[0-9a-f]{40}")
_T = TypeVar("_T")
Pause = Callable[[float], None]


@dataclass(frozen=True)
class Opened:
    """A pull request that holds a submission. `num` and `url` are None where `main` has that very file."""

    url: str | None
    num: int | None
    is_new: bool


@dataclass(frozen=True)
class Fetched:
    """What a pull request adds: a document, or the reason why it is no submission."""

    sender: Sender
    data: bytes
    problem: Said | None = None


class Pulls(Dataset):
    """The pull requests of a dataset repository. The token is the client's own."""

    def __init__(self, repo: str, api: HfApi | None = None, pause: Pause = time.sleep) -> None:
        super().__init__(repo, api)
        self._pause = pause
        self.tree = lru_cache(64)(self._tree)

    # --- opening ---

    def offer(self, submission: Submission) -> Opened:
        """Open a pull request that adds a submission and nothing else; raise NotPublished.

        One of ours that holds it is found again, also where the answer to the commit was lost.
        """
        asked: list[bool] = []

        def work() -> Opened:
            me = self.me()
            found = self._mine(submission, me)
            if found is not None:
                return Opened(f"{self.address}/discussions/{found}", found, bool(asked))
            asked.append(True)
            return self._open(submission)

        return self.tried(work)

    def _open(self, submission: Submission) -> Opened:
        with self.asking():
            parent = str(self.api.repo_info(self.repo, repo_type="dataset").sha)
            done = self.api.create_commit(
                self.repo,
                [CommitOperationAdd(submission.path, submission.to_bytes())],
                commit_message=title_of(submission),
                commit_description=about(submission),
                repo_type="dataset",
                create_pr=True,
                parent_commit=parent,
            )
        if done.pr_num is None:
            return Opened(None, None, False)
        return Opened(f"{self.address}/discussions/{done.pr_num}", int(done.pr_num), True)

    def _mine(self, submission: Submission, me: str) -> int | None:
        """The pull request of ours that adds this submission, if there is one, open or not."""
        for each in self._discussions(author=me, status=None):
            if each.title == title_of(submission) and each.author == me and each.status != "draft":
                return int(each.num)
        return None

    # --- fetching ---

    def numbers(self) -> list[int]:
        """The open pull requests, oldest first."""
        return sorted(int(d.num) for d in self._discussions(author=None, status="open"))

    def head(self, num: int) -> str:
        """The commit of a pull request."""
        with self.asking():
            sha = self.api.repo_info(self.repo, revision=f"refs/pr/{num}", repo_type="dataset").sha
        if not isinstance(sha, str) or not _SHA.fullmatch(sha):
            raise NotPublished(f"{self.repo}#{num}: the Hub names no commit")
        return sha

    def fetch(self, num: int, sha: str) -> Fetched:
        """What a pull request adds at a commit of it; raise NotPublished."""
        with self.asking():
            author = self.api.get_discussion_details(self.repo, num, repo_type="dataset").author
        name = author if isinstance(author, str) and _AUTHOR.fullmatch(author) else "unknown"
        sender = Sender(f"hf:{name}", Pull(self.repo, num, sha))
        before = self.tree(self._base(num, sha))
        after = self.tree(sha, len(before) + LISTED)
        if len(after) == len(before) + LISTED:
            return Fetched(sender, b"", Said("not-one-file", f"it adds at least {LISTED} files"))
        changed = sorted(p for p in before.keys() | after.keys() if before.get(p) != after.get(p))
        if problem := _wrong(changed, before, after):
            return Fetched(sender, b"", problem)
        with self.asking():
            data = self.read(changed[0], sha, MOST)
        return Fetched(sender, data, _misplaced(data, changed[0]))

    def _base(self, num: int, sha: str) -> str:
        """The commit of `main` that a pull request began from."""
        with self.asking():
            main = {c.commit_id for c in self.api.list_repo_commits(self.repo, repo_type="dataset")}
            its = self.api.list_repo_commits(self.repo, repo_type="dataset", revision=sha)
        found = next((c.commit_id for c in its if c.commit_id in main), None)
        if found is None:
            raise NotPublished(f"{self.repo}#{num}: shares no commit with main")
        return found

    def _tree(self, sha: str, most: int | None = None) -> dict[str, tuple[str, int]]:
        """Digest and size of each file at a commit, of so many at most: no more is asked for."""
        with self.asking():
            tree = self.api.list_repo_tree(self.repo, recursive=True, revision=sha, repo_type="dataset")
            files = islice((f for f in tree if isinstance(f, RepoFile)), most)
            return {f.path: (f.lfs.sha256 if f.lfs else f.blob_id, f.size) for f in files}

    # --- answering ---

    def answer(self, num: int, mark: str, text: str, *, close: bool) -> bool:
        """Comment on a pull request, unless a comment of ours has this mark, and close it; whether it is new."""

        def work() -> bool:
            me = self.me()
            with self.asking():
                found = self.api.get_discussion_details(self.repo, num, repo_type="dataset")
                said = [e for e in found.events if isinstance(e, DiscussionComment) and e.author == me]
                is_new = not any(mark in e.content for e in said)
                if is_new:
                    self.api.comment_discussion(self.repo, num, f"{text}\n\n{mark}", repo_type="dataset")
                if close and found.status in ("open", "draft"):
                    self.api.change_discussion_status(self.repo, num, "closed", repo_type="dataset")
            return is_new

        return self.tried(work)

    # --- how ---

    def me(self) -> str:
        """The name behind the token; raise NotPublished without one."""
        with self.asking():
            return str(self.api.whoami(cache=True)["name"])

    def tried(self, work: Callable[[], _T]) -> _T:
        """Do it, and again after trouble; see `dataset.tried`."""
        return tried(work, PATIENCE, self._pause)

    def _discussions(self, author: str | None, status: Any) -> Iterator[Any]:
        with self.asking():
            yield from self.api.get_repo_discussions(
                self.repo,
                repo_type="dataset",
                discussion_type="pull_request",
                discussion_status=status,
                author=author,
            )


# --- what a pull request says ---


def title_of(submission: Submission) -> str:
    """The title of a pull request: named by the content of what it adds."""
    return f"Add {submission.path}"


def about(submission: Submission) -> str:
    """Its first comment."""
    what = "The record of a scan" if submission.record is not None else "A request to scan"
    return f"{what}: {submission.model} at {submission.revision or 'main'}. Made by `swindex submit`."


def _wrong(changed: list[str], before: dict[str, Any], after: dict[str, Any]) -> Said | None:
    """Why these changes are no submission; None if they add one file at an allowed path."""
    added = [p for p in changed if p not in before]
    if len(changed) != 1 or len(added) != 1:
        shown = ", ".join(ascii(p)[:80] for p in changed[:3])
        return Said(
            "not-one-file", f"it adds {len(added)} and changes or removes {len(changed) - len(added)} ({shown})"
        )
    if not PATH.fullmatch(added[0]):
        return Said("path", f"it adds {ascii(added[0])[:120]}")
    if after[added[0]][1] > MOST:
        return Said("too-large", f"{after[added[0]][1]} bytes, at most {MOST}")
    return None


def _misplaced(data: bytes, path: str) -> Said | None:
    try:
        submission = read(data)
    except UsageError as error:
        return Said("malformed", str(error))
    return None if submission.path == path else Said("path", f"it belongs at {submission.path}")
