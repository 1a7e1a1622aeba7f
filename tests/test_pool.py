"""Worker processes against the loopback Hub: the records of a plain crawl, whatever hangs, dies or is killed."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi
from hypothesis import given
from hypothesis import strategies as st

from swindex.crawler.crawling import limits, run
from swindex.crawler.crawling.child import READ_TOKEN, environment
from swindex.crawler.crawling.collect import collect
from swindex.crawler.crawling.jobs import Done, Job
from swindex.crawler.crawling.limits import GB, TimeLimit, memory_of
from swindex.crawler.crawling.outbox import Outbox
from swindex.crawler.crawling.pool import Event, Pool
from swindex.crawler.crawling.queue import Queue
from swindex.crawler.crawling.task import do
from swindex.crawler.detection.run import Options
from swindex.index import database
from swindex.index.check import check
from swindex.index.store import Index
from swindex.schema.errors import UsageError
from swindex.schema.record import Record

from .hub import Hub
from .kills import killed_crawl, start_crawl
from .plants.shared import one_thread

__all__ = ["one_thread"]
ROOT = Path(__file__).parent.parent
CHECKPOINTS = Path(__file__).parent / "checkpoints"
NAMES = ("stories260k-one", "aidreams260k", "relullama-260k")
MODELS = [f"demo/{n}" for n in NAMES]
QUICK = Options(window=32)
_PLAIN: dict[str, dict[str, Any]] = {}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub on loopback with three models, and the environment that names it."""
    with Hub() as started:
        for name in NAMES:
            started.add_folder(f"demo/{name}", CHECKPOINTS / name)
        monkeypatch.setenv("HF_ENDPOINT", started.url)
        yield started


def said(record: Record) -> dict[str, Any]:
    """What a record says but when, where and at what cost."""
    data = record.model_dump(mode="json", exclude={"provenance"})
    for scan in data["scans"]:
        scan.pop("time")
        scan.pop("cost")
    return data


def records(index: Index) -> dict[str, dict[str, Any]]:
    return {m: said(index.read(m)) for m in index.models()}


def plain(hub: Hub, folder: Path, models: list[str] = MODELS) -> dict[str, dict[str, Any]]:
    """The records of a crawl that nothing disturbs, made once: every such Hub has the same commits."""
    if not _PLAIN:
        run.crawl([*MODELS, "demo/missing"], index=folder, options=QUICK, api=HfApi(endpoint=hub.url))
        _PLAIN.update(records(Index(folder)))
    return {model: _PLAIN[model] for model in models}


def finished(pool: Pool, jobs: Iterable[Job]) -> list[Event]:
    return [e for e in pool.run(iter(jobs)) if e.kind == "finished"]


def waiting(folder: Path) -> dict[str, Done]:
    return {d.job.model_id: d for d in Outbox(folder).waiting()}


# --- one job ---


def test_a_job_that_is_done_says_what_it_cost(hub: Hub) -> None:
    done = do(Job("demo/aidreams260k"), QUICK, api=HfApi(endpoint=hub.url))

    assert (done.result.scan.outcome, done.how, done.lasting) == ("none_found", "scan", True)
    assert (done.requests, done.bytes > 400_000, done.facts["device"]) == (hub.log.count(""), True, "cpu")


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "path": "/api/models/", "status": 400},
        {"kind": "ignore_range", "path": "model.safetensors"},
        {"kind": "status", "path": "/resolve/.*safetensors", "status": 400},
    ],
)
def test_an_outage_does_not_last(hub: Hub, fault: dict[str, Any]) -> None:
    hub.fault(**fault)

    done = do(Job(MODELS[0]), QUICK, api=HfApi(endpoint=hub.url))

    assert (done.result.scan.outcome, done.lasting) == ("failed", False)


def test_that_a_model_is_not_there_lasts(hub: Hub) -> None:
    done = do(Job("demo/missing"), QUICK, api=HfApi(endpoint=hub.url))

    assert (done.result.scan.outcome, done.lasting) == ("not_found", True)


def test_what_the_model_is_to_blame_for_lasts(hub: Hub) -> None:
    done = do(Job("demo/relullama-260k"), QUICK, api=HfApi(endpoint=hub.url))

    assert (done.result.scan.outcome, done.lasting) == ("unsupported_architecture", True)


