"""Makes the tables in an open DuckDB database (attached as `d`) and puts rows in, as the data in `tables` says.

Rows travel as JSON Lines files, which DuckDB reads much faster than single inserts. Knows nothing of where the database
is kept.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from glob import escape
from itertools import chain, islice
from pathlib import Path
from typing import IO

import duckdb

from .feed import START, Entry
from .rows import Table, Versions
from .tables import LAYOUT, TABLES

_AT_ONCE = 10_000
"""Models whose rows DuckDB loads at once: it holds what it loads in memory, and the files need disk."""


def make_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Make all tables, empty, with their meanings as comments."""
    con.execute("CREATE TABLE d.about (key VARCHAR, value VARCHAR)")
    con.execute("INSERT INTO d.about VALUES ('layout', ?)", [LAYOUT])
    for table in TABLES:
        columns = ", ".join(f'"{column.name}" {column.type}' for column in table.columns)
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
        _insert(con, folder, chain([first], islice(rest, _AT_ONCE - 1)))


def _insert(con: duckdb.DuckDBPyConnection, folder: Path, histories: Iterable[Versions]) -> None:
    with ExitStack() as stack:
        files: dict[str, IO[str]] = {
            t.name: stack.enter_context(_path(folder, t).open("w", encoding="ascii")) for t in TABLES
        }
        longest = max(_write(files, versions) for versions in histories)
    for table in TABLES:
        _load(con, table, _path(folder, table), longest)


def delete(con: duckdb.DuckDBPyConnection, model_ids: list[str]) -> None:
    """Delete all rows of these models."""
    for table in TABLES:
        con.execute(f"DELETE FROM d.{table.name} WHERE list_contains(?, model_id)", [model_ids])


def _path(folder: Path, table: Table) -> Path:
    return folder / f"{table.name}.jsonl"


def _write(files: dict[str, IO[str]], versions: Versions) -> int:
    """Write a model's rows (none for a log without a whole line); the length of the longest line."""
    lines = ((table, line) for table in TABLES if versions for line in _lines(table, versions))
    return max((files[table.name].write(line) for table, line in lines), default=0)


def _lines(table: Table, versions: Versions) -> Iterator[str]:
    return (json.dumps(row) + "\n" for row in table.values(versions))


def _load(con: duckdb.DuckDBPyConnection, table: Table, path: Path, longest: int) -> None:
    columns = "{" + ", ".join(f"'{column.name}': '{column.type}'" for column in table.columns) + "}"
    con.execute(
        f"INSERT INTO d.{table.name} SELECT * FROM read_json({_text(escape(str(path)))}, format = 'newline_delimited', "
        f"columns = {columns}, maximum_object_size = {max(longest + 1024, 1 << 24)})"
    )
    path.unlink()


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
