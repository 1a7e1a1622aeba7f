"""The changes that a release has and a copy lacks, checked up to the chain that root.json names.

Only what lies after the copy's last change is read, and that last change once more: it must be the source's too, else
the two have parted. Nothing is appended before all changes are known to lead to the root.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ...index import feed, site
from ...index.errors import DamagedRelease, StoreError
from ...index.feed import Entry
from ...index.site import Root
from ..remote.fetch import Source, Unreachable, present
from ..remote.seen import Forked, WentBack

VERSIONS_MOST = 1 << 30
"""Bytes of a segment of versions."""


class Since(NamedTuple):
    """What a copy is made up to, and where that stands in its segment."""

    where: Path
    """The copy, as errors name it."""
    head: Entry | None
    """The last change; of one that is known by number and chain alone the rest is empty."""
    start: int = 0
    """Where the reading of its segment begins."""
    skip: int = 0
    """Lines from there up to the head's own, which must be the copy's."""

    @property
    def seq(self) -> int:
        """The number of the head."""
        return self.head.seq if self.head else 0

    @property
    def chain(self) -> str:
        """The chain of the head."""
        return self.head.chain if self.head else feed.START


class News(NamedTuple):
    """New changes of one segment."""

    number: int
    total: int
    """Changes in the segment as the release has it: part of its name."""
    entries: tuple[Entry, ...]
    earlier: tuple[Entry, ...] = ()
    """What was read before them; of those only the last is known to be the copy's."""


def since_directory(copy: Path) -> Since:
    """What an index in a directory is made up to; raise StoreError."""
    head = feed.newest(copy)
    if head is None or head.seq % site.SEGMENT == 0:
        return Since(copy, head)
    lines = feed.whole_lines(copy, site.segment_of(head.seq), last=True)
    return Since(copy, head, sum(len(line) + 1 for line in lines[: head.seq % site.SEGMENT - 1]), 1)


def since_change(where: Path, seq: int, chain: str) -> Since:
    """What a copy is made up to of which number and chain are known: its whole segment is read."""
    head = Entry(chain, "", "", "", seq, "", 0, False) if seq else None
    return Since(where, head, 0, seq % site.SEGMENT)


def fetch(source: Source, root: Root, since: Since) -> list[News]:
    """The changes after the copy's last one, by segment; raise Forked, WentBack, DamagedRelease, StoreError."""
    if root.seq < since.seq:
        raise WentBack(
            f"{source.name}: went back: it ends with change {root.seq}, {since.where} has {since.seq}; if that is "
            f"meant, delete {since.where} and download again"
        )
    if root.seq == since.seq and root.chain != since.chain:
        raise _forked(source, since)
    found = list(_followed(source, root, since)) if root.seq > since.seq else []
    last = found[-1].entries[-1] if found else since.head
    if last and (last.chain, last.time or root.newest) != (root.chain, root.newest):
        raise _damaged(source, "the changes do not lead to the one that root.json names")
    return found


def _followed(source: Source, root: Root, since: Since) -> Iterator[News]:
    before = since.head
    for number, count in site.segments(root.seq, since.seq):
        try:
            news = _news(source, number, count, before, since)
        except Unreachable:
            raise
        except StoreError:
            if before is since.head and not _has(source, root, since):
                raise _forked(source, since) from None
            raise
        yield news
        before = news.entries[-1]


def _news(source: Source, number: int, count: int, before: Entry | None, since: Since) -> News:
    """The new changes of a segment, each following the one before."""
    is_parted = before is since.head and since.skip > 0
    start, skip = (since.start, since.skip) if is_parted else (0, 0)
    name = site.changes_name(number, count)
    *lines, rest = present(source, name, start=start, most=site.CHANGES_MOST).split(b"\n")
    entries = tuple(feed.parse_line(line) for line in lines)
    wanted = count - (since.seq % site.SEGMENT if is_parted else 0)
    if rest or len(entries) != skip + wanted:
        raise _damaged(source, f"{name} has not the {wanted} changes that are missing here")
    if skip and (entries[skip - 1].seq, entries[skip - 1].chain) != (since.seq, since.chain):
        raise _damaged(source, f"{name} has another change {since.seq}")
    for entry in entries[skip:]:
        if not feed.follows(before, entry):
            raise _damaged(source, f"change {entry.seq} does not follow the one before")
        before = entry
    return News(number, count, entries[skip:], entries[:skip])


def _has(source: Source, root: Root, since: Since) -> bool:
    """Whether the source has the copy's last change at its place."""
    if not since.seq:
        return True
    number, at = site.segment_of(since.seq), (since.seq - 1) % site.SEGMENT
    lines = present(source, site.changes_name(number, site.count_of(number, root.seq)), most=site.CHANGES_MOST)
    found = lines.split(b"\n")[at : at + 1]
    return bool(found) and f'"chain":"{since.chain}"'.encode() in found[0]


# --- the versions ---


def versions(source: Source, news: News, start: int) -> Iterator[tuple[Entry, bytes]]:
    """The new changes of a segment, each with its line, which is not checked yet; `start` is where the first begins."""
    name = site.versions_name(news.number, news.total)
    most = min(len(news.entries) * (site.LINE_MOST + 1), VERSIONS_MOST)
    *lines, rest = present(source, name, start=start, most=most).split(b"\n")
    if rest or len(lines) != len(news.entries):
        raise _damaged(source, f"{name} has not the {len(news.entries)} lines that are missing here")
    return zip(news.entries, lines, strict=True)


def _forked(source: Source, since: Since) -> Forked:
    return Forked(
        f"{source.name}: forked: its change {since.seq} is not that of {since.where}; one of the two was changed "
        "afterwards: download into another directory (--to DIR) and compare"
    )


def _damaged(source: Source, why: str) -> DamagedRelease:
    return DamagedRelease(f"{source.name}: {why}; if a release is being made, try again later, else read another copy")
