"""Worker processes on this machine, as many as its memory and cores allow, each at one model at a time.

A worker that exceeds its time is killed, one that dies is replaced; either way its model gets a `Done` that says so.
What is done is in the outbox and stays there, however the pool ends. Knows no index and no listing.
"""

import os
import selectors
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from types import FrameType, TracebackType
from typing import Any, Self

from ...index.errors import StoreError
from ...schema.errors import SwindexError, UsageError
from ...schema.ids import is_model_id
from ..detection.options import Options
from .child import Child, environment
from .jobs import Job
from .limits import BASE, SHARE, TimeLimit, free_cores, free_memory, memory_of, threads_of
from .outbox import key_of, open_box
from .queue import Queue
from .undone import broken_off
from .worker import settings_of

AHEAD = 8
"""Jobs pulled ahead for each worker."""
START_LIMIT = 600.0
"""Seconds that a worker may take to import what it needs."""
LOOK = 0.5
"""Seconds between two looks at the clock."""
_BROKEN: dict[str, type[SwindexError]] = {"usage": UsageError, "store": StoreError}


@dataclass(frozen=True)
class Event:
    """Something about a job: `kind` is started, progress, finished (its Done is in the outbox) or malformed."""

    kind: str
    job: Job
    what: str = ""
    """Of a progress: layers or effects. Of a malformed job: why."""
    done: int = 0
    of: int = 0
    key: str = ""
    """Of a finished job: its name in the outbox."""
    facts: Mapping[str, Any] = field(default_factory=dict)


