"""The tables of a release as they were written, read back model by model: DuckDB by itself, Parquet by pyarrow.

Both were written in the order of the models' ids; a table that is not in that order is not what was written.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import StoreError
from ..rows import Column, Table
from . import expected
from .parquet import columns_of, schema_of

Rows = Counter[tuple[Any, ...]]
_AT_ONCE = 1000


class Grouped:
    """Rows that begin with a model's id, in the order of the ids, taken model by model."""

    def __init__(self, rows: Iterable[tuple[Any, ...]]) -> None:
        self._groups = groupby(rows, key=lambda row: row[0])
        self._next = next(self._groups, None)

    @property
    def coming(self) -> str | None:
        """The model whose rows come next; None after the last."""
        return self._next[0] if self._next else None

    def take(self, model_id: str) -> Rows:
        """How often each row of this model stands there, if its rows come next; else nothing."""
        if self._next is None or self._next[0] != model_id:
            return Counter()
        rows = Counter(self._next[1])
        self._next = next(self._groups, None)
        return rows


def duckdb_rows(con: duckdb.DuckDBPyConnection, table: Table) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table of the database attached as `d`, as they lie there; raise StoreError."""
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    try:
        asked = con.cursor().execute(f"SELECT {names} FROM d.{table.name}")
        while rows := asked.fetchmany(_AT_ONCE):
            yield from (tuple(map(expected.cell, row)) for row in rows)
    except duckdb.Error as error:
        raise StoreError(f"{table.name}: DuckDB: {str(error).strip().partition(chr(10))[0]}") from None


def parquet_rows(paths: Iterable[Path], table: Table) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table from its files, in their order; raise StoreError."""
    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                if not file.schema_arrow.equals(schema_of(table)):
                    raise StoreError(f"{path}: its columns are not those of {table.name}")
                yield from _rows(file, columns_of(table))
        except (pa.ArrowException, OSError) as error:
            raise StoreError(f"{path}: {str(error).strip().partition(chr(10))[0]}") from None


def _rows(file: Any, columns: list[Column]) -> Iterator[tuple[Any, ...]]:
    for batch in file.iter_batches(_AT_ONCE):
        held = [map(expected.cell, batch.column(column.name).to_pylist()) for column in columns]
        yield from zip(*held, strict=True)
