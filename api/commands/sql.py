"""`swindex index sql`: one SELECT to the tables of an index. The work is `index.sql`'s."""

import csv as _csv
import io
import json as _json
import sys
from typing import Annotated, Any

import typer

from ...schema.errors import UsageError
from ..main import print_json, write
from ..page import Cell, Column, Page, clean, number, wants_colour, width_of
from ..reading import home
from .options import Json, ReadIndex

_NUMBERS = ("BIGINT", "DOUBLE", "HUGEINT", "INTEGER", "FLOAT", "DECIMAL")


def sql(
    query: Annotated[str, typer.Argument(metavar="SELECT", help="The query, as one argument.", show_default=False)],
    index: ReadIndex = None,
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values with a line of names.")] = False,
) -> int:
    """Ask the tables in SQL (DuckDB).

    Reads the DuckDB file, or the log if there is none; writes nothing and reaches no other file. Tables:
    index/QUESTIONS.md, or `SHOW TABLES` and `DESCRIBE models`."""
    if json and csv:
        raise UsageError("--json and --csv exclude each other")
    from ...index.sql import ask, plain

    answered = ask(home(index), query)
    rows = [[plain(value) for value in row] for row in answered.rows]
    if json:
        print_json({"columns": answered.columns, "types": answered.types, "rows": rows})
    else:
        write(_csv_text(answered.columns, rows) if csv else _page_text(answered, rows), sys.stdout)
    return 0


def _csv_text(columns: list[str], rows: list[list[Any]]) -> str:
    out = io.StringIO()
    writer = _csv.writer(out, lineterminator="\n")
    writer.writerows([columns, *([_csv_cell(value) for value in row] for row in rows)])
    return out.getvalue()


def _csv_cell(value: Any) -> Any:
    return _json.dumps(value) if isinstance(value, list | dict | bool) else value


def _page_text(answered: Any, rows: list[list[Any]]) -> str:
    page = Page(width_of(sys.stdout), wants_colour(sys.stdout))
    columns = [
        Column(clean(name), right=kind.startswith(_NUMBERS) and not kind.endswith("]"))
        for name, kind in zip(answered.columns, answered.types, strict=True)
    ]
    if rows:
        page.table(columns, [[_cell(value) for value in row] for row in rows])
    page.text(f"{len(rows)} row{'' if len(rows) == 1 else 's'}", "dim")
    return str(page)


def _cell(value: Any) -> Cell:
    if value is None:
        return Cell("NULL", "dim")
    if isinstance(value, list):
        return Cell(", ".join(_cell(each).text for each in value))
    return Cell(number(value, 6) if isinstance(value, float) else str(value))
