"""`swindex index withdraw`: take a whole record back, or put it back. Nothing is removed: both are new versions."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from ...index import versions
from ...index.store import Index, next_version
from ...schema.errors import UsageError
from ...schema.record import Record
from ..names import parse_model_id
from .options import Json, ModelId, WriteIndex, writable


def withdraw(
    model: ModelId,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why; it stays in the record.")] = None,
    by: Annotated[str | None, typer.Option(metavar="NAME", help="Who decides; it stays in the record.")] = None,
    restore: Annotated[bool, typer.Option("--restore", help="Put a withdrawn record back.")] = False,
    index: WriteIndex = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would change; write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
    json: Json = False,
) -> int:
    """Take a whole record back, with a reason; --restore puts it back.

    A withdrawn record stays readable, with its history, and counts for nothing. For one claim of several see
    `swindex index review`."""
    from .deciding import Offer, settle

    opened, time = Index(writable(index)), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    why = _why(reason, by, restore)
    before = opened.read(parse_model_id(model))

    def build(newest: Record | None) -> dict[str, Any] | None:
        return _parts(newest or before, why, time)

    parts = build(before)
    if parts is None:
        raise UsageError(f"{before.model.id}: {'not withdrawn' if restore else 'withdrawn for that reason already'}")
    offer = Offer(next_version(before, parts, by or "", time), build)
    return settle(opened, before, offer, dry_run=dry_run, yes=yes, json=json)


def _why(reason: str | None, by: str | None, restore: bool) -> str | None:
    """The reason to withdraw; None to restore."""
    if not by or not (reason or restore):
        raise UsageError(
            "to withdraw needs --reason TEXT and --by NAME, to --restore --by NAME; both stay in the record"
        )
    if restore and reason:
        raise UsageError("--restore takes no --reason: the version says only that the record counts again")
    return None if restore else reason


def _parts(newest: Record, why: str | None, time: str) -> dict[str, Any] | None:
    return versions.restore(newest) if why is None else versions.withdraw(newest, why, time)
