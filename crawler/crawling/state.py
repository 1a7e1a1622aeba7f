"""What a crawl remembers: which models are known, which wait, where the listing stands, what every attempt did.

`known` caches what the index's own records say: it spares asking, and is never the truth. A page's jobs are queued in
the same transaction in which the place in the listing moves on, so that a kill at any point loses and doubles nothing.
An attempt is noted, its job ends and what it taught is known in one transaction, after the index has acknowledged it.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ...index.errors import NotInIndex
from ...index.store import Index
from ...schema.record import Record
from ..parts.result import DETECTOR, now
from . import sql
from .jobs import Job
from .own import offered
from .statefile import Connect, StateFile, held, memory_file, open_file, read_file

BATCH = 1000
"""Names asked for in one query; rows written in one transaction of a rebuild."""
KEPT = 20
"""Walks that are remembered; jobs of others are dropped from the queue."""
RECENT = 200
"""Attempts that a rate is measured over."""


@dataclass(frozen=True)
class Known:
    """The newest scan of a model by a detector, as the index's record has it; `digest` is that record's."""

    model_id: str
    revision: str
    detector: str
    outcome: str
    time: str
    digest: str
    content: str | None = None
    """What another repository must have to be its twin; None where its scan is not its own."""

    @classmethod
    def of(cls, record: Record) -> Self | None:
        """What a record says of this detector's newest scan, None if there is none at a commit."""
        mine = [s for s in record.scans if s.settings.detector == DETECTOR and s.revision]
        if not mine:
            return None
        scan, place = mine[-1], record.provenance
        revision, own = str(scan.revision), offered(record)
        return cls(record.model.id, revision, DETECTOR, scan.outcome.value, scan.time, place.digest, own)


@dataclass(frozen=True)
class Queued:
    """A job in the queue. `kind`: scan, or look (at a fine-tune of `base_model`) first; small `priority` first."""

    job: Job
    kind: str = "scan"
    priority: int = 0
    base_model: str | None = None


@dataclass(frozen=True)
class Place:
    """Where a walk through a listing stands."""

    number: int
    query: str
    next_url: str | None
    started: str
    pages: int = 0
    rows: int = 0
    eligible: int = 0
    indexed: int = 0
    left_out: int = 0
    bad: int = 0
    finished: str | None = None


@dataclass(frozen=True)
class Noted:
    """One attempt as the log of a run has it."""

    run: str
    model_id: str
    revision: str | None
    how: str
    outcome: str
    reason: str | None = None
    appended: bool = False
    requests: int = 0
    bytes: int = 0
    seconds: float = 0.0
    time: str = ""


