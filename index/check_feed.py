"""Checks the change feed: its lines and chain, and that it tells of every version in the log once, and of nothing else.

Knows what can be seen in the index alone. The chain says that nothing was changed since, not that nothing was left out.
"""

from collections.abc import Iterator
from pathlib import Path

from . import feed
from .errors import DamagedFeed, StoreError
from .feed import Entry
from .findings import ERROR, Finding
from .untold import Untold

_MEND = "`swindex index build` mends it"


def check_feed(directory: Path, *, log_has_errors: bool) -> Iterator[Finding]:
    """Yield what is wrong with the feed of an index; what it says is compared only if lines and log are sound."""
    where = str(directory / feed.FOLDER)
    try:
        found = [*_check_lines(directory)]
        yield from found
        if any(f.severity == ERROR or f.code == "feed-missing" for f in found):
            return
        if log_has_errors:
            yield Finding("feed-unchecked", where, "not compared: mend the log first")
        else:
            yield from _compare(directory)
    except DamagedFeed as error:
        yield Finding("feed-damaged", where, str(error))
    except StoreError as error:
        yield Finding("unreadable", where, str(error))


def _check_lines(directory: Path) -> Iterator[Finding]:
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


def _compare(directory: Path) -> Iterator[Finding]:
    newest = feed.newest(directory)  # before the log is read: what comes later is no fault
    with Untold.of(directory) as untold:
        for entry in feed.written(directory):
            which = f"version {entry.version} of {entry.model_id}"
            if untold.is_known(entry):
                if not untold.is_next(entry):
                    yield Finding("feed-order", _place(directory, entry), f"{which} is not the next; {_MEND}")
            elif newest is None or entry.seq > newest.seq:
                yield Finding("feed-torn", _place(directory, entry), f"{which} was not written, or is being written")
            else:
                yield Finding("feed-unknown", _place(directory, entry), f"the log has no such {which}; {_MEND}")
            untold.tell(entry)
        for entry in untold.left():
            yield Finding("feed-lacks", entry.model_id, f"no change tells of version {entry.version}; {_MEND}")


def _place(directory: Path, entry: Entry) -> str:
    number, at = divmod(entry.seq - 1, feed.SEGMENT)
    return f"{feed.segment(directory, number)} line {at + 1}"
