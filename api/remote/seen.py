"""The newest root that was read from each source: an index only grows, so one that does not is an error.

A root with fewer changes than seen before went back; one with the same changes and another chain or tree, or whose
later changes do not follow those seen, is a fork. What a change says of a version is not compared with the tree here:
`swindex download` does that. A source that is read for the first time is taken as it is.
"""

import json
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from ...index import feed
from ...index.errors import DamagedFeed, StoreError, os_reason
from ...index.site import CHANGES_MOST, ROOT, ROOT_MOST, Head, Root, changes_name, segments
from .cache import put
from .fetch import NotThere, Offline, Source, Unreachable, present

_MOST = 4 * ROOT_MOST


class WentBack(StoreError):
    """The index holds less than it did."""


class Forked(StoreError):
    """The index holds something else than it did."""


class Seen(NamedTuple):
    """A root as it was read."""

    content: bytes
    etag: str | None
    checked: str
    """UTC time at which it was asked for last."""


class Asked(NamedTuple):
    """The root of a source, and if that was not asked now, when it was."""

    root: Root
    checked: str | None


class Memory:
    """What was seen of one source, in a file; without a folder nothing is."""

    def __init__(self, home: Path | None, source: str) -> None:
        self._source = source
        self.path = home and home / "seen" / f"{sha256(source.encode()).hexdigest()}.json"

    def read(self) -> Seen | None:
        """What was seen last; None if nothing was; raise StoreError."""
        if self.path is None:
            return None
        try:
            said = json.loads(self.path.read_bytes()[:_MOST])
            return Seen(said["root"].encode(), said["etag"], said["checked"]) if _is_sound(said) else self._damaged()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be read: {os_reason(error)}") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return self._damaged()

    def write(self, content: bytes, etag: str | None) -> None:
        """Remember this, if that is possible."""
        said = {"source": self._source, "root": content.decode(), "etag": etag, "checked": _now()}
        if self.path is not None:
            with suppress(OSError):
                put(self.path, json.dumps(said).encode())

    def _damaged(self) -> Seen:
        raise StoreError(f"{self.path}: damaged, so {self._source} cannot be compared with what it was; delete it")


def ask(source: Source, memory: Memory) -> Asked:
    """The root of a source, which must continue what was seen of it; where nobody is asked, the one seen.

    Raise WentBack, Forked, Offline, Unreachable, StoreError.
    """
    seen = memory.read()
    try:
        fresh = source.fresh(ROOT, seen and seen.etag, most=ROOT_MOST)
    except Offline as error:
        if seen is None:
            raise Offline(f"{error}, and nothing of it was read on this machine before") from None
        return Asked(Root.parse(seen.content), seen.checked)
    except Unreachable as error:
        raise Unreachable(f"{error}{'; --offline answers from what was read before' if seen else ''}") from None
    except NotThere:
        raise StoreError(f"{source.name}: no index here: it has no {ROOT}") from None
    content = seen.content if fresh.content is None and seen else fresh.content or b""
    root = Root.parse(content)
    if seen is not None and content != seen.content:
        must_continue(source, Root.parse(seen.content), root, memory)
    memory.write(content, fresh.etag)
    return Asked(root, None)


def must_continue(source: Source, old: Root, new: Root, memory: Memory) -> None:
    """Follow the chain from one root to another; raise WentBack, Forked, or what reading the changes raises."""
    forget = f"read another copy, or if that is meant forget it: rm {memory.path}"
    if new.seq < old.seq:
        raise WentBack(f"{source.name}: went back: it ends at change {new.seq}, but had {old.seq}; {forget}")
    if (new.seq == old.seq and new.tree != old.tree) or not _leads_to(source, old.head, new):
        raise Forked(f"{source.name}: forked: what it holds up to change {old.seq} is not what it was; {forget}")


def _leads_to(source: Source, head: Head, root: Root) -> bool:
    """Whether the changes after `head` end in the chain of the root."""
    for number, count in segments(root.seq, head.seq):
        for entry in segment(source, number, count)[max(head.seq - number * feed.SEGMENT, 0) :]:
            if after(head, entry) != entry:
                return False
            head = Head(entry.chain, entry.seq)
    return head == root.head


def after(head: Head, entry: feed.Entry) -> feed.Entry:
    """What a change says, as the one after this head."""
    return feed.place(entry._replace(chain=head.chain, seq=head.seq) if head.seq else None, entry)


def segment(source: Source, number: int, count: int) -> list[feed.Entry]:
    """The first `count` changes of a segment, each with its number, the chain not followed; raise DamagedFeed."""
    path = changes_name(number, count)
    lines = present(source, path, most=CHANGES_MOST).split(b"\n")
    entries = [feed.parse_line(line) for line in lines[:-1]]
    if lines[-1] or [e.seq for e in entries] != [number * feed.SEGMENT + n for n in range(1, count + 1)]:
        raise DamagedFeed(f"{source.name}/{path}: not the {count} changes that its name says; try another copy")
    return entries


def _is_sound(said: dict[str, object]) -> bool:
    return isinstance(said["etag"], str | None) and isinstance(said["checked"], str) and isinstance(said["root"], str)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
