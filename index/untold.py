"""Which versions in the log the change feed has told of, and which not: a private table on disk, for any number.

Knows what a change says of a version, not where the feed stands.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from itertools import accumulate
from pathlib import Path
from typing import Self

from ..schema.canonical import strict_loads
from ..schema.errors import JsonError
from . import feed, log
from .errors import DamagedFeed
from .feed import Entry

_TABLE = """
CREATE TABLE versions (model_id, version, time, line, told DEFAULT 0, PRIMARY KEY (model_id, version)) WITHOUT ROWID
"""
_FOUND = """
SELECT line, told, EXISTS (SELECT 1 FROM versions WHERE model_id = v.model_id AND version < v.version AND NOT told)
FROM versions AS v WHERE model_id = ? AND version = ?
"""
_TELL = "UPDATE versions SET told = 1 WHERE model_id = ? AND version = ?"
_CACHE = "PRAGMA journal_mode = OFF; PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -65536"


class Telling(Enum):
    """What a change tells: the next version of its model, one that was told or comes later, or one the log has not."""

    NEXT = "next"
    OUT_OF_ORDER = "out of order"
    UNKNOWN = "unknown"


class Untold:
    """The versions in the log that no change has told of yet; nothing is in it until it is filled."""

    def __init__(self) -> None:
        self._table = sqlite3.connect("", isolation_level=None)  # a private file that has no name
        self._table.executescript(_CACHE)
        self._table.execute(_TABLE)
        self._table.execute("BEGIN")

    @classmethod
    def of(cls, directory: Path) -> Self:
        """Read every log of an index; raise DamagedLog, StoreError."""
        made = cls()
        made.add(_histories(directory / "records"))
        return made

    def add(self, histories: Iterable[Sequence[Entry]]) -> None:
        """Add what changes have to say of the versions of some models, of each oldest first."""
        rows = (row for history in histories for row in _rows(history))
        self._table.executemany("INSERT INTO versions VALUES (?, ?, ?, ?, 0)", rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._table.close()

    def telling(self, entry: Entry) -> Telling:
        """What a change would tell."""
        found = self._table.execute(_FOUND, (entry.model_id, entry.version)).fetchone()
        if found is None or found[0] != _said(entry):
            return Telling.UNKNOWN
        return Telling.NEXT if found[1:] == (0, 0) else Telling.OUT_OF_ORDER

    def tell(self, entry: Entry) -> None:
        """Note that a change tells of this version."""
        self._table.execute(_TELL, (entry.model_id, entry.version))

    def left(self) -> Iterator[Entry]:
        """Yield what changes have to say of the others, at no place yet, by time, model and version.

        A version dated before the one it follows is sorted as if it were of the same time.
        """
        wanted = "SELECT line FROM versions WHERE NOT told ORDER BY time, model_id, version"
        return (feed.parse_line(line) for (line,) in self._table.execute(wanted))


def _rows(history: Sequence[Entry]) -> Iterator[tuple[str, int, str, bytes]]:
    times = accumulate((entry.time for entry in history), max)
    return ((e.model_id, e.version, time, _said(e)) for e, time in zip(history, times, strict=True))


def _said(entry: Entry) -> bytes:
    return feed.line_of(entry._replace(chain=feed.START, seq=1))


def _histories(records: Path) -> Iterator[Sequence[Entry]]:
    for path in log.log_paths(records) if log.is_folder(records) else ():
        yield [placed(path, n, _entry(path, n, line)) for n, line in enumerate(log.read_lines(path)[0], 1)]


def placed(path: Path, number: int, entry: Entry) -> Entry:
    """The same, if line `number` of this log is the place of that version; raise DamagedLog."""
    if (entry.model_id, entry.version) != (log.id_of(path), number):
        raise log.damaged(path, number, f"version {entry.version} of {entry.model_id}")
    return entry


def _entry(path: Path, number: int, line: bytes) -> Entry:
    try:
        return feed.entry_of(strict_loads(line))
    except (DamagedFeed, JsonError) as error:
        raise log.damaged(path, number, str(error)) from None
