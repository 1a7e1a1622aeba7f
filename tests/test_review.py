"""`swindex index review`: what a curator sees of the launch data, decides and gets; where a decision is seen after."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from swindex.api.client import Client
from swindex.api.main import main
from swindex.index import database
from swindex.index.check import check
from swindex.index.curation import Order, with_decision
from swindex.index.review import review, settled_by
from swindex.index.store import Index
from swindex.index.why import Reasons
from swindex.schema.decision import DecisionKind, claim_id
from swindex.schema.observation import Stance
from swindex.schema.record import Record
from swindex.schema.types import Location

from . import records as make

OLMO = "allenai/OLMo-1B-0724-hf"
MISPRINT = "L1.R1764.C8041"
SHIPPED = Path(__file__).parent.parent / "index"
WHO = ["--reason", "Table 2 misprints the layer", "--by", "ann"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An index with the launch record of one model."""
    kept = tmp_path / "records" / "allenai"
    kept.mkdir(parents=True)
    shutil.copy(SHIPPED / "records" / f"{OLMO}.jsonl", kept)
    return tmp_path


class Run:
    """Runs `swindex index review` on an index."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        status = main(["index", "review", *arguments, "--index", str(self.folder)])
        return (status, *self.capsys.readouterr())

    def json(self, *arguments: str) -> Any:
        status, out, _ = self(*arguments, "--json")
        assert status == 0
        return json.loads(out)


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(folder, capsys)


def misprint(folder: Path) -> dict[str, Any]:
    """The paper's claim about the wrong layer, as the review has it."""
    weights = review(Index(folder).read(OLMO))["weights"]
    [weight] = [w for w in weights if w["id"] == MISPRINT]
    [claim] = [c for c in weight["claims"] if c["stance"] == "claims"]
    return dict(claim)


def corrected(folder: Path, **more: Any) -> Path:
    """A file with the claim as it should read."""
    claim = misprint(folder)["observation"]
    claim["targets"][0] |= {"layer": 2, "tensor": "model.layers.2.mlp.down_proj.weight"}
    path = folder / "instead.json"
    path.write_text(json.dumps([{**claim, "caveat": "Table 2 prints layer 1; the code has 2.", **more}]))
    return path


# --- what is shown ---


def test_the_list_has_the_models_that_need_a_look(capsys: pytest.CaptureFixture[str]) -> None:
    main(["index", "review", "--json"])
    models = json.loads(capsys.readouterr().out)["models"]

    assert {m["model"]: (m["conflicts"], m["open"], m["disputed"], m["refuted"]) for m in models}[OLMO] == (2, 2, 1, 1)
    assert all(m["open"] or m["disputed"] for m in models)
    assert len(models) == 10


