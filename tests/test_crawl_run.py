"""A whole run against the loopback Hub: twins, fine-tunes, budget, circuit breaker, heartbeat."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from swindex.crawler.checkpoint.hub import HubCheckpoint
from swindex.crawler.crawling.gate import Gate, Passed
from swindex.crawler.crawling.jobs import Job
from swindex.crawler.crawling.policy import Policy
from swindex.crawler.crawling.report import CrawlReport
from swindex.crawler.crawling.run import crawl
from swindex.crawler.detection.options import Options
from swindex.index import heartbeat
from swindex.index.store import Index

from .hub import Hub

CHECKPOINTS = Path(__file__).parent / "checkpoints"
QUICK = Options(window=64)
ALL: dict[str, Any] = {"filters": [], "pipeline_tag": ""}


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A Hub on loopback."""
    with Hub() as started:
        yield started


def policy(**sections: dict[str, Any]) -> Policy:
    return Policy.read().but(listing=ALL, workers={"count": 1}, **sections)


def run(hub: Hub, index: Path, chosen: Policy | None = None, **more: Any) -> CrawlReport:
    api = HfApi(endpoint=hub.url, token=False)
    return crawl([], index=index, policy=chosen or policy(), options=QUICK, api=api, **more)


def ends(report: CrawlReport) -> dict[str, tuple[str, str]]:
    return {a.model_id: (a.how, a.outcome) for a in report.attempts}


def add(hub: Hub, name: str, source: str = "stories260k-one", **meta: Any) -> None:
    hub.add_folder(name, CHECKPOINTS / source, **meta)


def test_a_copy_shares_the_scan_and_none_of_its_weights_is_read(hub: Hub, tmp_path: Path) -> None:
    add(hub, "demo/one", downloads=9)
    add(hub, "else/copy")

    report = run(hub, tmp_path)

    assert ends(report) == {"demo/one": ("scan", "found"), "else/copy": ("twin", "found")}
    assert hub.log.count("else/copy/resolve/.*safetensors") == 0
    scan = Index(tmp_path).read("else/copy").scans[-1]
    assert scan.shared_from is not None
    assert scan.shared_from.model_id == "demo/one"


def test_a_fine_tune_that_kept_the_scalars_is_compared_once_and_not_scanned(hub: Hub, tmp_path: Path) -> None:
    add(hub, "demo/one")
    tags = ["base_model:demo/one", "base_model:finetune:demo/one"]
    files: dict[str, Any] = {p.name: p for p in (CHECKPOINTS / "stories260k-one").iterdir() if p.name != "config.json"}
    config = (CHECKPOINTS / "stories260k-one" / "config.json").read_text().replace("{", '{"note": "tuned",', 1)
    hub.add("else/tuned", {**files, "config.json": config}, tags=tags)
    enough = policy(fine_tunes={"survival": "enough"})

    first, second = run(hub, tmp_path, enough), run(hub, tmp_path, enough)

    assert ends(first)["else/tuned"] == ("survival", "inherited")
    assert (ends(second), second.skipped) == ({}, {"already scanned": 1, "already compared": 1})


def test_a_budget_stops_a_run_and_the_next_goes_on(hub: Hub, tmp_path: Path) -> None:
    for number, source in enumerate(("stories260k-one", "aidreams260k", "stories260k")):
        add(hub, f"demo/m{number}", source)

    first = run(hub, tmp_path, policy(budget={"requests": 5}))
    rest = run(hub, tmp_path)

    assert "the budget of 5 requests is spent" in str(first.stopped)
    assert first.exit_status == 3
    assert set(ends(first)) | set(ends(rest)) == set(Index(tmp_path).models()) == {"demo/m0", "demo/m1", "demo/m2"}


def test_a_model_that_the_budget_has_no_room_for_waits_and_smaller_ones_go_on(hub: Hub, tmp_path: Path) -> None:
    add(hub, "demo/large", downloads=9)
    add(hub, "demo/small", "aidreams260k")

    first = run(hub, tmp_path, policy(budget={"bytes": 1_000_000}))
    rest = run(hub, tmp_path)

    assert "no room for 1 models (demo/large)" in str(first.stopped)
    assert (first.exit_status, set(ends(first)), set(ends(rest))) == (3, {"demo/small"}, {"demo/large"})


def test_an_unforeseen_error_in_the_look_at_one_model_stops_no_run(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(hub, "demo/odd", downloads=9)
    add(hub, "demo/small", "aidreams260k")
    whole = Gate._look

    def failing(self: Gate, checkpoint: HubCheckpoint, job: Job) -> Passed:
        if job.model_id == "demo/odd":
            raise LookupError("as nobody foresaw")
        return whole(self, checkpoint, job)

    monkeypatch.setattr(Gate, "_look", failing)

    report = run(hub, tmp_path)

    reasons = {a.model_id: a.reason for a in report.attempts}
    assert "unforeseen LookupError: as nobody foresaw" in reasons["demo/odd"]
    assert ends(report)["demo/small"] == ("scan", "none_found")


def test_many_losses_at_once_are_held_back_until_they_are_accepted(hub: Hub, tmp_path: Path) -> None:
    names = [f"demo/m{n}" for n in range(3)]
    for name in names:
        add(hub, name)
    run(hub, tmp_path)
    for name in names:
        add(hub, name, "aidreams260k")

    stopped = run(hub, tmp_path)
    kept = {n: Index(tmp_path).read(n).status.outcome for n in names}
    accepted = run(hub, tmp_path, accept_held=True)

    assert "lost them at once" in str(stopped.stopped)
    assert (stopped.exit_status, sorted(stopped.held), set(kept.values())) == (3, names, {"found"})
    assert {Index(tmp_path).read(n).status.outcome for n in names} == {"none_found"}
    assert accepted.held == ()


def test_an_outage_appends_nothing_and_the_model_waits_for_a_later_run(hub: Hub, tmp_path: Path) -> None:
    add(hub, "demo/one")
    hub.fault("ignore_range", "/resolve/.*model.safetensors")
    broken = run(hub, tmp_path)
    there = list(Index(tmp_path).models())
    hub.clear()

    assert (broken.outcomes, there) == ({"failed": 1}, [])
    assert ends(run(hub, tmp_path)) == {"demo/one": ("scan", "found")}


def test_the_heartbeat_says_how_much_of_the_listing_is_covered(hub: Hub, tmp_path: Path) -> None:
    add(hub, "demo/one")
    add(hub, "demo/none", "aidreams260k")
    add(hub, "demo/adapter", tags=["peft"])

    run(hub, tmp_path)

    beat = heartbeat.read(tmp_path)["crawl"]
    told = {name: beat[name] for name in ("complete", "stopped", "listed", "eligible", "indexed")}
    assert told == {"complete": True, "stopped": None, "listed": 3, "eligible": 2, "indexed": 2}
