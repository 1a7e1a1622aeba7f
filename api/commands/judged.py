"""Submissions as `swindex review` prints them: a table of many, a page of one. Knows no checks.

What was sent was written by strangers: it is shown in short, and cleaned.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...schema.errors import SwindexError
from ..main import print_json, write
from ..page import Cell, Column, Page, clean, wants_colour, width_of

if TYPE_CHECKING:
    from ...index.submissions.entry import Entry
    from ...index.submissions.store import Store

_LIST = (
    Column("ID"),
    Column("STATE"),
    Column("KIND", drop=2),
    Column("MODEL"),
    Column("COMMIT", drop=3),
    Column("SUBMITTER", drop=1),
    Column("RECEIVED", drop=1),
    Column("PULL REQUEST", drop=2),
)
_SHOWN = 10
"""Scalars that are named."""
_SAID = (Column("CODE"), Column("EFFECT"), Column("WHAT WAS FOUND"))
_STYLES = {
    "accepted": "green",
    "needs_review": "yellow",
    "rejected": "red",
    "reject": "red",
    "duplicate": "dim",
    "stale": "dim",
}


def print_list(entries: Sequence["Entry"]) -> None:
    if not entries:
        return
    page = Page(width_of(sys.stdout), wants_colour(sys.stdout))
    page.table(_LIST, [_row(e) for e in entries])
    write(str(page), sys.stdout)


def _row(entry: "Entry") -> list[Cell]:
    pull = entry.sender.pull
    texts = (entry.kind.value if entry.kind else "", entry.model or "(none)", (entry.revision or "")[:8])
    rest = (entry.sender.name, entry.received[:16].replace("T", " "), pull.name if pull else "")
    state = Cell(entry.state.value.replace("_", " "), _STYLES.get(entry.state.value))
    return [Cell(entry.id), state, *(Cell(clean(t)) for t in (*texts, *rest))]


def print_done(store: "Store", done: Sequence["Entry"], json: bool) -> None:
    from ..service.desk import document

    if json:
        print_json({"submissions": [document(e) for e in done]})
        return
    for entry in done:
        print_one(store, entry, False)
    if not done:
        print("Nothing waits to be checked.")


def print_one(store: "Store", entry: "Entry", json: bool) -> int:
    from ..service.desk import document
    from ..submitting.offer import shown

    told = {**document(entry), "note": None, "sent": None}
    try:
        if entry.kind is not None:
            told["note"] = store.document(entry).note
            told["sent"] = shown(store.document(entry))
    except (SwindexError, KeyError, TypeError, IndexError, AttributeError):
        pass  # what was sent is not believed, and not even well-formed
    if json:
        print_json(told)
        return 0
    page = Page(width_of(sys.stdout), wants_colour(sys.stdout))
    _page(page, told)
    write(str(page), sys.stdout)
    return 0


def _page(page: Page, told: dict[str, Any]) -> None:
    way = f", {told['pull_request']}" if told["pull_request"] else ""
    at = f" at {told['revision'][:12]}" if told["revision"] else ""
    page.text(f"{told['id']}  {told['state'].replace('_', ' ')}", f"bold {_STYLES.get(told['state'], '')}".strip())
    page.text(f"{told['kind'] or 'no submission'} of {told['model'] or 'nothing'}{at}, from {told['submitter']}{way}")
    if told["sent"] and told["sent"]["outcome"]:
        weights = told["sent"]["super_weights"]
        named = ", ".join(str(w["id"]) for w in weights[:_SHOWN])
        page.text(f"It says: {told['sent']['outcome']}, {len(weights)} scalars {named}"[:500].rstrip(), hang="  ")
    if told["note"]:
        page.text(f"Note: {told['note']}", hang="  ")
    for step in told["states"]:
        why = f": {step['why']}" if step["why"] else ""
        page.text(f"{step['time']}  {step['state'].replace('_', ' ')}, by {step['by']}{why}", "dim", indent="  ")
    if told["findings"]:
        page.table(_SAID, [_finding(f) for f in told["findings"]], fill=2)
    if told["version"]:
        said = "".join(f"; {c['weight']} found by {_by(c)}" for c in told["confirmations"])
        page.text(f"Version {told['version']} of {told['model']}{said}.", hang="  ")
    page.lines.append("")


def _finding(found: dict[str, str]) -> list[Cell]:
    style = _STYLES.get(found["effect"], "yellow" if found["effect"] == "review" else None)
    return [Cell(found["code"]), Cell(found["effect"], style), Cell(clean(found["message"]))]


def _by(confirmation: dict[str, Any]) -> str:
    """Who found a scalar, in words."""
    count = confirmation["submitters"]
    return f"{'our own scan and ' if confirmation['ours'] else ''}{count} submitter{'' if count == 1 else 's'}"
