"""A SQLite file of a crawl's own: who may write it, what is in it, and what its failures mean in one line.

Derived and local: it can be deleted at the price of asking the Hub's listing again. One process holds it at a time;
others may read. Every change is a transaction that is on disk when it ends. Knows tables, not what a crawl does.
"""

import contextlib
import json
import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock

from ...index.errors import Locked, StoreError
from ...index.files import create, make_folder
from ...index.locking import locked
from ..parts.result import now
from ..refusal import one_line

VERSION = 1
BUSY_SECONDS = 10.0
IGNORED = "# A crawl's own notes: made from the index's log and the Hub's listing, of use on this machine only.\n*\n"

SCHEMA = """
CREATE TABLE known (
  model_id TEXT PRIMARY KEY, revision TEXT NOT NULL, detector TEXT NOT NULL, outcome TEXT NOT NULL,
  time TEXT NOT NULL, digest TEXT NOT NULL, content TEXT
) WITHOUT ROWID;
CREATE INDEX contents ON known (content) WHERE content IS NOT NULL;
CREATE TABLE queue (
  number INTEGER PRIMARY KEY AUTOINCREMENT, query TEXT NOT NULL, model_id TEXT NOT NULL, revision TEXT,
  size INTEGER, tries INTEGER NOT NULL, kind TEXT NOT NULL, priority INTEGER NOT NULL, base_model TEXT,
  taken_by TEXT, UNIQUE (model_id, query)
);
CREATE INDEX waiting ON queue (query, priority, number) WHERE taken_by IS NULL;
CREATE TABLE listing (
  number INTEGER PRIMARY KEY AUTOINCREMENT, query TEXT NOT NULL, next_url TEXT, started TEXT NOT NULL,
  pages INTEGER NOT NULL, rows INTEGER NOT NULL, eligible INTEGER NOT NULL, indexed INTEGER NOT NULL,
  left_out INTEGER NOT NULL, bad INTEGER NOT NULL, finished TEXT
);
CREATE TABLE attempts (
  number INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, model_id TEXT NOT NULL, revision TEXT,
  how TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT, appended INTEGER NOT NULL, requests INTEGER NOT NULL,
  bytes INTEGER NOT NULL, seconds REAL NOT NULL, time TEXT NOT NULL
);
CREATE TABLE complete (what TEXT PRIMARY KEY, time TEXT NOT NULL) WITHOUT ROWID;
"""


class StateFile:
    """An open file of state. `connect` makes the connection, as `sqlite3.connect` does."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    def rows(self, sql: str, values: Any = ()) -> list[tuple[Any, ...]]:
        """All rows of a query; raise StoreError."""
        with self._explained():
            return self._connection.execute(sql, values).fetchall()

    def run(self, sql: str, values: Any = ()) -> int:
        """Run a statement; the number of rows that it changed; raise StoreError."""
        with self._explained():
            return self._connection.execute(sql, values).rowcount

    def run_many(self, sql: str, values: Any) -> None:
        """Run a statement once for each of the values; raise StoreError."""
        with self._explained():
            self._connection.executemany(sql, values)

    @contextmanager
    def together(self) -> Iterator[None]:
        """One transaction: on disk when this ends, as if nothing had been if it raises. Inside one: a part of it."""
        if self._connection.in_transaction:
            yield
            return
        self.run("BEGIN IMMEDIATE")
        try:
            yield
            self.run("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close it; what was acknowledged is on disk already."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        with explained(self.path):
            yield


Connect = Callable[..., sqlite3.Connection]


def open_file(path: Path, connect: Connect = sqlite3.connect) -> StateFile:
    """Open it for writing, made if it is not there; the caller holds the lock; raise StoreError."""
    with explained(path):
        connection = connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    file = StateFile(path, connection)
    try:
        file.run("PRAGMA journal_mode=WAL")
        file.run("PRAGMA synchronous=FULL")
        _prepare(file)
    except BaseException:
        file.close()
        raise
    return file


def read_file(path: Path, connect: Connect = sqlite3.connect) -> StateFile:
    """Open it for reading beside whoever writes; raise StoreError."""
    with explained(path):
        connection = connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS, isolation_level=None
        )
    file = StateFile(path, connection)
    try:
        _check(file)
    except BaseException:
        file.close()
        raise
    return file


def memory_file() -> StateFile:
    """State that nobody keeps: for a plan where there is none yet."""
    file = StateFile(Path(":memory:"), sqlite3.connect(":memory:", isolation_level=None))
    _prepare(file)
    return file


def _prepare(file: StateFile) -> None:
    with file.together():
        if file.rows("PRAGMA user_version") == [(0,)] and not file.rows("SELECT 1 FROM sqlite_master LIMIT 1"):
            for statement in SCHEMA.split(";"):
                file.run(statement)
            file.run(f"PRAGMA user_version={VERSION}")
    _check(file)


def _check(file: StateFile) -> None:
    (version,) = file.rows("PRAGMA user_version")[0]
    if version != VERSION:
        raise damaged(file.path, f"it has version {version}, this program writes {VERSION}")
    if _shape(file.rows) != _wanted():
        raise damaged(file.path, "its tables are not those of this program")
    found = file.rows("PRAGMA quick_check(1)")
    if found != [("ok",)]:
        raise damaged(file.path, one_line(str(found[0][0] if found else "no answer")))


def _shape(rows: Callable[[str], Any]) -> list[tuple[str, str]]:
    return list(
        rows("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%' ORDER BY 1")
    )


@cache
def _wanted() -> list[tuple[str, str]]:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCHEMA)
        return _shape(connection.execute)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Translate SQLite's errors: once, here."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorname", None) == "SQLITE_ERROR":  # a table or a column is not there
            raise damaged(path, one_line(str(error))) from None
        raise StoreError(f"{path}: {error}; nothing of the index is lost: mend that and run it again") from None
    except (sqlite3.ProgrammingError, sqlite3.IntegrityError):  # this program's mistake, not the file's
        raise
    except sqlite3.DatabaseError as error:
        raise damaged(path, one_line(str(error))) from None


def damaged(path: Path, why: str) -> StoreError:
    """The error for a file that is not what was written."""
    return StoreError(f"{path}: damaged ({why}); delete it: it is made again from the log and the Hub's listing")


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Be the one crawl of an index meanwhile; raise Locked naming the one that is, StoreError."""
    make_folder(folder)
    holder = folder / "crawl.holder"

    def busy() -> Locked:
        return Locked(f"{folder.parent}: {_holder(holder)} crawls into this index; wait for it, or stop it")

    with locked(FileLock(folder / "crawl.lock"), folder, busy):
        create(folder / ".gitignore", IGNORED.encode())
        create(holder, json.dumps({"process": os.getpid(), "host": socket.gethostname(), "since": now()}).encode())
        yield


def _holder(path: Path) -> str:
    try:
        said = json.loads(path.read_bytes()[:10_000])
        return one_line(f"process {said['process']} on {said['host']}, since {said['since']},")[:200]
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
