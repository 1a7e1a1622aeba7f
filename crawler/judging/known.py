"""A submission beside what is known already: copies, requests that are answered, an index that has moved on.

Reads the index and the other submissions; no checkpoint and no Hub.
"""

import re
from collections.abc import Iterator, Sequence

from ...index.errors import NotInIndex
from ...index.store import Index
from ...index.submissions.accepting import claimed_scans
from ...index.submissions.codes import Said
from ...index.submissions.document import Kind, Submission
from ...index.submissions.entry import Entry
from ...index.submissions.states import PENDING, State
from ...index.submissions.store import Store
from ...schema.errors import SwindexError
from ...schema.record import Record
from ...schema.types import SCANNED

_COUNTS = PENDING | {State.ACCEPTED, State.DUPLICATE}
"""States of an earlier submission of which another one is a copy."""
_COPIES = ("same-scan", "same-request")
_OTHER = re.compile("submission ([0-9a-f]{16}) ")
"""How the findings of these two codes begin that name another submission."""


def history_of(index: Index, model_id: str) -> list[Record]:
    """All versions of a model's record, none if the index has none; raise StoreError."""
    try:
        return [] if index.vacant else index.history(model_id)
    except NotInIndex:
        return []


def scanned(record: Record | None) -> str | None:
    """The commit of the newest scan that a record has; None without one."""
    return next((s.revision for s in reversed(record.scans) if s.outcome in SCANNED), None) if record else None


def known(
    entry: Entry, submission: Submission, claim: Record | None, history: Sequence[Record], store: Store
) -> Iterator[Said]:
    """Yield what the index and earlier submissions say of this one."""
    newest = history[-1] if history else None
    if claim is None:
        yield from _asked_already(entry, submission, history, store)
    else:
        yield from _copies(entry, claim.scans[0].id, history, store)
    yield from _moved(submission, newest)


def _copies(entry: Entry, scan: str, history: Sequence[Record], store: Store) -> Iterator[Said]:
    for record in history:
        for brought, told in claimed_scans(record):
            if brought == scan and told != entry.id:
                whose = f"submission {told}" if told else "a scan of ours"
                yield Said("same-scan", f"version {record.provenance.version} has it already, from {whose}")
                return
    for other in _earlier(entry, store):
        if other.kind is Kind.RECORD and _scan_in(store, other) == scan:
            yield Said("same-scan", f"submission {other.id} has the same scan")
            return


def _asked_already(entry: Entry, submission: Submission, history: Sequence[Record], store: Store) -> Iterator[Said]:
    for record in history:
        at = scanned(record)
        if at is not None and submission.revision in (None, at):
            version = f"version {record.provenance.version} of {record.provenance.time[:10]} has its scan"
            since = record.provenance.time >= entry.received
            yield Said("fulfilled" if since else "known-already", version)
            return
    for other in _earlier(entry, store):
        if other.kind is Kind.REQUEST and other.revision == submission.revision:
            yield Said("same-request", f"submission {other.id} asks for it")
            return


def _earlier(entry: Entry, store: Store) -> Iterator[Entry]:
    """Submissions of the same model that came before and count, oldest first."""
    at = (entry.received, entry.id)
    for other in reversed(store.entries()):
        if other.model == entry.model and other.state in _COUNTS and (other.received, other.id) < at:
            yield other


def orphans(store: Store) -> list[Entry]:
    """Duplicates of a submission that was refused since: they deserve a check of their own, oldest first."""
    found = []
    for entry in reversed(store.entries()):
        named = [m[1] for s in entry.last.said if s.code in _COPIES and (m := _OTHER.match(s.message))]
        original = store.find(named[0]) if entry.state is State.DUPLICATE and named else None
        if original is not None and original.state not in _COUNTS:
            found.append(entry)
    return found


def _scan_in(store: Store, entry: Entry) -> str | None:
    """The id that a submission gives its scan, whatever else is wrong with it."""
    try:
        scans = (store.document(entry).record or {}).get("scans")
    except SwindexError:
        return None
    first = scans[0] if isinstance(scans, list) and scans else None
    found = first.get("id") if isinstance(first, dict) else None
    return found if isinstance(found, str) else None


def _moved(submission: Submission, newest: Record | None) -> Iterator[Said]:
    if newest is not None and newest.provenance.withdrawn:
        yield Said("withdrawn", f"on {newest.provenance.withdrawn.time[:10]}: {newest.provenance.withdrawn.reason}")
    if newest is None or submission.revision is None:
        return
    digest, at = newest.provenance.digest, scanned(newest)
    elsewhere = at is not None and at != submission.revision
    version = f"version {newest.provenance.version}"
    if elsewhere and digest != submission.parent:
        yield Said("index-moved-on", f"{version} has a scan of {at[:12] if at else ''}")
    elif elsewhere:
        yield Said("other-commit", f"{version} has a scan of {at[:12] if at else ''}, this is of another commit")
    elif digest != submission.parent:
        yield Said("rebased", f"the newest is {version} ({digest[:12]})")
