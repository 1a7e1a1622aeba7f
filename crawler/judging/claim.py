"""What can be told from a submitted document alone: whether it is a scan of ours, whole, and nothing besides.

Knows no index, no other submission and no checkpoint.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ...index.detector import DETECTOR
from ...index.findings import worth_a_look
from ...index.submissions.codes import Said
from ...index.submissions.document import Submission
from ...schema.canonical import canonical_bytes
from ...schema.errors import SwindexError
from ...schema.record import Record
from ...schema.types import SCANNED
from ..parts.result import scan_id_of
from ..refusal import one_line

_ID = re.compile("[0-9a-f]{64}")
MOST = {"super_weights": 512, "groups": 512, "effects": 4096, "scans": 1}
"""Parts of each kind that are looked at; a scan of ours gives a few."""


def claimed(submission: Submission) -> tuple[Record | None, list[Said]]:
    """The record of a submission, if it is one worth comparing, and what is wrong with it."""
    if submission.record is None:
        return None, []
    if large := _large(submission.record):
        return None, [Said("too-many", large)]
    try:
        record = Record.parse(canonical_bytes(submission.record))
    except (SwindexError, RecursionError) as error:
        return None, [Said("schema", one_line(str(error)))]
    said = [Said(code, one_line(message)) for code, rule in _RULES.items() for message in rule(record, submission)]
    return record, said or [Said(f.code, one_line(f.message)) for f in worth_a_look(record, record.model.id)]


def _large(record: dict[str, Any]) -> str | None:
    """What there is too much of; told before the record is parsed, since that takes its time."""
    for name, most in MOST.items():
        held = record.get(name)
        if isinstance(held, list) and len(held) > most:
            return f"{len(held)} {name}, at most {most} are looked at"
    return None


def _another(record: Record, submission: Submission) -> Iterator[str]:
    revisions = {record.model.revision, *(s.revision for s in record.scans)}
    if record.model.id != submission.model or revisions != {submission.revision}:
        stated = ", ".join(sorted(f"{record.model.id}@{(r or 'no commit')[:12]}" for r in revisions))
        yield f"the record is of {stated}, submitted is {submission.model}@{(submission.revision or '')[:12]}"


def _no_scan(record: Record, _: Submission) -> Iterator[str]:
    provenance = record.provenance
    if provenance.version != 1 or provenance.withdrawn:
        yield f"it is version {provenance.version}{', withdrawn' if provenance.withdrawn else ''}, not a first one"
    if not record.scans or record.scans[0].outcome not in SCANNED:
        outcome = record.scans[0].outcome.value if record.scans else "none"
        yield f"it holds no scan that was made ({outcome}), so there is nothing to compare"


def _more(record: Record, _: Submission) -> Iterator[str]:
    held = [n for n in ("observations", "remarks", "survivals", "decisions") if getattr(record, n)]
    if any(s.shared_from for s in record.scans):
        held.append("a scan shared with another model")
    if held:
        yield f"it carries {', '.join(held)}"


def _not_of_it(record: Record, _: Submission) -> Iterator[str]:
    scans = {s.id for s in record.scans}
    strange = [w.id for w in record.super_weights if w.scan not in scans]
    strange += [g.id for g in record.groups if g.reported]
    if strange:
        yield f"{one_line(strange[0])[:80]} is not what the scan found"


def _other_id(record: Record, _: Submission) -> Iterator[str]:
    for scan in record.scans:
        if not _ID.fullmatch(scan.id):
            yield "the scan's id is no digest"
        elif scan.outcome in SCANNED and scan.settings.detector == DETECTOR:
            derived = scan_id_of(record.model, scan.settings, scan.profile)
            if scan.id != derived:
                yield f"the scan is called {scan.id[:12]}, its content has {derived[:12]}"


def _other_detector(record: Record, _: Submission) -> Iterator[str]:
    for scan in record.scans:
        if scan.settings.detector != DETECTOR:
            yield f"scanned by {scan.settings.detector[:60]}, this is {DETECTOR}"


_RULES: dict[str, Callable[[Record, Submission], Iterable[str]]] = {
    "wrong-model": _another,
    "not-a-scan": _no_scan,
    "carries-more": _more,
    "scan-only": _not_of_it,
    "scan-id": _other_id,
    "other-detector": _other_detector,
}
