"""What becomes of a listed model: skipped, and why, or queued. A page at a time, since a page is one question of names.

A model at a commit that this detector version scanned, or that would end the same way again, costs nothing beyond its
row. What the crawl's own notes know is believed only where it spares work; else the index's record decides.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ...index import log
from ...index.errors import NotInIndex
from ...index.store import Index
from ...schema.model import Relation
from ...schema.record import Record
from ...schema.types import SCANNED, Outcome
from ..parts.result import DETECTOR
from .fine_tunes import is_settled
from .jobs import Job
from .policy import Policy
from .row import Row
from .state import Known, Queued, State

LASTING = frozenset(
    {Outcome.NEEDS_REMOTE_CODE, Outcome.UNSUPPORTED_ARCHITECTURE, Outcome.UNSAFE_FORMAT, Outcome.CORRUPT}
)
"""Outcomes that the same commit and detector would give again; the others may pass (network, access, memory)."""
INDEXED = frozenset({"already scanned", "already tried", "already compared"})
"""Kinds of decision that say that the index has it."""


class Verdict(NamedTuple):
    """What is to be done (`scan` or `skip`), under which of few names it is counted, and why, in full."""

    action: str
    kind: str
    reason: str


class Decision(NamedTuple):
    """A row and what becomes of it."""

    row: Row
    action: str
    kind: str
    reason: str


def decide(rows: Sequence[Row], state: State, index: Index | None, policy: Policy) -> list[Decision]:
    """What becomes of each row of a page, in its order; no index: one that is still to be made."""
    known = state.known([row.model_id for row in rows])
    return [Decision(row, *_verdict(row, known.get(row.model_id), index, policy)) for row in rows]


def queued(row: Row, policy: Policy) -> Queued:
    """The job for a row that is to be scanned. A fine-tune of one model is looked at first, after the base models."""
    job = Job(row.model_id, row.revision, row.size)
    tuned = len(row.base_models) == 1 and row.relation in (None, Relation.FINETUNE)
    if not tuned or policy.fine_tunes.survival == "off":
        return Queued(job)
    return Queued(job, "look", 1, row.base_models[0])


def judge(record: Record | None, revision: str | None, index: Index | None, policy: Policy) -> Verdict:
    """What a model's record says about scanning it at a commit, None if that is not known before asking."""
    if record is None:
        return Verdict("scan", "new", "not in the index")
    if index is not None and is_settled(record, revision, index, policy.fine_tunes):
        return Verdict("skip", "already compared", "compared with its base at this commit, which is enough")
    mine = [s for s in record.scans if s.settings.detector == DETECTOR]
    if not mine:
        return Verdict("scan", "other detector", f"not scanned by {DETECTOR} yet")
    here = [s for s in mine if revision is None or s.revision == revision]
    if not here:
        return Verdict("scan", "new commit", "a new commit")
    if revision is None:
        return Verdict("scan", "commit not known", "its commit is not known before asking")
    return _tried(here[-1].outcome, policy.models.retry_failed)


def _verdict(row: Row, known: Known | None, index: Index | None, policy: Policy) -> Verdict:
    left = policy.rule_against(row)
    if left is not None:
        return Verdict("skip", *left)
    retry = policy.models.retry_failed
    if known is not None and (known.revision, known.detector) == (row.revision, DETECTOR):
        verdict = _tried(known.outcome, retry)
        if verdict.action == "skip":
            return verdict
    return judge(record_of(index, row.model_id), row.revision, index, policy)


def _tried(outcome: str, retry_failed: bool) -> Verdict:
    if outcome in SCANNED:
        return Verdict("skip", "already scanned", f"already scanned at this commit: {outcome}")
    if outcome in LASTING and not retry_failed:
        return Verdict("skip", "already tried", f"already tried at this commit: {outcome}")
    return Verdict("scan", "tried before", f"tried before: {outcome}")


def record_of(index: Index | None, model_id: str) -> Record | None:
    """The record of a model, if the index has one of this spelling; a store refuses another one when it is written."""
    if index is None or not log.is_file(log.path_of(index.records, model_id)):
        return None
    try:
        return index.read(model_id)
    except NotInIndex:
        return None
