"""Puts a release into a dataset repository on the Hub: one commit, then a tag; never back, and safe to repeat.

A release of the same changes, or of more upon them, may follow what is there; anything else is refused, as is a
repository that holds something else. Every try begins with a look at the repository, so a commit whose answer was lost
is found, and somebody else's is not overwritten.
"""

import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi

from ..index import feed, heartbeat
from ..index.release.contents import Contents, contents
from ..index.site import CHANGES, NODES, ROOT, VERSIONS, Head, Root
from ..index.store import Index
from ..schema.errors import UsageError
from .dataset import Dataset, NotPublished, Patience, There, digest_like, tried

PATIENCE = Patience(tries=6, longest=600.0)
_KEPT = (f"{CHANGES}/", f"{VERSIONS}/", f"{NODES}/")
"""Whoever reads an older release goes on with these: removed on request only."""
_OWN = (*_KEPT, "parquet/")
_NOTHING = (".gitattributes",)
"""Files of a repository that holds nothing yet."""
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
Pause = Callable[[float], None]


class Refused(NotPublished):
    """What is there is not what this release goes on from."""

    exit_status = 1


@dataclass(frozen=True)
class Wish:
    """How to publish. Without `tag` it is v<date of the release>, with .1, .2, ... where that is another commit's."""

    tag: str | None = None
    create: bool = False
    """Make the repository if it is not there."""
    prune: bool = False
    """Remove segments and nodes that only older releases name."""
    dry_run: bool = False


@dataclass(frozen=True)
class Change:
    """What a commit does: files to send, with their bytes, and paths to remove."""

    files: dict[str, int]
    removed: tuple[str, ...]


@dataclass(frozen=True)
class Published:
    """What became of it, or with a dry run would."""

    address: str
    change: Change
    before: Head | None
    """The last change that was there."""
    head: Head
    revision: str | None
    """The commit that holds the release; None if it is not made yet."""
    tag: str
    new_tag: bool
    dry_run: bool


def publish(
    directory: Path, repo: str, wish: Wish | None = None, *, api: HfApi | None = None, pause: Pause = time.sleep
) -> Published:
    """Publish the release in a directory; raise Refused, NotPublished, StoreError, UsageError."""
    return _Publisher(Dataset(repo, api), wish or Wish(), pause).publish(contents(directory))


def publish_index(
    index: Index, repo: str, wish: Wish | None = None, *, api: HfApi | None = None, pause: Pause = time.sleep
) -> Published:
    """Make a release of an index that goes on from what is there, and publish it; nothing if there is no news.

    Raise as `publish`, and as `release` does.
    """
    from ..index.release import release as make_release  # needs pyarrow

    publisher = _Publisher(Dataset(repo, api), wish or Wish(), pause)
    there = publisher.look()
    if there is not None:
        _require_index_upon(index, there, repo)
    if there and there.root and _is_current(index, there.root):
        return publisher.tagged(there, there.root)
    with tempfile.TemporaryDirectory(prefix="swindex-") as name:
        if there and there.root:
            (Path(name) / ROOT).write_bytes(there.root.to_bytes())
        make_release(index, Path(name))
        return publisher.publish(contents(Path(name)))


def _require_index_upon(index: Index, there: There, repo: str) -> None:
    """Raise Refused unless the index has all changes that are there, before a release is made of it."""
    if there.root is None:
        _require_empty(there, repo)
        return
    last = feed.newest(index.directory)

    def chain_at(seq: int) -> str:
        return next(feed.read(index.directory, since=seq - 1)).chain

    _require_upon(there.root.head, last.seq if last else 0, chain_at, repo)


def _is_current(index: Index, root: Root) -> bool:
    last = feed.newest(index.directory)
    same = last is not None and Head(last.chain, last.seq) == root.head
    return same and heartbeat.read(index.directory)["crawl"] == root.crawl


