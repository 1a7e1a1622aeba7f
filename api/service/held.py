"""An index or a release in a directory, held open at one change: the same questions asked of either.

`mark` tells cheaply whether the directory holds something else than before. Knows files through the readers that the
client uses; nothing of HTTP.
"""

from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any, Protocol

from ...index import feed, heartbeat, log
from ...index.errors import StoreError
from ...index.feed import Entry
from ...index.release.static import line_at
from ...index.site import NO_CHAIN, ROOT, ROOT_MOST, Head, Root, count_of, segment_of, versions_name
from ...schema.errors import UsageError
from .. import origin
from ..names import is_address
from ..reader import Reader
from ..reading import Local, is_release, named_source, records_dir
from ..remote.cache import Cache
from ..remote.fetch import Folder, Fresh
from ..remote.reader import Remote
from ..remote.seen import Memory, after, segment
from ..remote.site import Site


class Held(Protocol):
    """An index up to its change `head`."""

    reader: Reader
    head: Head
    root: Root | None
    """Of a release."""
    content: bytes | None
    """Of the root of a release."""

    def entries(self, first: int, last: int) -> list[Entry]:
        """The changes with these numbers, both ends included, oldest first; raise StoreError."""

    def lines(self) -> Iterator[bytes]:
        """The versions in the order of the changes, each as it stands in the log; raise StoreError."""


def directory_of(source: str | Path | None) -> Path:
    """The directory to serve: an index or a release; raise UsageError for an address, StoreError if there is none."""
    named = named_source(source)
    if named is not None and is_address(named):
        copy = f"swindex download --from {named} --to DIR, then swindex serve --index DIR"
        raise UsageError(f"{named}: only what lies on this machine is served: {copy}")
    return Path(named) if named is not None and is_release(named) else records_dir(source).parent


def mark(directory: Path) -> object:
    """What is another if the directory holds another index; raise StoreError."""
    if is_release(directory):
        return Folder(directory).read(ROOT, most=ROOT_MOST)
    newest = feed.newest(directory)
    return newest, *(_stamp(directory / name) for name in (heartbeat.NAME, origin.NAME))


def open_held(directory: Path) -> Held:
    """What the directory holds now; raise StoreError."""
    return HeldRelease(directory) if is_release(directory) else HeldIndex(directory)


def must_continue(old: Held, new: Held) -> list[Entry]:
    """The changes from one to the other, which must be a continuation; raise StoreError."""
    if new.head.seq < old.head.seq:
        raise WentBack(
            f"{new.reader.name}: went back from change {old.head.seq} to {new.head.seq}; restart to serve it"
        )
    head, entries = old.head, new.entries(old.head.seq + 1, new.head.seq)
    for entry in entries:
        if after(head, entry) != entry:
            break
        head = Head(entry.chain, entry.seq)
    if head != new.head or (not entries and _tree(old) != _tree(new)):
        raise Forked(f"{new.reader.name}: forked after change {old.head.seq}; restart to serve it")
    return entries


def _tree(held: Held) -> str | None:
    return held.root.tree if held.root else None


class WentBack(StoreError):
    """The index holds less than it did."""


class Forked(StoreError):
    """The index holds something else than it did."""


class HeldIndex:
    """An index, which may be appended to meanwhile: what is newer than `head` can be seen in single models."""

    root: Root | None = None
    content: bytes | None = None

    def __init__(self, directory: Path) -> None:
        self._home, self._records = directory, directory / "records"
        newest = feed.newest(directory)
        if newest is None and any(log.log_paths(self._records)):
            raise StoreError(f"{directory}: it has no change feed yet; `swindex index build` makes it")
        self.head = Head(newest.chain, newest.seq) if newest else Head(NO_CHAIN, 0)
        self.reader: Reader = Local(self._records)

    def entries(self, first: int, last: int) -> list[Entry]:
        """As `Held.entries`."""
        return list(self._entries(first, last))

    def lines(self) -> Iterator[bytes]:
        """As `Held.lines`."""
        return (line_at(self._records, entry) for entry in self._entries(1, self.head.seq))

    def _entries(self, first: int, last: int) -> Iterator[Entry]:
        if first > last:
            return iter(())
        return takewhile(lambda entry: entry.seq <= last, feed.read(self._home, first - 1))


class HeldRelease:
    """A release; its files are immutable by name, so it stays what it is when another takes its place."""

    def __init__(self, directory: Path) -> None:
        self.content: bytes | None = Folder(directory).read(ROOT, most=ROOT_MOST)
        self.root: Root | None = Root.parse(self.content)
        self.head = self.root.head
        self._source = _Pinned(directory, self.content)
        self.reader: Reader = Remote(Site(self._source, Cache(None), Memory(None, self._source.name)))

    def entries(self, first: int, last: int) -> list[Entry]:
        """As `Held.entries`."""
        if first > last:
            return []
        numbers = range(segment_of(first), segment_of(last) + 1)
        found = (e for n in numbers for e in segment(self._source, n, count_of(n, self.head.seq)))
        return [entry for entry in found if first <= entry.seq <= last]

    def lines(self) -> Iterator[bytes]:
        """As `Held.lines`."""
        for number in range(segment_of(self.head.seq) + 1 if self.head.seq else 0):
            path = versions_name(number, count_of(number, self.head.seq))
            yield from self._source.read(path, most=_SEGMENT_MOST).splitlines()


_SEGMENT_MOST = 1 << 33


class _Pinned(Folder):
    """A release directory as it was when its root was read."""

    def __init__(self, directory: Path, root: bytes) -> None:
        super().__init__(directory)
        self._root = root

    def fresh(self, path: str, etag: str | None = None, *, most: int) -> Fresh:
        """The root as it was."""
        return Fresh(self._root)


def _stamp(path: Path) -> Any:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
