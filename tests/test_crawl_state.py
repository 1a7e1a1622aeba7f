"""What a crawl remembers: nothing lost, nothing doubled, whatever dies and whenever; the index is the truth."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from swindex.crawler.crawling.decide import decide
from swindex.crawler.crawling.jobs import Job
from swindex.crawler.crawling.policy import Listing, Policy
from swindex.crawler.crawling.row import Row
from swindex.crawler.crawling.state import Known, Noted, Place, Queued, State, path_in
from swindex.crawler.crawling.walk import listing_of, walk
from swindex.crawler.parts.result import DETECTOR
from swindex.index.check import check
from swindex.index.errors import Locked, StoreError
from swindex.index.store import Index
from swindex.schema import Record
from swindex.schema.scan import Scan, Settings
from swindex.schema.types import Outcome

from . import records as make
from .hub import Hub

ROOT = Path(__file__).parent.parent
SHA, OTHER = "a" * 40, "b" * 40
POLICY = Policy(listing=Listing(sort=None))
MODELS = 60


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """An empty index."""
    made = Index(tmp_path / "index")
    made.ensure()
    return made


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """A Hub that lists MODELS models, three on a page."""
    with Hub(synthetic=MODELS, page_size=3) as started:
        yield started


def scan_of(outcome: Outcome, revision: str = SHA, scan_id: str = "scan-1") -> Scan:
    """A scan by this detector."""
    return make.scan(scan_id, outcome, revision=revision, settings=Settings(detector=DETECTOR, constants={}))


def scanned(model_id: str, outcome: Outcome = Outcome.NONE_FOUND, revision: str = SHA) -> Record:
    """A record with one scan by this detector."""
    return make.make({"model": make.model(model_id, revision), "scans": (scan_of(outcome, revision),)})


def known(model_id: str = "org/a", revision: str = SHA, outcome: str = "none_found") -> Known:
    return Known(model_id, revision, DETECTOR, outcome, make.TIME, "c" * 64)


def noted(model_id: str = "org/a", run: str = "run", outcome: str = "none_found") -> Noted:
    return Noted(run, model_id, SHA, "scan", outcome, None, True, 3, 100, 2.0, make.TIME)


def reason(state: State, index: Index, model_id: str = "org/a", revision: str = SHA, **models: Any) -> str:
    """What becomes of a model."""
    (decision,) = decide([Row(model_id, revision)], state, index, POLICY.but(models=models))
    return f"{decision.action}: {decision.reason}"


def walked(index: Index, hub: Hub, **more: Any) -> Place:
    """Walk to the listing's end."""
    with State.open(index, **more) as state:
        return list(walk(POLICY, state, index, api=HfApi(endpoint=hub.url)))[-1].place


def everything(index: Index) -> dict[str, list[Any]]:
    """What the state holds, times and numbers left out."""
    with State.read(index) as state:
        return {
            "queue": state.file.rows("SELECT model_id, revision, size, kind, query FROM queue ORDER BY number"),
            "listing": state.file.rows(
                "SELECT query, next_url, pages, rows, eligible, indexed, left_out, bad, finished IS NULL FROM listing"
            ),
            "known": state.file.rows("SELECT * FROM known"),
        }


# --- known ---


def test_what_is_learned_is_known_and_nothing_else_is(index: Index) -> None:
    with State.open(index) as state:
        state.learn(known("org/a"), known("org/b"))

        assert state.known(["org/b", "org/c"]) == {"org/b": known("org/b")}


def test_any_number_of_names_can_be_asked_for_at_once(index: Index) -> None:
    names = [f"org/m{n}" for n in range(2_500)]
    with State.open(index) as state:
        state.learn(*map(known, names))

        assert state.known([*names, "org/other"]).keys() == set(names)


def test_what_is_known_is_made_from_the_log_where_there_is_no_file(index: Index) -> None:
    record = scanned("org/a")
    index.append(record)
    index.append(make.reported("org/claimed"))

    with State.open(index) as state:
        assert state.known(["org/a", "org/claimed"]) == {
            "org/a": Known("org/a", SHA, DETECTOR, "none_found", make.TIME, record.provenance.digest)
        }


