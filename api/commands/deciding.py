"""A curator's decision, from the options of `swindex index review` to a new version: shown, asked for, appended."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ...index.curation import Order, preview, with_decision
from ...index.errors import os_reason
from ...index.store import Index
from ...schema.canonical import canonical_bytes, strict_loads
from ...schema.decision import DecisionKind
from ...schema.errors import SwindexError, UsageError
from ...schema.observation import Observation
from ...schema.record import Record, explain
from ..changes import change
from ..main import print_json, write
from ..page import Page, wants_colour, width_of
from .confirming import confirm
from .history import lines

_MOST = 1 << 22
"""Bytes of a file of claims."""


@dataclass(frozen=True)
class Wanted:
    """What was asked for, as typed."""

    settle: tuple[str, ...]
    withdraw: tuple[str, ...]
    split: str | None
    restore: tuple[str, ...]
    instead: Path | None
    conflict: str | None

    @property
    def nothing(self) -> bool:
        """Whether nothing is to be decided."""
        return not any((self.settle, self.withdraw, self.split, self.restore, self.instead, self.conflict))

    def order(self, reason: str | None, by: str | None, time: str) -> Order:
        """The order; raise UsageError."""
        if not reason or not by:
            raise UsageError("a decision needs --reason TEXT and --by NAME; both stay in the record")
        kind, claims = self._kind()
        instead = _claims_in(self.instead) if self.instead else ()
        return Order(kind, reason, by, time, claims, instead, self.restore, self.conflict)

    def _kind(self) -> tuple[DecisionKind, tuple[str, ...]]:
        split = (self.split,) if self.split else ()
        given = {DecisionKind.WITHDRAW: self.withdraw, DecisionKind.SPLIT: split, DecisionKind.SETTLE: self.settle}
        kinds = [kind for kind, claims in given.items() if claims]
        if len(kinds) > 1 or (self.restore and kinds not in ([], [DecisionKind.SETTLE])):
            raise UsageError("one decision at a time: --settle, --withdraw, --split or --restore")
        kind = kinds[0] if kinds else DecisionKind.SETTLE
        return kind, given[kind]


def _claims_in(path: Path) -> tuple[Observation, ...]:
    """The observations in a file: a JSON list of them, or one; raise UsageError."""
    try:
        data = strict_loads(path.read_bytes()[:_MOST])
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {os_reason(error)}") from None
    except SwindexError as error:
        raise UsageError(f"{path}: {error}") from None
    try:
        return tuple(_parsed(each) for each in (data if isinstance(data, list) else [data]))
    except ValidationError as error:
        raise UsageError(f"{explain(error, path)}; `swindex index review MODEL --json` shows what a claim is") from None


def _parsed(data: Any) -> Observation:
    return Observation.model_validate_json(canonical_bytes(data))


@dataclass(frozen=True)
class Offer:
    """A version that somebody may want, and how to make it of whatever is newest when it is written."""

    after: Record
    build: Callable[[Record | None], dict[str, Any] | None]

    def append(self, index: Index) -> Record | None:
        """Append the version and bring the DuckDB file up to it, if there is one; None if it is there already."""
        model_id, said = self.after.model.id, self.after.provenance
        made = index.add(model_id, self.build, said.submitter, said.time)
        if index.database.is_file():
            from ...index.database import update

            update(index, [model_id])
        return made


def decide(index: Index, model_id: str, order: Order, *, dry_run: bool, yes: bool, json: bool) -> int:
    """Show what an order changes, and append it if that is wanted; the exit status."""
    before = index.read(model_id)

    def build(newest: Record | None) -> dict[str, Any]:
        return with_decision(newest, order, index.history(before.model.id) if newest else ())

    after = preview(before, order, index.history(model_id))
    return settle(index, before, Offer(after, build), dry_run=dry_run, yes=yes, json=json)


def settle(index: Index, before: Record, offer: Offer, *, dry_run: bool, yes: bool, json: bool) -> int:
    """Show what an offer changes, and append it if that is wanted; the exit status."""
    made = None
    if not json:
        _show(before, offer.after)
    if not dry_run:
        confirm(f"Append this version of {before.model.id}?", "write", "written", yes)
        made = offer.append(index)
    _tell(before, made or offer.after, written=made is not None, json=json)
    return 0


def _changed(before: Record, after: Record) -> Any:
    return change(before.model_dump(mode="json"), after.model_dump(mode="json"))


def _show(before: Record, after: Record) -> None:
    page = Page(width_of(sys.stdout), wants_colour(sys.stdout))
    page.text(f"{before.model.id}: version {before.provenance.version} -> {after.provenance.version}", "bold")
    for line in [*lines(_changed(before, after)), *_conflicts(before, after)]:
        page.text(line, indent="  ", hang="    ")
    write(str(page), sys.stdout)


def _conflicts(before: Record, after: Record) -> list[str]:
    """How the conflicts change that the rule sees."""
    old, new = ({(c.kind, c.weights): c for c in r.status.conflicts} for r in (before, after))
    gone = [f"conflict {k}:{w[0]}: gone" for k, w in old if (k, w) not in new]
    return gone + [f"conflict {k}:{w[0]}: {'; '.join(c.sides)}" for (k, w), c in new.items() if old.get((k, w)) != c]


def _tell(before: Record, after: Record, *, written: bool, json: bool) -> None:
    if json:
        said = after.provenance
        told = {"model": after.model.id, "written": written, "version": said.version, "digest": said.digest}
        print_json({**told, "change": _changed(before, after).model_dump(mode="json")})
    else:
        print(f"Written: version {after.provenance.version}." if written else "Nothing was written (--dry-run).")
