"""The launch index: complete, reproducible, and honest about who says what."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swindex.index import feed, launch
from swindex.index.errors import StoreError
from swindex.index.launch import HOME, PUBLISHED, SUBMITTER, TIME, Published
from swindex.index.store import Index
from swindex.index.versions import withdraw
from swindex.schema.conflicts import ConflictKind
from swindex.schema.observation import Granularity, Observation, Stance
from swindex.schema.record import Record
from swindex.schema.status import GroupStatus, WeightStatus
from swindex.schema.types import Basis, Intervention, Location, Verdict
from swindex.schema.weight import GroupKind, SuperWeight

Json = dict[str, Any]
RECORDS = HOME / "records"

TABLE_2 = {
    "huggyllama/llama-7b": {"L2.R3968.C7003"},
    "huggyllama/llama-13b": {"L2.R2231.C2278", "L2.R2231.C6939"},
    "huggyllama/llama-30b": {"L3.R5633.C12817", "L3.R5633.C17439", "L10.R5633.C14386"},
    "meta-llama/Llama-2-7b-hf": {"L1.R2533.C7890"},
    "meta-llama/Llama-2-13b-hf": {"L3.R4743.C7678"},
    "mistralai/Mistral-7B-v0.1": {"L1.R2070.C7310"},
    "allenai/OLMo-1B-0724-hf": {"L1.R1764.C1710", "L1.R1764.C8041"},
    "allenai/OLMo-7B-0724-hf": {"L1.R269.C7467", "L2.R269.C8275", "L7.R269.C453", "L24.R269.C2300"},
    "microsoft/Phi-3-mini-4k-instruct": {
        "L2.R525.C808",
        "L2.R1693.C808",
        "L2.R1113.C808",
        "L4.R525.C2723",
        "L4.R1113.C2723",
        "L4.R1693.C2723",
    },
}
"""Table 2 of Yu et al. 2024, as printed."""


@pytest.fixture(scope="module")
def published() -> Published:
    return Published()


@pytest.fixture(scope="module")
def shipped(published: Published) -> dict[str, Record]:
    """The first version in the repository of every record of the launch, read strictly."""
    paths = [RECORDS / f"{model_id}.jsonl" for model_id in published.model_ids()]
    return {r.model.id: r for r in (Record.parse(path.read_bytes().splitlines()[0]) for path in paths)}


def weight_of(record: Record, at: str) -> SuperWeight:
    return next(w for w in record.super_weights if w.id == at)


def status_of(record: Record, at: str) -> WeightStatus:
    return next(s for s in record.status.weights if s.weight == at)


def group_status_of(record: Record, members: set[str]) -> GroupStatus:
    name = next(g.id for g in record.groups if set(g.members) == members)
    return next(s for s in record.status.groups if s.group == name)


def joint(record: Record, members: set[str]) -> list[Observation]:
    return [o for o in record.observations if set(o.weights) == members and o.changed is Granularity.SCALAR]


def numbers(value: Any) -> Iterator[float]:
    """Every number of JSON data."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from numbers(each)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


# --- reproducible ---


def test_the_command_rewrites_the_shipped_bytes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "swindex.index.launch", "--out", str(tmp_path)]

    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)

    made = {p.relative_to(tmp_path / "records"): p.read_bytes() for p in tmp_path.glob("records/*/*.jsonl")}
    first = {p.relative_to(RECORDS): p.read_bytes().splitlines(keepends=True)[0] for p in RECORDS.glob("*/*.jsonl")}
    assert made.keys() <= first.keys()
    assert made == {path: first[path] for path in made}


def test_the_shipped_feed_is_that_of_the_launch(tmp_path: Path) -> None:
    launch.write(tmp_path)

    made, shipped = list(feed.read(tmp_path)), list(feed.read(HOME))
    assert [(e.seq, e.model_id, e.version) for e in made] == [
        (n, m, 1) for n, m in enumerate(Published().model_ids(), 1)
    ]
    assert shipped[:70] == made


