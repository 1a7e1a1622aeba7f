"""The numbers that a release's cards state, asked of its own DuckDB file."""

from pathlib import Path
from typing import NamedTuple

import duckdb

from ..errors import StoreError
from ..tables import TABLES

Counted = tuple[tuple[str, int], ...]


class Source(NamedTuple):
    """An outside source of observations."""

    origin: str
    title: str | None
    url: str | None
    observations: int


class Facts(NamedTuple):
    """What a release holds; outcomes and what is said of super weights without the withdrawn."""

    rows: dict[str, int]
    """By table."""
    withdrawn: int
    """Models."""
    outcomes: Counted
    locations: Counted
    alone: Counted
    sources: tuple[Source, ...]


_COUNT = "SELECT {0}, count(*) AS n FROM d.{1} WHERE withdrawn_time IS NULL GROUP BY ALL ORDER BY n DESC, {0}"
_SOURCES = (
    "SELECT origin, title, coalesce(url, repo), count(*) FROM d.observations GROUP BY ALL "
    "ORDER BY origin, count(*) DESC, title, coalesce(url, repo)"
)


def facts_of(database: Path) -> Facts:
    """Count what a database holds; raise StoreError."""
    try:
        with duckdb.connect() as con:
            con.execute(f"ATTACH '{str(database).replace(chr(39), chr(39) * 2)}' AS d (READ_ONLY)")
            return _counted(con)
    except duckdb.Error as error:
        raise StoreError(f"{database}: DuckDB: {str(error).strip().partition(chr(10))[0]}") from None


def about(database: Path) -> dict[str, str] | None:
    """What a database says of itself: its layout above all; None if it cannot be read."""
    try:
        with duckdb.connect() as con:
            con.execute(f"ATTACH '{str(database).replace(chr(39), chr(39) * 2)}' AS d (READ_ONLY)")
            return dict(con.execute("SELECT key, value FROM d.about").fetchall())
    except duckdb.Error:
        return None


def _counted(con: duckdb.DuckDBPyConnection) -> Facts:
    def tally(column: str, table: str) -> Counted:
        return tuple(con.execute(_COUNT.format(column, table)).fetchall())

    rows = {table.name: _one(con, f"SELECT count(*) FROM d.{table.name}") for table in TABLES}
    return Facts(
        rows=rows,
        withdrawn=_one(con, "SELECT count(*) FROM d.models WHERE withdrawn_time IS NOT NULL"),
        outcomes=tally("outcome", "models"),
        locations=tally("location", "super_weights"),
        alone=tally("alone", "super_weights"),
        sources=tuple(Source(*row) for row in con.execute(_SOURCES).fetchall()),
    )


def _one(con: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = con.execute(sql).fetchone()
    return int(row[0]) if row else 0
