"""No fault of the Hub or the network becomes a negative result, another record, or a place where the token is seen.

Each kind of fault strikes at each request of a reader in turn, once or from then on, until one passes clean.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi
from huggingface_hub.utils import hf_raise_for_status, httpx  # type: ignore[attr-defined]

from swindex.crawler.checkpoint.hub import HubCheckpoint, refusal_of
from swindex.crawler.crawling import run
from swindex.crawler.detection.run import Options
from swindex.crawler.hub import shared, transport
from swindex.crawler.parts.result import Result
from swindex.crawler.refusal import Refusal
from swindex.crawler.scanning import scan_checkpoint
from swindex.schema.types import Outcome

from .bench.faults import compare, short_waits
from .clock import Clock
from .hub import Hub
from .hub.kinds import KINDS

CHECKPOINTS = Path(__file__).parent / "checkpoints"
SCREEN = Options(effects=False, depth="screen")
SECRET = "hf_loopback"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as started, short_waits():
        yield started


# --- no fault becomes a negative result ---

FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"status {n}": ("status", {"status": n}) for n in (200, 204, 302, 401, 403, 404, 408, 409, 418, 500, 502, 503)},
    "rate limit": ("status", {"status": 429, "reset": 0}),
    "rate limit of hours": ("status", {"status": 429, "reset": 9999}),
    "cut": ("cut", {}),
    "cut after the head": ("cut", {"after": 0}),
    "cut in the body": ("cut", {"after": 20}),
    "slow": ("slow", {"delay": 0.001}),
    "truncated": ("truncate", {"keep": 20}),
    "empty": ("truncate", {"keep": 0}),
    "too long": ("length", {"add": 9}),
    "too short": ("length", {"add": -9}),
    "range ignored": ("ignore_range", {}),
    "gzip": ("gzip", {}),
    "gzip of the range": ("gzip", {"keep_range": True}),
    "another range": ("headers", {"set": {"Content-Range": "bytes 0-1/2"}}),
    "html": ("headers", {"set": {"Content-Type": "text/html"}}),
    "another etag": ("etag", {}),
    "a flipped bit": ("corrupt", {"path": "^/api/|json"}),  # in a range of weights nothing can show it
    "main moves": ("move_main", {"repo": "org/m"}),
    "done and denied": ("lost", {}),
    "done and cut": ("lost", {"status": None}),
    "anything": ("any", {}),
}


def everything(hub: Hub, sha: str | None, token: str | bool = SECRET) -> Any:
    """All that a scan reads of a gated model, of a Hub that lets it in; or what it was refused for."""
    try:
        checkpoint = HubCheckpoint("org/m", sha, HfApi(endpoint=hub.url, token=token))
        _ = checkpoint.config
        tensors = {(i.name, at): bytes(d) for i, at, d in checkpoint.read(list(checkpoint.tensors))}
        with checkpoint.tokenizer_folder() as folder:
            return tensors, {p.name: p.read_bytes() for p in folder.iterdir()}, checkpoint.files_read()
    except Refusal as refusal:
        return refusal


def test_every_kind_of_fault_is_tried() -> None:
    assert {kind for kind, _ in FAULTS.values()} == {*KINDS, "any"}


@pytest.mark.parametrize("stays", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_request_gives_the_right_bytes_or_a_failure_that_passes(
    hub: Hub, fault: str, stays: bool, clock: Clock
) -> None:
    sha = hub.add_folder("org/m", CHECKPOINTS / "aidreams260k", gated="auto").head.sha
    right = everything(hub, sha)
    kind, settings = FAULTS[fault]
    wrong = []
    for k in range(1, 100):
        transport.uninstall()
        hub.clear()
        rule = hub.fault(kind, nth=k, **({"times": 10**9} if stays else {}), **settings)
        found = everything(hub, sha)
        if isinstance(found, Refusal):
            wrong += [(k, found)] * ((found.outcome, found.lasting) != (Outcome.FAILED, False))
        else:
            wrong += [(k, "bytes")] * (found != right)
        if not rule.hits:
            break

    assert (wrong, isinstance(right, Refusal), rule.hits, k > 5) == ([], False, 0, True)


@pytest.mark.parametrize("fault", ["rate limit", "status 503", "cut in the body", "truncated"])
def test_a_scan_with_a_fault_at_any_request_has_the_same_record(hub: Hub, fault: str) -> None:
    hub.add_folder("org/m", CHECKPOINTS / "aidreams260k")

    def scanned() -> Result:
        transport.uninstall()
        checkpoint = HubCheckpoint("org/m", None, HfApi(endpoint=hub.url, token=False))
        return scan_checkpoint(checkpoint, SCREEN)

    def told(result: Result) -> Any:
        return result.model, result.scan.outcome, result.scan.id, result.super_weights, result.lasting

    right, (kind, settings) = told(scanned()), FAULTS[fault]
    for k in range(1, 100):
        hub.clear()
        rule = hub.fault(kind, nth=k, **settings)
        assert told(scanned()) == right
        if not rule.hits:
            break
    assert k > 5


@pytest.mark.parametrize("refused", ["gated", "missing", "corrupt", "no config"])
def test_what_the_hub_or_the_files_say_lasts(hub: Hub, refused: str) -> None:
    weights = (CHECKPOINTS / "aidreams260k" / "model.safetensors").read_bytes()
    if refused != "missing":
        files = {"model.safetensors": weights[:-5], **({} if refused == "no config" else {"config.json": "{}"})}
        hub.add("org/m", files, gated="manual" if refused == "gated" else False)

    found = everything(hub, None, token=False)

    assert isinstance(found, Refusal)
    assert found.lasting


def test_a_401_that_is_not_the_hub_s_own_word_is_no_missing_model() -> None:
    request = httpx.Request("GET", "https://huggingface.co/api/models/org/m")
    found = []
    for headers in ({}, {"X-Error-Message": "Invalid username or password."}):
        try:
            hf_raise_for_status(httpx.Response(401, headers=headers, request=request))
        except Exception as error:
            found.append(refusal_of(error, "org/m"))

    assert [(r.outcome, r.lasting) for r in found] == [(Outcome.FAILED, False), (Outcome.NOT_FOUND, True)]


def test_a_crawl_with_a_tenth_of_all_answers_faulty_gives_the_same_records(tmp_path: Path) -> None:
    both = compare(12, tmp_path, seed=3)

    assert (both.differing, both.outcomes_differ) == ([], False)
    assert sum(both.faults.values()) > 5
    assert set(both.clean.outcomes) == {"untested", "gated", "corrupt"}


def test_a_hub_that_fails_for_good_fails_every_model_and_stops_no_run(hub: Hub, tmp_path: Path) -> None:
    hub.fault("status", status=503)
    report = run.crawl(["a/b", "c/d"], index=tmp_path, options=SCREEN, api=HfApi(endpoint=hub.url, token=False))

    assert report.outcomes == {"failed": 2}


# --- the token is nowhere ---


@pytest.mark.parametrize("fault", FAULTS)
def test_no_error_and_no_log_holds_the_token(
    hub: Hub, fault: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], clock: Clock
) -> None:
    caplog.set_level(logging.DEBUG)
    sha = hub.add_folder("org/m", CHECKPOINTS / "aidreams260k", gated="auto").head.sha
    kind, settings = FAULTS[fault]
    said: list[str] = []
    for k in (1, 2, 4):
        hub.fault(kind, nth=k, times=10**9, **settings)
        found = everything(hub, sha)
        said += chain(found) if isinstance(found, Refusal) else []
        hub.clear()

    assert SECRET not in "".join([*said, caplog.text, *capfd.readouterr()])


def chain(error: BaseException | None) -> list[str]:
    """What every error behind an error says."""
    found = []
    while error is not None:
        found += [str(error), repr(error), repr(error.args), "".join(traceback.format_exception(error))]
        error = error.__cause__ or error.__context__
    return found


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        (["scan", "org/m", "--no-effects"], ("any", {"probability": 0.3})),
        (["crawl", "org/m"], ("cut", {"nth": 4, "times": 99})),
        (["crawl", "--author", "org"], ("status", {"status": 401})),
    ],
    ids=["scan", "crawl", "discovery"],
)
def test_no_command_prints_or_stores_the_token(
    hub: Hub, tmp_path: Path, command: list[str], fault: tuple[str, dict[str, Any]]
) -> None:
    hub.add_folder("org/m", CHECKPOINTS / "aidreams260k", gated="auto", pipeline_tag="text-generation")
    hub.fault(fault[0], **fault[1])
    place = ["--out", str(tmp_path / "r.json")] if command[0] == "scan" else ["--index", str(tmp_path / "index")]
    (at_once := tmp_path / "at_once").mkdir()  # no process waits before it asks again, workers included
    (at_once / "sitecustomize.py").write_text(
        "from swindex.crawler.hub import retry\nretry.BASE_WAIT, retry.ROUNDING = 0.001, 0.0\n"
    )
    shown = {
        "HF_DEBUG": "1",
        "HF_HUB_VERBOSITY": "debug",
        "SWINDEX_DEBUG": "1",
        shared.FOLDER: str(tmp_path / "shared"),
        "PYTHONPATH": str(at_once),
    }
    env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_TOKEN": SECRET, **shown}
    done = subprocess.run(
        [Path(sys.executable).parent / "swindex", *command, *place, "--json"], env=env, capture_output=True, timeout=120
    )

    kept = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert SECRET.encode() not in done.stdout + done.stderr + kept
    assert hub.log.entries[0].user
