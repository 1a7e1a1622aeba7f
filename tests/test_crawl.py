"""The crawler against the loopback Hub: outcomes in the log, plan before reading, resume, faults, interruption."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from safetensors.numpy import load_file

from swindex.crawler.crawling import front, run
from swindex.crawler.crawling.plan import Plan
from swindex.crawler.crawling.policy import Policy
from swindex.crawler.crawling.report import CrawlReport
from swindex.crawler.detection.options import Options
from swindex.index import database
from swindex.index.check import check
from swindex.index.store import Index
from swindex.schema.errors import SwindexError, UsageError

from .hub import Hub

CHECKPOINTS = Path(__file__).parent / "checkpoints"
SWINDEX = str(Path(sys.executable).parent / "swindex")
DEMO = Policy.read().but(listing={"author": "demo"}, workers={"count": 1})
QUICK = Options(window=64)
NO_MODEL_CLASS = b'{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}'
REMOTE_CODE = b'{"model_type": "x1", "architectures": ["XForCausalLM"], "auto_map": {"AutoModelForCausalLM": "m.X"}}'


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A Hub on loopback."""
    with Hub() as started:
        yield started


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hub, Path]]:
    """A Hub with every kind of model, and the index of a crawl of it: not to be written to."""
    index = tmp_path_factory.mktemp("crawled")
    with Hub() as started:
        crawl([], every_kind(started), index)
        crawl([], started, index, DEMO.but(listing={"author": "else"}))
        yield started, index


@pytest.fixture
def again(crawled: tuple[Hub, Path], tmp_path: Path) -> tuple[Hub, Path]:
    """The same with a copy of the index."""
    hub, index = crawled
    hub.log.reset()
    shutil.copytree(index, tmp_path, dirs_exist_ok=True)
    return hub, tmp_path


def crawl(models: list[str], hub: Hub, index: Path, policy: Policy = DEMO) -> CrawlReport:
    """Crawl that Hub."""
    return run.crawl(models, index=index, policy=policy, options=QUICK, api=HfApi(endpoint=hub.url))


def plan(hub: Hub, index: Path, policy: Policy = DEMO) -> Plan:
    """Plan a crawl of that Hub."""
    return front.plan([], index=index, policy=policy, api=HfApi(endpoint=hub.url))


def small(hub: Hub) -> Hub:
    """Three models: one with a super weight, one without, one that cannot be scanned."""
    for name in ("stories260k-one", "aidreams260k", "relullama-260k"):
        hub.add_folder(f"demo/{name}", CHECKPOINTS / name)
    return hub


def start_slow(hub: Hub, index: Path) -> "subprocess.Popen[str]":
    """Start a crawl of two models in which reading the second takes long; its standard error can be read."""
    hub.add_folder("demo/stories260k-pair", CHECKPOINTS / "stories260k-pair")
    small(hub).fault("slow", "stories260k-one/resolve/.*safetensors", delay=0.2, piece=4096)
    models = ["demo/stories260k-pair", "demo/stories260k-one"]
    command = [SWINDEX, "crawl", *models, "--workers", "1", "--index", str(index)]
    environment = {**os.environ, "HF_ENDPOINT": hub.url}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def until_done(process: "subprocess.Popen[str]") -> list[str]:
    """The words of the line that says that the first model is done; on a slow machine lines of progress come before."""
    assert process.stderr is not None
    return next(words for line in iter(process.stderr.readline, "") if (words := line.split())[-1:] == ["found"])


def outcomes(report: CrawlReport) -> dict[str, str]:
    return {a.model_id: a.outcome for a in report.attempts}


def every_kind(hub: Hub) -> Hub:
    """A model for each outcome of a crawl."""
    small(hub)
    hub.add_folder("else/gated", CHECKPOINTS / "stories260k", gated="manual")
    text = {"tags": ["safetensors"], "pipeline_tag": "text-generation"}
    hub.add("demo/pickle", {"config.json": NO_MODEL_CLASS, "pytorch_model.bin": b"x"}, **text)
    hub.add("demo/remote", {"config.json": REMOTE_CODE, "model.safetensors": b"x" * 20}, **text)
    weights = (CHECKPOINTS / "stories260k" / "model.safetensors").read_bytes()
    hub.add("demo/corrupt", {"config.json": NO_MODEL_CLASS, "model.safetensors": weights[:-5]}, **text)
    return hub


