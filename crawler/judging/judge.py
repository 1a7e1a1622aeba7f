"""The verdict on a submission: every check in its order, the findings, the figures, and the state that follows.

Stops where a finding settles the matter, so that what is wrong on its face costs no request. Nothing is appended here,
and nothing of what was submitted is believed on the way.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from huggingface_hub import HfApi

from ...index.detector import DETECTOR
from ...index.errors import StoreError
from ...index.store import Index
from ...index.submissions.codes import ENDS, Effect, Said, strongest
from ...index.submissions.document import Submission
from ...index.submissions.entry import Entry, Step
from ...index.submissions.states import State
from ...index.submissions.store import Store
from ...schema.errors import UsageError
from ...schema.record import Record
from ...schema.types import SCANNED
from ..checkpoint.hub import HubCheckpoint
from ..crawling.jobs import Job
from ..crawling.outbox import from_bytes, key_of, to_bytes
from ..detection.options import Options
from ..refusal import Refusal, one_line
from . import compare, known, reading
from .claim import claimed
from .rescan import Bounds, Scan, beyond, in_worker, size_of

SETTLED = frozenset({Effect.REJECT, Effect.DUPLICATE, Effect.STALE, Effect.FULFIL})
"""Effects after which nothing more is looked at."""
Now = Callable[[], str]


def utc_now() -> str:
    """This moment in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Case:
    """A submission while it is checked."""

    entry: Entry
    submission: Submission
    claim: Record | None = None
    said: list[Said] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    history: list[Record] = field(default_factory=list)
    own: bytes | None = None

    @property
    def is_settled(self) -> bool:
        """Whether nothing more has to be looked at."""
        return strongest(self.said) in SETTLED


class Judge:
    """What checks submissions against one index and one Hub. `scan` makes our own scans, `now` tells the time."""

    def __init__(
        self,
        store: Store,
        index: Index,
        api: HfApi,
        *,
        bounds: Bounds = Bounds(),  # noqa: B008
        options: Options = Options(),  # noqa: B008
        scan: Scan | None = None,
        now: Now = utc_now,
    ) -> None:
        self.store, self.index, self.api, self.now = store, index, api, now
        self.bounds, self.options = bounds, options
        self._scan = scan or in_worker(options, bounds, api)

    def check(self, entry: Entry, by: str) -> Entry:
        """Check a submission and note what was found; raise WrongState, StoreError, UsageError."""
        entry = self.store.step(entry, Step(State.CHECKING, self.now(), by))
        case = self._case(entry)
        if isinstance(case, Said):
            return self._ended(entry, by, [case], {"checked": DETECTOR})
        self._look(case)
        case.figures |= {"checked": DETECTOR, "newest": case.history[-1].provenance.digest if case.history else None}
        if case.own is not None:
            self.store.keep_own(entry, case.own)
        return self._ended(entry, by, case.said, case.figures)

    def _look(self, case: Case) -> None:
        """All checks; one that breaks off is a finding, or a single submission would hold up all others."""
        try:
            for look in (self._document, self._known, self._checkpoint):
                if not case.is_settled:
                    look(case)
        except (StoreError, UsageError):
            raise
        except Exception as error:
            if os.environ.get("SWINDEX_DEBUG"):
                raise
            case.said.append(Said("broke-off", f"{type(error).__name__}: {error}"))

    def _ended(self, entry: Entry, by: str, said: list[Said], figures: dict[str, Any]) -> Entry:
        short = tuple(Said(s.code, one_line(s.message)[:500]) for s in said[:50])
        return self.store.step(entry, Step(ENDS[strongest(said)], self.now(), by, "", short, figures))

    def _case(self, entry: Entry) -> Case | Said:
        """The submission; what is wrong, where what was sent is none."""
        problem = next(iter(entry.steps[0].said), None)
        if problem is not None:
            return problem
        try:
            submission = self.store.document(entry)
        except UsageError as error:
            return Said("malformed", one_line(str(error)))
        return Case(entry, submission, history=known.history_of(self.index, submission.model))

    # --- the checks ---

    def _document(self, case: Case) -> None:
        case.claim, said = claimed(case.submission)
        case.said += said

    def _known(self, case: Case) -> None:
        case.said += known.known(case.entry, case.submission, case.claim, case.history, self.store)

    def _checkpoint(self, case: Case) -> None:
        try:
            checkpoint = reading.opened(case.submission, self.api)
            if case.claim is not None:
                case.said += reading.compared(case.claim, checkpoint, case.figures)
            if not case.is_settled:
                self._rescanned(case, checkpoint)
            read = {"bytes": checkpoint.meter.bytes, "requests": checkpoint.meter.requests}
            case.figures |= {name: case.figures.get(name, 0) + count for name, count in read.items()}
        except Refusal as refusal:
            case.said.append(reading.refused(refusal))

    def _rescanned(self, case: Case, checkpoint: HubCheckpoint) -> None:
        own = self._known_scan(case, checkpoint) or self._own_scan(case, checkpoint)
        if own is None or case.claim is None:
            return
        case.said += compare.compare(case.claim, own, case.figures)

    def _known_scan(self, case: Case, checkpoint: HubCheckpoint) -> Record | None:
        """The newest version, if it holds a whole scan of ours of this commit by this detector."""
        newest = case.history[-1] if case.history else None
        scan = compare.newest_scan(newest) if newest else None
        whole = scan and scan.settings.effects and scan.settings.depth == "full" and scan.settings.detector == DETECTOR
        if newest is None or scan is None or not whole or scan.revision != checkpoint.revision:
            return None
        case.said.append(Said("rescan-known", f"scan {scan.id[:12]} in version {newest.provenance.version}"))
        return newest

    def _own_scan(self, case: Case, checkpoint: HubCheckpoint) -> Record | None:
        job = Job(case.submission.model, checkpoint.revision, size_of(checkpoint))
        if why := beyond(job.size or 0, self.bounds, self.options):
            case.said.append(Said("too-large-here", why))
            return None
        done = self._scan(job)
        scan = done.result.scan
        case.figures |= {"bytes": done.bytes, "requests": done.requests, "seconds": done.seconds}
        if scan is None or scan.outcome not in SCANNED:
            reason = one_line(scan.reason or "") if scan else "no scan"
            case.said.append(Said("rescan-failed" if done.lasting else "unasked", reason))
            return None
        case.own = to_bytes(done)
        case.figures["own"] = {"scan": scan.id, "outcome": scan.outcome.value, "revision": job.revision}
        if case.claim is None:
            found = f"{scan.outcome.value}, {len(done.result.super_weights)} scalars"
            case.said.append(Said("scanned-here", found))
        return done.result.record("swindex")


def own_record(store: Store, entry: Entry, submission: Submission) -> Record | None:
    """What our own scan for a submission gave when it was checked; None if there was none."""
    data = store.own(entry)
    if data is None:
        return None
    told = entry.verdict.figures.get("own", {}) if entry.verdict else {}
    done = from_bytes(key_of(Job(submission.model, submission.revision or told.get("revision"))), data)
    return done.result.record("swindex")
