"""What a release derives from the versions: the tables in two forms, and the cards over them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from .. import fill
from ..errors import StoreError, os_reason
from ..feed import Entry
from ..rows import Versions
from ..site import File
from ..store import Index
from .agree_tables import DATABASE
from .parquet import ParquetTables
from .places import Places
from .staging import Staging
from .static import Static
from .steps import Steps, every

_STORAGE = "v1.2.0"
"""Oldest DuckDB that can open the file."""
_ROWS = ".rows"


def write_tables(index: Index, static: Static, staging: Staging, steps: Steps) -> None:
    """Stage the DuckDB file and the Parquet files of these versions; raise StoreError."""
    parquet, places = ParquetTables(staging), static.places
    models = every(sorted(places), "tables", len(places), steps)
    histories = (parquet.add(versions_of(index, model_id, places)) for model_id in models)
    _write_database(staging.place(DATABASE), staging.folder / _ROWS, histories, static.last)
    parquet.close()
    staging.keep(DATABASE)


def versions_of(index: Index, model_id: str, places: Places) -> Versions:
    """The versions of a model that are in the release: later ones may have been appended meanwhile."""
    return index.versions(model_id)[: places.versions(model_id)]


def _write_database(path: Path, folder: Path, histories: Iterable[Versions], last: Entry | None) -> None:
    with _translated(path), duckdb.connect() as con:
        folder.mkdir()
        con.execute(f"ATTACH '{str(path).replace(chr(39), chr(39) * 2)}' AS d (STORAGE_VERSION '{_STORAGE}'); USE d")
        fill.make_tables(con)
        fill.insert(con, folder, histories)
        fill.note(con, last)
        con.execute("CHECKPOINT d; USE memory; DETACH d")
        folder.rmdir()


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        raise StoreError(f"{path}: DuckDB: {str(error).strip().partition(chr(10))[0]}") from None
    except OSError as error:
        raise StoreError(f"{path}: {os_reason(error)}") from None


def described(staging: Staging, paths: Iterable[str]) -> dict[str, File]:
    """Size and sha256 of staged files, by path; raise StoreError."""
    return {path: staging.described(path) for path in sorted(paths)}
