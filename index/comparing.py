"""The rows that the log gives against those in the DuckDB file, some models at a time, each row of each table.

Knows neither locks nor what is published when.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb

from . import fill
from .opening import open_file, translated
from .rows import Table
from .tables import TABLES


class Difference(NamedTuple):
    """Rows of one model in one table that only the log gives, or that only the file has."""

    table: str
    model_id: str
    only_log: int
    only_file: int


class Span(NamedTuple):
    """The models from one id up to another, which is not of them; None is either end."""

    low: str | None
    high: str | None

    def holds(self, model_id: str) -> bool:
        """Whether a model is of them."""
        return (self.low is None or model_id >= self.low) and (self.high is None or model_id < self.high)


def spans(divided: Sequence[Sequence[str]]) -> list[Span]:
    """The spans that these shards, which are in order, divide all ids into."""
    starts = [None, *(models[0] for models in divided[1:])]
    return [Span(*ends) for ends in zip(starts, [*starts[1:], None], strict=True)]


def differences(database: Path, folder: Path, longest: int, span: Span) -> list[Difference]:
    """Compare what `fill.write` wrote to a folder with the rows of these models in a file; raise StoreError."""
    with translated(database), open_file(database) as con:
        con.execute("SET memory_limit = '512MB'")
        return [each for table in TABLES for each in _differences(con, table, folder, longest, span)]


def _differences(
    con: duckdb.DuckDBPyConnection, table: Table, folder: Path, longest: int, span: Span
) -> Iterator[Difference]:
    con.execute(f"CREATE OR REPLACE TEMP TABLE given AS {fill.selected(table, folder, longest)}")
    held, ends = rows_of(table, span)
    extra = "SELECT model_id, count(*) AS n FROM (({}) EXCEPT ALL ({})) GROUP BY model_id"
    rows = con.execute(
        f"SELECT model_id, coalesce(l.n, 0), coalesce(f.n, 0) FROM ({extra.format('FROM given', held)}) AS l "
        f"FULL JOIN ({extra.format(held, 'FROM given')}) AS f USING (model_id) ORDER BY model_id",
        ends * 2,
    ).fetchall()
    return (Difference(table.name, *row) for row in rows)


def rows_of(table: Table, span: Span) -> tuple[str, list[str]]:
    """The query for the rows of these models in the file, and what it is given."""
    conditions = {"model_id < ?": span.high}
    conditions["model_id >= ?" if span.high else "(model_id >= ? OR model_id IS NULL)"] = span.low
    given = {condition: end for condition, end in conditions.items() if end is not None}
    where = f"WHERE {' AND '.join(given)}" if given else ""
    return f"FROM d.{table.name} {where}", list(given.values())
