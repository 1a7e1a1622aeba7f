"""The DuckDB file of an index: made from the log, thrown away and rebuilt at will.

A build writes a file privately and puts it in place when it is whole; an update changes it there in one transaction. So
a reader has a whole file in either case. It carries number and chain of the change (see `feed`) that it is made up to:
what a crash between log and file left behind is seen and healed, and nobody looks at more than the later changes.
Tables and columns are in `tables`, how a file is opened in `opening`. Knows nothing of models or the Hub.
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import duckdb

from . import comparing, feed, feeding, fill, shards
from .comparing import Difference as Difference
from .comparing import Span
from .errors import DamagedFeed, StaleDatabase, StoreError
from .feed import Entry
from .files import log_of
from .gathered import Gathered, gather
from .opening import DuckDBError, amended, attached, first_line, private, put_in_place, translated
from .opening import open_file as open_file
from .store import Index
from .stored import Stored
from .tables import LAYOUT, TABLES
from .untold import Untold

IN_PLACE = 1000
"""Models that are updated in place at most: the file cannot be opened meanwhile."""


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
            is_half = log_of(index.database).exists()
            return _update(index, sorted(wanted)) if wanted or is_half else index.database
        except (StaleDatabase, DamagedFeed, DuckDBError):  # nothing sound to start from, or the build says what is
            return _build(index)


def _build(index: Index) -> Path:
    with private(index.directory) as folder, Untold() as untold:
        made = folder / index.database.name
        with attached(made) as con:
            fill.make_tables(con)
            for gathered in _gathered(index, folder):
                fill.load(con, gathered.folder, gathered.longest)
                untold.add(gathered.histories)
            feeding.mend(index.directory, untold, index.files)
            fill.note(con, feed.newest(index.directory))
        put_in_place(made, index.database, index.files)
    return index.database


def _gathered(index: Stored, folder: Path) -> Iterator[Gathered]:
    """All models of an index, some at a time."""
    divided = shards.divided(list(index.models()))
    work = [(index.directory, models, folder / f"rows-{number}") for number, models in enumerate(divided)]
    return shards.each(gather, work)


def _update(index: Index, model_ids: list[str]) -> Path:
    many = len(model_ids) > IN_PLACE
    with private(index.directory) as folder, amended(index.database, folder, index.files, copy=many) as con:
        renew(con, folder, index, model_ids)
    return index.database


def renew(con: duckdb.DuckDBPyConnection, folder: Path, index: Index, model_ids: list[str]) -> None:
    """Bring the tables of a database that can be written, attached as `d`, up to the log for these models."""
    fill.delete(con, model_ids)
    fill.insert(con, folder, map(index.versions_of, filter(index.has, model_ids)))
    fill.note(con, feed.newest(index.directory))


# --- reading ---


def connect(index: Index) -> duckdb.DuckDBPyConnection:
    """Open the published file to read; raise StaleDatabase if it is missing, unreadable or behind, DamagedFeed."""
    behind = {entry.model_id for entry in _later(index)}
    if behind:
        raise _stale(index, f"behind the log (models: {len(behind)}; the first is {min(behind)})")
    return open_file(index.database)


def in_memory(index: Index) -> duckdb.DuckDBPyConnection:
    """Make the tables from the log without a file, as a reader of an index without one does; raise StoreError."""
    with tempfile.TemporaryDirectory() as folder, translated(index.directory):
        con = duckdb.connect()
        con.execute("ATTACH ':memory:' AS d; USE d")
        fill.make_tables(con)
        fill.insert(con, Path(folder), (index.versions(model_id) for model_id in index.models()))
        return con


def verify(index: Index) -> list[Difference]:
    """Compare what the log gives with the published file, row by row; raise StaleDatabase, StoreError."""
    filed(index)
    divided = shards.divided(list(index.models()))
    work = [(index.directory, *each) for each in zip(divided, comparing.spans(divided), strict=True)]
    return sorted((each for found in shards.each(_verify, work) for each in found), key=order)


_ORDER = {table.name: number for number, table in enumerate(TABLES)}


def order(difference: Difference) -> tuple[int, str]:
    """The order in which differences are told: by table, then model."""
    return _ORDER[difference.table], difference.model_id or ""


def _verify(directory: Path, models: Sequence[str], span: Span) -> list[Difference]:
    index = Index(directory)
    with tempfile.TemporaryDirectory() as name, translated(index.database):
        longest = fill.write(Path(name), map(index.versions_of, models))
        return comparing.differences(index.database, Path(name), longest, span)


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
        raise _stale(index, f"unreadable ({first_line(error)})") from None
    if about.get("layout") != LAYOUT or not str(about.get("seq")).isdecimal():
        raise _stale(index, "of another version of swindex")
    return int(about["seq"]), str(about.get("chain"))


def _stale(index: Index, why: str) -> StaleDatabase:
    return StaleDatabase(f"{index.database}: {why}; run `swindex index build --index {index.directory}`")
