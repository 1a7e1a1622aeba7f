"""What a curator decides on a checked submission: it becomes a version that credits its submitter, or it is refused."""

from ...index.store import Index
from ...index.submissions.accepting import MovedOn, accept, confirmations
from ...index.submissions.codes import Effect, Said
from ...index.submissions.entry import Entry, Step
from ...index.submissions.states import State, WrongState
from ...index.submissions.store import Store
from ...schema.record import Record
from .claim import claimed
from .judge import Now, own_record, utc_now

CONFIRMED = frozenset({"rescan-agrees", "scanned-here"})
"""Codes that say that our own scan stands behind a submission."""


def accepted(store: Store, index: Index, entry: Entry, by: str, why: str = "", now: Now = utc_now) -> Entry:
    """Append what a checked submission adds, and note it; safe to repeat after a crash between the two.

    It becomes stale where the index has come to another commit. Raise WrongState, NothingToAppend, StoreError.
    """
    if entry.state is not State.NEEDS_REVIEW:
        raise WrongState(f"submission {entry.id} is {entry.state}: only one that was checked can be accepted")
    submission = store.document(entry)
    claim, _ = claimed(submission)
    try:
        made = accept(index, entry, submission, claim, own_record(store, entry, submission), now())
    except MovedOn as error:
        return store.step(entry, Step(State.STALE, now(), by, "", (Said("index-moved-on", str(error)),)))
    _filed(index, submission.model)
    return store.step(entry, Step(State.ACCEPTED, now(), by, why, (), _told(made)))


def accepted_if_confirmed(store: Store, index: Index, entry: Entry, by: str, now: Now = utc_now) -> Entry:
    """Accept a checked submission if our own scan confirms it and nothing asks for a look; else leave it as it is."""
    codes = {s.code for s in entry.last.said}
    is_open = any(s.effect is Effect.REVIEW for s in entry.last.said)
    if entry.state is not State.NEEDS_REVIEW or is_open or not codes & CONFIRMED:
        return entry
    return accepted(store, index, entry, by, "our own scan confirms it", now)


def rejected(store: Store, entry: Entry, by: str, why: str, now: Now = utc_now) -> Entry:
    """Refuse a submission, with the reason; raise WrongState, StoreError."""
    return store.step(entry, Step(State.REJECTED, now(), by, why, (Said("curator", why),)))


def _told(record: Record) -> dict[str, object]:
    said = record.provenance
    return {"version": said.version, "digest": said.digest, "confirmations": confirmations(record)}


def _filed(index: Index, model_id: str) -> None:
    """Bring the DuckDB file up to it, if there is one."""
    if index.database.is_file():
        from ...index.database import update

        update(index, [model_id])
