"""What is kept of a result: appended, held back or tried again, and noted either way.

A failure that may pass is never appended: it says nothing of the model. A loss (see `breaker`) waits until the run has
ended well. Called by the collector, before a result leaves the outbox.
"""

from collections.abc import Iterator
from pathlib import Path

from ...index.errors import NotInIndex
from ...index.store import Index
from ...schema.record import Record
from .breaker import Breaker
from .collect import Collector
from .jobs import Done
from .outbox import Outbox, Report
from .state import Known, Noted, Queued, State
from .status import Status

HELD = "held back by the circuit breaker"
TRIES = 3
"""Times that a model is tried in one run while its failures may pass."""


class Ledger:
    """The results of one run."""

    def __init__(self, run: str, state: State, store: Index, breaker: Breaker, folder: Path) -> None:
        self.run, self.state, self.store, self.breaker = run, state, store, breaker
        self.held = Outbox(folder)
        self.status = Status()
        self.follows: set[str] = set()
        """Models that were compared with their base and are still to be scanned."""
        self._losses: set[str] = set()

    def wanted(self, done: Done) -> bool:
        """Whether a result is to be appended now."""
        loss = self.breaker.note(self.record(done.job.model_id), done)
        if loss:
            self.held.put(done)
            self._losses.add(done.job.model_id)
        return done.lasting and not loss

    def told(self, done: Done, appended: bool) -> Noted:
        """Note a result, of which the index now has what it is to have."""
        name, scan = done.job.model_id, done.result.scan
        noted = Noted(
            run=self.run,
            model_id=name,
            revision=done.result.model.revision,
            how=done.how,
            outcome=done.outcome,
            reason=HELD if name in self._losses else scan.reason if scan else None,
            appended=appended,
            requests=done.requests,
            bytes=done.bytes,
            seconds=done.seconds,
        )
        if not self.state.is_noted(done.job):
            self._count(done, noted, ended=self._settle(done, noted))
        return noted

    def _settle(self, done: Done, noted: Noted) -> bool:
        """Note it, and whether the model is done with in this run."""
        name = noted.model_id
        again = not done.lasting and done.job.tries + 1 < TRIES
        if again:
            self.state.again(noted, Queued(done.job.again()))
        elif name in self.follows:
            self.follows.remove(name)
            self.state.note(noted)
            return False
        else:
            kept = done.lasting and name not in self._losses
            self.state.done(noted, self._known(name) if kept else None)
        return not again

    def _count(self, done: Done, noted: Noted, *, ended: bool) -> None:
        status = self.status
        status.outcomes[noted.outcome] += ended
        status.how[noted.how] += 1
        status.appended += noted.appended
        status.bytes += noted.bytes
        status.requests += noted.requests
        status.sized += (done.job.size or 0) if done.how == "scan" else 0

    def skip(self, model_id: str, revision: str | None, reason: str, requests: int, read: int) -> Noted:
        """Note a model that needs nothing."""
        noted = Noted(self.run, model_id, revision, "skip", "skipped", reason, requests=requests, bytes=read)
        self.state.done(noted, self._known(model_id))
        self.status.outcomes["skipped"] += 1
        self.status.requests += requests
        self.status.bytes += read
        return noted

    def _known(self, model_id: str) -> Known | None:
        record = self.record(model_id)
        return Known.of(record) if record else None

    def record(self, model_id: str) -> Record | None:
        """What the index has of a model."""
        try:
            return self.store.read(model_id)
        except NotInIndex:
            return None

    def append_held(self, *, all: bool = False) -> int:
        """Append what was held back, in this run or (`all`) in any; how many."""
        if not all and not self._losses:
            return 0
        with Collector(_Chosen(self.held.folder, None if all else self._losses), self.store) as collector:
            taken = collector.take()
        self.status.appended += len(collector.appended)
        return taken


class _Chosen(Outbox):
    """What an outbox has of some models; None: of all."""

    def __init__(self, folder: Path, names: set[str] | None) -> None:
        super().__init__(folder)
        self._names = names

    def waiting(self, report: Report | None = None) -> Iterator[Done]:
        """Only theirs."""
        return (d for d in super().waiting(report) if self._names is None or d.job.model_id in self._names)
