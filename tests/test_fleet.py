"""Many machines, as far as one can show them: shares through datatrove's executors, killed, resumed, appended once."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swindex.crawler.crawling import fleet
from swindex.crawler.crawling.collect import collect
from swindex.crawler.crawling.fleet import Fleet, executor, group
from swindex.crawler.crawling.fleet_steps import ScanShare, read_jobs, write_jobs
from swindex.crawler.crawling.jobs import Job
from swindex.crawler.crawling.limits import GB
from swindex.crawler.crawling.outbox import Outbox, open_box
from swindex.crawler.crawling.worker import settings_of
from swindex.crawler.detection.run import Options
from swindex.index import database
from swindex.index.check import check
from swindex.index.store import Index
from swindex.schema.errors import UsageError

from .hub import Hub
from .test_pool import MODELS, QUICK, ROOT, hub, one_thread, plain, records

__all__ = ["hub", "one_thread"]
QUICKEST = "demo/relullama-260k"
"""Refused after its config."""


def share(place: Path, models: list[str], outbox: str, **more: int) -> ScanShare:
    """The step over a list of these."""
    (place / "list.jsonl").write_text(write_jobs(Job(m) for m in models))
    return ScanShare(str(place / "list.jsonl"), outbox, settings_of(QUICK, "", 1, 1, 1.0)["options"], **more)


# --- lists ---

JOBS = st.lists(st.builds(Job, st.just("a/b"), st.none(), st.one_of(st.none(), st.integers(0, 10**12))), max_size=30)


@given(JOBS)
def test_every_job_is_in_one_group_and_the_largest_is_first(jobs: list[Job]) -> None:
    groups = group(jobs)

    assert sorted(map(str, jobs)) == sorted(str(j) for held in groups.values() for j in held)
    assert all(held == sorted(held, key=fleet._size, reverse=True) for held in groups.values())


def test_groups_are_of_one_size_class_and_device() -> None:
    jobs = [Job("a/small", size=int(2 * GB)), Job("a/large", size=int(140 * GB)), Job("a/unknown")]

    assert {name: [j.model_id for j in held] for name, held in group(jobs, {"large": "cuda"}).items()} == {
        "cpu-small": ["a/small"],
        "cuda-large": ["a/large"],
        "cpu-medium": ["a/unknown"],
    }


@given(JOBS)
def test_a_list_reads_as_it_was_written(jobs: list[Job]) -> None:
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(write_jobs(jobs))
        file.flush()

        assert read_jobs(file.name) == jobs


@pytest.mark.parametrize("text", ["{", "[1]", '{"model_id": "a/b", "more": 1}', "\x00"])
def test_what_is_no_list_is_wrong_usage(tmp_path: Path, text: str) -> None:
    (tmp_path / "list").write_text(text)

    with pytest.raises(UsageError, match="no job list"):
        read_jobs(str(tmp_path / "list"))


# --- engines ---


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("kubernetes", {}, "'kubernetes' runs no fleet; use local, ray, slurm, jobs"),
        ("local", {"partition": "gpu"}, "--fleet local does not know partition"),
        ("slurm", {"time": "1:00:00"}, "--fleet slurm needs partition"),
        ("jobs", {}, "--fleet jobs: .*remote"),
    ],
)
def test_wrong_usage_of_an_engine_is_one_line(tmp_path: Path, name: str, settings: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        executor(name, share(tmp_path, [], ""), 1, str(tmp_path / "logs"), **settings)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "module"), [("local", "datatrove"), ("ray", "ray")])
def test_what_is_not_installed_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, module: str
) -> None:
    monkeypatch.setattr(fleet, "find_spec", lambda n: None if n == module else find_spec(n))

    with pytest.raises(UsageError, match=rf"needs {module}: pip install 'swindex\[fleet\]'"):
        executor(name, None, 1, str(tmp_path))


def test_the_same_list_is_the_same_run_and_another_is_another(tmp_path: Path) -> None:
    made = Fleet(str(tmp_path), Options())
    jobs = [Job("a/b", size=1)]
    logs = [made.executor("local", "cpu-small", j, 2).logging_dir.path for j in (jobs, jobs, [*jobs, Job("a/c")])]

    assert (logs[0] == logs[1], logs[0] == logs[2]) == (True, False)


def test_a_group_is_scanned_on_its_device(tmp_path: Path) -> None:
    made = Fleet(str(tmp_path), Options()).executor("local", "cuda-large", [Job("a/b", size=1)], 1)

    assert made.pipeline[0].options["device"] == "cuda"


# --- a share ---


def test_shares_give_the_records_of_a_plain_crawl_and_none_is_scanned_twice(hub: Hub, tmp_path: Path) -> None:
    address = f"memory://{tmp_path.name}/outbox"
    step = share(tmp_path, MODELS, address)
    step(None, 0, 2)
    step(None, 1, 2)
    hub.log.reset()
    step(None, 0, 1)

    asked = hub.log.count("")
    collect(open_box(address), Index(tmp_path / "index"))
    assert (asked, records(Index(tmp_path / "index"))) == (0, plain(hub, tmp_path / "plain"))


def test_a_model_that_hangs_does_not_make_a_share_raise(hub: Hub, tmp_path: Path) -> None:
    hub.fault("slow", "stories260k-one/resolve/.*safetensors", delay=5, piece=64)
    share(tmp_path, [MODELS[0], QUICKEST], str(tmp_path / "outbox"), seconds=4, rate=10**12)(None, 0, 1)

    found = {d.job.model_id: d.result.scan.outcome.value for d in Outbox(tmp_path / "outbox").waiting()}
    assert found == {MODELS[0]: "failed", QUICKEST: "unsupported_architecture"}


# --- executors ---


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a short name (Ray's sockets lie in it), without the processes that use it in the end."""
    folder = Path(tempfile.mkdtemp(prefix="sw"))
    monkeypatch.setenv("RAY_FOLDER", str(folder))
    yield folder
    end_all(folder)
    shutil.rmtree(folder)


