"""`swindex verify`: re-read each recorded scalar from the checkpoint and compare. The work is the crawler's."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..client import Client
from ..main import print_json, write
from ..names import parse_model_id
from ..page import Cell, Column, Page, clean, number, wants_colour, width_of
from .options import Json, ModelId, ReadIndex

if TYPE_CHECKING:
    from ...crawler.checkpoint.base import Checkpoint

_COLUMNS = (
    Column("TENSOR"),
    Column("INDEX"),
    Column("ANSWER"),
    Column("RECORDED", right=True),
    Column("STORED", right=True),
    Column("DRIFT", drop=1, right=True),
    Column("BITS", drop=2),
)
_STYLE = {"same": "green", "agrees": "green", "drifted": "red", "gone": "red"}
_NAMED_BY = {"option": "--of", "record": "its record in the index", "card": "its card on the Hub"}


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
        str | None,
        typer.Option(metavar="BASE", help="Hold the model against the record of this one, such as its base."),
    ] = None,
    json: Json = False,
) -> int:
    """Re-read each recorded scalar and compare its bits.

    Reads the headers and a few bytes. A model without recorded scalars of its own, such as a fine-tune, is held against
    the record of its base. Exit status 1 if a scalar is not what the record says. A record that comes from outside
    sources has no bits: its numbers are compared up to rounding."""
    from ...crawler.verifying import verify as run
    from ..subject import choose

    wanted = parse_model_id(model)

    def opened(at: str | None) -> "Checkpoint":
        from ...crawler.checkpoint.hub import HubCheckpoint
        from ...crawler.checkpoint.local import LocalCheckpoint

        return LocalCheckpoint(checkpoint, wanted) if checkpoint else HubCheckpoint(wanted, at)

    record, read, named_by = choose(wanted, Client(index).record, opened, revision, of)
    done = run(record, read)
    withdrawn = record.provenance.withdrawn
    more = {"base_named_by": named_by, "listed_as": read.listed_as, "withdrawn": withdrawn and withdrawn.reason}
    print_json({**done.as_json(), **more}) if json else _print(done, more)
    return done.exit_status


def _print(done: Any, more: dict[str, Any]) -> None:
    page = Page(width_of(sys.stdout), wants_colour(sys.stdout))
    page.text(f"{done.model_id}, read at {clean(done.place)}", "bold")
    for line in _remarks(done, more):
        page.text(line, "yellow")
    page.table(_COLUMNS, [_row(check) for check in done.checks])
    for check in done.checks:
        if check.reason:
            page.text(f"{check.weight}: {clean(check.reason)}", "dim")
    counts = ", ".join(f"{n} {answer.replace('_', ' ')}" for answer, n in done.counts.items() if n)
    page.text(f"{counts}.", "bold")
    read = f"{done.header_bytes:,} bytes of headers and {done.scalar_bytes:,} of scalars"
    page.text(f"Read {read} in {done.requests} requests.")
    write(str(page), sys.stdout)


def _remarks(done: Any, more: dict[str, Any]) -> list[str]:
    of = f"{done.record_of}{f'@{done.record_revision[:8]}' if done.record_revision else ''}"
    said = []
    if more["base_named_by"]:
        said.append(f"Held against the record of {of}, named by {_NAMED_BY[more['base_named_by']]}.")
    elif done.record_revision is None and done.revision:
        said.append("The record names no commit: its sources may have seen another one than this.")
    if more["listed_as"]:
        said.append(f"The Hub now has it as {more['listed_as']}.")
    if more["withdrawn"]:
        said.append(f"The record was withdrawn: {more['withdrawn']}")
    return said


def _row(check: Any) -> list[Cell]:
    texts = (
        clean(check.tensor),
        str(list(check.index)),
        check.answer.replace("_", " "),
        number(check.recorded_value, 7),
        number(check.stored_value, 7),
        "" if check.drift is None or not check.drift else f"{check.drift:+.2%}",
        check.stored_bits or "",
    )
    return [Cell(text, _STYLE.get(check.answer) if n == 2 else None) for n, text in enumerate(texts)]