def test_a_deleted_file_costs_nothing_but_the_asking(index: Index, hub: Hub) -> None:
    index.append(scanned("org/a"))
    walked(index, hub)
    before = everything(index)
    path_in(index).unlink()
    walked(index, hub)

    assert everything(index) == before


def test_a_walk_of_the_log_that_was_cut_short_is_made_again(index: Index) -> None:
    for name in ("org/a", "org/b", "org/c"):
        index.append(scanned(name))
    with State.open(index) as state:
        state.file.run("DELETE FROM complete")
        state.file.run("DELETE FROM known WHERE model_id > 'org/a'")

    with State.open(index) as state:
        assert set(state.known(["org/a", "org/b", "org/c"])) == {"org/a", "org/b", "org/c"}


# --- what becomes of a model ---


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ("found", "skip: already scanned at this commit: found"),
        ("none_found", "skip: already scanned at this commit: none_found"),
        ("untested", "skip: already scanned at this commit: untested"),
        ("corrupt", "skip: already tried at this commit: corrupt"),
        ("unsafe_format", "skip: already tried at this commit: unsafe_format"),
        ("needs_remote_code", "skip: already tried at this commit: needs_remote_code"),
        ("unsupported_architecture", "skip: already tried at this commit: unsupported_architecture"),
    ],
)
def test_what_is_known_to_end_the_same_way_is_skipped_without_a_look_at_its_record(
    index: Index, outcome: str, said: str
) -> None:
    with State.open(index) as state:
        state.learn(known(outcome=outcome))

        assert reason(state, index) == said


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (None, "scan: not in the index"),
        (make.reported("org/a"), f"scan: not scanned by {DETECTOR} yet"),
        (scanned("org/a", revision=OTHER), "scan: a new commit"),
        (scanned("org/a"), "skip: already scanned at this commit: none_found"),
        (scanned("org/a", Outcome.FAILED), "scan: tried before: failed"),
        (scanned("org/a", Outcome.GATED), "scan: tried before: gated"),
        (scanned("org/a", Outcome.CORRUPT), "skip: already tried at this commit: corrupt"),
    ],
)
def test_what_is_not_known_is_asked_of_the_index(index: Index, record: Record | None, said: str) -> None:
    with State.open(index) as state:
        if record is not None:
            index.append(record)

        assert (state.known(["org/a"]), reason(state, index)) == ({}, said)


def test_an_older_commit_in_the_record_is_not_scanned_again(index: Index) -> None:
    first = scanned("org/a")
    scans = (*first.scans, scan_of(Outcome.NONE_FOUND, OTHER, "scan-2"))
    index.append(first)
    index.append(make.make({"model": make.model("org/a", OTHER), "scans": scans}, first))
    with State.open(index) as state:
        assert state.known(["org/a"])["org/a"].revision == OTHER
        assert reason(state, index) == "skip: already scanned at this commit: none_found"


def test_another_detectors_scan_is_no_scan_of_this_one(index: Index) -> None:
    with State.open(index) as state:
        state.learn(Known("org/a", SHA, "swindex 0.0.1", "none_found", make.TIME, "c" * 64))

        assert reason(state, index) == "scan: not in the index"


def test_a_lasting_refusal_is_tried_again_when_asked(index: Index) -> None:
    with State.open(index) as state:
        state.learn(known(outcome="corrupt"))
        index.append(scanned("org/a", Outcome.CORRUPT))

        assert reason(state, index, retry_failed=True) == "scan: tried before: corrupt"


def test_what_the_policy_leaves_out_is_skipped_whatever_is_known(index: Index) -> None:
    with State.open(index) as state:
        state.learn(known())

        assert reason(state, index, deny=["org"]) == "skip: its name is on the policy's deny list"


# --- queue ---


def queue(state: State, *jobs: Queued, query: str = "q") -> None:
    """Queue jobs as one page of a listing."""
    state.turn(state.place(query) or state.begin(query), jobs)


def test_jobs_come_by_priority_and_then_in_the_order_of_the_listing(index: Index) -> None:
    tuned = Queued(Job("org/tuned", SHA, 1), "look", 1, "org/base")
    with State.open(index) as state:
        queue(state, tuned, Queued(Job("org/b", SHA, 2)), Queued(Job("org/a", SHA, 3)))

        assert [q.job.model_id for q in state.take("run", "q", 3)] == ["org/b", "org/a", "org/tuned"]


