"""The DuckDB file of an index: made from the log, thrown away and rebuilt at will, published by rename.

A file is written privately and put in place when it is whole, so a reader opens a snapshot that nobody changes. It
carries number and chain of the change (see `feed`) that it is made up to: what a crash between log and file left behind
is seen and healed, and nobody looks at more than the later changes.
Tables and columns are in `tables`. Knows nothing of models or the Hub.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from . import feed, feeding, fill, log
from .errors import DamagedFeed, StaleDatabase, StoreError, os_reason
from .feed import Entry
from .files import publish
from .rows import Versions
from .store import Index
from .tables import LAYOUT, TABLES
from .untold import Untold, placed

_STORAGE = "v1.2.0"
"""Oldest DuckDB that can open the file."""
_MEMORY = "512MB"
"""What DuckDB may keep in memory while it writes; it would take most of the machine's."""
_PRIVATE = ".build-"
"""Beginning of the name of the directory a file is made in; what a crash leaves is removed by the next build."""


@dataclass(frozen=True)
class Difference:
    """Rows of one model in one table that only the log gives, or that only the file has."""

    table: str
    model_id: str
    only_log: int
    only_file: int


class _DuckDBError(StoreError):
    """DuckDB could not do it: the file may be broken, or the disk full."""


# --- writing ---


def build(index: Index) -> Path:
    """Mend the change feed, make the file from the whole log and publish it; its path; raise StoreError, Locked."""
    with index.writing():
        return _build(index)


def update(index: Index, model_ids: Iterable[str] = ()) -> Path:
    """Bring the published file up to the log for these models and for any that changed since; its path.

    Equal in content to `build`, which it falls back to without a sound file to start from; raise StoreError, Locked.
    """
    with index.writing():
        try:
            wanted = {entry.model_id for entry in _later(index)} | set(model_ids)
            return _update(index, sorted(wanted)) if wanted else index.database
        except (StaleDatabase, DamagedFeed, _DuckDBError):  # nothing sound to start from, or the build says what is
            return _build(index)


def _build(index: Index) -> Path:
    with private(index.directory) as folder, Untold() as untold:
        made = folder / index.database.name
        with attached(made) as con:
            fill.make_tables(con)
            fill.insert(con, folder, _noted(index, untold))
            feeding.mend(index.directory, untold, index.files)
            fill.note(con, feed.newest(index.directory))
            con.execute("CHECKPOINT d")
        publish(made, index.database, index.files)
    return index.database


def _noted(index: Index, untold: Untold) -> Iterator[Versions]:
    """All versions of each model, which the feed is then to tell of."""
    for model_id in index.models():
        versions, path = index.versions(model_id), log.path_of(index.records, model_id)
        untold.add([placed(path, n, feeding.entry_of(record)) for n, (record, _) in enumerate(versions, 1)])
        yield versions


def _update(index: Index, model_ids: list[str]) -> Path:
    with private(index.directory) as folder:
        made = folder / index.database.name
        shutil.copyfile(index.database, made)
        with attached(made) as con:
            fill.delete(con, model_ids)
            fill.insert(con, folder, (index.versions(model_id) for model_id in model_ids if index.has(model_id)))
            fill.note(con, feed.newest(index.directory))
            con.execute("CHECKPOINT d")
        publish(made, index.database, index.files)
    return index.database


# --- reading ---


def connect(index: Index) -> duckdb.DuckDBPyConnection:
    """Open the published file to read; raise StaleDatabase if it is missing, unreadable or behind, DamagedFeed."""
    behind = {entry.model_id for entry in _later(index)}
    if behind:
        raise _stale(index, f"behind the log (models: {len(behind)}; the first is {min(behind)})")
    return open_file(index.database)


def in_memory(index: Index) -> duckdb.DuckDBPyConnection:
    """Make the tables from the log without a file, as a reader of an index without one does; raise StoreError."""
    with tempfile.TemporaryDirectory() as folder, _translated(index.directory):
        con = duckdb.connect()
        con.execute("ATTACH ':memory:' AS d; USE d")
        fill.make_tables(con)
        fill.insert(con, Path(folder), (index.versions(model_id) for model_id in index.models()))
        return con


