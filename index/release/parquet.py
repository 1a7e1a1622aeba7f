"""The Parquet files of a release: the tables of the DuckDB file (see `index.tables`), flat, one folder each.

Rows lie in the order of the models' ids; types are those of the table, also where it is empty or a column all null.
What is large is divided: a table over files, a file over row groups. Page indexes and content-defined chunks make a
changed file cheap to read in parts and to upload. Knows nothing of where the files go.
"""

from datetime import datetime
from typing import Any

from ..errors import StoreError, os_reason
from ..rows import Column, Table, Versions
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
_BATCH_ROWS = 1_000

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


class ParquetTables:
    """Writes the rows of models, which are added one by one in order; `close` ends all files."""

    def __init__(self, staging: Staging, file_rows: int = FILE_ROWS) -> None:
        self._tables = [_OneTable(table, staging, file_rows) for table in TABLES]

    def add(self, versions: Versions) -> Versions:
        """Write the rows of a model, and hand its versions on; raise StoreError."""
        for table in self._tables:
            table.add(versions)
        return versions

    def close(self) -> None:
        """End all files, on disk when this returns; raise StoreError."""
        for table in self._tables:
            table.close()


class _OneTable:
    """The files of one table."""

    def __init__(self, table: Table, staging: Staging, file_rows: int) -> None:
        self._table, self._staging, self._file_rows = table, staging, file_rows
        self._schema = schema_of(table)
        self._times = [column.name for column in table.columns if column.type == "TIMESTAMP"]
        self._rows: list[dict[str, Any]] = []
        self._batches: list[pa.RecordBatch] = []
        self._held = self._number = self._in_file = 0
        self._writer: pq.ParquetWriter | None = None

    def add(self, versions: Versions) -> None:
        self._rows += self._table.values(versions)
        if len(self._rows) >= _BATCH_ROWS:
            self._pack()

    def close(self) -> None:
        self._pack()
        self._write()
        self._end_file()

    def _pack(self) -> None:
        """Turn rows into columns, which are much smaller."""
        for row in self._rows:
            row.update((name, _moment(row[name])) for name in self._times)
        batch = pa.RecordBatch.from_pylist(self._rows, schema=self._schema)
        self._batches.append(batch)
        self._held += len(self._rows)
        self._rows = []
        if self._held >= GROUP_ROWS:
            self._write()

    def _write(self) -> None:
        """Write what is held, over as many files as it takes."""
        held = pa.Table.from_batches(self._batches, self._schema)
        self._batches, self._held = [], 0
        while len(held):
            if self._in_file == self._file_rows:
                self._end_file()
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

    def _end_file(self) -> None:
        path = name_of(self._table.name, self._number)
        try:
            self._open().close()
        except OSError as error:
            raise StoreError(f"{path}: not written: {os_reason(error)}") from None
        self._staging.keep(path)
        self._writer, self._in_file, self._number = None, 0, self._number + 1


def _moment(time: str | None) -> datetime | None:
    """A UTC time, without a zone as in the DuckDB file."""
    return None if time is None else datetime.fromisoformat(time.removesuffix("Z"))