class State:
    """The state of the crawls into an index."""

    def __init__(self, file: StateFile) -> None:
        self.file = file

    @classmethod
    @contextmanager
    def open(cls, index: Index, connect: Connect = sqlite3.connect) -> Iterator[Self]:
        """The state beside an index, held against other crawls, made from the log where there is none.

        What a killed run had taken waits again. Raise Locked, StoreError."""
        folder = path_in(index).parent
        with held(folder):
            state = cls(open_file(path_in(index), connect))
            try:
                state.learn_all(index)
                state.release()
                yield state
            finally:
                state.file.close()

    @classmethod
    @contextmanager
    def read(cls, index: Index | None) -> Iterator[Self]:
        """The state beside an index for a plan: nothing is written; made in memory where there is none."""
        there = index is not None and path_in(index).is_file()
        state = cls(read_file(path_in(index)) if index is not None and there else memory_file())
        try:
            if index is not None and not there:
                state.learn_all(index)
            yield state
        finally:
            state.file.close()

    # --- known ---

    def known(self, model_ids: Sequence[str]) -> dict[str, Known]:
        """What is known of these models, by id; a model that is not there must be asked of the index."""
        found: dict[str, Known] = {}
        for at in range(0, len(model_ids), BATCH):
            some = list(model_ids[at : at + BATCH])
            marks = ",".join("?" * len(some))
            rows = self.file.rows(f"SELECT * FROM known WHERE model_id IN ({marks})", some)
            found.update((row[0], Known(*row)) for row in rows)
        return found

    def learn(self, *known: Known) -> None:
        """Remember what the index's records say."""
        values = [(k.model_id, k.revision, k.detector, k.outcome, k.time, k.digest, k.content) for k in known]
        with self.file.together():
            self.file.run_many("INSERT OR REPLACE INTO known VALUES (?,?,?,?,?,?,?)", values)

    def twin(self, content: str) -> str | None:
        """A model whose own scan is of the same content, None if none is known."""
        rows = self.file.rows("SELECT model_id FROM known WHERE content = ? LIMIT 1", (content,))
        return rows[0][0] if rows else None

    def learn_all(self, index: Index) -> None:
        """Walk the index's log, unless that was done to its end before."""
        if self.file.rows("SELECT 1 FROM complete WHERE what = 'known'"):
            return
        for some in _batches(_records(index)):
            self.learn(*some)
        self.file.run("INSERT OR REPLACE INTO complete VALUES ('known', ?)", (now(),))

    # --- listing ---

    def place(self, query: str) -> Place | None:
        """Where the unfinished walk through this listing stands, None if there is none."""
        sql = "SELECT * FROM listing WHERE query = ? AND finished IS NULL ORDER BY number DESC LIMIT 1"
        rows = self.file.rows(sql, (query,))
        return Place(*rows[0]) if rows else None

    def begin(self, query: str) -> Place:
        """Begin a walk through a listing; an unfinished one of this query is over, and very old ones are forgotten."""
        with self.file.together():
            self.file.run("DELETE FROM listing WHERE query = ? AND finished IS NULL", (query,))
            self.file.run(sql.BEGIN, (query, now()))
            ((number,),) = self.file.rows("SELECT last_insert_rowid()")
            self.file.run("DELETE FROM listing WHERE number <= ?", (number - KEPT,))
            self.file.run("DELETE FROM queue WHERE query NOT IN (SELECT query FROM listing)")
        return Place(*self.file.rows("SELECT * FROM listing WHERE number = ?", (number,))[0])

    def turn(self, place: Place, jobs: Iterable[Queued]) -> None:
        """Queue a page's jobs and move to the place after it, together. A model that waits already waits once."""
        counts = (place.pages, place.rows, place.eligible, place.indexed, place.left_out, place.bad)
        with self.file.together():
            self.file.run_many(sql.QUEUE, [_values(q, place.query) for q in jobs])
            self.file.run(sql.TURN, (place.next_url, *counts, None if place.next_url else now(), place.number))

    # --- queue ---

    def take(self, run: str, query: str, count: int = 1, kind: str | None = None) -> list[Queued]:
        """The next jobs of a walk, which are this run's until they are done; they wait again if it dies."""
        with self.file.together():
            rows = self.file.rows(sql.TAKE, (query, kind, count))
            self.file.run_many("UPDATE queue SET taken_by = ? WHERE number = ?", [(run, row[0]) for row in rows])
        return [Queued(Job(*row[1:5]), *row[5:]) for row in rows]

    def done(self, noted: Noted, known: Known | None = None) -> None:
        """Note an attempt whose job is done in every walk, after the index has what it gave."""
        with self.file.together():
            self.file.run("DELETE FROM queue WHERE model_id = ?", (noted.model_id,))
            self._note(noted)
            self.learn(*([known] if known else []))

    def again(self, noted: Noted, queued: Queued) -> None:
        """Note an attempt whose job waits again, as `queued` says."""
        with self.file.together():
            self._note(noted)
            model_id, *values = _values(queued)
            self.file.run(sql.AGAIN, (*values, model_id))

    def release(self, run: str | None = None) -> int:
        """Let what a run (None: any) had taken wait again; how many."""
        sql = "UPDATE queue SET taken_by = NULL WHERE taken_by IS NOT NULL AND taken_by = coalesce(?, taken_by)"
        return self.file.run(sql, (run,))

    def waiting(self, query: str) -> tuple[int, int, int]:
        """Jobs of a walk that wait, their bytes as far as known, and for how many they are not."""
        sql = "SELECT count(*), coalesce(sum(size), 0), count(*) - count(size) FROM queue "
        jobs, size, unknown = self.file.rows(sql + "WHERE taken_by IS NULL AND query = ?", (query,))[0]
        return jobs, size, unknown

    # --- attempts ---

    def note(self, noted: Noted) -> None:
        """Note an attempt after which the job goes on."""
        with self.file.together():
            self._note(noted)

    def is_noted(self, job: Job) -> bool:
        """Whether what became of a job was noted, before a kill: it waits no more, or as one that was tried again."""
        ((tries,),) = self.file.rows("SELECT max(tries) FROM queue WHERE model_id = ?", (job.model_id,))
        return tries is None or int(tries) > job.tries

    def covered(self, place: Place) -> int:
        """Models that got a version since a walk began."""
        return int(self.file.rows(sql.COVERED, (place.started,))[0][0])

    def _note(self, noted: Noted) -> None:
        n = noted
        known = (n.run, n.model_id, n.revision, n.how, n.outcome, n.reason, int(n.appended), n.requests, n.bytes)
        self.file.run(sql.NOTE, (*known, n.seconds, n.time or now()))

    def attempts(self, run: str | None = None) -> Iterator[Noted]:
        """The attempts of a run (None: of all), oldest first, a batch in memory at a time."""
        last = 0
        while rows := self.file.rows(sql.ATTEMPTS, (last, run, BATCH)):
            last = rows[-1][0]
            yield from (Noted(*(*row[1:7], bool(row[7]), *row[8:])) for row in rows)

    def rate(self) -> float | None:
        """Bytes per second of a scan, the median over the newest attempts that read any; None if none did."""
        sql = "SELECT bytes / seconds FROM attempts WHERE how = 'scan' AND bytes > 0 AND seconds > 0 "
        rates = sorted(r[0] for r in self.file.rows(sql + "ORDER BY number DESC LIMIT ?", (RECENT,)))
        return rates[len(rates) // 2] if rates else None


def path_in(index: Index) -> Path:
    """Where the state of the crawls into an index lies."""
    return index.directory / "crawl" / "state.sqlite"


def _values(queued: Queued, *more: str) -> tuple[str | int | None, ...]:
    job = queued.job
    known = (job.model_id, job.revision, job.size, job.tries)
    return *known, queued.kind, queued.priority, queued.base_model, *more


def _records(index: Index) -> Iterator[Known]:
    for model_id in index.models():
        try:
            known = Known.of(index.read(model_id))
        except NotInIndex:  # a log that holds no whole line
            continue
        if known:
            yield known


def _batches(known: Iterable[Known]) -> Iterator[list[Known]]:
    some: list[Known] = []
    for each in known:
        some.append(each)
        if len(some) == BATCH:
            yield some
            some = []
    yield some
