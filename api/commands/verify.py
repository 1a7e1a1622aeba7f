"""`swindex verify`: re-read each recorded scalar from the checkpoint and compare. The work is the crawler's."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..client import Client
from ..main import print_json, write
from ..page import Cell, Column, Page, clean, number, wants_colour, width_of
from .options import Json, ModelId, ReadIndex

_COLUMNS = (
    Column("TENSOR"),
    Column("INDEX"),
    Column("ANSWER"),
    Column("RECORDED", right=True),
    Column("STORED", right=True),
    Column("BITS", drop=1),
)
_STYLE = {"same": "green", "agrees": "green", "drifted": "red", "gone": "red"}


def verify(
    model: ModelId,
    index: ReadIndex = None,
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A local folder to read, in place of the Hub.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(metavar="REV", help="The commit to read; without it the recorded one.")
    ] = None,
    of: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Another model to read, such as a fine-tune of this one.")
    ] = None,
    json: Json = False,
) -> int:
    """Re-read each recorded scalar and compare its bits.

    Reads the headers and a few bytes. Exit status 1 if a scalar is not what the record says. A record that comes from
    outside sources has no bits: its numbers are compared up to rounding."""
    from ...crawler.checkpoint.base import Checkpoint
    from ...crawler.checkpoint.hub import HubCheckpoint
    from ...crawler.checkpoint.local import LocalCheckpoint
    from ...crawler.verifying import verify as run

    record = Client(index).record(model)
    pinned = revision or (record.model.revision if of is None else None)
    opened: Checkpoint = LocalCheckpoint(checkpoint) if checkpoint else HubCheckpoint(of or model, pinned)
    done = run(record, opened)
    print_json(done.as_json()) if json else _print(done)
    return done.exit_status


def _print(done: Any) -> None:
    page = Page(width_of(sys.stdout), wants_colour(sys.stdout))
    page.text(f"{done.model_id}, read at {clean(done.place)}", "bold")
    page.table(_COLUMNS, [_row(check) for check in done.checks])
    for check in done.checks:
        if check.reason:
            page.text(f"{check.weight}: {clean(check.reason)}", "dim")
    page.text(f"{done.bytes_read} bytes read in {done.requests} requests, headers included.")
    write(str(page), sys.stdout)


def _row(check: Any) -> list[Cell]:
    texts = (
        clean(check.tensor),
        str(list(check.index)),
        check.answer.replace("_", " "),
        number(check.recorded_value, 7),
        number(check.stored_value, 7),
        check.stored_bits or "",
    )
    return [Cell(text, _STYLE.get(check.answer) if n == 2 else None) for n, text in enumerate(texts)]
