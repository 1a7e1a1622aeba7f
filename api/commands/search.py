"""`swindex search`: models in the index by a text."""

import sys
from typing import Annotated

import typer

from ..client import Client
from ..main import print_json, write
from ..page import Cell, Column, Page, wants_colour, width_of
from ..searching import Hit
from .options import Json, Offline, ReadIndex

_COLUMNS = (
    Column("MODEL"),
    Column("OUTCOME"),
    Column("WEIGHTS", right=True),
    Column("VERDICT"),
    Column("ARCHITECTURE", drop=1),
    Column("COMMIT", drop=2),
)


def search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A part of the name, in any case.", show_default=False)],
    index: ReadIndex = None,
    offline: Offline = False,
    json: Json = False,
) -> int:
    """List models by a part of a name.

    Of the id, the architecture, the family, the base model or a tensor. Reads the newest version of every model, which
    an index that is elsewhere must send. Exit status 1 if none match."""
    client = Client(index, offline=offline)
    hits = client.search(text)
    if json:
        print_json({"text": text, "models": [h.model_dump(mode="json") for h in hits]})
    elif hits:
        page = Page(width_of(sys.stdout), wants_colour(sys.stdout))
        page.table(_COLUMNS, [_row(h) for h in hits])
        write(str(page), sys.stdout)
    if not hits:
        print(f"swindex: no model in the index {client.source} matches {text!a}", file=sys.stderr)
    return 0 if hits else 1


def _row(hit: Hit) -> list[Cell]:
    verdict = hit.verdict.value if hit.super_weights else ""
    commit = hit.revision[:12] if hit.revision else ""
    cells = (hit.id, hit.outcome, str(hit.super_weights), verdict, hit.architecture or "", commit)
    return [Cell(cell) for cell in cells]
