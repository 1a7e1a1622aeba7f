"""`swindex changes`: which versions were appended to an index, newest first."""

import sys
from typing import Annotated

import typer

from ..client import Client
from ..main import print_json, write
from ..page import Cell, Column, Page, wants_colour, width_of
from ..recent import LIMIT, Appended, Changes
from .options import Json, ReadIndex

_COLUMNS = (
    Column("SEQ", right=True),
    Column("TIME"),
    Column("MODEL"),
    Column("VERSION", right=True),
    Column("OUTCOME"),
    Column("WITHDRAWN", drop=1),
)


def changes(
    since: Annotated[
        int | None,
        typer.Option(
            "--since", metavar="SEQ", min=0, help="Those after this change only, and of many the first, to go on from."
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most so many.")] = LIMIT,
    index: ReadIndex = None,
    json: Json = False,
) -> int:
    """List what was appended to the index, newest first.

    With --json, `next` is what to give as --since to get what comes after."""
    found = Client(index).changes(since, limit)
    print_json(found.model_dump(mode="json")) if json else _print(found)
    return 0


def _print(found: Changes) -> None:
    page = Page(width_of(sys.stdout), wants_colour(sys.stdout))
    if found.changes:
        page.table(_COLUMNS, [_row(each) for each in found.changes])
    page.text(_summary(found), "dim")
    write(str(page), sys.stdout)


def _summary(found: Changes) -> str:
    more = found.newest - found.next
    onwards = f" {more} more: --since {found.next}." if more else ""
    return f"{len(found.changes)} shown; the last change is {found.newest}.{onwards}"


def _row(change: Appended) -> list[Cell]:
    withdrawn = "withdrawn" if change.withdrawn else ""
    cells = (str(change.seq), change.time, change.model_id, str(change.version), change.outcome, withdrawn)
    return [Cell(cell) for cell in cells]