def test_every_kind_of_model_becomes_an_outcome_in_the_log(crawled: tuple[Hub, Path]) -> None:
    index = Index(crawled[1])
    assert {m: index.read(m).status.outcome for m in index.models()} == {
        "demo/aidreams260k": "none_found",
        "demo/corrupt": "corrupt",
        "demo/pickle": "unsafe_format",
        "demo/relullama-260k": "unsupported_architecture",
        "demo/remote": "needs_remote_code",
        "demo/stories260k-one": "found",
        "else/gated": "gated",
    }


def test_a_named_model_that_is_not_there_is_recorded_as_not_found(hub: Hub, tmp_path: Path) -> None:
    crawl(["demo/missing"], hub, tmp_path)

    scan = Index(tmp_path).read("demo/missing").scans[-1]
    assert (scan.outcome, scan.reason is None) == ("not_found", False)


def test_a_gated_model_is_recorded_once_however_it_is_named(hub: Hub, tmp_path: Path) -> None:
    sha = hub.add_folder("demo/gated", CHECKPOINTS / "stories260k", gated="manual").head.sha

    crawl(["demo/gated"], hub, tmp_path)
    crawl([], hub, tmp_path)

    assert [r.scans[-1].revision for r in Index(tmp_path).history("demo/gated")] == [sha]


def test_a_record_names_the_commit_that_was_read(crawled: tuple[Hub, Path]) -> None:
    hub, index = crawled

    record = Index(index).read("demo/stories260k-one")

    sha = hub.repo("demo/stories260k-one").head.sha
    assert (record.model.revision, record.scans[-1].revision) == (sha, sha)


def test_weights_come_from_the_pinned_commit_though_main_moves(hub: Hub, tmp_path: Path) -> None:
    sha = small(hub).repo("demo/stories260k-one").head.sha
    other = (CHECKPOINTS / "stories260k-pair" / "model.safetensors").read_bytes()
    hub.fault("move_main", "/resolve/", repo="demo/stories260k-one", files={"model.safetensors": other}, nth=2)

    crawl(["demo/stories260k-one"], hub, tmp_path)

    record = Index(tmp_path).read("demo/stories260k-one")
    assert (record.model.revision, [w.id for w in record.super_weights]) == (sha, ["L1.R67.C172"])


def test_a_second_run_reads_no_file(again: tuple[Hub, Path]) -> None:
    hub, index = again

    report = crawl([], hub, index)

    assert (outcomes(report), report.skipped) == ({}, {"already scanned": 2, "already tried": 4})
    assert [hub.log.count(path) for path in ("/resolve/", "/api/models", "")] == [0, 1, 1]


def test_a_new_commit_is_scanned_again_as_a_new_version(crawled: tuple[Hub, Path], hub: Hub, tmp_path: Path) -> None:
    shutil.copytree(crawled[1], tmp_path, dirs_exist_ok=True)
    hub.add_folder("demo/stories260k-one", CHECKPOINTS / "stories260k-pair")

    crawl(["demo/stories260k-one"], hub, tmp_path)

    history = Index(tmp_path).history("demo/stories260k-one")
    assert [len(r.super_weights) for r in history] == [1, 2]


def test_the_plan_reads_no_weights_and_writes_nothing(hub: Hub, tmp_path: Path) -> None:
    small(hub)

    made = plan(hub, tmp_path / "index")

    assert (made.scanned.total(), hub.log.count("/resolve/"), (tmp_path / "index").exists()) == (3, 0, False)


def test_the_plan_says_why_a_model_is_skipped(hub: Hub, tmp_path: Path) -> None:
    small(hub)
    crawl(["demo/aidreams260k"], hub, tmp_path)

    made = plan(hub, tmp_path, DEMO.but(models={"max_bytes": 1_000_000}))

    tensors = load_file(CHECKPOINTS / "stories260k-one" / "model.safetensors")
    parameters = sum(t.size for t in tensors.values())
    assert {d.row.model_id: (d.action, d.reason) for d in made.rows} == {
        "demo/aidreams260k": ("skip", "already scanned at this commit: none_found"),
        "demo/relullama-260k": ("scan", "not in the index"),
        "demo/stories260k-one": ("skip", f"{4 * parameters} bytes, more than --max-bytes 1000000"),
    }


def test_a_model_that_is_too_large_for_the_run_is_not_read(hub: Hub, tmp_path: Path) -> None:
    small(hub)

    report = crawl(["demo/stories260k-one"], hub, tmp_path, DEMO.but(models={"max_bytes": 1_000_000}))

    assert (outcomes(report), hub.log.count("/resolve/")) == ({"demo/stories260k-one": "skipped"}, 0)