@pytest.mark.parametrize(("option", "count"), [("--conflicts", 8), ("--all", 70)])
def test_the_list_can_be_wider_or_narrower(option: str, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    main(["index", "review", option, "--json"])

    assert len(json.loads(capsys.readouterr().out)["models"]) == count


def test_every_claim_of_the_shipped_index_is_shown_once_or_more() -> None:
    index = Index(SHIPPED)
    for model_id in index.models():
        record = index.read(model_id)
        shown = review(record)
        held = [c for part in (*shown["weights"], *shown["groups"]) for c in part["claims"]] + shown["others"]
        assert {c["id"] for c in held} == {claim_id(o) for o in record.observations}


def test_a_weight_shows_who_claims_and_who_denies_it_and_why_the_rule_concludes(folder: Path) -> None:
    [weight] = [w for w in review(Index(folder).read(OLMO))["weights"] if w["id"] == MISPRINT]

    assert [(c["origin"], c["stance"]) for c in weight["claims"]] == [
        ("yu-2024", "claims"),
        ("arctos", "denies"),
        ("arctos", "notes"),
    ]
    assert (weight["location"], weight["why"]["location"]) == (
        "refuted",
        "claimed by yu-2024; denied by arctos; removing it does nothing, alone (inert) and together (inert)",
    )


def test_a_claim_shows_its_source_at_its_commit(folder: Path) -> None:
    assert misprint(folder)["source"]["commit"] == "6e789a3cfb69f6d57b9aa917bb534b72fdd00de1"


@pytest.mark.parametrize("width", ["50", "140"])
def test_the_page_fits_the_terminal_and_names_claims_and_conflicts(
    run: Run, width: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    _, page, _ = run(OLMO)

    assert misprint(run.folder)["id"][:8] in page
    assert "layer:L1.R1764.C8041" in page
    long = [line for line in page.splitlines() if len(line) > int(width) and " " in line.strip("- ")]
    assert [line for line in long if not any(len(word) > int(width) - 8 for word in line.split())] == []


FOUND = make.found()
DENIED = make.observation((1, 2, 3), origin="fab", stance=Stance.DENIES)
CLAIM = make.observation((1, 2, 3))


def claiming(*observations: Any) -> Record:
    said = {"model": make.model(files=()), "super_weights": (make.weight(scan=None),)}
    return make.make({**said, "observations": observations})


REASONS = {
    "a scan": (FOUND, Location.CONFIRMED, "scan scan-1 of ours found it"),
    "a claim": (claiming(CLAIM), Location.REPORTED, "claimed by yu-2024; denied by nobody"),
    "untested": (
        claiming(CLAIM, DENIED),
        Location.DISPUTED,
        "claimed by yu-2024; denied by fab; not refuted, as removing it was not shown to do nothing (alone: untested)",
    ),
    "two origins": (
        claiming(CLAIM, make.observation((1, 2, 3), origin="arctos"), DENIED),
        Location.DISPUTED,
        "claimed by arctos, yu-2024; denied by fab; not refuted, as more than one origin claims it",
    ),
    "its own claim": (
        claiming(CLAIM, make.observation((1, 2, 3), stance=Stance.DENIES)),
        Location.DISPUTED,
        "claimed by nobody (yu-2024 denies its own claim, which is withdrawn so); denied by yu-2024; not refuted, as "
        "removing it was not shown to do nothing (alone: untested)",
    ),
}


@pytest.mark.parametrize("name", REASONS)
def test_the_reason_for_a_location_names_what_the_rule_was_given(name: str) -> None:
    record, location, reason = REASONS[name]

    assert (record.status.weights[0].location, Reasons(record).location(record.super_weights[0])) == (location, reason)


def test_the_reason_for_our_verdict_names_the_control_and_the_thresholds() -> None:
    assert Reasons(FOUND).alone(FOUND.status.weights[0]) == (
        "measured by us: +3 nat on slice, worst control +0.01 nat: confirmed; the weakest counts (confirmed from 1 nat "
        "per token and 20 times the worst control, partial from 0.05 nat and 5 times it)"
    )


def test_the_reason_for_a_reported_verdict_names_the_sources() -> None:
    record = claiming(make.observation((1, 2, 3), ppl=(10.0, 10.0)))

    assert Reasons(record).alone(record.status.weights[0]) == (
        "by sources' figures: yu-2024 +0 nat: inert; the weakest counts (without a control: confirmed from 1 nat per "
        "token, partial from 0.05)"
    )


def test_the_reason_for_a_verdict_together_names_the_set_and_what_the_weight_adds_to_it() -> None:
    parts = (
        make.reported_parts()
    )  # both together: perplexity 10 -> 1000; the second alone does nothing, ln(100) is 4.605
    alone = make.observation((2, 4, 3), origin="sun-2025", ppl=(10.0, 10.0))
    record = make.make({**parts, "observations": (*parts["observations"], alone)})

    assert Reasons(record).grouped(record.status.weights[0]) == (
        "the strongest of its sets is reported-1 (confirmed), where it adds +4.605 nat to the rest (inert up to 0.049 "
        "unless it does something alone)"
    )


# --- deciding ---


def test_a_dry_run_shows_what_would_change_and_writes_nothing(run: Run) -> None:
    status, out, _ = run(OLMO, "--withdraw", misprint(run.folder)["id"][:8], "--dry-run", *WHO)

    assert (status, len(Index(run.folder).history(OLMO))) == (0, 1)
    assert "conflict location:L1.R1764.C8041: gone" in out
    assert "taken out: yu-2024 claims L1[1764,8041]: published coordinate" in out
    assert out.endswith("Nothing was written (--dry-run).\n")


def test_the_misprinted_layer_is_settled_from_the_command_line(run: Run) -> None:
    instead, claim = str(corrected(run.folder)), misprint(run.folder)["id"]
    told = run.json(OLMO, "--settle", claim[:8], "--instead", instead, "--conflict", f"layer:{MISPRINT}", "--yes", *WHO)

    record = Index(run.folder).read(OLMO)
    assert (told["written"], told["version"], told["digest"]) == (True, 2, record.provenance.digest)
    assert (record.provenance.submitter, record.decisions[0].kind, record.decisions[0].by) == ("ann", "settle", "ann")
    assert {c.kind.value: settled_by(c, record.decisions) is not None for c in record.status.conflicts} == {
        "layer": True
    }
    assert run.json()["models"][0]["open"] == 0


def test_a_claim_is_split_by_a_file_of_its_parts(run: Run) -> None:
    claim = misprint(run.folder)
    parts = run.folder / "parts.json"
    parts.write_text(json.dumps([{**claim["observation"], "statement": f"part {n}"} for n in "ab"]))

    status, _, _ = run(OLMO, "--split", claim["id"], "--instead", str(parts), "--yes", *WHO)

    assert (status, [o.statement for o in Index(run.folder).read(OLMO).decisions[0].instead]) == (
        0,
        ["part a", "part b"],
    )


def test_what_was_taken_out_is_put_back(run: Run) -> None:
    claim = misprint(run.folder)["id"][:8]
    run(OLMO, "--withdraw", claim, "--yes", *WHO)
    run(OLMO, "--restore", claim, "--yes", *WHO)

    versions = Index(run.folder).history(OLMO)
    assert [len(v.observations) for v in versions] == [24, 23, 24]
    assert set(versions[0].observations) == set(versions[2].observations)


def test_a_decision_brings_the_database_up_to_date(run: Run) -> None:
    index = Index(run.folder)
    database.build(index)
    run(OLMO, "--withdraw", misprint(run.folder)["id"], "--yes", *WHO)

    with database.connect(index) as con:
        said = con.execute("SELECT kind, decided_by, claims, instead FROM decisions").fetchall()
        claims = con.execute("SELECT decision, part, origin, weights FROM decision_claims").fetchall()
    assert (said, claims) == ([("withdraw", "ann", 1, 0)], [(1, "taken_out", "yu-2024", [MISPRINT])])
    assert [f.code for f in check(index) if f.code.startswith("database")] == []


def test_without_a_terminal_to_ask_nothing_is_written(run: Run) -> None:
    status, _, error = run(OLMO, "--withdraw", misprint(run.folder)["id"], *WHO)

    assert (status, len(Index(run.folder).history(OLMO))) == (2, 1)
    assert "nobody to ask: add --yes" in error


WRONG = {
    "no model": (["--withdraw", "0" * 8, *WHO], "name the model"),
    "no reason": ([OLMO, "--withdraw", "0" * 8, "--by", "ann"], "needs --reason TEXT and --by NAME"),
    "nobody": ([OLMO, "--withdraw", "0" * 8, "--reason", "x"], "needs --reason TEXT and --by NAME"),
    "no such claim": ([OLMO, "--withdraw", "0" * 8, "--yes", *WHO], "has no claim 00000000"),
    "two at once": ([OLMO, "--withdraw", "0" * 8, "--settle", "1" * 8, *WHO], "one decision at a time"),
    "no such conflict": ([OLMO, "--conflict", "layer:L9.R1.C1", *WHO], "it has: layer:L1.R1764.C8041, location:"),
    "no such file": ([OLMO, "--settle", "0" * 8, "--instead", "nowhere.json", *WHO], "nowhere.json: cannot be read"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_decided_is_said_in_one_line(run: Run, name: str) -> None:
    arguments, reason = WRONG[name]
    status, out, error = run(*arguments)

    assert (status, out, error.count("\n")) == (2, "", 1)
    assert reason in error


@pytest.mark.parametrize("text", ["{", '[{"a":1}]', '{"a":1,"a":2}', "[[]]", "null"])
def test_a_file_that_holds_no_claims_is_refused_in_one_line(run: Run, text: str) -> None:
    path = run.folder / "bad.json"
    path.write_text(text)
    status, out, error = run(OLMO, "--settle", misprint(run.folder)["id"], "--instead", str(path), "--yes", *WHO)

    assert (status, out, error.count("\n")) == (2, "", 1)


# --- where a decision is seen ---


@pytest.fixture
def settled(run: Run) -> Run:
    instead, claim = str(corrected(run.folder)), misprint(run.folder)["id"]
    run(OLMO, "--settle", claim, "--instead", instead, "--conflict", f"layer:{MISPRINT}", "--yes", *WHO)
    return run


def test_a_lookup_shows_decisions_and_what_they_settle(settled: Run) -> None:
    found = Client(settled.folder).lookup(OLMO)

    [decision] = found.decisions
    assert (decision.kind, decision.by, [c.origin for c in decision.claims]) == ("settle", "ann", ["yu-2024"])
    assert [(c.kind, c.settled and c.settled.by) for c in found.conflicts] == [("layer", "ann")]


def test_a_page_shows_decisions_and_what_they_settle(settled: Run) -> None:
    main(["lookup", OLMO, "--index", str(settled.folder)])
    page = " ".join(settled.capsys.readouterr().out.split())

    assert "Settled by ann" in page
    assert "What curators decided - Settled the layer conflict of L1.R1764.C8041, L2.R1764.C8041 by ann" in page


def test_a_history_shows_decisions(settled: Run) -> None:
    [_, change] = Client(settled.folder).history(OLMO)

    assert [(d.kind, d.by, d.reason, d.conflict, d.taken_out) for d in change.decisions_added] == [
        (
            "settle",
            "ann",
            "Table 2 misprints the layer",
            f"layer:{MISPRINT}",
            ("yu-2024 claims L1[1764,8041]: published coordinate",),
        )
    ]


def test_a_review_shows_decisions_with_the_claims_that_were_taken_out(settled: Run) -> None:
    [decision] = settled.json(OLMO)["decisions"]

    assert [c["weights"] for c in decision["claims"]] == [[MISPRINT]]
    assert [c["weights"] for c in decision["instead"]] == [["L2.R1764.C8041"]]


def test_a_withdrawn_record_is_not_in_the_list(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = Index(folder)
    index.append(claiming(CLAIM, DENIED))
    ids = tuple(claim_id(o) for o in (CLAIM, DENIED))
    order = Order(DecisionKind.WITHDRAW, "no model", "ann", make.TIME, claims=ids)
    index.add(make.MODEL_ID, lambda p: with_decision(p, order), "ann", make.TIME)

    listed = Run(folder, capsys).json()["models"]

    assert [m["model"] for m in listed] == [OLMO]
