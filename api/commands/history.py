"""`swindex history`: the versions of a record and what changed between them."""

import sys

from ..changes import Change, Compared, Decided, ScanAdded
from ..client import Client
from ..compared import STATES
from ..main import print_json, write
from ..page import Page, wants_colour, width_of
from .options import Json, ModelId, Offline, ReadIndex


def history(model: ModelId, index: ReadIndex = None, offline: Offline = False, json: Json = False) -> int:
    """Print the versions of a model's record and what changed.

    What an earlier one said in full: swindex lookup MODEL --as-of TIME, with the time shown here."""
    changes = Client(index, offline=offline).history(model)
    if json:
        print_json({"model": model, "versions": [c.model_dump(mode="json") for c in changes]})
    else:
        page = Page(width_of(sys.stdout), wants_colour(sys.stdout))
        for each in changes:
            _version(page, each)
        write(str(page), sys.stdout)
    return 0


def _version(page: Page, change: Change) -> None:
    commit = f"commit {change.revision[:12]}" if change.revision else "no commit"
    page.text(f"version {change.version}  {change.time}  {change.outcome}  {commit}", "bold")
    page.text(f"by {change.submitter}, {change.digest[:12]}", "dim", indent="  ")
    for line in lines(change):
        page.text(line, indent="  ", hang="    ")


def lines(change: Change) -> list[str]:
    """What a version changed, in words, one thing a line."""
    listed = (
        ("weights added", change.weights_added),
        ("weights removed", change.weights_removed),
        ("groups added", change.groups_added),
        ("groups removed", change.groups_removed),
    )
    said = [f"{what}: {', '.join(ids)}" for what, ids in listed if ids]
    said += [f"{v.of} {v.what}: {v.before} -> {v.after}" for v in change.verdicts]
    said += [f"scan {s.id[:12]} of {s.time[:10]}: {s.outcome}{_made(s)}" for s in change.scans_added]
    said += [f"compared with {s.base}: {_states(s)}" for s in change.survivals_added]
    said += [text for d in change.decisions_added for text in _decided(d)]
    said += [f"observations: {change.observations_added:+d}"] if change.observations_added else []
    said += [f"WITHDRAWN: {change.withdrawn}"] if change.withdrawn else []
    return said or ["nothing that the status shows"]


def _made(scan: ScanAdded) -> str:
    return f" (made in {scan.shared_from}, identical files)" if scan.shared_from else ""


def _decided(decided: Decided) -> list[str]:
    about = f" conflict {decided.conflict}" if decided.conflict else ""
    told = [f"{decided.kind}{about}, by {decided.by}: {decided.reason}"]
    told += [f"taken out: {claim}" for claim in decided.taken_out]
    return told + [f"put in: {claim}" for claim in decided.put_in]


def _states(compared: Compared) -> str:
    counts = {state: getattr(compared, state) for state in STATES}
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count)