def test_memory_that_is_not_there_is_too_large(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("swindex.crawler.crawling.task.scan_checkpoint", none_left)

    assert do(Job(MODELS[0]), QUICK, api=HfApi(endpoint=hub.url)).result.scan.outcome == "too_large"


def test_what_nobody_foresaw_is_a_failed_scan(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr("swindex.crawler.crawling.task.HubCheckpoint._pin", broken)
    done = do(Job(MODELS[0], "a" * 40), QUICK, api=HfApi(endpoint=hub.url))

    assert (done.result.scan.outcome, done.result.scan.revision, done.lasting) == ("failed", "a" * 40, True)


# --- which next, how much, how long ---

SIZES = st.lists(st.one_of(st.none(), st.integers(1, 1000)), max_size=40)


@given(SIZES, st.integers(1, 9), st.integers(1, 9))
def test_every_job_comes_out_once(sizes: list[int | None], ahead: int, patience: int) -> None:
    jobs = [Job(f"a/{n}", size=size) for n, size in enumerate(sizes)]
    queue = Queue(iter(jobs), ahead, patience)
    taken = []
    while not queue.over:
        taken += [job] if (job := queue.take(lambda _: True)) else []

    assert sorted(taken, key=lambda j: int(j.model_id[2:])) == jobs


def test_the_largest_that_fits_is_next() -> None:
    queue = Queue(iter([Job("a/1", size=1), Job("a/9", size=9), Job("a/5", size=5)]), 3, 9)
    taken = [queue.take(lambda job: (job.size or 0) < 6), queue.take(lambda job: True)]

    assert [job.model_id for job in taken if job] == ["a/5", "a/9"]


def test_one_that_was_passed_over_often_is_next_and_nothing_before_it() -> None:
    queue = Queue((Job(f"a/{n}", size=size) for n, size in enumerate([9, *[1] * 20])), 3, 4)
    for _ in range(4):
        queue.take(lambda job: job.size == 1)

    assert queue.take(lambda job: job.size == 1) is None
    assert queue.take(lambda job: True) == Job("a/0", size=9)


def test_jobs_are_not_pulled_further_ahead_than_asked() -> None:
    pulled: list[int] = []

    def jobs() -> Iterator[Job]:
        for n in range(100):
            pulled.append(n)
            yield Job("a/b", size=n)

    Queue(jobs(), 5, 9).take(lambda _: True)

    assert len(pulled) == 5


def test_an_iterator_with_nothing_at_the_moment_is_asked_again() -> None:
    queue = Queue(iter([None, Job("a/b")]), 5, 9)

    assert [queue.take(lambda _: True), queue.over, queue.take(lambda _: True)] == [None, False, Job("a/b")]


@pytest.mark.parametrize(("size", "peak"), [(2.2, 0.64), (13.5, 1.5), (138, 6.1)])
def test_the_estimate_is_above_what_was_measured_and_not_far(size: float, peak: float) -> None:
    assert peak <= memory_of(int(size * GB), effects=False) / GB <= 1.25 * peak


@pytest.mark.parametrize(
    ("stated", "workers", "threads"),
    [("", 1, 8), ("", 3, 2), ("", 16, 1), ("5", 1, 5), ("5", 16, 5), ("4,2", 1, 4), ("0", 1, 8), ("many", 2, 4)],
)
def test_workers_share_the_cores_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, stated: str, workers: int, threads: int
) -> None:
    monkeypatch.setattr(limits, "free_cores", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", stated)

    assert limits.threads_of(workers) == threads


def test_a_larger_model_may_take_longer() -> None:
    limit = TimeLimit(100, 1e6)

    assert [limit.of(Job("a/b", size=n)) for n in (0, 50_000_000)] == [100, 150]
    assert limit.of(Job("a/b")) > limit.of(Job("a/b", size=1))


# --- what a worker inherits ---


def test_a_worker_inherits_what_reading_needs_and_no_other_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "HF_WRITE_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("HF_TOKEN", "reads")

    found = environment(1, {"SWINDEX_SHARE": "0.5"})

    assert "secret" not in found.values()
    assert (found["HF_TOKEN"], found["HF_TOKEN_PATH"], found["SWINDEX_SHARE"]) == ("reads", os.devnull, "0.5")


@pytest.mark.parametrize(
    ("given", "only", "expected"),
    [
        ({"HF_TOKEN": "a"}, False, "a"),
        ({"HF_TOKEN": "a", READ_TOKEN: "b"}, False, "b"),
        ({"HF_TOKEN": "a"}, True, None),
        ({"HF_TOKEN": "a", READ_TOKEN: "b"}, True, "b"),
        ({}, False, None),
    ],
)
def test_which_token_a_worker_gets(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], only: bool, expected: str | None
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    found = environment(1, {}, only_read_token=only)

    assert (found.get("HF_TOKEN"), READ_TOKEN in found) == (expected, False)


# --- the pool ---


def test_a_pool_gives_the_records_of_a_plain_crawl(hub: Hub, tmp_path: Path) -> None:
    jobs = [*map(Job, MODELS), Job("../etc"), Job("demo/missing")]
    with Pool(2, None, QUICK, tmp_path / "outbox") as pool:
        events = list(pool.run(iter(jobs)))
        again = list(pool.run(iter([Job(MODELS[0])])))
    index = Index(tmp_path / "index")
    collect(Outbox(tmp_path / "outbox"), index)

    expected = plain(hub, tmp_path / "plain", [*MODELS, "demo/missing"])
    assert records(index) == expected
    assert [e.job.model_id for e in events if e.kind == "malformed"] == ["../etc"]
    assert {e.facts["pid"] for e in events if e.kind == "started"} != set()
    assert {e.what for e in events if e.kind == "progress"} == {"layers", "effects"}
    assert [e.kind for e in again] == ["finished"]  # it is in the outbox still


def test_a_model_that_hangs_is_stopped_and_the_next_one_scanned(hub: Hub, tmp_path: Path) -> None:
    hub.fault("slow", "stories260k-one/resolve/.*safetensors", delay=5, piece=64)
    with Pool(1, None, QUICK, tmp_path, TimeLimit(4, 1e12)) as pool:
        finished(pool, [Job(MODELS[0], size=2), Job(MODELS[2], size=1)])

    found = waiting(tmp_path)
    assert {m: d.result.scan.outcome.value for m, d in found.items()} == {
        MODELS[0]: "failed",
        MODELS[2]: "unsupported_architecture",
    }
    assert "stopped after 4 s (time limit)" in str(found[MODELS[0]].result.scan.reason)
    assert (found[MODELS[0]].lasting, found[MODELS[0]].facts["stopped"]) == (True, "time limit")


def test_a_worker_that_dies_is_named_and_replaced(hub: Hub, tmp_path: Path) -> None:
    hub.fault("slow", "stories260k-one/resolve/.*safetensors", delay=5, piece=64)
    pids: list[int] = []
    with Pool(1, None, QUICK, tmp_path) as pool:
        for event in pool.run(iter([Job(MODELS[0], size=2), Job(MODELS[2], size=1)])):
            if event.kind == "started":
                pids.append(event.facts["pid"])
                if len(pids) == 1:
                    os.kill(pids[0], signal.SIGSEGV)

    found = waiting(tmp_path)
    assert (found[MODELS[0]].result.scan.outcome, found[MODELS[0]].lasting) == ("failed", False)
    assert "its worker was killed by SIGSEGV" in str(found[MODELS[0]].result.scan.reason)
    assert (found[MODELS[2]].result.scan.outcome, len(set(pids))) == ("unsupported_architecture", 2)


def test_a_device_that_is_not_there_is_wrong_usage_and_no_failed_model(hub: Hub, tmp_path: Path) -> None:
    with Pool(1, None, Options(device="cuda:99"), tmp_path) as pool, pytest.raises(UsageError, match="cuda:99"):
        finished(pool, [Job(MODELS[0])])

    assert waiting(tmp_path) == {}


def test_an_outbox_that_cannot_be_written_stops_the_run(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Pool(1, None, QUICK, tmp_path / "file" / "outbox") as pool, pytest.raises(Exception, match="cannot be made"):
        finished(pool, [Job(MODELS[2])])


def test_a_run_that_is_left_kills_its_workers_and_keeps_what_is_done(hub: Hub, tmp_path: Path) -> None:
    hub.fault("slow", "stories260k-one/resolve/.*safetensors", delay=5, piece=64)
    pids = []
    with Pool(1, None, QUICK, tmp_path) as pool:
        for event in pool.run(iter([Job(MODELS[2], size=2), Job(MODELS[0], size=1)])):
            if event.kind == "started":
                pids.append(event.facts["pid"])
            if len(pids) == 2:
                break

    assert (list(waiting(tmp_path)), gone(pids)) == ([MODELS[2]], True)


def gone(pids: Iterable[int]) -> bool:
    """Whether none of these processes runs (any more, a moment later)."""
    for _ in range(100):
        if not any(Path(f"/proc/{pid}/stat").exists() and not _zombie(pid) for pid in pids):
            return True
        time.sleep(0.1)
    return False


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


# --- killed ---


def lines(process: "subprocess.Popen[str]") -> Iterator[list[str]]:
    assert process.stdout is not None
    return (line.split() for line in process.stdout)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_no_worker_outlives_a_crawl_that_is_ended(hub: Hub, tmp_path: Path, name: str) -> None:
    hub.fault("slow", "/resolve/.*safetensors", delay=5, piece=64)
    process = start_crawl(tmp_path, MODELS[:2])
    pids = []
    for line in lines(process):
        pids += [int(line[2])] if line[0] == "started" else []
        if len(pids) == 2:
            break
    process.send_signal(signal.Signals[name])
    process.communicate()

    assert (gone(pids), process.returncode != 0) == (True, True)


def test_a_crawl_killed_at_random_moments_gives_the_records_of_a_plain_one(hub: Hub, tmp_path: Path) -> None:
    draw = random.Random(0)
    moments = [draw.uniform(0, 12) for _ in range(2)]
    lost = [model for moment in moments for model in killed_crawl(tmp_path, MODELS, moment)]
    status = start_crawl(tmp_path, MODELS).wait()

    index = Index(tmp_path / "index")
    assert (lost, status) == ([], 0)
    assert records(index) == plain(hub, tmp_path / "plain")
    assert ({m: len(index.history(m)) for m in index.models()}, database.verify(index)) == (
        dict.fromkeys(MODELS, 1),
        [],
    )
    assert [f for f in check(index) if f.severity == "error"] == []


def test_a_worker_reads_its_input_to_the_end_and_ends() -> None:
    command = [sys.executable, "-P", "-m", "swindex.crawler.crawling.worker"]
    done = subprocess.run(command, input=b"", capture_output=True, timeout=60)

    assert (done.returncode, done.stdout) == (0, b"")