def verify(index: Index) -> list[Difference]:
    """Rebuild privately and compare with the published file, row by row; raise StaleDatabase, StoreError."""
    filed(index)
    with (
        tempfile.TemporaryDirectory() as name,
        _translated(index.database),
        attached(Path(name) / "log.duckdb") as con,
    ):
        fill.make_tables(con)
        fill.insert(con, Path(name), (index.versions(model_id) for model_id in index.models()))
        con.execute(f"ATTACH {_quoted(index.database)} AS f (READ_ONLY)")
        return [difference for table in TABLES for difference in _differences(con, table.name)]


def _differences(con: duckdb.DuckDBPyConnection, table: str) -> Iterator[Difference]:
    extra = "SELECT model_id, count(*) AS n FROM (FROM {}.{t} EXCEPT ALL FROM {}.{t}) GROUP BY model_id"
    log, file = extra.format("d", "f", t=table), extra.format("f", "d", t=table)
    rows = con.execute(
        f"SELECT model_id, coalesce(l.n, 0), coalesce(f.n, 0) "
        f"FROM ({log}) AS l FULL JOIN ({file}) AS f USING (model_id) ORDER BY model_id"
    ).fetchall()
    yield from (Difference(table, *row) for row in rows)


def _later(index: Index) -> list[Entry]:
    """The changes after the one that the file is made up to; raise StaleDatabase if it cannot be used, DamagedFeed."""
    seq, chain = filed(index)
    found = list(feed.read(index.directory, max(seq - 1, 0)))
    if seq and (not found or found.pop(0).chain != chain):
        raise _stale(index, f"made up to change {seq}, which the feed does not have")
    return found


def filed(index: Index) -> tuple[int, str]:
    """Number and chain of the change that the file is made up to; raise StaleDatabase if it cannot be used."""
    if not index.database.is_file():
        raise _stale(index, "missing")
    try:
        with open_file(index.database) as con:
            about = dict(con.execute("SELECT key, value FROM about").fetchall())
    except (duckdb.Error, StoreError) as error:
        raise _stale(index, f"unreadable ({_first_line(error)})") from None
    if about.get("layout") != LAYOUT or not str(about.get("seq")).isdecimal():
        raise _stale(index, "of another version of swindex")
    return int(about["seq"]), str(about.get("chain"))


def open_file(path: Path) -> duckdb.DuckDBPyConnection:
    """Open a file as it is now: a plain `duckdb.connect` may hand out what this process opened before a rename.

    Raise StoreError.
    """
    with _translated(path):
        con = duckdb.connect()
        con.execute(f"ATTACH {_quoted(path)} AS d (READ_ONLY); USE d")
        return con


def _stale(index: Index, why: str) -> StaleDatabase:
    return StaleDatabase(f"{index.database}: {why}; run `swindex index build --index {index.directory}`")


# --- private files ---


@contextmanager
def private(directory: Path) -> Iterator[Path]:
    """A directory beside the published file; the caller holds the writer lock, so older ones are nobody's."""
    if "?" in str(directory):
        raise StoreError(f"{directory}: DuckDB cannot write a file to a path with '?' in it; choose another directory")
    for left in directory.glob(f"{_PRIVATE}*"):
        shutil.rmtree(left, ignore_errors=True)
    with _translated(directory):
        folder = Path(tempfile.mkdtemp(prefix=_PRIVATE, dir=directory))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def attached(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A private file, attached as `d` to be written."""
    with duckdb.connect() as con:
        con.execute(f"SET memory_limit = '{_MEMORY}'; SET temp_directory = {_quoted(path.parent / 'spilled')}")
        con.execute(f"ATTACH {_quoted(path)} AS d (STORAGE_VERSION '{_STORAGE}'); USE d")
        yield con
        con.execute("USE memory; DETACH d")


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn what DuckDB and the operating system raise into one line."""
    try:
        yield
    except duckdb.Error as error:
        raise _DuckDBError(f"{path}: DuckDB: {_first_line(error)}") from None
    except OSError as error:
        raise StoreError(f"{path}: {os_reason(error)}") from None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