def users(folder: Path) -> list[int]:
    """Processes that have the folder in their command line or their environment, but for this one."""
    found = []
    for each in Path("/proc").iterdir():
        try:
            said = (each / "cmdline").read_bytes() + (each / "environ").read_bytes()
        except OSError:
            continue
        if each.name.isdecimal() and int(each.name) != os.getpid() and str(folder).encode() in said:
            found.append(int(each.name))
    return found


def end_all(folder: Path) -> None:
    """Kill what a killed run left: an orphan would go on, which a machine that is switched off does not."""
    for _ in range(100):
        left = users(folder)
        if not left:
            return
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.1)


def start(engine: str, place: Path) -> "subprocess.Popen[bytes]":
    """A fleet of two workers over all models, in a program of its own."""
    command = [sys.executable, "-m", "tests.fleet_run", engine, str(place), "2", "2", *MODELS]
    with (place / "said").open("ab") as said:
        return subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said)


def wait_for(process: "subprocess.Popen[bytes]", place: Path) -> None:
    """Until something is in the outbox, or it has ended."""
    while process.poll() is None and not list((place / "outbox").glob("*.json")):
        time.sleep(0.05)


NO_RAY = pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed (pip install 'swindex[fleet]')")


@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=NO_RAY)])
def test_a_fleet_killed_and_resumed_gives_the_records_of_a_plain_crawl(hub: Hub, short: Path, engine: str) -> None:
    hub.fault("slow", "stories260k-one/resolve/.*safetensors", delay=1, piece=4096)
    first = start(engine, short)
    wait_for(first, short)
    first.kill()
    first.wait()
    end_all(short)
    before = sorted(d.job.model_id for d in Outbox(short / "outbox").waiting())
    hub.clear()

    status = start(engine, short).wait()

    assert (0 < len(before) < 3, status, (short / "said").read_text()[-2000:] if status else "") == (True, 0, "")
    assert not any(hub.log.count(f"{m}/resolve/") for m in before)
    index = Index(short / "index")
    collect(Outbox(short / "outbox"), index)
    assert records(index) == plain(hub, short / "plain")
    assert {m: len(index.history(m)) for m in index.models()} == dict.fromkeys(MODELS, 1)
    assert ([f for f in check(index) if f.severity == "error"], database.verify(index)) == ([], [])


STAND_IN = """#!/bin/sh
echo "$0 $@" >> {folder}/calls
for last; do :; done
[ -f "$last" ] && cp "$last" {folder}/script.$(wc -l < {folder}/calls)
echo Submitted batch job 7
"""


def test_the_script_for_slurm_is_right_and_what_it_starts_scans(
    hub: Hub, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (("sbatch", STAND_IN.format(folder=short)), ("scontrol", "#!/bin/sh\necho node1\n")):
        (short / name).write_text(text)
        (short / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{short}:{os.environ['PATH']}")
    wanted = {"time": "2:00:00", "partition": "gpu", "gpus_per_task": 1, "workers": 2, "cpus_per_task": 8}
    jobs = [Job(QUICKEST), Job("demo/missing"), Job("demo/gone")]
    made = Fleet(str(short / "place"), QUICK).executor("slurm", "cpu-small", jobs, 3, **wanted, mem_per_cpu_gb=6)
    made.run()

    script = (short / "script.1").read_text()
    lines = {line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH")}
    expected = {
        "time=2:00:00",
        "partition=gpu",
        "gpus=1",
        "cpus-per-task=8",
        "mem-per-cpu=6G",
        "array=0-2%2",
        "nodes=1",
    }
    assert expected <= lines
    [run] = [line.split() for line in script.splitlines() if "launch_pickled_pipeline" in line]
    assert (run[0], Path(run[-1])) == ("srun", Path(made.logging_dir.path) / "executor.pik")

    task = {**os.environ, "SLURM_ARRAY_TASK_ID": "0", "SLURM_NODELIST": "node1"}
    subprocess.run([Path(sys.executable).parent / run[-2], run[-1]], env=task, check=True, capture_output=True)
    assert [d.job.model_id for d in Outbox(short / "place" / "outbox").waiting()] == [QUICKEST]
