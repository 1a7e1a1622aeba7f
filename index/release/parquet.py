"""The Parquet files of a release: the tables of the DuckDB file (see `index.tables`), flat, one folder each.

Rows lie in the order of the models' ids; types are those of the table, also where it is empty or a column all null.
What is large is divided: a table over files, a file over row groups. Page indexes and content-defined chunks make a
changed file cheap to read in parts and to upload. Knows nothing of where the files go.
"""

from typing import Any

import duckdb

from ..errors import StoreError, os_reason
from ..rows import Column, Table
from ..tables import TABLES
from .staging import Staging

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ModuleNotFoundError as missing:
    reason = f"{missing.name} is not installed; a release needs more: pip install 'swindex[release]'"
    raise StoreError(reason) from None

FOLDER = "parquet"
LEFT_OUT = {"records": ("line",)}
"""Columns by table that the DuckDB file has and Parquet has not: whole versions stand in `versions/`."""
FILE_ROWS = 1_000_000
GROUP_ROWS = 50_000
_READER, _OLD_READER = "to_arrow_reader", "fetch_record_batch"
"""What DuckDB calls it from 2.0 on, and before."""

_TYPES = {
    "VARCHAR": pa.string(),
    "VARCHAR[]": pa.list_(pa.string()),
    "BIGINT": pa.int64(),
    "BIGINT[]": pa.list_(pa.int64()),
    "DOUBLE": pa.float64(),
    "DOUBLE[]": pa.list_(pa.float64()),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us"),
}


def columns_of(table: Table) -> list[Column]:
    """The columns that a table has in Parquet."""
    return [column for column in table.columns if column.name not in LEFT_OUT.get(table.name, ())]


def schema_of(table: Table) -> pa.Schema:
    """Names, types and meanings of a table's columns."""
    fields = [pa.field(c.name, _TYPES[c.type], metadata={"meaning": c.meaning}) for c in columns_of(table)]
    return pa.schema(fields, metadata={"meaning": table.meaning})


def name_of(table: str, number: int) -> str:
    """The path of a file of a table."""
    return f"{FOLDER}/{table}/{number:05d}.parquet"


def write_parquet(con: duckdb.DuckDBPyConnection, staging: Staging, file_rows: int = FILE_ROWS) -> None:
    """Stage the rows of the database attached as `d`, as they lie there, durably; raise StoreError."""
    for table in TABLES:
        names = ", ".join(f'"{column.name}"' for column in columns_of(table))
        asked: Any = con.sql(f"SELECT {names} FROM d.{table.name}")
        read = getattr(asked, _READER if hasattr(asked, _READER) else _OLD_READER)
        files = _Files(table, staging, file_rows)
        for batch in read(GROUP_ROWS):
            files.write(pa.Table.from_batches([batch]).cast(schema_of(table)))
        files.close()


class _Files:
    """The files of one table."""

    def __init__(self, table: Table, staging: Staging, file_rows: int) -> None:
        self._table, self._staging, self._file_rows = table, staging, file_rows
        self._schema = schema_of(table)
        self._number = self._in_file = 0
        self._writer: pq.ParquetWriter | None = None

    def write(self, held: pa.Table) -> None:
        """Write rows, over as many files as it takes."""
        while len(held):
            if self._in_file == self._file_rows:
                self.close()
            part = held.slice(0, self._file_rows - self._in_file)
            self._wrote(part)
            held = held.slice(len(part))

    def _wrote(self, part: pa.Table) -> None:
        path = self._staging.folder / name_of(self._table.name, self._number)
        try:
            self._open().write_table(part, row_group_size=GROUP_ROWS)
        except OSError as error:
            raise StoreError(f"{path}: not written: {os_reason(error)}") from None
        self._in_file += len(part)

    def _open(self) -> pq.ParquetWriter:
        if self._writer is None:
            path = self._staging.place(name_of(self._table.name, self._number))
            self._writer = pq.ParquetWriter(
                path, self._schema, compression="zstd", write_page_index=True, use_content_defined_chunking=True
            )
        return self._writer

    def close(self) -> None:
        """End the file, on disk when this returns; a table has one at least."""
        path = name_of(self._table.name, self._number)
        try:
            self._open().close()
        except OSError as error:
            raise StoreError(f"{path}: not written: {os_reason(error)}") from None
        self._staging.keep(path)
        self._writer, self._in_file, self._number = None, 0, self._number + 1