def test_a_second_run_writes_nothing(tmp_path: Path) -> None:
    assert (launch.write(tmp_path), launch.write(tmp_path)) == (70, 0)


def test_further_versions_are_kept(tmp_path: Path, published: Published) -> None:
    launch.write(tmp_path, published)
    index = Index(tmp_path)
    index.add("huggyllama/llama-7b", lambda p: p and withdraw(p, "a later version", TIME), "me", TIME)
    grown = index.path("huggyllama/llama-7b").read_bytes()

    assert launch.write(tmp_path, published) == 0
    assert index.path("huggyllama/llama-7b").read_bytes() == grown


def test_another_first_line_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    path = tmp_path / "records" / "huggyllama" / "llama-7b.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"{}\n")

    with pytest.raises(StoreError, match=r"llama-7b\.jsonl: line 1 is not the launch record; move the file away"):
        launch.write(tmp_path)

    assert [p.read_bytes() for p in tmp_path.rglob("*.jsonl")] == [b"{}\n"]


def test_the_command_says_what_went_wrong_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "records" / "huggyllama" / "llama-7b.jsonl"
    path.mkdir(parents=True)

    assert launch.main(["--out", str(tmp_path)]) == 3

    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"error: {path}: cannot be read: ")
    assert said.err.count("\n") == 1


