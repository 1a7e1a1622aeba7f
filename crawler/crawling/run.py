"""A run: from the listing, or from names, through the gate and the workers to the index, until all is done.

One process decides, looks and appends; scans are done by workers. What a kill leaves in the outbox is appended by the
next run, what workers were at is done again. Knows the order of things; what each is stands in its own module.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from huggingface_hub import HfApi

from ...index import heartbeat
from ...index.store import Index
from ..detection.options import Options
from ..hub import transport
from ..hub.budget import Budget
from ..hub.pace import Pacer
from ..hub.shared import FOLDER
from ..parts.result import now
from .breaker import Breaker
from .child import token
from .collect import Collector
from .jobs import Done, Job
from .ledger import Ledger
from .limits import TimeLimit
from .outbox import Outbox
from .policy import Policy
from .pool import Event, Pool
from .report import CrawlReport, first
from .state import Noted, Queued, State, path_in
from .status import Status, Step
from .supply import Supply, check_names

if TYPE_CHECKING:
    from .gate import Gate

EVERY = 0.5
"""Seconds between two counts of how it stands: the queue and the log of attempts may be long."""


class Watch(Protocol):
    """Told how a run goes."""

    def show(self, status: Status) -> None:
        """Something changed."""

    def ended(self, noted: Noted) -> None:
        """A model is done, or one try of it."""


class Unwatched:
    """Nobody watches."""

    def show(self, status: Status) -> None:
        """Nothing."""

    def ended(self, noted: Noted) -> None:
        """Nothing."""


def crawl(
    models: list[str],
    *,
    index: Path,
    policy: Policy | None = None,
    options: Options | None = None,
    watch: Watch | None = None,
    api: HfApi | None = None,
    accept_held: bool = False,
) -> CrawlReport:
    """Scan the named models, or what the policy's listing gives, and append each to the index as soon as it is done.

    `accept_held`: first append what the circuit breaker of an earlier run held back. Raise UsageError, DiscoveryError,
    Locked or StoreError; a model that cannot be scanned is no error.
    """
    check_names(models)
    store = Index(index)
    store.ensure()
    with State.open(store) as state:
        run = Run(
            models, store, state, policy or Policy.read(), options or Options(), watch, api or HfApi(token=token())
        )
        if accept_held:
            run.ledger.append_held(all=True)
        with run.polite():
            run.go()
        return run.report()


class Run:
    """One run of a crawl."""

    def __init__(
        self,
        models: list[str],
        store: Index,
        state: State,
        policy: Policy,
        options: Options,
        watch: Watch | None,
        api: HfApi,
    ) -> None:
        self.id, self.started = uuid.uuid4().hex[:12], now()
        self.store, self.state, self.policy, self.options, self.api = store, state, policy, options, api
        self.watch = watch or Unwatched()
        self.folder, limit = path_in(store).parent, policy.budget
        self.budget = Budget(limit.requests, limit.bytes, limit.hours, self.folder)
        self.breaker = Breaker(policy.breaker)
        self.ledger = Ledger(self.id, state, store, self.breaker, self.folder / "held")
        self.supply = Supply(models, self.id, state, store, policy, api, self._show)
        self.box = Outbox(self.folder / "outbox")
        self.status = self.ledger.status
        self.stopped: str | None = None
        self.given: set[str] = set()
        """Models that went to the pool and are not done."""
        self.contents: dict[str, str] = {}
        """What is at work: the digest of what the scan of a model depends on."""
        self.beyond: list[str] = []
        """Models that the rest of the budget has no room for; they wait for the next run."""
        self._shown = 0.0

    @cached_property
    def gate(self) -> "Gate":
        """What looks at a model; it needs torch, which a listing in which nothing changed does without."""
        from .gate import Gate

        return Gate(self.store, self.policy, self.options, self.api, self.state.twin)

    @contextmanager
    def polite(self) -> Iterator[None]:
        """Ask the Hub no faster than it allows, and no more than the budget does, workers included."""
        self.budget.begin()
        transport.install(
            Pacer(self.folder, workers=self.policy.workers.count + 1, share=self.policy.workers.share), self.budget
        )
        transport.ensure(self.api.endpoint)
        try:
            yield
        finally:
            transport.uninstall()

    def go(self) -> None:
        """Run until all is done or it must stop; what was acknowledged stays, however it ends."""
        with self._pool() as pool, self._collector() as collector:
            collector.take()
            try:
                for event in pool.run(self._jobs(collector)):
                    self._heard(event)
                    if event.kind == "finished":
                        collector.take()
                    self._show()
            finally:
                self.state.release(self.id)
        self.stopped = self.stopped or self.breaker.tripped or self._no_room()
        if self.breaker.tripped is None:
            self.ledger.append_held()
        self._beat()

    def report(self) -> CrawlReport:
        """What it did."""
        held = tuple(d.job.model_id for d in self.ledger.held.waiting())
        attempts = first(self.state.attempts(self.id))
        seconds = self.status.seconds
        return CrawlReport(
            self.id, self.started, now(), self.status, self.stopped, dict(self.supply.skipped), attempts, held, seconds
        )

    # --- jobs ---

    def _jobs(self, collector: Collector) -> Iterator[Job | None]:
        """The jobs for the workers; None while what is at work may still bring one back."""
        while self._may_go_on():
            queued = self.supply.next(self.given | set(self.contents.values()))
            self._show()
            job = self._passed(queued, collector) if queued else None
            if job is not None:
                self.given.add(job.model_id)
                yield job
            elif queued is None and not self.given:
                return
            elif queued is None:
                yield None

    def _passed(self, queued: Queued, collector: Collector) -> Job | None:
        """The job that is left of a model after the gate, None if it is done, put off, or beyond the budget."""
        if queued.base_model in self.given:
            self.supply.put_off(queued, queued.base_model)
            return None
        passed = self.gate.open(queued)
        name = queued.job.model_id
        if passed.skip is not None:
            self.watch.ended(self.ledger.skip(name, passed.revision, passed.skip, passed.requests, passed.bytes))
            return None
        if passed.job and passed.content and passed.content in self.contents.values():
            self.supply.put_off(queued, passed.content)
            return None
        if passed.done is not None:
            if passed.job:
                self.ledger.follows.add(name)
            self.box.put(passed.done)
            collector.take()
        if passed.job and not self.budget.may_start(passed.job.size):
            self.beyond.append(name)
            return None
        if passed.job and passed.content:
            self.contents[name] = passed.content
        return passed.job

    def _heard(self, event: Event) -> None:
        name = event.job.model_id
        if event.kind in ("finished", "malformed"):
            self.status.running.pop(name, None)
            self.contents.pop(name, None)
            self.given.discard(name)
        else:
            self.status.running[name] = Step(event.what, event.done, event.of)

    # --- when to stop ---

    def _may_go_on(self) -> bool:
        """Whether another model may be begun; what is at work ends in any case."""
        self.stopped = self.stopped or self.breaker.tripped or self.budget.exhausted()
        return self.stopped is None

    def _no_room(self) -> str | None:
        """What was left for a run with more to spend."""
        some = ", ".join(self.beyond[:3])
        return f"the budget has no room for {len(self.beyond)} models ({some}); run again to go on" if some else None

    def _spent(self) -> dict[str, tuple[float, float]]:
        """Of each thing that is limited: spent, by all processes, and of how much."""
        spent = dict(self.budget.spent().items())
        return {name: (spent[name] or 0.0, of) for name, of in self.budget.limit.items() if of is not None}

    # --- around it ---

    def _pool(self) -> Pool:
        workers = self.policy.workers
        memory = None if workers.memory_gb is None else 1e9 * workers.memory_gb
        variables = {"HF_ENDPOINT": self.api.endpoint, FOLDER: str(self.folder)}
        if isinstance(self.api.token, str):
            variables["HF_TOKEN"] = self.api.token
        limit = TimeLimit(60 * workers.minutes)
        return Pool(
            workers.count, memory, self.options, self.box.folder, limit, variables=variables, share=workers.share
        )

    def _collector(self) -> Collector:
        def told(done: Done, appended: bool) -> None:
            self.watch.ended(self.ledger.told(done, appended))

        return Collector(self.box, self.store, told=told, wanted=self.ledger.wanted)

    def _show(self, *, now: bool = False) -> None:
        """Count how it stands, and show it, unless that was done a moment ago."""
        if not now and monotonic() - self._shown < EVERY:
            return
        self._shown = monotonic()
        status, place = self.status, self.supply.place
        waiting, size, _ = self.state.waiting(self.supply.query)
        ahead = len(self.given) - len(status.running)
        status.waiting, status.waiting_bytes = waiting + len(self.supply.off) + ahead, size
        status.listing, status.budget = self.supply.more, self._spent()
        if place is not None:
            status.listed, status.eligible = place.rows, place.eligible + place.indexed
            status.indexed = place.indexed + self.state.covered(place)
        self.watch.show(status)

    def _beat(self) -> None:
        """Say in the index that it was crawled, and how far."""
        self._show(now=True)
        before, status, place = heartbeat.read(self.store.directory), self.status, self.supply.place
        crawled = {
            "started": place.started if place else self.started,
            "ended": now(),
            "complete": place is not None and place.next_url is None and not status.waiting,
            "stopped": self.stopped,
            **{name: getattr(status, name) for name in ("listed", "eligible", "indexed")},
        }
        crawl = before["crawl"] if self.supply.named else crawled
        newest = now() if status.appended else before["newest"]
        if crawl:
            heartbeat.write(self.store.directory, newest, crawl)
