"""Which versions in the log the change feed has told of, and which not: a private table on disk, for any number.

Knows what a change says of a version, not where the feed stands.
"""

import sqlite3
from collections.abc import Iterator, Sequence
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


class Untold:
    """The versions in the log that no change has told of yet; nothing is in it until it is filled."""

    def __init__(self) -> None:
        self._table = sqlite3.connect("")  # a private file that has no name
        self._table.execute("PRAGMA journal_mode = OFF")
        self._table.execute(_TABLE)

    @classmethod
    def of(cls, directory: Path) -> Self:
        """Read every log of an index; raise DamagedLog, StoreError."""
        made = cls()
        for path in log.log_paths(directory / "records") if log.is_folder(directory / "records") else ():
            made.add([placed(path, n, _entry(path, n, line)) for n, line in enumerate(log.read_lines(path)[0], 1)])
        return made

    def add(self, history: Sequence[Entry]) -> None:
        """Add what changes have to say of a model's versions, oldest first."""
        times = accumulate((entry.time for entry in history), max)
        rows = [(e.model_id, e.version, time, _said(e)) for e, time in zip(history, times, strict=True)]
        self._table.executemany("INSERT INTO versions VALUES (?, ?, ?, ?, 0)", rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._table.close()

    def is_known(self, entry: Entry) -> bool:
        """Whether the log has this version and says the same of it."""
        return self._row("line", entry) == (_said(entry),)

    def is_next(self, entry: Entry) -> bool:
        """Whether no change has told of this version yet, and one of each earlier one of its model."""
        earlier = "SELECT 1 FROM versions WHERE model_id = ? AND version < ? AND NOT told LIMIT 1"
        place = (entry.model_id, entry.version)
        return self._row("told", entry) == (0,) and self._table.execute(earlier, place).fetchone() is None

    def tell(self, entry: Entry) -> None:
        """Note that a change tells of this version."""
        self._table.execute(
            "UPDATE versions SET told = 1 WHERE model_id = ? AND version = ?", (entry.model_id, entry.version)
        )

    def left(self) -> Iterator[Entry]:
        """Yield what changes have to say of the others, at no place yet, by time, model and version.

        A version dated before the one it follows is sorted as if it were of the same time.
        """
        wanted = "SELECT line FROM versions WHERE NOT told ORDER BY time, model_id, version"
        return (feed.parse_line(line) for (line,) in self._table.execute(wanted))

    def _row(self, column: str, entry: Entry) -> tuple[object, ...] | None:
        found: tuple[object, ...] | None = self._table.execute(
            f"SELECT {column} FROM versions WHERE model_id = ? AND version = ?", (entry.model_id, entry.version)
        ).fetchone()
        return found


def _said(entry: Entry) -> bytes:
    return feed.line_of(entry._replace(chain=feed.START, seq=1))


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
