"""Makes the tables in an open DuckDB database (attached as `d`) and puts rows in, as the data in `tables` says.

Rows travel as JSON Lines files, which DuckDB reads much faster than single inserts. Knows nothing of where the database
is kept.
"""

import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from glob import escape
from itertools import chain, islice
from pathlib import Path
from typing import IO

import duckdb

from .feed import START, Entry
from .rows import Table, Versions
from .tables import LAYOUT, TABLES

_FEW = 1000
"""Models that DuckDB is given one by one, so that it need not look where none of them can be."""
_AT_ONCE = 10_000
"""Models whose rows DuckDB loads at once: it holds what it loads in memory, and the files need disk."""


def make_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Make all tables, empty, with their meanings as comments."""
    con.execute("CREATE TABLE d.about (key VARCHAR, value VARCHAR)")
    con.execute("INSERT INTO d.about VALUES ('layout', ?)", [LAYOUT])
    for table in TABLES:
        columns = ", ".join(f'"{column.name}" {column.type} {column.storage}' for column in table.columns)
        con.execute(f"CREATE TABLE d.{table.name} ({columns})")
        con.execute(f"COMMENT ON TABLE d.{table.name} IS {_text(table.meaning)}")
        for column in table.columns:
            con.execute(f'COMMENT ON COLUMN d.{table.name}."{column.name}" IS {_text(column.meaning)}')


def note(con: duckdb.DuckDBPyConnection, newest: Entry | None) -> None:
    """Note the change that the tables are made up to."""
    con.execute("DELETE FROM d.about WHERE key IN ('seq', 'chain')")
    seq, chain = (newest.seq, newest.chain) if newest else (0, START)
    con.execute("INSERT INTO d.about VALUES ('seq', ?), ('chain', ?)", [str(seq), chain])


def insert(con: duckdb.DuckDBPyConnection, folder: Path, histories: Iterable[Versions]) -> None:
    """Insert the rows of these models by way of files in `folder`, some models at a time."""
    rest = iter(histories)
    for first in rest:
        load(con, folder, write(folder, chain([first], islice(rest, _AT_ONCE - 1))))


def write(folder: Path, histories: Iterable[Versions]) -> int:
    """Write the rows of these models to files in `folder`; the length of the longest line."""
    with ExitStack() as stack:
        files = [(table, stack.enter_context(_path(folder, table).open("w", encoding="utf-8"))) for table in TABLES]
        return max((_write(files, versions) for versions in histories if versions), default=0)


def load(con: duckdb.DuckDBPyConnection, folder: Path, longest: int) -> None:
    """Insert what `write` wrote, and remove it."""
    for table in TABLES:
        if (path := _path(folder, table)).stat().st_size:
            con.execute(f"INSERT INTO d.{table.name} {selected(table, folder, longest)}")
        path.unlink()


def selected(table: Table, folder: Path, longest: int) -> str:
    """The query for the rows of a table that `write` wrote."""
    columns = "{" + ", ".join(f"'{column.name}': '{column.type}'" for column in table.columns) + "}"
    return (
        f"SELECT * FROM read_json({_text(escape(str(_path(folder, table))))}, format = 'newline_delimited', "
        f"columns = {columns}, maximum_object_size = {max(longest + 1024, 1 << 24)})"
    )


def delete(con: duckdb.DuckDBPyConnection, model_ids: list[str]) -> None:
    """Delete all rows of these models; if they are few, without a look at the others."""
    if model_ids:
        few = len(model_ids) <= _FEW
        these, given = (", ".join("?" * len(model_ids)), model_ids) if few else ("SELECT unnest(?)", [model_ids])
        for table in TABLES:
            con.execute(f"DELETE FROM d.{table.name} WHERE model_id IN ({these})", given)


def _path(folder: Path, table: Table) -> Path:
    return folder / f"{table.name}.jsonl"


def _write(files: Sequence[tuple[Table, IO[str]]], versions: Versions) -> int:
    """Write a model's rows; the length of the longest line."""
    longest = 0
    for table, file in files:
        for row in table.values(versions):
            longest = max(longest, file.write(json.dumps(row) + "\n"))
    return longest


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
