"""What a check finds: one planted fault for each code, which gives that code and no other; and the shipped index."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, constants

from swindex.api.main import main
from swindex.crawler.checking import upstream
from swindex.crawler.crawling.policy import BreakerRule
from swindex.crawler.hub import retry
from swindex.crawler.refusal import Refusal
from swindex.index import check_across
from swindex.index.check import check
from swindex.index.curation import Order, with_claims, with_decision
from swindex.index.findings import CODES, FULL
from swindex.index.store import Index
from swindex.index.versions import withdraw
from swindex.schema.decision import DecisionKind
from swindex.schema.model import Integrity, WeightFile
from swindex.schema.observation import Observation, Source, Stance
from swindex.schema.record import Record
from swindex.schema.scan import SharedFrom
from swindex.schema.types import Outcome, Verdict
from swindex.schema.weight import Coordinates

from . import records as make
from .hub import Hub

LATER = "2026-11-22T07:00:00Z"
SHIPPED = Path(__file__).parent.parent / "index"
COMMIT = "e" * 40


def codes(folder: Path) -> list[str]:
    """The codes of what a check finds but the missing database."""
    return [f.code for f in check(Index(folder)) if f.code != "database-missing"]


def claiming(*observations: Observation, **parts: Any) -> Record:
    """A record of claims about the scalar (1, 2, 3)."""
    said = {"model": make.model(files=()), "super_weights": (make.weight(scan=None),), "observations": observations}
    return make.make({**said, **parts})


def sourced(**source: Any) -> Observation:
    return make.observation((1, 2, 3), source=Source(**{"origin": "someone", "title": "A repository", **source}))


def found_with(**parts: Any) -> Record:
    return make.make({**make.found_parts(), **parts})


def weights_with(**fields: Any) -> Record:
    """The record with a scan, its first scalar another in these fields."""
    second = make.found_parts()["super_weights"][1]
    return found_with(super_weights=(make.weight(1, 2, 3, group="neuron-1-3", **fields), second))


def effects_with(worst: float | None, delta: float | None) -> Record:
    """A scan whose only effect and control are these."""
    outcome = Outcome.FOUND if delta is None else Outcome.NONE_FOUND
    parts = {
        "effects": (make.effect("e", "L1.R2.C3", delta=delta, worst=worst),),
        "scans": (make.scan(outcome=outcome),),
    }
    return found_with(**parts)


PAPER = make.observation((1, 2, 3))
DENIAL = make.observation((1, 2, 3), stance=Stance.DENIES)
REPO = {"repo": "someone/work", "url": "https://github.com/someone/work"}
OLD = make.scan().settings.model_copy(update={"detector": "swindex 0.0.9"})

ALONE = {"effects": (make.effect("e", "L1.R2.C3"),)}

ONE_RECORD: dict[str, list[Record]] = {
    "beyond-model": [
        claiming(make.observation((4, 2, 3)), super_weights=(make.weight(4, scan=None),)),
        claiming(make.observation((1, 16, 3)), super_weights=(make.weight(1, 16, scan=None),)),
        claiming(
            PAPER,
            Observation(
                **{**dict(PAPER), "granularity": "row", "targets": (Coordinates(layer=9, row=1),)}
                | {"granularity": make.Granularity.ROW}
            ),
        ),
    ],
    "beyond-file": [weights_with(byte_offset=4095)],
    "unknown-file": [found_with(super_weights=(make.weight(file="other.safetensors"),), groups=(), **ALONE)],
    "tensor-differs": [weights_with(shape=(16, 64))],
    "control": [effects_with(None, None), effects_with(None, 3.0)],
    "old-detector": [found_with(scans=(make.scan(settings=OLD),))],
    "gone-since": [found_with(scans=(make.scan(), make.scan("s2", Outcome.GATED)))],
    "unconverged": [found_with(scans=(make.scan(converged=False),))],
    "uncommitted": [claiming(sourced(**REPO)), claiming(sourced(url="https://github.com/someone/work"))],
    "odd-commit": [claiming(sourced(**REPO, commit="main")), claiming(sourced(**REPO, commit="e" * 7))],
    "odd-revision": [claiming(make.observation((1, 2, 3), revision="step1000"))],
    "conflict": [claiming(PAPER, make.observation((1, 2, 3), origin="fab", stance=Stance.DENIES))],
    "contradiction": [claiming(PAPER, DENIAL)],
    "claim-twice": [claiming(PAPER, PAPER)],
    "copied-figure": [
        claiming(*(make.observation((1, 2, 3), origin=o, ppl=(10.0, 1234.5678)) for o in ("fab", "arctos")))
    ],
    "unsourced": [claiming(sourced())],
    "unpinned": [make.none_found(revision=None)],
    "unfounded": [make.make({**make.none_found_parts(), "super_weights": (make.weight(scan=None),)})],
}


@pytest.mark.parametrize(("code", "record"), [(code, r) for code, records in ONE_RECORD.items() for r in records])
def test_a_fault_in_a_record_gives_its_code_and_no_other(tmp_path: Path, code: str, record: Record) -> None:
    Index(tmp_path).append(record)

    assert codes(tmp_path) == [code]


SOUND = {
    "a thread has no commit": claiming(sourced(repo="a/b", url="https://github.com/a/b/issues/6")),
    "a paper has no commit": claiming(sourced(url="https://arxiv.org/abs/2411.07191")),
    "a commit is pinned": claiming(sourced(**REPO, commit=COMMIT)),
    "a caveat says why": claiming(PAPER, make.observation((1, 2, 3), stance=Stance.DENIES, caveat="Its own test.")),
    "round figures agree by chance": claiming(
        *(make.observation((1, 2, 3), origin=o, ppl=(10.0, 1000.0)) for o in ("fab", "arctos"))
    ),
    "the last byte of a file": weights_with(byte_offset=4094),
    "the last layer and row": claiming(make.observation((3, 15, 3)), super_weights=(make.weight(3, 15, scan=None),)),
}


@pytest.mark.parametrize("name", SOUND)
def test_what_is_sound_gives_nothing(tmp_path: Path, name: str) -> None:
    Index(tmp_path).append(SOUND[name])

    assert codes(tmp_path) == []


def test_coordinates_beyond_the_shape_are_no_record() -> None:
    with pytest.raises(ValueError, match="beyond shape"):
        make.weight(1, 2, 3, shape=(2, 32))


def test_a_verdict_that_the_control_does_not_bear_out_is_no_record() -> None:
    with pytest.raises(ValueError, match="verdict confirmed is not what the rule gives, inert"):
        make.effect("e", "L1.R2.C3", delta=3.0, worst=2.0, verdict=Verdict.CONFIRMED)


# --- all records together ---


def twins(*, content: str | None = None, base: str | None = "org/base", shared: bool = False) -> list[Record]:
    """Two records with one content, or with the same files."""
    files = (WeightFile(path="model.safetensors", size=4096, sha256="c" * 64, integrity=Integrity.SHA256),)
    models = [make.model(f"org/{n}", files=files, content=content, base_model=b) for n, b in (("a", None), ("b", base))]
    origin = SharedFrom(model_id="org/a", revision=make.REVISION, scan="scan-1")
    scans = [make.scan(outcome=Outcome.NONE_FOUND), make.scan("s2", Outcome.NONE_FOUND)]
    scans[1] = scans[1].model_copy(update={"shared_from": origin if shared else None})
    return [make.make({"model": m, "scans": (s,)}) for m, s in zip(models, scans, strict=True)]


@pytest.mark.parametrize("content", [None, "f" * 64])
def test_a_model_under_two_ids_is_found(tmp_path: Path, content: str | None) -> None:
    for record in twins(content=content):
        Index(tmp_path).append(record)

    assert ("two-ids", "org/b") in [(f.code, f.where) for f in check(Index(tmp_path))]
    assert codes(tmp_path) == ["two-ids"]


@pytest.mark.parametrize("known", [{"shared": True}, {"base": "org/a"}])
def test_a_copy_that_says_so_is_not(tmp_path: Path, known: dict[str, Any]) -> None:
    for record in twins(content="f" * 64, **known):
        Index(tmp_path).append(record)

    assert codes(tmp_path) == []


def test_a_scan_shared_from_a_shared_one_is_found(tmp_path: Path) -> None:
    origin = None
    for name in ("org/a", "org/b", "org/c"):
        scan = make.scan(f"of {name}", Outcome.NONE_FOUND, shared_from=origin)
        Index(tmp_path).append(make.make({"model": make.model(name), "scans": (scan,)}))
        origin = SharedFrom(model_id=name, revision=make.REVISION, scan=scan.id)

    assert codes(tmp_path) == ["shared-chain"]


def day(folder: Path, changed: int, same: int, change: Callable[[Record], Record]) -> None:
    """Models with super weights, of which some changed on one day while the others were only scanned again."""
    index = Index(folder)
    for number in range(changed + same):
        record = make.found(f"org/m{number}")
        index.append(record)
        again = make.make(make.found_parts(record.model.id, scan_id="scan-2"), record, time=LATER)
        index.append(change(record) if number < changed else again)


def lost(record: Record) -> Record:
    return make.make(make.none_found_parts(record.model.id, scan_id="s2"), record, time=LATER)


def taken_back(record: Record) -> Record:
    parts = withdraw(record, "wrong", LATER)
    assert parts is not None
    return make.make(parts, record, time=LATER)


@pytest.mark.parametrize("change", [lost, taken_back])
def test_many_results_that_change_on_one_day_are_found(tmp_path: Path, change: Callable[[Record], Record]) -> None:
    day(tmp_path, 3, 2, change)

    assert ("mass-change", "2026-11-22") in [(f.code, f.where) for f in check(Index(tmp_path))]
    assert codes(tmp_path) == ["mass-change"]


@pytest.mark.parametrize(("changed", "same"), [(2, 0), (3, 12)])
def test_few_results_may_change(tmp_path: Path, changed: int, same: int) -> None:
    day(tmp_path, changed, same, lost)

    assert codes(tmp_path) == []


def test_many_first_scans_of_what_was_reported_are_no_mass_change(tmp_path: Path) -> None:
    for number in range(5):
        record = make.reported(f"org/m{number}", make.REVISION)
        Index(tmp_path).append(record)
        parts = make.found_parts(record.model.id)
        Index(tmp_path).append(make.make({**parts, "observations": record.observations[:1]}, record, time=LATER))

    assert codes(tmp_path) == []


def test_the_thresholds_are_those_of_the_circuit_breaker() -> None:
    assert (BreakerRule().least, BreakerRule().share) == (check_across.LEAST, check_across.SHARE)


def settled(folder: Path) -> Index:
    """An index with a conflict that a decision settles, every claim standing."""
    index = Index(folder)
    index.append(claiming(PAPER, make.observation((1, 2, 3), origin="fab", stance=Stance.DENIES)))
    order = Order(DecisionKind.SETTLE, "both are right", "me", LATER, conflict="location:L1.R2.C3")
    index.add(make.MODEL_ID, lambda p: with_decision(p, order), "me", LATER)
    return index


def test_a_settled_conflict_is_silent(tmp_path: Path) -> None:
    settled(tmp_path)

    assert codes(tmp_path) == []


def test_a_claim_that_comes_later_reopens_a_settled_conflict(tmp_path: Path) -> None:
    index = settled(tmp_path)
    new = claiming(make.observation((1, 2, 3), origin="arctos"))
    offered = {name: getattr(new, name) for name in ("model", "super_weights", "groups", "observations")}
    index.add(make.MODEL_ID, lambda p: with_claims(p, offered), "me", LATER)

    assert codes(tmp_path) == ["reopened"]


# --- the full set ---

FILES = {"config.json": "{}", "model.safetensors": b"0" * 4096, "README.md": "one"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(retry, "BASE_WAIT", 0.001)
    monkeypatch.setattr(retry, "ROUNDING", 0.0)
    with Hub() as running:
        yield running


def asked(folder: Path, hub: Hub) -> list[tuple[str, str]]:
    return [(f.code, f.where) for f in upstream(Index(folder), HfApi(endpoint=hub.url, token=False))]


def pinned(folder: Path, hub: Hub, **meta: Any) -> Index:
    """An index with a record of a scan at the Hub's main."""
    repo = hub.add("org/tiny", FILES, **meta)
    entry = make.model(
        revision=repo.head.sha,
        files=(WeightFile(path="model.safetensors", size=4096, sha256=None, integrity=Integrity.RANGE),),
    )
    index = Index(folder)
    index.append(found_with(model=entry))
    return index