def test_a_job_comes_back_as_it_was_queued(index: Index) -> None:
    tuned = Queued(Job("org/tuned", SHA, 1, 2), "look", 1, "org/base")
    with State.open(index) as state:
        queue(state, tuned)

        assert state.take("run", "q", kind="look") == [tuned]


def test_a_job_is_given_to_one_taker(index: Index) -> None:
    with State.open(index) as state:
        queue(state, Queued(Job("org/a", SHA)))
        first, second = (state.take(run, "q", 5) for run in ("one", "two"))

        assert (len(first), len(second)) == (1, 0)


def test_what_a_dead_run_had_taken_waits_again(index: Index) -> None:
    with State.open(index) as state:
        queue(state, Queued(Job("org/a", SHA)))
        state.take("run", "q")

    with State.open(index) as state:
        assert state.waiting("q")[0] == 1


def test_a_model_that_is_listed_twice_waits_once_at_its_newer_commit(index: Index) -> None:
    with State.open(index) as state:
        queue(state, Queued(Job("org/a", SHA)), Queued(Job("org/a", OTHER)))

        assert state.take("run", "q", 5) == [Queued(Job("org/a", OTHER))]


def test_a_walk_does_not_take_the_jobs_of_another(index: Index) -> None:
    with State.open(index) as state:
        queue(state, Queued(Job("org/a", SHA)), query="q")
        queue(state, Queued(Job("org/b", SHA)), query="other")

        assert [q.job.model_id for q in state.take("run", "q", 5)] == ["org/a"]


def test_walks_of_two_listings_keep_their_places(index: Index) -> None:
    with State.open(index) as state:
        first, second = state.begin("q"), state.begin("other")

        assert (state.place("q"), state.place("other")) == (first, second)


def test_a_job_that_is_done_is_gone_and_its_attempt_is_noted(index: Index) -> None:
    with State.open(index) as state:
        queue(state, Queued(Job("org/a", SHA)))
        state.take("run", "q")
        state.done(noted(), known())

        assert (state.waiting("q"), state.release(), list(state.attempts("run")), state.known(["org/a"])) == (
            (0, 0, 0),
            0,
            [noted()],
            {"org/a": known()},
        )


def test_a_job_that_is_to_be_tried_again_waits_and_its_attempt_is_noted(index: Index) -> None:
    with State.open(index) as state:
        queue(state, Queued(Job("org/a", SHA)))
        (taken,) = state.take("run", "q")
        state.again(noted(outcome="failed"), Queued(taken.job.again(), priority=2))

        assert state.take("run", "q") == [Queued(Job("org/a", SHA, None, 1), "scan", 2)]
        assert list(state.attempts()) == [noted(outcome="failed")]


def test_bytes_that_wait_are_those_that_are_known(index: Index) -> None:
    with State.open(index) as state:
        queue(state, Queued(Job("org/a", SHA, 5)), Queued(Job("org/b", SHA, 6)), Queued(Job("org/c", SHA)))

        assert state.waiting("q") == (3, 11, 1)


def test_attempts_come_oldest_first_however_many(index: Index) -> None:
    with State.open(index) as state:
        for n in range(5):
            state.done(noted(f"org/m{n}", run="old" if n < 2 else "new"))

        assert [a.model_id for a in state.attempts("new")] == ["org/m2", "org/m3", "org/m4"]


def test_the_rate_is_the_median_of_what_scans_read(index: Index) -> None:
    with State.open(index) as state:
        for n, size in enumerate((100, 200, 900)):
            state.done(Noted("run", f"org/m{n}", SHA, "scan", "found", bytes=size, seconds=2.0))
        state.done(Noted("run", "org/twin", SHA, "twin", "found", bytes=10**9, seconds=1.0))

        assert state.rate() == 100.0


# --- one crawl at a time, and readers ---


HOLDER = """
import sys, time
from pathlib import Path
from swindex.crawler.crawling.state import State
from swindex.index.store import Index
with State.open(Index(Path(sys.argv[1]))):
    print("in", flush=True)
    time.sleep(60)
"""


