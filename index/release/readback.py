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

from ..comparing import Span, rows_of
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


def duckdb_rows(con: duckdb.DuckDBPyConnection, table: Table, span: Span) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of these models in a table of the database attached as `d`, as they lie; raise StoreError."""
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    held, ends = rows_of(table, span)
    try:
        asked = con.cursor().execute(f"SELECT {names} {held}", ends)
        while rows := asked.fetchmany(_AT_ONCE):
            yield from (tuple(map(expected.cell, row)) for row in rows)
    except duckdb.Error as error:
        raise StoreError(f"{table.name}: DuckDB: {str(error).strip().partition(chr(10))[0]}") from None


def parquet_rows(paths: Iterable[Path], table: Table, span: Span) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of these models in a table from its files, in their order; raise StoreError."""
    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                if not file.schema_arrow.equals(schema_of(table)):
                    raise StoreError(f"{path}: its columns are not those of {table.name}")
                for number in range(file.num_row_groups):
                    yield from _rows_in_group(path, file, number, columns_of(table), span)
        except (pa.ArrowException, OSError) as error:
            raise StoreError(f"{path}: {str(error).strip().partition(chr(10))[0]}") from None


def _rows_in_group(path: Path, file: Any, number: int, columns: list[Column], span: Span) -> Iterator[tuple[Any, ...]]:
    """The rows of these models in a row group, which is read only if it says that it has any, and must not lie."""
    ids = file.metadata.row_group(number).column(0).statistics
    if ids is None or not ids.has_min_max or ids.null_count:
        raise StoreError(f"{path}: row group {number} does not say which models it holds")
    if (span.high is not None and ids.min >= span.high) or (span.low is not None and ids.max < span.low):
        return
    for batch in file.iter_batches(_AT_ONCE, row_groups=[number]):
        held = [map(expected.cell, batch.column(column.name).to_pylist()) for column in columns]
        for row in zip(*held, strict=True):
            if not ids.min <= row[0] <= ids.max:
                raise StoreError(f"{path}: row group {number} holds {row[0]}, and says that it does not")
            if span.holds(row[0]):
                yield row
