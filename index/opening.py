"""Opens the DuckDB file of an index: to read, to be made privately, to be amended where it lies.

A file is read by many or amended by one: DuckDB's lock says so to other processes, its own list of open files to this
one. Who comes to read while it is amended, which takes a moment, waits. What a crash leaves beside the file is DuckDB's
write-ahead log, with nothing in it or with a whole amendment; whoever opens the file reads both.

Knows paths and locks, no table.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from .errors import StoreError, os_reason
from .files import FILES, Files, drop_log, log_of, publish

STORAGE = "v1.2.0"
"""Oldest DuckDB that can open the file."""
_MEMORY = "512MB"
"""What DuckDB may keep in memory while it writes; it would take most of the machine's."""
_PRIVATE = ".build-"
"""Beginning of the name of the directory a file is made in; what a crash leaves is removed by the next build."""
PATIENCE = 10.0
"""Seconds that a reader waits for a file that is being amended."""
_PAUSE = 0.01
_BUSY = (duckdb.IOException, duckdb.BinderException, getattr(duckdb, "ResourceInUseException", duckdb.IOException))
_SAID_BUSY = ("Conflicting lock", "file handle conflict")


class DuckDBError(StoreError):
    """DuckDB could not do it: the file may be broken, or the disk full."""


def open_file(path: Path, patience: float = PATIENCE) -> duckdb.DuckDBPyConnection:
    """Open a file to read, as it is now, attached as `d`; raise StoreError.

    A plain `duckdb.connect` may hand out what this process opened before a rename.
    """
    with translated(path):
        con, until = duckdb.connect(), time.monotonic() + patience
        while not _attached(con, path, "READ_ONLY", wait=time.monotonic() < until):
            time.sleep(_PAUSE)
        return con


def _attached(con: duckdb.DuckDBPyConnection, path: Path, how: str, *, wait: bool) -> bool:
    """Attach a file as `d`; False if it is in use and that is to be waited for."""
    try:
        con.execute(f"ATTACH {quoted(path)} AS d ({how}); USE d")
    except _BUSY as error:
        if not (wait and any(said in str(error) for said in _SAID_BUSY)):
            raise
        return False
    return True


# --- private files ---


@contextmanager
def private(directory: Path) -> Iterator[Path]:
    """A directory beside the published file; the caller holds the writer lock, so older ones are nobody's."""
    if "?" in str(directory):
        raise StoreError(f"{directory}: DuckDB cannot write a file to a path with '?' in it; choose another directory")
    for left in directory.glob(f"{_PRIVATE}*"):
        shutil.rmtree(left, ignore_errors=True)
    with translated(directory):
        folder = Path(tempfile.mkdtemp(prefix=_PRIVATE, dir=directory))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def attached(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A private file, attached as `d` to be written."""
    with _writing(path.parent) as con:
        con.execute(f"ATTACH {quoted(path)} AS d (STORAGE_VERSION '{STORAGE}'); USE d")
        yield con
        con.execute("CHECKPOINT d; USE memory; DETACH d")


@contextmanager
def _writing(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        con.execute(f"SET memory_limit = '{_MEMORY}'; SET temp_directory = {quoted(folder / 'spilled')}")
        yield con


def put_in_place(made: Path, path: Path, files: Files = FILES) -> None:
    """Publish a file that was made privately; raise StoreError."""
    drop_log(path, files)
    publish(made, path, files)


# --- amending ---


@contextmanager
def amended(
    path: Path, folder: Path, files: Files = FILES, *, copy: bool = False
) -> Iterator[duckdb.DuckDBPyConnection]:
    """The published file, attached as `d` to be changed in one transaction; on disk afterwards, or as it was.

    In place, in time that goes with the change; where somebody has it open, or that is asked for, it is a copy in the
    private `folder` that takes its place. The caller holds the writer lock. Raise StoreError.
    """
    with translated(path), _writing(folder) as con:
        if not copy and _alone(con, path):
            yield from _changed(con)
            return
    made = folder / path.name
    _copy(path, made)
    with attached(made) as con:
        yield con
    put_in_place(made, path, files)


def _alone(con: duckdb.DuckDBPyConnection, path: Path) -> bool:
    """Whether the file is attached now and nobody else has it open."""
    with suppress(*_BUSY):
        return _attached(con, path, "READ_WRITE", wait=True)
    return False


def _changed(con: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    con.execute("BEGIN")
    yield con
    con.execute("COMMIT")
    con.execute("CHECKPOINT d; USE memory; DETACH d")


def _copy(path: Path, made: Path) -> None:
    """Copy a file with the log that a crash may have left beside it, which nobody writes now."""
    shutil.copyfile(path, made)
    with suppress(FileNotFoundError):
        shutil.copyfile(log_of(path), log_of(made))


# --- errors ---


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what DuckDB and the operating system raise into one line."""
    try:
        yield
    except duckdb.Error as error:
        raise DuckDBError(f"{path}: DuckDB: {first_line(error)}") from None
    except OSError as error:
        raise StoreError(f"{path}: {os_reason(error)}") from None


def first_line(error: Exception) -> str:
    """The first line of what DuckDB says."""
    return str(error).strip().partition("\n")[0]


def quoted(path: Path) -> str:
    """A path as SQL."""
    return "'" + str(path).replace("'", "''") + "'"