def test_a_model_as_recorded_gives_nothing(tmp_path: Path, hub: Hub) -> None:
    pinned(tmp_path, hub)

    assert asked(tmp_path, hub) == []


def test_progress_counts_the_models(tmp_path: Path, hub: Hub) -> None:
    told: list[tuple[str, int, int]] = []
    upstream(pinned(tmp_path, hub), HfApi(endpoint=hub.url, token=False), lambda *step: told.append(step))

    assert told == [("asking the Hub", 1, 1)]


def test_the_command_asks_the_hub_only_when_told_to(
    tmp_path: Path, hub: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Index(tmp_path).append(make.found())
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    offline = main(["index", "check", "--json", "--index", str(tmp_path)])
    asked_before = len(hub.log)
    full = main(["index", "check", "--full", "--json", "--index", str(tmp_path)])

    documents = [json.loads(d) for d in capsys.readouterr().out.replace("}\n{", "}\0{").split("\0")]
    assert (offline, full, asked_before, len(hub.log) > 0) == (0, 0, 0, True)
    assert [[f["code"] for f in d["findings"]] for d in documents] == [
        ["database-missing"],
        ["database-missing", "not-on-hub"],
    ]


def test_new_weights_on_main_make_a_record_stale(tmp_path: Path, hub: Hub) -> None:
    pinned(tmp_path, hub)
    hub.repo("org/tiny").write({"model.safetensors": b"1" * 4096})

    assert asked(tmp_path, hub) == [("moved-on", "org/tiny")]


def test_a_new_readme_on_main_does_not(tmp_path: Path, hub: Hub) -> None:
    pinned(tmp_path, hub)
    hub.repo("org/tiny").write({"README.md": "two"})

    assert asked(tmp_path, hub) == []


def test_a_commit_that_is_gone_is_found(tmp_path: Path, hub: Hub) -> None:
    hub.add("org/tiny", FILES)
    Index(tmp_path).append(make.found())

    assert asked(tmp_path, hub) == [("revision-gone", "org/tiny")]


def test_a_claimed_commit_that_is_gone_is_found(tmp_path: Path, hub: Hub) -> None:
    hub.add("org/tiny", FILES)
    claim = make.observation((1, 2, 3), revision=COMMIT)
    Index(tmp_path).append(claiming(claim, model=make.model(revision=None, files=())))

    assert asked(tmp_path, hub) == [("revision-gone", "org/tiny")]


def test_a_file_that_is_not_the_recorded_one_is_found(tmp_path: Path, hub: Hub) -> None:
    repo = hub.add("org/tiny", FILES)
    file = WeightFile(path="model.safetensors", size=4097, sha256=None, integrity=Integrity.RANGE)
    Index(tmp_path).append(found_with(model=make.model(revision=repo.head.sha, files=(file,))))

    assert asked(tmp_path, hub) == [("file-differs", "org/tiny")]


def test_a_model_that_is_gone_is_found(tmp_path: Path, hub: Hub) -> None:
    Index(tmp_path).append(make.found())

    assert asked(tmp_path, hub) == [("not-on-hub", "org/tiny")]


@pytest.mark.parametrize("meta", [{"gated": "manual"}, {"disabled": True}])
def test_a_model_that_is_closed_is_found(tmp_path: Path, hub: Hub, meta: dict[str, Any]) -> None:
    pinned(tmp_path, hub, **meta)

    assert asked(tmp_path, hub) == [("closed", "org/tiny")]


def test_a_model_under_another_name_is_found(tmp_path: Path, hub: Hub) -> None:
    repo = hub.add("new-org/tiny", FILES)
    Index(tmp_path).append(found_with(model=make.model(revision=repo.head.sha, files=())))
    there = {"Location": f"{hub.url}/api/models/new-org/tiny?blobs=true"}
    hub.fault("status", "/api/models/org/tiny", status=307, headers=there)

    assert asked(tmp_path, hub) == [("renamed", "org/tiny")]


def test_a_model_that_could_not_be_asked_about_is_an_error_and_not_silence(tmp_path: Path, hub: Hub) -> None:
    pinned(tmp_path, hub)
    hub.add("org/other", FILES)
    Index(tmp_path).append(make.reported("org/other"))
    hub.fault("status", "org/tiny", status=503)

    assert asked(tmp_path, hub) == [("unasked", "org/tiny")]
    assert CODES["unasked"][0] == "error"


def test_a_hub_that_answers_nothing_is_an_error(tmp_path: Path, hub: Hub) -> None:
    pinned(tmp_path, hub)
    hub.fault("status", "org/", status=503)

    with pytest.raises(Refusal, match="503"):
        asked(tmp_path, hub)


def test_a_withdrawn_record_is_not_asked_about(tmp_path: Path, hub: Hub) -> None:
    Index(tmp_path).append(make.make(withdraw(make.found(), "wrong", LATER) or {}))
    hub.clear()

    assert (asked(tmp_path, hub), len(hub.log)) == ([], 0)


# --- the table and the shipped index ---


def test_every_code_has_a_test() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))

    assert [code for code in CODES if not re.search(f"[\"']{code}[\"']", tests)] == []