def test_a_lasting_refusal_is_tried_again_only_when_asked(again: tuple[Hub, Path]) -> None:
    hub, index = again
    model = ["demo/relullama-260k"]

    second = crawl(model, hub, index)
    asked = crawl(model, hub, index, DEMO.but(models={"retry_failed": True}))

    assert [outcomes(r)[model[0]] for r in (second, asked)] == ["skipped", "unsupported_architecture"]


def test_an_outage_is_a_failed_scan_and_a_later_run_mends_it(hub: Hub, tmp_path: Path) -> None:
    small(hub)
    model = ["demo/stories260k-one"]
    hub.fault("ignore_range", "/resolve/.*model.safetensors")
    broken = crawl(model, hub, tmp_path)
    hub.clear()

    mended = crawl(model, hub, tmp_path)

    assert [outcomes(r)[model[0]] for r in (broken, mended)] == ["failed", "found"]


def test_faults_that_pass_give_the_same_record_as_none(crawled: tuple[Hub, Path], hub: Hub, tmp_path: Path) -> None:
    small(hub)
    model = ["demo/stories260k-one"]
    hub.fault("status", "/resolve/", status=429, reset=0, times=1)
    hub.fault("status", "/resolve/", status=503, nth=4)
    hub.fault("truncate", "/resolve/.*safetensors", method="GET", keep=5, nth=3)
    hub.fault("cut", "/resolve/.*safetensors", method="GET", after=1000, nth=5)

    crawl(model, hub, tmp_path)

    clean, faulty = (Index(path).read(model[0]) for path in (crawled[1], tmp_path))
    assert (faulty.super_weights, faulty.effects, faulty.status) == (clean.super_weights, clean.effects, clean.status)


def test_a_listing_that_fails_is_an_error_and_not_an_empty_crawl(hub: Hub, tmp_path: Path) -> None:
    hub.fault("status", "/api/models", status=400)

    with pytest.raises(SwindexError, match="the listing failed"):
        crawl([], hub, tmp_path)


def test_a_malformed_id_is_wrong_usage_before_anything_is_asked(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        crawl(["demo/aidreams260k", "../etc"], hub, tmp_path)

    assert len(hub.log) == 0


def test_the_database_holds_what_the_log_holds_after_a_crawl(crawled: tuple[Hub, Path]) -> None:
    assert database.verify(Index(crawled[1])) == []


def test_a_killed_crawl_goes_on_where_it_stopped(hub: Hub, tmp_path: Path) -> None:
    process = start_slow(hub, tmp_path)
    first = until_done(process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    hub.clear()

    report = crawl(["demo/stories260k-pair", "demo/stories260k-one"], hub, tmp_path)

    assert (first[1:], outcomes(report)) == (
        ["demo/stories260k-pair", "found"],
        {"demo/stories260k-pair": "skipped", "demo/stories260k-one": "found"},
    )
    assert [f for f in check(Index(tmp_path)) if f.severity == "error"] == []


def test_control_c_keeps_what_was_appended_and_exits_130(hub: Hub, tmp_path: Path) -> None:
    process = start_slow(hub, tmp_path)
    until_done(process)
    while not hub.log.count("stories260k-one/resolve/"):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    last = process.stderr.read() if process.stderr else ""

    assert (process.wait(), last.strip()) == (130, "swindex: interrupted")
    assert (list(Index(tmp_path).models()), database.verify(Index(tmp_path))) == (["demo/stories260k-pair"], [])


def test_crawl_prints_one_json_document(hub: Hub, tmp_path: Path) -> None:
    small(hub)
    command = [SWINDEX, "crawl", "demo/relullama-260k", "--index", str(tmp_path), "--json"]

    done = subprocess.run(command, env={**os.environ, "HF_ENDPOINT": hub.url}, capture_output=True, text=True)

    printed = json.loads(done.stdout)
    assert (done.returncode, printed["outcomes"], printed["appended"]) == (0, {"unsupported_architecture": 1}, 1)


def test_the_plan_and_the_report_are_printed_for_people(hub: Hub, tmp_path: Path) -> None:
    small(hub)
    environment = {**os.environ, "HF_ENDPOINT": hub.url}
    command = [SWINDEX, "crawl", "--author", "demo", "--workers", "1", "--index", str(tmp_path)]

    plan = subprocess.run([*command, "--plan"], env=environment, capture_output=True, text=True)
    report = subprocess.run(command, env=environment, capture_output=True, text=True)

    assert (plan.returncode, report.returncode) == (0, 0)
    assert "3 to scan, 0 to skip" in plan.stdout
    assert "1 found, 1 none_found, 1 unsupported_architecture" in report.stdout
