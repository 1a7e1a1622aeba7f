"""Writes the change feed (see `feed`): appends, cuts a change whose version was never written, mends it from the log.

The caller holds the writer lock. What is mended keeps the changes up to the first wrong one, so that whoever followed
the feed can go on, and then names the versions that are left by time, model and version.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from ..schema.canonical import strict_loads
from ..schema.errors import JsonError
from . import feed, log
from .errors import DamagedFeed
from .feed import SEGMENT, Entry
from .files import FILES, Files, create, extend, remove


def append(directory: Path, record: dict[str, Any], files: Files = FILES) -> Entry:
    """Append the change that a record (plain JSON data) makes, before the record itself; on disk when this returns.

    Raise DamagedFeed, StoreError.
    """
    previous = _last(directory)
    entry = feed.next_entry(previous, record)
    number, at = divmod(entry.seq - 1, SEGMENT)
    path, line = feed.segment(directory, number), feed.line_of(entry) + b"\n"
    if log.is_file(path):
        extend(path, path.stat().st_size if at else 0, line, files)
    else:
        create(path, line, files)
    return entry


def _last(directory: Path) -> Entry | None:
    """The last change of a feed whose end is sound."""
    for number in reversed(feed.segments(directory)):
        lines = feed.whole_lines(directory, number, last=False)
        if lines:
            return feed.entry_at(directory, number, len(lines) - 1, lines[-1])
    return None


def heal(directory: Path, files: Files = FILES) -> None:
    """Make the feed if there is none; else cut its end if it is torn or its version was never written.

    Looks at the last change alone: what is wrong elsewhere stays, for `mend`; raise StoreError.
    """
    with suppress(DamagedFeed):
        numbers = feed.segments(directory)
        if not numbers:
            mend(directory, files)
            return
        lines = feed.whole_lines(directory, numbers[-1], last=True)
        if lines and not feed.is_recorded(directory, feed.entry_at(directory, numbers[-1], len(lines) - 1, lines[-1])):
            lines.pop()
        path, length = feed.segment(directory, numbers[-1]), sum(len(line) + 1 for line in lines)
        if path.stat().st_size != length:
            extend(path, length, b"", files)


# --- mending ---


def mend(directory: Path, files: Files = FILES) -> bool:
    """Make the feed tell of every version in the log once and of nothing else; whether it had to change.

    Reads every log; raise DamagedLog, StoreError.
    """
    with closing(sqlite3.connect("")) as table:  # a private file that has no name
        table.execute("CREATE TABLE versions (line BLOB, time, model_id, version, PRIMARY KEY (model_id, version))")
        table.executemany("INSERT INTO versions VALUES (?, ?, ?, ?)", _versions(directory))
        kept = _kept(directory, table)
        if _is_whole(directory, kept, table):
            return False
        _rewrite(directory, kept, _left(table, kept), files)
    return True


def _versions(directory: Path) -> Iterator[tuple[bytes, str, str, int]]:
    """Every version in the log: what a change says of it, and what such are sorted by.

    A version dated before the one it follows is sorted as if it were of the same time.
    """
    records = directory / "records"
    for path in log.log_paths(records) if log.is_folder(records) else ():
        time = ""
        for number, line in enumerate(log.read_lines(path)[0], 1):
            entry = _entry(path, number, line)
            time = max(time, entry.time)
            yield feed.line_of(entry), time, entry.model_id, number


def _entry(path: Path, number: int, line: bytes) -> Entry:
    try:
        entry = feed.entry_of(strict_loads(line))
    except (DamagedFeed, JsonError) as error:
        raise log.damaged(path, number, str(error)) from None
    if (entry.model_id, entry.version) != (log.id_of(path), number):
        raise log.damaged(path, number, f"version {entry.version} of {entry.model_id}")
    return entry


def _kept(directory: Path, table: sqlite3.Connection) -> Entry | None:
    """The last change before the first wrong one; what the changes up to it tell of leaves the table."""
    kept: Entry | None = None
    newest: dict[str, int] = {}
    with suppress(DamagedFeed):
        for entry in feed.written(directory):
            said = feed.line_of(entry._replace(chain=feed.START, seq=1))
            place = (entry.model_id, entry.version)
            found = table.execute("SELECT line FROM versions WHERE model_id = ? AND version = ?", place).fetchone()
            if found != (said,) or newest.get(entry.model_id, 0) != entry.version - 1:
                break
            kept, newest[entry.model_id] = entry, entry.version
    table.executemany("DELETE FROM versions WHERE model_id = ? AND version <= ?", newest.items())
    return kept


def _is_whole(directory: Path, kept: Entry | None, table: sqlite3.Connection) -> bool:
    """Whether no change follows the kept ones and no version is left."""
    left = table.execute("SELECT 1 FROM versions LIMIT 1").fetchone()
    with suppress(DamagedFeed):
        return left is None and feed.newest(directory) == kept
    return False


def _left(table: sqlite3.Connection, kept: Entry | None) -> Iterator[Entry]:
    """The changes that are to follow."""
    for (line,) in table.execute("SELECT line FROM versions ORDER BY time, model_id, version"):
        kept = feed.place(kept, feed.parse_line(line))
        yield kept


def _rewrite(directory: Path, kept: Entry | None, left: Iterator[Entry], files: Files) -> None:
    """Put these changes after the kept ones; the segment that both share comes last: a crash leaves a fault, seen."""
    number, at = divmod(kept.seq if kept else 0, SEGMENT)
    for other in reversed(feed.numbers_there(directory)):
        if other > number or kept is None:
            remove(feed.segment(directory, other), files)
    before = feed.whole_lines(directory, number, last=False)[:at] if at else []
    first = [*before, *(feed.line_of(e) for e in islice(left, SEGMENT - at))]
    last = number
    while some := [feed.line_of(e) for e in islice(left, SEGMENT)]:
        last += 1
        create(feed.segment(directory, last), b"".join(line + b"\n" for line in some), files)
    if first or kept:
        create(feed.segment(directory, number), b"".join(line + b"\n" for line in first), files)
