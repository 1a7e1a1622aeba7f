"""`swindex index review`: claims side by side, and a curator's decisions on them. The work is the index's."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from ...index.errors import NotInIndex
from ...index.store import Index
from ...schema.errors import UsageError
from ...schema.record import Record
from ..main import print_json, write
from ..names import parse_model_id
from ..page import Page, wants_colour, width_of
from ..reading import records_dir
from ..sides import overview_page, review_page
from .options import Json, writable

_Ids = list[str] | None


def review(
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="A model; without it all that need a look are listed.")
    ] = None,
    index: Annotated[
        str | None, typer.Option("--index", metavar="DIR", help="The index; to decide, one that can be written to.")
    ] = None,
    conflicts: Annotated[bool, typer.Option("--conflicts", help="Only models, or weights, in a conflict.")] = False,
    all: Annotated[bool, typer.Option("--all", help="List every model that has claims.")] = False,
    settle: Annotated[_Ids, typer.Option(metavar="CLAIM", help="Take a claim out, --instead says for what.")] = None,
    withdraw: Annotated[_Ids, typer.Option(metavar="CLAIM", help="Take a claim out; may be repeated.")] = None,
    split: Annotated[
        str | None, typer.Option(metavar="CLAIM", help="Take a claim out for the several of --instead.")
    ] = None,
    restore: Annotated[_Ids, typer.Option(metavar="CLAIM", help="Put back a claim that was taken out.")] = None,
    instead: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Claims to put in place: a JSON list of observations.")
    ] = None,
    conflict: Annotated[
        str | None, typer.Option(metavar="KIND:WEIGHT", help="The conflict that this settles; alone: claims stand.")
    ] = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why; it stays in the record.")] = None,
    by: Annotated[str | None, typer.Option(metavar="NAME", help="Who decides; it stays in the record.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would change; write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
    json: Json = False,
) -> int:
    """Show what sources claim side by side, and decide on it.

    What the rule concludes and why, and the decisions so far. A claim is named by the first 8 digits of its id. A
    decision is a new version and keeps the claims that it takes out; nothing is edited."""
    from .deciding import Wanted, decide

    wanted = Wanted(tuple(settle or ()), tuple(withdraw or ()), split, tuple(restore or ()), instead, conflict)
    if wanted.nothing:
        return _show(Index(records_dir(index).parent), model, conflicts, all, json)
    if model is None:
        raise UsageError("name the model whose claims are decided on: swindex index review MODEL ...")
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    order = wanted.order(reason, by, time)
    return decide(Index(writable(index)), parse_model_id(model), order, dry_run=dry_run, yes=yes, json=json)


def _show(index: Index, model: str | None, conflicts: bool, every: bool, json: bool) -> int:
    if model is None:
        return _list(index, conflicts, every, json)
    from ...index.review import review as reviewed

    document = reviewed(index.read(parse_model_id(model)))
    only = {w for c in document["conflicts"] for w in c["weights"]} if conflicts else None
    if json:
        print_json(document)
    else:
        _print(lambda page: review_page(page, document, only))
    return 0


def _list(index: Index, conflicts: bool, every: bool, json: bool) -> int:
    from ...index.review import overview

    models = [overview(record) for model_id in index.models() if (record := _newest(index, model_id))]
    wanted = [m for m in models if m["conflicts"]] if conflicts else [m for m in models if every or _needs(m)]
    if json:
        print_json({"models": wanted})
    else:
        _print(lambda page: overview_page(page, wanted, 0 if every else len(models) - len(wanted)))
    return 0


def _newest(index: Index, model_id: str) -> Record | None:
    """The newest version; None for a log without one, which `index check` reports."""
    try:
        return index.read(model_id)
    except NotInIndex:
        return None


def _needs(model: dict[str, Any]) -> bool:
    """Whether somebody should look: a conflict that no decision settles, or a location that is disputed."""
    return bool(model["open"] or model["disputed"])


def _print(fill: Any) -> None:
    page = Page(width_of(sys.stdout), wants_colour(sys.stdout))
    fill(page)
    write(str(page), sys.stdout)
