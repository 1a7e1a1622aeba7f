"""One question in SQL to an index: a single SELECT that can read the tables and nothing else, and its answer.

DuckDB's way out (files, network, extensions, settings, Python's variables) is shut before the question is asked, so a
query of a stranger costs time and memory at most. Knows no table.
"""

import datetime
import math
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from ..schema.errors import UsageError
from .database import connect, in_memory, open_file
from .store import Index

_SHUT = (
    "SET python_enable_replacements = false",
    "SET temp_directory = ''",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)
"""In this order: after the last nothing can be set."""


class Answered(NamedTuple):
    """The names and SQL types of the columns, and the rows."""

    columns: list[str]
    types: list[str]
    rows: list[tuple[Any, ...]]


def ask(directory: Path, question: str) -> Answered:
    """Ask the index in a directory, or a published file in one without records.

    Raise UsageError for anything but one SELECT that DuckDB can answer; StaleDatabase, StoreError.
    """
    with opened(directory) as con:
        return answer(con, question)


def opened(directory: Path) -> duckdb.DuckDBPyConnection:
    """Open the tables to read and shut every way out: the published file, or the log itself if there is none."""
    index = Index(directory)
    if not index.records.is_dir() and index.database.is_file():
        con = open_file(index.database)
    else:
        con = connect(index) if index.database.is_file() else in_memory(index)
    for each in _SHUT:
        con.execute(each)
    return con


def answer(con: duckdb.DuckDBPyConnection, question: str) -> Answered:
    """The answer to one SELECT; raise UsageError."""
    try:
        statements = con.extract_statements(question)
        if [s.type for s in statements] != [duckdb.StatementType.SELECT]:
            raise UsageError("sql: one SELECT (or FROM, VALUES, DESCRIBE, SHOW, SUMMARIZE), and nothing else")
        asked = con.execute(statements[0])
        described = asked.description or []
        return Answered([str(d[0]) for d in described], [str(d[1]) for d in described], asked.fetchall())
    except duckdb.Error as error:
        raise UsageError(f"sql: {_told(error)}") from None


def plain(value: Any) -> Any:
    """A cell as JSON data: times in ISO 8601, what JSON has no number for (NaN, infinities) as text."""
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)


def _told(error: Exception) -> str:
    """What DuckDB says, without the lines that draw an arrow under the query."""
    return " ".join(str(error).partition("\n\nLINE ")[0].split())
