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


class News(NamedTuple):
    """New changes of one segment."""

    number: int
    count: int
    """Changes in the segment as the release has it: part of its name."""
    entries: tuple[Entry, ...]


def fetch(source: Source, root: Root, copy: Path) -> list[News]:
    """The changes after the copy's last one, by segment; raise Forked, WentBack, DamagedRelease, StoreError."""
    head = feed.newest(copy)
    seq, chain = (head.seq, head.chain) if head else (0, feed.START)
    if root.seq < seq:
        raise WentBack(
            f"{source.name}: went back: it ends with change {root.seq}, {copy} has {seq}; if that is meant, "
            f"delete {copy} and download again"
        )
    if root.seq == seq and root.chain != chain:
        raise _forked(source, seq, copy)
    found = list(_followed(source, root, head, copy)) if root.seq > seq else []
    last = found[-1].entries[-1] if found else head
    if last and (last.chain, last.time) != (root.chain, root.newest):
        raise _damaged(source, "the changes do not lead to the one that root.json names")
    return found


def _followed(source: Source, root: Root, head: Entry | None, copy: Path) -> Iterator[News]:
    before = head
    for number, count in site.segments(root.seq, head.seq if head else 0):
        wanted = count if before is None else number * site.SEGMENT + count - before.seq
        try:
            lines = _lines(source, number, count, head, copy)
            entries = tuple(_chained(source, lines, before, wanted))
        except Unreachable:
            raise
        except StoreError:
            if before is head and head is not None and not _has(source, root, head):
                raise _forked(source, head.seq, copy) from None
            raise
        yield News(number, count, entries)
        before = entries[-1]


def _lines(source: Source, number: int, count: int, head: Entry | None, copy: Path) -> list[bytes]:
    """The new lines of a segment, read from the copy's last one on."""
    start, known = 0, b""
    if head is not None and number == (head.seq - 1) // site.SEGMENT:
        known = feed.line_of(head) + b"\n"
        start = sum(len(line) + 1 for line in feed.whole_lines(copy, number, last=True)[: _place(head)])
    name = site.changes_name(number, count)
    data = present(source, name, start=start, most=site.CHANGES_MOST)
    if not data.startswith(known):
        raise _damaged(source, f"{name} has another change {head.seq if head else 0}")
    *lines, rest = data[len(known) :].split(b"\n")
    if rest:
        raise _damaged(source, f"{name} does not end with a newline")
    return lines


def _chained(source: Source, lines: list[bytes], before: Entry | None, wanted: int) -> Iterator[Entry]:
    if len(lines) != wanted:
        raise _damaged(source, f"{len(lines)} changes where {wanted} should be")
    for line in lines:
        entry = feed.parse_line(line)
        if not feed.follows(before, entry):
            raise _damaged(source, f"change {entry.seq} does not follow the one before")
        yield entry
        before = entry


def _has(source: Source, root: Root, head: Entry) -> bool:
    """Whether the source has this change at its place."""
    number = site.segment_of(head.seq)
    name = site.changes_name(number, site.count_of(number, root.seq))
    lines = present(source, name, most=site.CHANGES_MOST).split(b"\n")
    return lines[_place(head)] == feed.line_of(head) if len(lines) > _place(head) else False


def _place(entry: Entry) -> int:
    return (entry.seq - 1) % site.SEGMENT


def _forked(source: Source, seq: int, copy: Path) -> Forked:
    return Forked(
        f"{source.name}: forked: its change {seq} is not that of {copy}; one of the two was changed afterwards: "
        "download into another directory (--to DIR) and compare"
    )


def _damaged(source: Source, why: str) -> DamagedRelease:
    return DamagedRelease(f"{source.name}: {why}; if a release is being made, try again later, else read another copy")