class _Publisher:
    def __init__(self, dataset: Dataset, wish: Wish, pause: Pause) -> None:
        if wish.tag is not None and not _TAG.fullmatch(wish.tag):
            raise UsageError(f"{wish.tag!r:.80} is not a tag: use letters, digits, '.', '_' and '-'")
        self.dataset, self.wish, self.pause = dataset, wish, pause
        self.sent = Change({}, ())
        """What the last try to commit held."""

    def publish(self, release: Contents) -> Published:
        before = self.look()
        change = self._change(release, before)
        if self.wish.dry_run or before is None:
            return self._dry(release.root, before, change)
        revision = tried(lambda: self._commit(release), PATIENCE, self.pause)
        tried(lambda: self._require_whole(release, revision), PATIENCE, self.pause)
        return self._published(release.root, before, self.sent, revision)

    def tagged(self, there: There, root: Root) -> Published:
        """There is no news: see to the tag."""
        if self.wish.dry_run:
            return self._dry(root, there, Change({}, ()))
        return self._published(root, there, Change({}, ()), there.sha)

    def look(self) -> There | None:
        """What is there, made if that is wished; None with a dry run that would make it."""
        there = tried(self._look, PATIENCE, self.pause)
        if there is None and not self.wish.create:
            raise NotPublished(f"{self.dataset.repo}: no such dataset, or private; --create makes it")
        return there

    def _look(self) -> There | None:
        there = self.dataset.look()
        if there is None and self.wish.create and not self.wish.dry_run:
            self.dataset.create()
            there = self.dataset.look()
        return there

    def _commit(self, release: Contents) -> str:
        there = self.dataset.look()
        if there is None:
            raise NotPublished(f"{self.dataset.repo}: went away")
        change = self._change(release, there)
        if not change.files and not change.removed:
            return there.sha
        self.sent, root = change, release.root
        paths = {path: release.directory / path for path in change.files}
        said = f"chain {root.chain}\ntree {root.tree}\nreleased {root.released}"
        title = f"Change {root.seq}, {root.models} models"
        return self.dataset.commit(paths, change.removed, there.sha, title, said)

    def _require_whole(self, release: Contents, revision: str) -> None:
        """Raise NotPublished unless the commit holds the release: a repository may have rules of its own."""
        if not self.sent.files:
            return
        there = self.dataset.look(revision)
        left = there and self._change(release, there).files
        if there is None or left:
            what = f"did not take {min(left)}; has it a .gitignore?" if left else "went away"
            raise NotPublished(f"{self.dataset.repo}: {what} ({revision[:8]} has no tag)")

    def _change(self, release: Contents, there: There | None) -> Change:
        if there is None:
            return Change({path: _size(release, path) for path in release.paths}, ())
        _require_follows(release, there, self.dataset.repo)
        new = [path for path in release.paths if _differs(release, path, there)]
        others = sorted(p for p in there.digests.keys() - set(release.paths) if p.startswith(_OWN))
        removed = tuple(p for p in others if self.wish.prune or not p.startswith(_KEPT))
        return Change({path: _size(release, path) for path in new}, removed)

    # --- tags ---

    def _published(self, root: Root, before: There, change: Change, revision: str) -> Published:
        asked = []

        def work() -> str:
            name, is_new = choose_tag(self.dataset.tags(), revision, root.released, self.wish.tag)
            if is_new:
                asked.append(name)
                self.dataset.tag(name, revision, f"Change {root.seq}")
            return name

        name = tried(work, PATIENCE, self.pause)
        return self._told(root, before, change, revision, name, bool(asked))

    def _dry(self, root: Root, before: There | None, change: Change) -> Published:
        tags = tried(self.dataset.tags, PATIENCE, self.pause) if before else {}
        revision = before.sha if before and not change.files and not change.removed else None
        name, is_new = choose_tag(tags, revision, root.released, self.wish.tag)
        return self._told(root, before, change, revision, name, is_new)

    def _told(
        self, root: Root, before: There | None, change: Change, revision: str | None, tag: str, new_tag: bool
    ) -> Published:
        was = before.root.head if before and before.root else None
        return Published(self.dataset.address, change, was, root.head, revision, tag, new_tag, self.wish.dry_run)


def choose_tag(tags: dict[str, str], revision: str | None, released: str, wanted: str | None) -> tuple[str, bool]:
    """The tag for a revision (None: one that is still to be made) and whether it is to be made; raise Refused."""
    if wanted is not None:
        if tags.get(wanted, revision) != revision:
            raise Refused(f"the tag {wanted} names another commit, {tags[wanted][:8]}, and tags do not move")
        return wanted, wanted not in tags
    known = sorted(name for name, at in tags.items() if at == revision and name.startswith("v"))
    if known:
        return known[0], False
    day, number = f"v{released[:10].replace('-', '.')}", 0
    while (name := f"{day}.{number}" if number else day) in tags:
        number += 1
    return name, True


def _require_follows(release: Contents, there: There, repo: str) -> None:
    """Raise Refused unless the release goes on from what is there."""
    at, root = there.root, release.root
    if at is None:
        _require_empty(there, repo)
        return
    _require_upon(at.head, root.seq, release.chain_at, repo)
    if at.head == root.head and at.released > root.released:
        raise Refused(f"{repo}: holds a newer release of the same changes ({at.released}, here {root.released})")


def _require_empty(there: There, repo: str) -> None:
    strange = sorted(there.digests.keys() - set(_NOTHING))
    if strange:
        raise Refused(f"{repo}: holds {strange[0]} and no release; publish to an empty dataset repository")


def _require_upon(at: Head, seq: int, chain_at: Callable[[int], str | None], repo: str) -> None:
    """Raise Refused unless changes up to `seq`, whose chains `chain_at` tells, hold those up to `at`."""
    if at.seq > seq:
        raise Refused(f"{repo}: is ahead (change {at.seq}, here {seq}); publish a release that has its changes")
    if at.seq and chain_at(at.seq) != at.chain:
        raise Refused(f"{repo}: holds other changes (they part at change {at.seq} or before); it is another index's")


def _differs(release: Contents, path: str, there: There) -> bool:
    known = there.digests.get(path)
    return known is None or digest_like(release.directory / path, known) != known


def _size(release: Contents, path: str) -> int:
    return (release.directory / path).stat().st_size