def test_a_second_crawl_is_told_who_crawls(index: Index) -> None:
    command = [sys.executable, "-c", HOLDER, str(index.directory)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    try:
        with pytest.raises(Locked, match=rf"process {process.pid} on \S+, since .* crawls into this index"):
            State.open(index).__enter__()
    finally:
        process.kill()
        process.wait()

    with State.open(index):
        pass


def environment() -> dict[str, str]:
    """One in which a child imports what this process imports."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def test_a_plan_can_read_beside_a_crawl(index: Index) -> None:
    with State.open(index) as state:
        queue(state, Queued(Job("org/a", SHA)))
        with State.read(index) as seen:
            assert seen.waiting("q")[0] == 1


def test_a_reader_cannot_write(index: Index) -> None:
    with State.open(index):
        pass

    with State.read(index) as state, pytest.raises(StoreError, match="readonly"):
        state.learn(known())


def test_reading_where_there_is_nothing_writes_nothing(index: Index) -> None:
    index.append(scanned("org/a"))
    with State.read(index) as state:
        assert list(state.known(["org/a"])) == ["org/a"]

    assert sorted(p.name for p in index.directory.iterdir()) == ["changes", "index.lock", "records"]


def test_the_notes_of_a_crawl_are_nothing_to_the_index(index: Index, hub: Hub) -> None:
    index.append(scanned("org/a"))
    walked(index, hub)

    assert ([f for f in check(index) if f.severity == "error"], list(index.models())) == ([], ["org/a"])


def test_the_notes_of_a_crawl_stay_out_of_version_control(index: Index, hub: Hub) -> None:
    walked(index, hub)

    assert (path_in(index).parent / ".gitignore").read_text().splitlines()[-1] == "*"


# --- damage ---


def damage(index: Index, hub: Hub, how: str) -> None:
    """Walk, and then damage the file."""
    walked(index, hub)
    path = path_in(index)
    data = bytearray(path.read_bytes())
    if how == "text":
        path.write_bytes(b"not a database, but long enough to be looked at" * 100)
    elif how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "zeroed":
        data[4096:12288] = bytes(8192)
        path.write_bytes(data)
    else:
        with sqlite3.connect(path) as connection:
            connection.execute(how)
        connection.close()


@pytest.mark.parametrize("how", ["text", "cut", "zeroed", "PRAGMA user_version = 7", "DROP TABLE queue",
                                 "ALTER TABLE known DROP COLUMN outcome"])  # fmt: skip
def test_a_damaged_file_is_one_line_that_says_to_delete_it(index: Index, hub: Hub, how: str) -> None:
    damage(index, hub, how)

    with pytest.raises(StoreError) as caught:
        walked(index, hub)

    assert str(caught.value).startswith(f"{path_in(index)}: damaged (")
    assert "delete it" in str(caught.value)
    assert str(caught.value).isprintable()


def test_after_the_damaged_file_is_deleted_all_is_as_before(index: Index, hub: Hub) -> None:
    walked(index, hub)
    before = everything(index)
    damage(index, hub, "text")
    path_in(index).unlink()
    walked(index, hub)

    assert everything(index) == before


# --- a database that fails at the k-th statement ---


def failing(at: int, *, for_good: bool) -> tuple[Any, list[str]]:
    """What connects to a database whose `at`-th statement fails (with `for_good` all later ones too), and what did."""
    seen, failed = count(1), []

    def step(sql: str) -> None:
        number = next(seen)
        if number == at or (for_good and number > at):
            failed.append(sql)
            raise sqlite3.OperationalError("database or disk is full")

    class Failing(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> Any:  # type: ignore[override]
            step(sql)
            return super().execute(sql, *values)

        def executemany(self, sql: str, values: Any) -> Any:  # type: ignore[override]
            step(sql)
            return super().executemany(sql, values)

    def connect(path: Path, **settings: Any) -> sqlite3.Connection:
        return sqlite3.connect(path, factory=Failing, **settings)

    return connect, failed


@pytest.mark.parametrize("for_good", [False, True])
def test_whatever_statement_fails_the_next_walk_ends_as_if_none_had(tmp_path: Path, hub: Hub, for_good: bool) -> None:
    policy = POLICY.but(listing={"limit": 9})
    api = HfApi(endpoint=hub.url)

    def run(index: Index, **more: Any) -> None:
        with State.open(index, **more) as state:
            list(walk(policy, state, index, api=api))

    clean = new_index(tmp_path / "clean")
    run(clean)
    for at in count(1):
        index = new_index(tmp_path / f"{at}")
        connect, failed = failing(at, for_good=for_good)
        with suppress(StoreError):
            run(index, connect=connect)
        if not failed:
            break
        run(index)
        walks = everything(index)
        assert (walks["queue"], walks["listing"][-1:]) == (everything(clean)["queue"], everything(clean)["listing"])
    assert at > 30


@pytest.mark.parametrize("again", [False, True])
def test_an_attempt_and_the_end_of_its_job_are_noted_together_or_not_at_all(index: Index, again: bool) -> None:
    """Whichever statement fails: seen are the state before it all, and the state after it all."""
    waits = Queued(Job("org/a", SHA))
    seen = []
    for at in count(1):
        with suppress(FileNotFoundError):
            path_in(index).unlink()
        with State.open(index) as state:
            queue(state, waits)
        connect, failed = failing(at, for_good=False)
        with suppress(StoreError), State.open(index, connect) as state:
            state.take("run", "q")
            if again:
                state.again(noted(), waits)
            else:
                state.done(noted(), known())
        with State.open(index) as state:
            seen.append((state.waiting("q")[0], len(list(state.attempts())), len(state.known(["org/a"]))))
        if not failed:
            break

    assert (set(seen), seen[-1]) == ({(1, 0, 0), seen[-1]}, (1, 1, 0) if again else (0, 1, 1))


def test_a_full_disk_is_one_line(index: Index) -> None:
    connect, _ = failing(5, for_good=True)

    with pytest.raises(StoreError, match=r"state\.sqlite: database or disk is full; nothing of the index is lost"):
        State.open(index, connect).__enter__()


def new_index(path: Path) -> Index:
    index = Index(path)
    index.ensure()
    index.append(scanned("org/a"))
    return index


# --- kill -9 ---

WALKER = """
import sys
from pathlib import Path
from huggingface_hub import HfApi
from swindex.crawler.crawling.policy import Listing, Policy
from swindex.crawler.crawling.state import State
from swindex.crawler.crawling.walk import walk
from swindex.index.store import Index
index = Index(Path(sys.argv[1]))
print("started", flush=True)
with State.open(index) as state:
    for step in walk(Policy(listing=Listing(sort=None)), state, index, api=HfApi(endpoint=sys.argv[2])):
        print(step.place.rows, flush=True)
"""
KILLS = 20


def killed(index: Index, hub: Hub, after: float) -> int:
    """Walk in another process, kill it so many seconds after its start; the rows that it said it had passed."""
    command = [sys.executable, "-c", WALKER, str(index.directory), hub.url]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    said = process.stdout.read().split("\n")[:-1]  # what follows the last newline is cut
    assert process.wait() == -signal.SIGKILL
    return int(said[-1]) if said else 0


def test_kills_at_any_moment_lose_and_double_nothing(index: Index) -> None:
    draw, pages, moved = random.Random(5), 150, set()
    with Hub(synthetic=3 * pages, page_size=3) as hub:
        hub.fault("slow", "/api/models", delay=0.03)
        query = listing_of(POLICY, hub.url)
        for _ in range(KILLS):
            acknowledged = killed(index, hub, draw.uniform(0, 0.2))
            moved.add(rows_of(index, query))
            assert rows_of(index, query) >= acknowledged
        hub.state.faults.clear()
        walked(index, hub)

    state = everything(index)
    assert [row[0] for row in state["queue"]] == [f"synthetic/model-{n:07d}" for n in range(3 * pages)]
    assert state["listing"] == [(query, None, pages, 3 * pages, 3 * pages, 0, 0, 0, 0)]
    assert len(moved) > 5  # the kills struck in the middle of the walk


def rows_of(index: Index, query: str) -> int:
    """Rows that the unfinished walk has passed."""
    with State.read(index) as state:
        place = state.place(query)
    return place.rows if place else 0