class Pool:
    """Workers on this machine. Leave the `with` block, or call `close`, to end them; they also end with the thread
    that started them.

    `workers`: how many at most, by default the cores. `memory`: bytes that they may take together, by default 80 % of
    what is free; a job that needs more than that is done alone. `threads`: of each, by default those of
    `limits.threads_of`. `variables`: more environment for them. `only_read_token`: see `child.environment`.
    """

    def __init__(
        self,
        workers: int | None,
        memory: float | None,
        options: Options,
        outbox: str | Path,
        time_limit: TimeLimit | None = None,
        *,
        threads: int | None = None,
        variables: Mapping[str, str] | None = None,
        only_read_token: bool = False,
        share: float = 1.0,
    ) -> None:
        if workers is not None and workers < 1:
            raise UsageError(f"{workers} workers do nothing; use 1 or more")
        self.workers = workers or free_cores()
        self.memory = SHARE * free_memory() if memory is None else memory
        self.options, self.box = options, open_box(outbox)
        self.time_limit = time_limit or TimeLimit()
        threads = threads or threads_of(self.workers)
        self._settings = settings_of(options, str(outbox), threads, self.workers + 1, share)
        self._variables = environment(threads, variables or {}, only_read_token=only_read_token)
        self._children: list[Child] = []
        self._before: Callable[[int, FrameType | None], Any] | int | None = None

    # --- running ---

    def run(self, jobs: Iterator[Job | None]) -> Iterator[Event]:
        """Do the jobs and tell how it goes; None in `jobs` means that there is none at the moment.

        Left before its end, it kills what was being done: that is not in the outbox and will be done again.
        Raise UsageError or StoreError where no model could be done, and what `jobs` raises.
        """
        queue = Queue(jobs, AHEAD * self.workers, AHEAD * self.workers)
        try:
            while True:
                yield from self._admit(queue)
                if self._busy:
                    yield from self._listen()
                elif queue.over:
                    return
                else:
                    sleep(LOOK)
        finally:
            for child in self._busy:
                self._end(child)

    def close(self) -> None:
        """End all workers; what they were at is not done."""
        for child in self._busy:
            self._end(child)
        for child in list(self._children):
            child.dismiss()
        self._children.clear()

    def __enter__(self) -> Self:
        """From here on SIGTERM ends this process as an exception does, workers first (in the main thread)."""
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            self._before = signal.signal(signal.SIGTERM, _terminated)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all workers."""
        try:
            self.close()
        finally:
            if self._before is not None:
                signal.signal(signal.SIGTERM, self._before)

    # --- admission ---

    @property
    def _busy(self) -> list[Child]:
        return [c for c in self._children if c.job is not None]

    def _admit(self, queue: Queue) -> Iterator[Event]:
        while len(self._busy) < self.workers and (job := queue.take(self._room)) is not None:
            if not is_model_id(job.model_id):
                yield Event("malformed", job, f"{job.model_id!r} is not a model id of the form org/name")
            elif self.box.has(job):
                yield Event("finished", job, key=key_of(job))
            else:
                child = self._idle()
                child.give(job)
                yield Event("started", job, facts={"pid": child.pid})

    def _room(self, job: Job) -> bool:
        """Whether the memory that a job will need is there; a job that is alone is let in whatever it needs."""
        busy = [c.job for c in self._busy if c.job is not None]
        waiting = max(0, len(self._children) - len(busy) - 1)
        return not busy or sum(map(self._needs, [*busy, job])) + waiting * BASE <= self.memory

    def _needs(self, job: Job) -> float:
        tokens = self.options.windows * self.options.window
        return memory_of(job.size, effects=self.options.effects, tokens=tokens)

    def _idle(self) -> Child:
        """A worker without a job, a new one if all have one. One that died meanwhile is not blamed on a job."""
        for child in [c for c in self._children if c.job is None]:
            if child.alive:
                return child
            self._end(child)
        child = Child(self._settings | {"parent": os.getpid()}, self._variables)
        self._children.append(child)
        return child

    # --- listening ---

    def _listen(self) -> Iterator[Event]:
        """What the workers have said within LOOK seconds, and what became of those whose time is over."""
        with selectors.DefaultSelector() as selector:
            for child in self._busy:
                selector.register(child, selectors.EVENT_READ, child)
            ready = [key.data for key, _ in selector.select(LOOK)]
        for child in ready:
            yield from self._heard(child)
        for child in self._busy:
            if (limit := self._limit(child)) < monotonic() - child.since:
                yield self._overdue(child, limit)

    def _limit(self, child: Child) -> float:
        return self.time_limit.of(_job(child)) if child.ready else START_LIMIT

    def _heard(self, child: Child) -> Iterator[Event]:
        said = child.heard()
        if said is None:
            child.ended()
            yield self._died(child)
            return
        for line in said:
            if line["event"] == "ready":
                child.ready, child.since = True, monotonic()
            elif line["event"] == "progress":
                yield Event("progress", _job(child), line["what"], line["done"], line["of"])
            elif line["event"] == "finished":
                job, child.job = _job(child), None
                yield Event("finished", job, key=line["key"])
            else:
                raise _BROKEN[line["kind"]](line["reason"])

    # --- what goes wrong ---

    def _overdue(self, child: Child, limit: float) -> Event:
        job, seconds = _job(child), monotonic() - child.since
        if not child.ready:
            raise SwindexError(f"a worker was not ready after {limit:g} s; the machine is overloaded, or out of memory")
        self._end(child)
        reason = f"stopped after {limit:g} s (time limit); give it more, or a faster machine or network"
        return self._record(job, reason, seconds, lasting=True, stopped="time limit")

    def _died(self, child: Child) -> Event:
        job, seconds, ready = _job(child), monotonic() - child.since, child.ready
        how = self._end(child)
        if not ready and not how.startswith("was killed"):
            raise SwindexError(f"a worker cannot start: it {how}")
        return self._record(job, f"its worker {how}", seconds, lasting=False, stopped=how)

    def _record(self, job: Job, reason: str, seconds: float, *, lasting: bool, stopped: str) -> Event:
        """Keep what is known of a job that was broken off, unless it was done at the last moment."""
        if not self.box.has(job):
            device = self.options.device
            self.box.put(broken_off(job, reason, lasting=lasting, seconds=seconds, stopped=stopped, device=device))
        return Event("finished", job, key=key_of(job))

    def _end(self, child: Child) -> str:
        self._children.remove(child)
        return child.end()


def _job(child: Child) -> Job:
    """The job of a worker that has one."""
    assert child.job is not None
    return child.job


def _terminated(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
