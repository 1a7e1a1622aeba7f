"""Checks the change feed: its lines and chain, and that it tells of every version in the log once, and of nothing else.

Knows what can be seen in the index alone. The chain says that nothing was changed since, not that nothing was left out.
"""

from collections.abc import Iterator
from pathlib import Path

from . import feed
from .errors import DamagedFeed, StoreError
from .feed import Entry
from .findings import ERROR, Finding
from .untold import Telling, Untold

_MEND = "`swindex index build` mends it"


def check_feed(directory: Path, newest: Entry | None, untold: Untold | None) -> Iterator[Finding]:
    """Yield what is wrong with the feed of an index whose last change was `newest` before its log was read.

    What the feed says is compared with `untold`, all versions in the log, if its lines are sound; None where the log is
    not sound.
    """
    where = str(directory / feed.FOLDER)
    said = _Said(directory, newest, untold)
    try:
        found = [*_check_lines(directory, said)]
        yield from found
        if any(f.severity == ERROR or f.code == "feed-missing" for f in found):
            return
        if untold is None:
            yield Finding("feed-unchecked", where, "not compared: mend the log first")
        else:
            yield from said.findings()
    except DamagedFeed as error:
        yield Finding("feed-damaged", where, str(error))
    except StoreError as error:
        yield Finding("unreadable", where, str(error))


def _check_lines(directory: Path, said: "_Said") -> Iterator[Finding]:
    numbers = feed.segments(directory)
    if not numbers and any((directory / "records").glob("*/*.jsonl")):
        yield Finding("feed-missing", str(directory / feed.FOLDER), "the next write makes it, or `swindex index build`")
    before: Entry | None = None
    for number in numbers:
        last = number == numbers[-1]
        lines = feed.whole_lines(directory, number, last=last)
        for at, line in enumerate(lines):
            found = _line(directory, number, at, line, before)
            before = None if isinstance(found, Finding) else found[0]
            if before:
                said.note(before)
            yield from [found] if isinstance(found, Finding) else found[1]
        if len(lines) > feed.SEGMENT or (not last and len(lines) < feed.SEGMENT):
            yield Finding("feed-damaged", str(feed.segment(directory, number)), f"{len(lines)} changes; {_MEND}")
            before = None
    if numbers:
        yield from _check_end(directory, numbers[-1])


def _line(
    directory: Path, number: int, at: int, line: bytes, before: Entry | None
) -> "Finding | tuple[Entry, list[Finding]]":
    """What a line says, and whether it follows the one before, if that is known."""
    where = f"{feed.segment(directory, number)} line {at + 1}"
    try:
        entry = feed.parse_line(line)
    except DamagedFeed:
        return Finding("feed-damaged", where, f"not a change; {_MEND}")
    seq = number * feed.SEGMENT + at + 1
    if entry.seq != seq:
        return entry, [Finding("feed-chain", where, f"change {entry.seq}, should be {seq}; {_MEND}")]
    if (before or seq == 1) and not feed.follows(before, entry):
        return entry, [Finding("feed-chain", where, f"does not follow the change before; {_MEND}")]
    return entry, []


def _check_end(directory: Path, number: int) -> Iterator[Finding]:
    path = feed.segment(directory, number)
    lines = feed.whole_lines(directory, number, last=True)
    if path.stat().st_size != sum(len(line) + 1 for line in lines):
        yield Finding("feed-torn", f"{path} line {len(lines) + 1}", "torn, or being written")


class _Said:
    """What the changes say, against the versions in the log."""

    def __init__(self, directory: Path, newest: Entry | None, untold: Untold | None) -> None:
        self._directory, self._newest, self._untold = directory, newest, untold
        self._found: list[Finding] = []

    def note(self, entry: Entry) -> None:
        """Note the next change."""
        if self._untold is not None:
            telling = self._untold.telling(entry)
            if telling is not Telling.NEXT:
                self._found.append(self._odd(entry, telling))
            self._untold.tell(entry)

    def _odd(self, entry: Entry, telling: Telling) -> Finding:
        which = f"version {entry.version} of {entry.model_id}"
        where = _place(self._directory, entry)
        if telling is Telling.OUT_OF_ORDER:
            return Finding("feed-order", where, f"{which} is not the next; {_MEND}")
        if self._newest is None or entry.seq > self._newest.seq:
            return Finding("feed-torn", where, f"{which} was not written, or is being written")
        return Finding("feed-unknown", where, f"the log has no such {which}; {_MEND}")

    def findings(self) -> Iterator[Finding]:
        """Yield what is odd about them, and which versions none tells of."""
        yield from self._found
        for entry in self._untold.left() if self._untold else ():
            yield Finding("feed-lacks", entry.model_id, f"no change tells of version {entry.version}; {_MEND}")


def _place(directory: Path, entry: Entry) -> str:
    number, at = divmod(entry.seq - 1, feed.SEGMENT)
    return f"{feed.segment(directory, number)} line {at + 1}"