def test_without_the_published_files_the_import_says_where_they_are_looked_for(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"super_weights\.json: cannot be read: .*; run it in a checkout of swindex"):
        Published(tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"role": "seen in a dream"}, "huggyllama/llama-7b: no reading of 'seen in a dream'"),
        ({"source": {"url": "https://example.org"}}, "https://example.org: no origin known for this source"),
    ],
)
def test_words_and_sources_that_nobody_has_read_stop_the_import(tmp_path: Path, change: Json, reason: str) -> None:
    shutil.copytree(PUBLISHED, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "super_weights.json"
    entries = json.loads(path.read_bytes())
    entries[0]["observations"][0].update(change)
    path.write_text(json.dumps(entries))

    with pytest.raises(StoreError, match=reason):
        launch.record_of("huggyllama/llama-7b", Published(tmp_path))


def test_the_published_files_are_those_of_the_provenance() -> None:
    stated = re.findall(r"`(\w+\.json)` \|.*`([0-9a-f]{64})`", (PUBLISHED / "PROVENANCE.md").read_text())

    assert len(stated) == 3
    assert dict(stated) == {name: hashlib.sha256((PUBLISHED / name).read_bytes()).hexdigest() for name, _ in stated}


# --- complete ---


def test_every_model_of_the_files_has_a_record(published: Published, shipped: dict[str, Record]) -> None:
    named = {e["model_id"] for e in (*published.entries, *published.negatives, *published.experts)}

    assert len({e["model_id"] for e in published.entries}) == 49
    assert len(named) == 70
    assert shipped.keys() == named


def test_every_scalar_is_a_super_weight_with_its_tensor(published: Published, shipped: dict[str, Record]) -> None:
    scalars = [e for e in published.entries if e["granularity"] == "scalar"]
    found = [
        (e["model_id"], w.layer, w.expert, w.row, w.col, w.tensor, w.index)
        for e in scalars
        for w in shipped[e["model_id"]].super_weights
        if (w.layer, w.row, w.col) == (e["layer"], e["row"], e["col"])
    ]

    assert len(scalars) == 92
    assert found == [
        (e["model_id"], e["layer"], e.get("expert"), e["row"], e["col"], e["tensor"], (e["row"], e["col"]))
        for e in scalars
    ]


def test_beyond_the_claimed_scalars_there_are_only_tested_candidates(
    published: Published, shipped: dict[str, Record]
) -> None:
    tested = {
        (n["model_id"], c["layer"], c["row"], c["col"])
        for n in published.negatives
        for c in n["candidates_tested"]
        if c["col"] is not None and c["layer"] is not None
    }
    claimed = {(e["model_id"], e["layer"], e["row"], e["col"]) for e in published.entries if e["col"] is not None}

    listed = {(m, w.layer, w.row, w.col) for m, r in shipped.items() for w in r.super_weights if w.scan is None}

    assert listed == claimed | tested


def test_whole_rows_and_experts_are_observations_and_no_super_weights(shipped: dict[str, Record]) -> None:
    evidence = {
        m: {o.granularity for o in shipped[m].observations} for m in ("Qwen/Qwen2.5-7B", "deepseek-ai/DeepSeek-R1")
    }

    assert evidence == {"Qwen/Qwen2.5-7B": {Granularity.ROW}, "deepseek-ai/DeepSeek-R1": {Granularity.EXPERT}}
    assert [len(shipped[m].super_weights) for m in evidence] == [0, 0]


def test_no_number_is_lost(published: Published, shipped: dict[str, Record]) -> None:
    lost = []
    for entry in (*published.entries, *published.negatives, *published.experts):
        kept = set(numbers(shipped[entry["model_id"]].model_dump(mode="json")))
        lost += [(entry["model_id"], n) for n in numbers(entry) if n not in kept]

    assert lost == []


def test_no_words_of_a_source_are_lost(published: Published, shipped: dict[str, Record]) -> None:
    lost = []
    for entry in published.entries:
        kept = json.dumps(shipped[entry["model_id"]].model_dump(mode="json"))
        words = [entry["notes"], *(o.get("role", "") for o in entry["observations"])]
        effect = entry["effect_joint"] or {}
        words += [effect[k] for k in ("also", "caveat", "second_hand") if k in effect]
        lost += [w for w in words if json.dumps(w)[1:-1] not in kept]

    assert lost == []


def test_every_observation_of_a_source_keeps_its_own_figures(published: Published, shipped: dict[str, Record]) -> None:
    names = {"ppl_before": "ppl_before", "ppl_after": "ppl_after", "ppl_ratio": "ppl_ratio", "kl": "kl"}
    names |= {"weight_value": "value", "activation_input": "activation_in", "activation_output": "activation_out"}
    names |= {"dtype": "dtype", "eval": "corpus", "revision": "revision", "detector_found": "detector_found"}
    given = [(e, o) for e in published.entries if e["granularity"] == "scalar" for o in e["observations"]]

    lost = [
        (entry["model_id"], told)
        for entry, told in given
        if not any(
            o.source.url == told["source"]["url"]
            and o.source.path == told["source"]["path"]
            and all(getattr(o, names[k]) == v for k, v in told.items() if k in names and v is not None)
            for o in shipped[entry["model_id"]].observations
        )
    ]

    assert lost == []


def test_the_value_of_a_weight_is_the_one_given_with_most_digits(
    published: Published, shipped: dict[str, Record]
) -> None:
    given = {(e["model_id"], e["layer"], e["row"], e["col"]): e["weight_value"] for e in published.entries if e["col"]}

    kept = {k: next(w.value for w in shipped[k[0]].super_weights if (w.layer, w.row, w.col) == k[1:]) for k in given}

    assert {k: v for k, v in kept.items() if given[k] is not None} == {k: v for k, v in given.items() if v is not None}


def test_the_nine_models_of_the_paper_have_its_set(shipped: dict[str, Record]) -> None:
    sets = {m: set(next(g.members for g in shipped[m].groups if g.id == "yu-2024-table-2")) for m in TABLE_2}

    assert sets == TABLE_2


def test_nobody_else_has_a_set_of_the_paper(shipped: dict[str, Record]) -> None:
    assert {m for m, r in shipped.items() for g in r.groups if g.id == "yu-2024-table-2"} == set(TABLE_2)


# --- honest ---


def test_nothing_is_ours(shipped: dict[str, Record]) -> None:
    basis = {b for r in shipped.values() for w in r.status.weights for b in (w.alone_basis, w.grouped_basis)}
    locations = {w.location for r in shipped.values() for w in r.status.weights}

    assert all(r.scans == () and r.effects == () and r.status.outcome == "reported" for r in shipped.values())
    assert all(w.bits is None and w.dtype is None and w.scan is None for r in shipped.values() for w in r.super_weights)
    assert basis == {None, Basis.REPORTED}
    assert locations == {Location.REPORTED, Location.DISPUTED, Location.REFUTED}


def test_every_record_is_a_first_version_of_one_time(shipped: dict[str, Record]) -> None:
    first = {
        (r.provenance.version, r.provenance.previous, r.provenance.time, r.provenance.submitter)
        for r in shipped.values()
    }

    assert first == {(1, None, TIME, SUBMITTER)}


def test_every_observation_names_its_source(shipped: dict[str, Record]) -> None:
    sources = [o.source for r in shipped.values() for o in r.observations]

    assert all(s.title and s.url and s.repo for s in sources)


def test_the_paper_its_code_and_the_census_that_keeps_its_text_are_told_apart(shipped: dict[str, Record]) -> None:
    told = {(o.source.repo, o.source.origin) for o in shipped["huggyllama/llama-7b"].observations}

    assert told == {
        ("Georgakopoulos-Soares-lab/superweights", "yu-2024"),
        ("Georgakopoulos-Soares-lab/superweights", "georgakopoulos-soares-lab"),
        ("mengxiayu/LLMSuperWeight", "yu-2024"),
        ("lea19019/arctos", "arctos"),
    }


@pytest.mark.parametrize(
    ("model_id", "revision"),
    [
        ("huggyllama/llama-7b", "4782ad278652c7c71b72204d462d6d01eaaf7549"),
        ("meta-llama/Llama-2-7b-hf", "01c7f73d771dfac7d292323805ebc428287df4f9"),
        ("togethercomputer/evo-1-8k-base", None),
        ("Qwen/Qwen2-7B-Instruct", None),
    ],
)
def test_the_revision_is_the_commit_that_the_entries_share(
    shipped: dict[str, Record], model_id: str, revision: str | None
) -> None:
    assert shipped[model_id].model.revision == revision


def test_a_revision_that_is_no_commit_stays_with_its_observation(shipped: dict[str, Record]) -> None:
    assert [o.revision for o in shipped["togethercomputer/evo-1-8k-base"].observations] == ["1.1_fix"]


def test_a_transposed_tensor_is_indexed_as_stored(shipped: dict[str, Record]) -> None:
    weight = weight_of(shipped["openai-community/gpt2"], "L2.R447.C666")

    assert (weight.index, weight.tensor) == ((666, 447), "h.2.mlp.c_proj.weight")


def test_a_scalar_of_an_expert_names_it(shipped: dict[str, Record]) -> None:
    weight = weight_of(shipped["Qwen/Qwen3-30B-A3B"], "L1.E68.R940.C711")

    assert (weight.expert, weight.tensor) == (68, "model.layers.1.mlp.experts.68.down_proj.weight")


def test_the_shared_expert_is_named_by_its_tensor(shipped: dict[str, Record]) -> None:
    shared = [o.targets[0] for o in shipped["deepseek-ai/DeepSeek-R1"].observations if "shared" in (o.statement or "")]

    assert [(t.layer, t.expert) for t in shared] == [(8, None), (14, None), (22, None), (33, None), (35, None)]
    assert shared[0].tensor == "model.layers.8.mlp.shared_experts.down_proj.weight"


def test_pruning_the_super_experts_is_an_intervention_on_experts(shipped: dict[str, Record]) -> None:
    pruned = [o for o in shipped["Qwen/Qwen3-30B-A3B"].observations if o.changed is Granularity.EXPERT]

    assert [(o.intervention, len(o.targets), o.ppl_before, o.ppl_after) for o in pruned] == [
        (Intervention.ZERO, 3, 8.7, 59.86)
    ]


def test_a_round_counts_from_the_unmodified_pass(shipped: dict[str, Record]) -> None:
    found = [o for o in shipped["allenai/OLMo-1B-0724-hf"].observations if o.weights == ("L2.R1764.C8041",)]

    assert [o.round for o in found if o.source.origin == "fab"] == [1]


def test_negatives_deny_and_say_how_strong_they_are(published: Published, shipped: dict[str, Record]) -> None:
    for negative in published.negatives:
        denials = [o for o in shipped[negative["model_id"]].observations if o.stance is Stance.DENIES]
        strengths = {m.text for o in denials for m in o.metrics if m.name == "strength"}

        assert strengths == {negative["strength"]}, negative["model_id"]
        assert negative["claim"] in {o.statement for o in denials}, negative["model_id"]
        assert negative["notes"] in {o.caveat for o in denials}, negative["model_id"]


def test_no_evidence_of_absence_is_no_word_against_a_place(shipped: dict[str, Record]) -> None:
    told = shipped["microsoft/DialoGPT-small"].observations

    assert [(o.granularity, o.targets) for o in told] == [(Granularity.MODEL, ())]
    assert "no evidence of absence" in (told[0].caveat or "")


@pytest.mark.parametrize("model_id", ["liuhaotian/llava-v1.5-7b", "google/gemma-4-E4B", "arcinstitute/evo2_7b"])
def test_an_assumed_id_is_said_to_be_assumed(shipped: dict[str, Record], model_id: str) -> None:
    assert [r.text for r in shipped[model_id].remarks if r.text.startswith("The Hub id is assumed")] != []


# --- the conflicts of the sources, one by one ---


def test_conflict_1_olmo_1b_layer_1_is_refuted_and_layer_2_reported(shipped: dict[str, Record]) -> None:
    record = shipped["allenai/OLMo-1B-0724-hf"]
    one, two = status_of(record, "L1.R1764.C8041"), status_of(record, "L2.R1764.C8041")

    assert (one.location, one.origins, one.alone) == (Location.REFUTED, ("yu-2024",), Verdict.INERT)
    assert (two.location, two.alone) == (Location.REPORTED, Verdict.INERT)
    assert two.origins == ("arctos", "fab", "llmsuperweight-issue-6", "yu-2024")
    assert [c.weights for c in record.status.conflicts if c.kind is ConflictKind.LAYER] == [(one.weight, two.weight)]


def test_conflict_1_the_pair_of_the_paper_owes_its_effect_to_the_other_weight(shipped: dict[str, Record]) -> None:
    record = shipped["allenai/OLMo-1B-0724-hf"]
    pair = TABLE_2[record.model.id]

    assert [o.ppl_ratio for o in joint(record, pair)] == [3666.6]
    assert group_status_of(record, pair).verdict is Verdict.CONFIRMED
    assert [status_of(record, w).grouped for w in sorted(pair)] == [Verdict.CONFIRMED, Verdict.INERT]


@pytest.mark.parametrize(
    ("model_id", "words"),
    [
        ("meta-llama/Llama-2-7b-hf", "the code lacks Llama-2-7B and Llama-2-13B"),  # 2
        ("meta-llama/Llama-2-13b-hf", "the code lacks Llama-2-7B and Llama-2-13B"),  # 2
        ("meta-llama/Meta-Llama-3-8B", "meta/Meta-Llama-3-8B, which does not exist"),  # 2
        ("google/gemma-7b", "marked insufficient"),  # 2
        ("tiiuae/falcon-7b", "commented out"),  # 2
        ("huggyllama/llama-30b", "llama-3v0B"),  # 2
        ("huggyllama/llama-7b", "The words row and column are swapped"),  # 3
        ("mistralai/Mistral-7B-Instruct-v0.1", "saw no damage"),  # 4
        ("meta-llama/Llama-2-7b-chat-hf", "saw no damage"),  # 4
        ("microsoft/Phi-3-mini-4k-instruct", "known at second hand only"),  # 5
        ("meta-llama/Llama-2-7b-hf", "(1, 1415, 7890) is not in it"),  # 6
        ("meta-llama/Llama-2-13b-hf", "(3, 2100, 7678) is not in it"),  # 6
        ("microsoft/Phi-3-mini-4k-instruct", "(2, 1051, 808) is not in it"),  # 6
        ("meta-llama/Llama-2-7b-hf", "a fault of its report"),  # 7
        ("meta-llama/Llama-3.1-8B", "Late spikes are a known kind of false positive"),  # 8
        ("mistralai/Mistral-7B-v0.1", "Late spikes are a known kind of false positive"),  # 8
        ("allenai/OLMo-7B-0724-hf", "Rules for choosing a row disagree"),  # 9
        ("HuggingFaceTB/SmolLM2-1.7B", "the row census picks layer 7"),  # 10
        ("Qwen/Qwen2.5-3B", "picks row 318"),  # 10
        ("GenerTeam/GENERator-v2-prokaryote-3b-base", "An earlier claim for layer 2 row 1927"),  # 10
        ("utter-project/EuroLLM-9B-Instruct", "Two detectors of one source disagree"),  # 10
        ("EuroBERT/EuroBERT-2.1B", "Two tables of the census"),  # 11
        ("openai-community/gpt2", "25.987 and 29.462"),  # 11
        ("deepseek-ai/deepseek-llm-7b-base", "-2.546875 and -2.39062"),  # 11
        ("Qwen/Qwen3-30B-A3B", "Tables 6 and 7"),  # 11
        ("microsoft/Phi-3-mini-4k-instruct", "depends on the prompt"),  # 12
        ("huggyllama/llama-13b", "depends on the prompt"),  # 12
        ("huggyllama/llama-30b", "one of three prompts"),  # 12
        ("Qwen/Qwen2-7B-Instruct", "is inferred"),  # 13
    ],
)
def test_a_disagreement_is_told_to_the_reader(shipped: dict[str, Record], model_id: str, words: str) -> None:
    assert [r.text for r in shipped[model_id].remarks if words in r.text] != []


@pytest.mark.parametrize(
    ("model_id", "at"),
    [
        ("mistralai/Mistral-7B-Instruct-v0.1", "L1.R2070.C7310"),
        ("meta-llama/Llama-2-7b-chat-hf", "L1.R2533.C7890"),
    ],
)
def test_conflict_4_the_instruct_models_are_disputed(shipped: dict[str, Record], model_id: str, at: str) -> None:
    record = shipped[model_id]

    assert status_of(record, at).location is Location.DISPUTED
    assert [c.sides for c in record.status.conflicts] == [("claimed by yu-2024", "denied by llmsuperweight-issue-4")]


def test_conflict_5_phi_3_is_inert_alone_and_catastrophic_together(shipped: dict[str, Record]) -> None:
    record = shipped["microsoft/Phi-3-mini-4k-instruct"]
    six = TABLE_2[record.model.id]

    assert {status_of(record, w).alone for w in six} == {Verdict.INERT}
    assert {status_of(record, w).grouped for w in six} == {Verdict.CONFIRMED}
    assert [(o.ppl_ratio, o.second_hand) for o in joint(record, six)] == [(671.36, False), (374.0, True)]
    assert [o.ppl_ratio for o in joint(record, six | {"L2.R1051.C808"})] == [7974.39]


@pytest.mark.parametrize(
    ("model_id", "missing", "verdict"),
    [
        ("microsoft/Phi-3-mini-4k-instruct", ("L2.R1051.C808",), Verdict.CONFIRMED),
        ("meta-llama/Llama-2-13b-hf", ("L3.R2100.C7678",), Verdict.PARTIAL),
        ("meta-llama/Llama-2-7b-hf", ("L1.R1415.C7890", "L1.R2533.C10411"), Verdict.PARTIAL),
        ("huggyllama/llama-13b", ("L2.R2202.C2278",), Verdict.CONFIRMED),
        ("mistralai/Mistral-7B-v0.1", (), Verdict.CONFIRMED),
        ("huggyllama/llama-30b", (), Verdict.CONFIRMED),
    ],
)
def test_conflict_6_what_the_published_set_leaves_out(
    shipped: dict[str, Record], model_id: str, missing: tuple[str, ...], verdict: Verdict
) -> None:
    record = shipped[model_id]
    found = group_status_of(record, TABLE_2[model_id])
    sets = [c.weights for c in record.status.conflicts if c.kind is ConflictKind.SET]

    assert (found.missing, found.verdict, found.basis) == (missing, verdict, Basis.REPORTED)
    assert sets == ([missing] if missing else [])


def test_conflict_7_the_llama_2_7b_pair_was_not_finite(shipped: dict[str, Record]) -> None:
    record = shipped["meta-llama/Llama-2-7b-hf"]
    pair = {"L1.R2533.C7890", "L1.R1415.C7890"}
    told = joint(record, pair)

    assert group_status_of(record, pair).verdict is Verdict.NON_FINITE
    assert [(o.finite, o.ppl_after, o.ppl_ratio, o.ppl_before) for o in told] == [
        (False, None, None, 5.955757867520214)
    ]
    assert "reporting fault" in (told[0].statement or "")


@pytest.mark.parametrize(
    ("model_id", "at", "alone", "grouped"),
    [
        ("meta-llama/Llama-2-7b-hf", "L30.R1415.C3721", Verdict.UNTESTED, Verdict.UNTESTED),
        ("meta-llama/Llama-3.1-8B", "L31.R788.C12111", Verdict.INERT, Verdict.UNTESTED),
        ("allenai/OLMo-1B-0724-hf", "L15.R1764.C6840", Verdict.INERT, Verdict.UNTESTED),
        ("allenai/OLMo-7B-0724-hf", "L30.R269.C10093", Verdict.UNTESTED, Verdict.UNTESTED),
        ("mistralai/Mistral-7B-v0.1", "L31.R53.C2187", Verdict.UNTESTED, Verdict.INERT),
    ],
)
def test_conflict_8_late_layers_were_inert_where_tested(
    shipped: dict[str, Record], model_id: str, at: str, alone: Verdict, grouped: Verdict
) -> None:
    found = status_of(shipped[model_id], at)

    assert (found.location, found.alone, found.grouped) == (Location.REPORTED, alone, grouped)


def test_conflict_9_three_rules_choose_three_layers_of_olmo_7b(shipped: dict[str, Record]) -> None:
    rows = {
        (o.targets[0].layer, o.nll_relative_change)
        for o in shipped["allenai/OLMo-7B-0724-hf"].observations
        if o.granularity is Granularity.ROW
    }

    assert {layer for layer, _ in rows} == {1, 2, 30}
    assert {(1, 1.1177580569022323), (2, 0.023745101224323367)} <= rows


def test_conflict_10_the_census_looked_elsewhere(shipped: dict[str, Record]) -> None:
    record = shipped["HuggingFaceTB/SmolLM2-1.7B"]
    claimed = {
        o.targets[0].row for o in record.observations if o.granularity is Granularity.ROW and o.stance is Stance.CLAIMS
    }

    assert status_of(record, "L1.R749.C4987").alone is Verdict.CONFIRMED
    assert claimed == {227, 161}


def test_conflict_11_two_values_of_one_scalar(shipped: dict[str, Record]) -> None:
    record = shipped["deepseek-ai/deepseek-llm-7b-base"]

    assert [(c.kind, c.sides) for c in record.status.conflicts] == [
        (ConflictKind.VALUE, ("-2.546875: sahilpardasani", "-2.39062: sahilpardasani"))
    ]


def test_second_hand_figures_are_marked_and_give_no_verdict(shipped: dict[str, Record]) -> None:
    second_hand = {m: [o for o in r.observations if o.second_hand] for m, r in shipped.items()}
    record = shipped["meta-llama/Meta-Llama-3-8B"]
    triple = {w.id for w in record.super_weights}

    assert {m: len(found) for m, found in second_hand.items() if found} == {
        "meta-llama/Meta-Llama-3-8B": 1,
        "microsoft/Phi-3-mini-4k-instruct": 1,
    }
    assert [(o.ppl_before, o.finite) for o in joint(record, triple)] == [(7.44, False)]
    assert group_status_of(record, triple).verdict is Verdict.UNTESTED


def test_a_source_that_takes_its_own_candidate_back_claims_nothing(shipped: dict[str, Record]) -> None:
    found = shipped["Qwen/Qwen3-8B-Base"].status.weights

    assert {(w.location, w.origins, w.alone, w.grouped) for w in found} == {
        (Location.REFUTED, (), Verdict.INERT, Verdict.INERT)
    }


def test_a_denied_pair_that_costs_a_tenth_is_disputed_and_not_refuted(shipped: dict[str, Record]) -> None:
    found = shipped["Qwen/Qwen3-8B"].status.weights

    assert {(w.location, w.alone, w.grouped) for w in found} == {(Location.DISPUTED, Verdict.INERT, Verdict.PARTIAL)}


# --- sets ---


@pytest.mark.parametrize(
    ("model_id", "members", "ratio", "kind"),
    [
        ("huggyllama/llama-13b", {"L2.R2231.C2278", "L2.R2231.C6939"}, 129.82, GroupKind.CHANNEL),
        ("huggyllama/llama-13b", {"L2.R2231.C2278", "L2.R2231.C6939", "L2.R2202.C2278"}, 178.30, GroupKind.JOINT),
        ("huggyllama/llama-30b", TABLE_2["huggyllama/llama-30b"], 199.78, GroupKind.CHANNEL),
        ("meta-llama/Llama-2-13b-hf", {"L3.R4743.C7678", "L3.R2100.C7678"}, 129.43, GroupKind.NEURON),
        ("meta-llama/Llama-2-7b-hf", {"L1.R2533.C7890", "L1.R2533.C10411"}, 2.447, GroupKind.CHANNEL),
        (
            "meta-llama/Llama-3.1-8B",
            {"L1.R788.C2427", "L1.R1384.C2427", "L1.R4062.C2427"},
            46749.36,
            GroupKind.NEURON,
        ),
        (
            "meta-llama/Llama-3.1-8B-Instruct",
            {"L1.R788.C2427", "L1.R1384.C2427", "L1.R4062.C2427"},
            47488.0,
            GroupKind.NEURON,
        ),
        ("Unbabel/TowerBase-7B-v0.1", {"L1.R2533.C7890", "L1.R1415.C7890"}, 3883.0, GroupKind.NEURON),
        ("microsoft/Phi-3-mini-4k-instruct", TABLE_2["microsoft/Phi-3-mini-4k-instruct"], 671.36, GroupKind.JOINT),
    ],
)
def test_a_set_that_a_source_zeroed_is_a_reported_group(
    shipped: dict[str, Record], model_id: str, members: set[str], ratio: float, kind: GroupKind
) -> None:
    group = next(g for g in shipped[model_id].groups if set(g.members) == members)

    assert (group.kind, group.reported) == (kind, True)
    assert ratio in [o.ppl_ratio for o in joint(shipped[model_id], members)]


@pytest.mark.parametrize(
    ("kept", "ratio"),
    [
        ("L2.R525.C808", 1.18),
        ("L2.R1693.C808", 1.26),
        ("L2.R1113.C808", 1.30),
        ("L4.R525.C2723", 6988.0),
        ("L4.R1113.C2723", 7013.0),
        ("L4.R1693.C2723", 7131.0),
        ("L2.R1051.C808", 671.36),
    ],
)
def test_keeping_one_of_the_seven_of_phi_3(shipped: dict[str, Record], kept: str, ratio: float) -> None:
    record = shipped["microsoft/Phi-3-mini-4k-instruct"]
    seven = TABLE_2[record.model.id] | {"L2.R1051.C808"}

    assert joint(record, seven - {kept})[0].ppl_ratio == ratio


def test_a_result_that_leaves_one_out_is_no_group(shipped: dict[str, Record]) -> None:
    groups = shipped["microsoft/Phi-3-mini-4k-instruct"].groups

    assert sorted(len(g.members) for g in groups) == [6, 7]


def test_every_group_of_a_weight_is_one_of_the_record_and_the_largest(shipped: dict[str, Record]) -> None:
    for record in shipped.values():
        sizes = {g.id: len(g.members) for g in record.groups}
        for weight in record.super_weights:
            mine = [g for g in record.groups if weight.id in g.members]

            assert (weight.group is None) == (not mine)
            assert not mine or sizes[str(weight.group)] == max(len(g.members) for g in mine)
