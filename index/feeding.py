"""Writes the change feed (see `feed`): appends, cuts a change whose version was never written, mends it from the log.

The caller holds the writer lock. What is mended keeps the changes up to the first wrong one, so that whoever followed
the feed can go on, and then names the versions that are left by time, model and version.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any

from ..schema.record import Record
from . import feed, log
from .errors import DamagedFeed, StoreError, os_reason
from .feed import Entry
from .files import FILES, Files, create, extend, remove, settle
from .untold import Telling, Untold


class Feed:
    """The feed in a directory as its writer keeps it; it remembers how it left the end, to see whether that is so."""

    def __init__(self, directory: Path, files: Files = FILES) -> None:
        self.directory, self.files = Path(directory), files
        self.last: Entry | None = None
        self._left: object = None  # not known yet

    def heal(self) -> bool:
        """Make the feed if there is none; else cut its end if it is torn or its version was never written.

        Looks at the last change alone: what is wrong elsewhere stays, for `mend`. Say whether anybody else may have
        written since; raise StoreError.
        """
        if self._left == self._end():
            return False
        with suppress(DamagedFeed):
            if not feed.segments(self.directory):
                with Untold.of(self.directory) as untold:
                    mend(self.directory, untold, self.files)
            self._cut()
            self.keep(_last(self.directory))
        return True

    def append(self, record: dict[str, Any]) -> Entry:
        """Append the change that a record (plain JSON data) makes, before the record; on disk when this returns.

        The caller writes the record and says `keep`. Raise DamagedFeed, StoreError.
        """
        entry = feed.next_entry(self.last if self._left == self._end() else _last(self.directory), record)
        number, at = divmod(entry.seq - 1, feed.SEGMENT)
        path, line = feed.segment(self.directory, number), feed.line_of(entry) + b"\n"
        if log.is_file(path):
            extend(path, path.stat().st_size if at else 0, line, self.files)
        else:
            create(path, line, self.files)
        return entry

    def keep(self, entry: Entry | None) -> None:
        """Remember that the feed ends with this change, whose version is in the log."""
        self.last, self._left = entry, None
        self._left = self._end()

    def _end(self) -> object:
        """What changes when anybody else writes: the state of the segment of the last change, and of the one after."""
        number = (self.last.seq - 1) // feed.SEGMENT if self.last else 0
        return [_state(feed.segment(self.directory, each)) for each in (number, number + 1)]

    def _cut(self) -> None:
        """Cut what is torn, and a change without its version; what stays is on disk when this returns."""
        for number in feed.segments(self.directory)[-1:]:
            lines, path = feed.whole_lines(self.directory, number, last=True), feed.segment(self.directory, number)
            last = feed.entry_at(self.directory, number, len(lines) - 1, lines[-1]) if lines else None
            if last and feed.is_recorded(self.directory, last):
                settle(log.path_of(self.directory / "records", last.model_id), self.directory, self.files)
            else:
                del lines[-1:]
            if path.stat().st_size != (length := sum(len(line) + 1 for line in lines)):
                extend(path, length, b"", self.files)
            settle(path, self.directory, self.files)


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {os_reason(error)}") from None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _last(directory: Path) -> Entry | None:
    """The last change of a feed whose end is sound."""
    for number in reversed(feed.segments(directory)):
        lines = feed.whole_lines(directory, number, last=False)
        if lines:
            return feed.entry_at(directory, number, len(lines) - 1, lines[-1])
    return None


def entry_of(record: Record) -> Entry:
    """As `feed.entry_of`, of a record that is read already."""
    told, outcome = record.provenance, str(record.status.outcome)
    withdrawn = told.withdrawn is not None
    return Entry(feed.START, told.digest, record.model.id, outcome, 1, told.time, told.version, withdrawn)


# --- mending ---


def mend(directory: Path, untold: Untold, files: Files = FILES) -> None:
    """Make the feed tell once of every version in the log, which `untold` has, and of nothing else; raise StoreError.

    A feed that does so already is not written.
    """
    kept = _kept(directory, untold)
    left = untold.left()
    first = next(left, None)
    if first is not None or not _ends_with(directory, kept):
        _rewrite(directory, kept, _placed(kept, chain([first] if first else [], left)), files)


def _kept(directory: Path, untold: Untold) -> Entry | None:
    """The last change before the first wrong one."""
    kept: Entry | None = None
    with suppress(DamagedFeed):
        for entry in feed.written(directory):
            if untold.telling(entry) is not Telling.NEXT:
                break
            untold.tell(entry)
            kept = entry
    return kept


def _ends_with(directory: Path, kept: Entry | None) -> bool:
    with suppress(DamagedFeed):
        return next(feed.back(directory), None) == kept
    return False


def _placed(kept: Entry | None, left: Iterable[Entry]) -> Iterator[Entry]:
    for entry in left:
        kept = feed.place(kept, entry)
        yield kept


def _rewrite(directory: Path, kept: Entry | None, left: Iterator[Entry], files: Files) -> None:
    """Put these changes after the kept ones; the segment that both share comes last, and only then do readers follow.

    What a crash leaves lacks versions, has a hole, or is no feed at all: the next `mend` goes on from there.
    """
    number = (kept.seq - 1) // feed.SEGMENT if kept else 0
    at = kept.seq - number * feed.SEGMENT if kept else 0
    for other in reversed(feed.numbers_there(directory)):
        if other > number or kept is None:
            remove(feed.segment(directory, other), files)
    before = feed.whole_lines(directory, number, last=False)[:at] if at else []
    first = [*before, *(feed.line_of(e) for e in islice(left, feed.SEGMENT - at))]
    last = number
    while some := [feed.line_of(e) for e in islice(left, feed.SEGMENT)]:
        last += 1
        create(feed.segment(directory, last), b"".join(line + b"\n" for line in some), files)
    if first:
        create(feed.segment(directory, number), b"".join(line + b"\n" for line in first), files)