def test_the_table_of_codes_is_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", "check", "--codes", "--json"]) == 0

    shown = json.loads(capsys.readouterr().out)["codes"]
    assert {c["code"]: (c["severity"], c["meaning"]) for c in shown} == CODES
    assert {c["code"] for c in shown if c["set"] == "full"} == FULL


def test_the_shipped_index_gives_what_is_true_of_it() -> None:
    found = [(f.code, Path(f.where).name.partition(".jsonl")[0]) for f in check(Index(SHIPPED))]

    assert sorted(f for f in found if not f[0].startswith("database")) == [
        ("conflict", "Llama-2-13b-hf"),
        ("conflict", "Llama-2-7b-chat-hf"),
        ("conflict", "Llama-2-7b-hf"),
        ("conflict", "Mistral-7B-Instruct-v0.1"),
        ("conflict", "OLMo-1B-0724-hf"),
        ("conflict", "OLMo-1B-0724-hf"),
        ("conflict", "Phi-3-mini-4k-instruct"),
        ("conflict", "deepseek-llm-7b-base"),
        ("conflict", "llama-13b"),
        ("contradiction", "Qwen3-8B"),
        ("contradiction", "Qwen3-8B"),
        ("odd-revision", "evo-1-8k-base"),
        ("uncommitted", "DialoGPT-small"),
        ("uncommitted", "gemma-4-E4B"),
    ]
