"""The document of `lookup --json`: its shape, whose figures it gives, and that it agrees with the schema."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swindex.api.figures import reported_ratio, weight_id
from swindex.api.view import view
from swindex.schema import types
from swindex.schema.observation import Granularity
from swindex.schema.types import Intervention
from swindex.schema.verdicts import reported_delta_nll

from . import records as make
from .documents import Json, disputed, plain

REPORTED_WEIGHT = {
    "id": "L1.R2.C3",
    "layer": 1,
    "expert": None,
    "row": 2,
    "col": 3,
    "tensor": "model.layers.1.mlp.down_proj.weight",
    "index": [2, 3],
    "shape": None,
    "dtype": None,
    "value": None,
    "bits": None,
    "scale": None,
    "packed": None,
    "file": None,
    "byte_offset": None,
    "role": None,
    "group": "pair",
    "location": "disputed",
    "origins": ["yu-2024"],
    "denied_by": ["sun-2025"],
    "verdict": "confirmed",
    "basis": "reported",
    "ppl_before": 10.0,
    "ppl_after": 100.0,
    "ppl_ratio": 10.0,
    "figures": [
        {
            "by": "yu-2024",
            "basis": "reported",
            "ppl_before": 10.0,
            "ppl_after": 100.0,
            "ppl_ratio": 10.0,
            "ppl_ratio_ci95": None,
            "finite": True,
            "text": "wiki",
            "second_hand": False,
            "statement": "A super weight.",
            "caveat": "one window",
            "control": None,
        }
    ],
    "texts": 0,
    "tried": [],
    "grouped": "untested",
    "grouped_basis": None,
    "grouped_in": "pair",
    "activation_in": None,
    "activation_out": None,
    "share": None,
    "coherence": None,
    "rank": None,
    "round": None,
    "scan": None,
}


def test_document_of_a_reported_weight_has_its_status_and_figures() -> None:
    document = view(plain(disputed()))

    assert document["super_weights"][0] == REPORTED_WEIGHT


def test_document_besides_its_weights() -> None:
    document = view(plain(disputed()), {"time": "2026-11-22T00:00:00Z", "crawl": None})

    assert {k: v for k, v in document.items() if k not in ("super_weights", "record")} == {
        "model": {
            "id": "org/disputed",
            "revision": None,
            "architecture": "LlamaForCausalLM",
            "model_type": "llama",
            "parameters": 123456,
            "dtype": "bfloat16",
            "layers": 4,
            "hidden_size": 16,
            "base_model": None,
            "relation": None,
        },
        "outcome": "reported",
        "reported": True,
        "groups": [
            {
                "id": "pair",
                "kind": "neuron",
                "reported": True,
                "members": ["L1.R2.C3", "L2.R2.C4"],
                "verdict": "untested",
                "basis": None,
                "ppl_before": None,
                "ppl_after": None,
                "ppl_ratio": None,
                "figures": [],
                "texts": 0,
                "tried": [],
                "outliers": [],
                "missing": [],
            }
        ],
        "conflicts": [
            {
                "kind": "location",
                "weights": ["L1.R2.C3"],
                "sides": ["claimed by yu-2024", "denied by sun-2025"],
                "settled": None,
            }
        ],
        "observations": [
            {
                "origin": "sun-2025",
                "granularity": "scalar",
                "stance": "denies",
                "targets": [{"layer": 1, "expert": None, "row": 2, "col": 3}],
                "statement": "Not there.",
                "ppl_before": None,
                "ppl_after": None,
                "ppl_ratio": None,
                "finite": None,
                "caveat": None,
            }
        ],
        "sources": [
            {"origin": "sun-2025", "title": "About sun-2025", "url": "https://example.org/sun-2025"},
            {"origin": "yu-2024", "title": "About yu-2024", "url": "https://example.org/yu-2024"},
        ],
        "scan": None,
        "survivals": [],
        "decisions": [],
        "notes": [],
        "inherited_from": None,
        "index": {
            "time": "2026-11-22T00:00:00Z",
            "crawl": None,
            "torn": False,
            "source": None,
            "released": None,
            "checked": None,
            "as_of": None,
        },
    }


def test_document_names_the_version_it_was_made_of() -> None:
    record = make.found()

    assert view(plain(record))["record"] == {
        "version": 1,
        "time": "2026-11-21T07:00:00Z",
        "digest": record.provenance.digest,
        "schema_version": "1.0",
        "submitter": "tester",
        "withdrawn": None,
    }


def test_document_of_a_scan_says_what_was_covered() -> None:
    assert view(plain(make.none_found()))["scan"] == {
        "id": "scan-1",
        "outcome": "none_found",
        "reason": None,
        "time": "2026-11-21T07:00:00Z",
        "detector": "swindex 0.1.0",
        "effects": True,
        "layers": 4,
        "layers_covered": 4,
        "experts": None,
        "experts_covered": None,
        "fits_float16": True,
        "converged": True,
        "shared_from": None,
        "profile": [
            {"layer": n, "activation_in": 1.5, "activation_out": 2.5, "residual": 3.5, "finite": True} for n in range(4)
        ],
    }


def test_a_measured_figure_names_the_worst_control_as_a_ratio_of_perplexities() -> None:
    [figure] = view(plain(make.found()))["super_weights"][0]["figures"]

    assert figure["control"] == {
        "kind": "largest",
        "removed": 1,
        "ppl_ratio": pytest.approx(math.exp(0.01)),
        "finite": True,
    }


def test_inert_candidates_are_listed_with_their_verdict() -> None:
    weights = view(plain(make.found()))["super_weights"]

    assert [(w["id"], w["verdict"], w["basis"]) for w in weights] == [
        ("L1.R2.C3", "confirmed", "measured"),
        ("L1.R7.C3", "inert", "measured"),
    ]


def test_measured_figures_are_ours_and_name_the_text() -> None:
    figures = view(plain(make.found()))["groups"][0]["figures"]

    assert [(f["by"], f["basis"], f["text"], f["finite"]) for f in figures] == [("swindex", "measured", "slice", True)]
    assert figures[0]["ppl_ratio"] == pytest.approx(math.exp(3.5))


def test_the_weakest_figure_comes_first_and_second_hand_ones_last() -> None:
    parts: Json = {
        "model": make.model(files=()),
        "super_weights": (make.weight(scan=None),),
        "observations": (
            make.observation((1, 2, 3), origin="c", ppl=(10.0, 5000.0)),
            make.observation((1, 2, 3), origin="b", ppl=(10.0, 1.5), second_hand=True),
            make.observation((1, 2, 3), origin="a", ppl=(10.0, 50.0)),
        ),
    }
    weight = view(plain(make.make(parts)))["super_weights"][0]

    assert [f["by"] for f in weight["figures"]] == ["a", "c", "b"]
    assert weight["ppl_ratio"] == 5.0


def test_a_figure_that_was_not_finite_has_no_ratio() -> None:
    parts: Json = {
        "model": make.model(),
        "super_weights": (make.weight(),),
        "effects": (make.effect("e", "L1.R2.C3", delta=None),),
        "scans": (make.scan(),),
    }
    weight = view(plain(make.make(parts)))["super_weights"][0]

    assert (weight["verdict"], weight["ppl_ratio"], weight["figures"][0]["finite"]) == ("non_finite", None, False)


def test_a_claim_of_a_row_is_an_observation() -> None:
    row = make.Coordinates(layer=1, row=2)
    parts: Json = {
        "model": make.model(files=()),
        "observations": (make.observation(granularity=Granularity.ROW, targets=(row,)),),
    }
    document = view(plain(make.make(parts)))

    assert [o["targets"] for o in document["observations"]] == [[{"layer": 1, "expert": None, "row": 2, "col": None}]]


figure = st.none() | st.floats(1.0, 1e6)


@given(
    before=figure, after=figure, ratio=figure, nll=st.none() | st.floats(0.1, 5), change=st.none() | st.floats(-1, 5)
)
def test_ratio_agrees_with_the_rule_of_the_schema(
    before: float | None, after: float | None, ratio: float | None, nll: float | None, change: float | None
) -> None:
    observation = make.observation(
        (1, 2, 3),
        intervention=Intervention.ZERO,
        changed=Granularity.SCALAR,
        ppl_before=before,
        ppl_after=after,
        ppl_ratio=ratio,
        nll_before=nll,
        nll_relative_change=change,
    )
    delta = reported_delta_nll(observation)
    found = reported_ratio(observation.model_dump(mode="json"))

    assert (found is None) == (delta is None)
    assert found is None or delta is None or math.isclose(found, math.exp(delta))


def test_a_ratio_beyond_what_can_be_printed_is_none() -> None:
    assert reported_ratio({"nll_before": 1000.0, "nll_relative_change": 1.0}) is None


@pytest.mark.parametrize("expert", [None, 0, 7])
def test_weight_ids_agree_with_the_schema(expert: int | None) -> None:
    assert weight_id({"layer": 1, "expert": expert, "row": 2, "col": 3}) == types.weight_id(1, 2, 3, expert)


def test_a_row_has_no_weight_id() -> None:
    assert weight_id({"layer": 1, "row": 2, "col": None}) is None
