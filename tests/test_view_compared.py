"""How shared scans, comparisons with a base model and quantized weights are shown and checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from swindex.api.changes import change
from swindex.api.commands.history import lines
from swindex.api.compared import sentence, survivals
from swindex.api.report import report
from swindex.api.results import LookupResult
from swindex.api.view import view
from swindex.index import database
from swindex.index.check import check
from swindex.index.store import Index
from swindex.index.versions import with_parts, with_survival
from swindex.schema.record import Record
from swindex.schema.scan import SharedFrom
from swindex.schema.survival import Scalar, Survival, Survivor, compared, drift_of, fate_of
from swindex.schema.types import Outcome

from . import records as make

Json = dict[str, Any]
BASE = Scalar(dtype="bfloat16", bits="4000", value=2.0)
HERE = {
    "same": BASE,
    "rounded": Scalar(dtype="float32", bits="40000001", value=2.000000238418579),
    "drifted": Scalar(dtype="bfloat16", bits="4010", value=2.25),
    "further": Scalar(dtype="bfloat16", bits="3fc0", value=1.5),
    "gone": None,
}


def survival(*kinds: str, **more: Any) -> Survival:
    """A comparison with `org/base` whose scalars ended so, in columns 0, 1, ..."""
    scalars = tuple(
        Survivor(
            weight=f"L1.R2.C{col}",
            tensor=make.tensor(1),
            index=(2, col),
            base=BASE,
            here=HERE[kind],
            state=fate_of(BASE, HERE[kind]),
            compared=compared(BASE, HERE[kind]),
            drift=drift_of(BASE, HERE[kind]),
            reason=None if HERE[kind] else "no tensor of that name",
        )
        for col, kind in enumerate(kinds)
    )
    fields: Json = {"base": "org/base", "base_revision": make.OTHER_REVISION, "base_record": "e" * 64}
    cost = {"revision": make.REVISION, "time": make.TIME, "bytes_read": 100, "requests": 4}
    return Survival(**{**fields, **cost, "scalars": scalars, **more})


def plain(record: Record) -> Json:
    data: Json = json.loads(record.model_dump_json())
    return data


def shared(here: str = "org/copy", model_id: str = make.MODEL_ID, scan: str = "scan-1") -> Record:
    """A version of `here` whose scan, scan-2, was made elsewhere, or says so."""
    origin = SharedFrom(model_id=model_id, revision=make.REVISION, scan=scan)
    parts = make.found_parts(here, scan_id="scan-2")
    scans = tuple(s.model_copy(update={"shared_from": origin}) for s in parts["scans"])
    return make.make({**parts, "scans": scans})


# --- words ---


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        (("same",), "Of the 1 scalar recorded of {base} 1 of 1 is bit-identical here: {when}"),
        (("same", "same"), "Of the 2 scalars recorded of {base} 2 of 2 are bit-identical here: {when}"),
        (("rounded", "same"), "Of the 2 scalars recorded of {base} 2 of 2 are the same here up to rounding: {when}"),
        (("drifted",), "Of the 1 scalar recorded of {base} 1 of 1 drifted by +12.50%: {when}"),
        (("drifted", "further"), "Of the 2 scalars recorded of {base} 2 of 2 drifted by at most -25.00%: {when}"),
        (
            ("same", "drifted", "gone"),
            "Of the 3 scalars recorded of {base} 1 of 3 is bit-identical here, 1 of 3 drifted by +12.50%, "
            "1 of 3 is gone: {when}",
        ),
    ],
)
def test_a_comparison_in_a_sentence(kinds: tuple[str, ...], said: str) -> None:
    [shown] = survivals({"survivals": [json.loads(survival(*kinds).model_dump_json())]})

    base, when = "org/base (commit bbbbbbbbbbbb)", "compared at commit aaaaaaaaaaaa, 2026-11-21."
    assert sentence(shown) == said.format(base=base, when=when)


def test_the_document_counts_states_and_has_every_scalar() -> None:
    [shown] = view(plain(make.make({"model": make.model(), "survivals": (survival("same", "drifted", "gone"),)})))[
        "survivals"
    ]

    assert {k: v for k, v in shown.items() if k != "scalars"} == {
        "base": "org/base",
        "base_revision": make.OTHER_REVISION,
        "base_record": "e" * 64,
        "revision": make.REVISION,
        "time": make.TIME,
        "bytes_read": 100,
        "requests": 4,
        "same": 1,
        "drifted": 1,
        "gone": 1,
        "worst_drift": 0.125,
    }
    assert shown["scalars"][1] == {
        "weight": "L1.R2.C1",
        "tensor": make.tensor(1),
        "index": [2, 1],
        "state": "drifted",
        "compared": "bits",
        "drift": 0.125,
        "base": {"dtype": "bfloat16", "bits": "4000", "value": 2.0},
        "here": {"dtype": "bfloat16", "bits": "4010", "value": 2.25},
        "reason": None,
    }


@pytest.mark.parametrize(
    "record", [make.make({"model": make.model(), "survivals": (survival("same", "gone"),)}), shared()]
)
def test_a_result_with_attributes_has_all_that_the_document_has(record: Record) -> None:
    document = json.loads(json.dumps(view(plain(record))))

    assert LookupResult.of(document).model_dump(mode="json") == document


def test_the_page_names_what_is_gone_and_why() -> None:
    document = view(plain(make.make({"model": make.model(), "survivals": (survival("same", "gone"),)})))

    assert "- L1.R2.C1: gone: no tensor of that name" in report(document, width=200).splitlines()


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (shared(), "scan scan-2 of 2026-11-21: found (made in org/tiny, identical files)"),
        (
            make.make({"model": make.model(), "survivals": (survival("same", "same", "gone"),)}),
            "compared with org/base: 2 same, 1 gone",
        ),
    ],
)
def test_the_history_in_words(after: Record, said: str) -> None:
    assert said in lines(change(None, plain(after)))


# --- quantized weights ---


def quantized(**stored: Any) -> Record:
    """A version whose first weight is stored so."""
    parts = make.found_parts()
    _, *others = parts["super_weights"]
    return make.make({**parts, "super_weights": (make.weight(group="neuron-1-3", **stored), *others)})


SCALED = {"scale": 2.0, "value": -0.546875}
PACKED = {"packed": "mxfp4", "dtype": "uint8", "value": -1.5, "bits": "be8c"}


@pytest.fixture(params=["scaled", "packed"])
def stored(request: pytest.FixtureRequest) -> Json:
    return {"scaled": SCALED, "packed": PACKED}[request.param]


def test_the_document_says_how_a_quantized_weight_is_stored(stored: Json) -> None:
    weight = view(plain(quantized(**stored)))["super_weights"][0]

    assert (weight["scale"], weight["packed"]) == (stored.get("scale"), stored.get("packed"))


def test_the_page_says_how_quantized_weights_are_stored() -> None:
    pages = [report(view(plain(quantized(**stored))), width=200).splitlines() for stored in (SCALED, PACKED)]

    assert "Quantized: L1[2,3] as bfloat16 times 2." in pages[0]
    assert "Quantized: L1[2,3] as mxfp4, word be8c." in pages[1]


def test_the_table_says_how_a_quantized_weight_is_stored(stored: Json, tmp_path: Path) -> None:
    index = Index(tmp_path)
    index.append(quantized(**stored))
    database.build(index)

    with database.connect(index) as con:
        row = con.execute("SELECT scale, packed FROM super_weights WHERE weight_id = 'L1.R2.C3'").fetchone()
    assert row == (stored.get("scale"), stored.get("packed"))


def test_plain_weights_say_nothing_of_it() -> None:
    assert "Quantized" not in report(view(plain(make.found())))


# --- the index ---


def codes(*records: Record, folder: Path) -> list[str]:
    index = Index(folder)
    for record in records:
        index.append(record)
    database.build(index)
    return [f.code for f in check(index)]


def test_a_shared_scan_beside_its_origin_is_sound(tmp_path: Path) -> None:
    assert codes(make.found(), shared(), folder=tmp_path) == []


@pytest.mark.parametrize("more", [{"model_id": "org/nobody"}, {"scan": "scan-9"}])
def test_a_shared_scan_of_nobody_is_worth_a_look(more: Json, tmp_path: Path) -> None:
    assert codes(make.found(), shared(**more), folder=tmp_path) == ["shared-unknown"]


def test_a_chain_of_shared_scans_is_an_error(tmp_path: Path) -> None:
    last = shared("org/last", model_id="org/copy", scan="scan-2")

    assert codes(make.found(), shared(), last, folder=tmp_path) == ["shared-chain"]


def test_a_comparison_with_a_known_version_is_sound(tmp_path: Path) -> None:
    base = make.found("org/base")
    known = survival("same", base_record=base.provenance.digest)

    assert codes(base, make.make({"model": make.model(), "survivals": (known,)}), folder=tmp_path) == []


def test_a_comparison_with_an_unknown_version_is_worth_a_look(tmp_path: Path) -> None:
    record = make.make({"model": make.model(), "survivals": (survival("same"),)})

    assert codes(make.found("org/base"), record, folder=tmp_path) == ["base-unknown"]


def test_a_newer_comparison_with_a_base_takes_the_place_of_the_older() -> None:
    other = survival("same", base="org/other")
    previous = make.make({"model": make.model(), "survivals": (survival("same"), other)})

    parts = with_survival(previous, model=make.model(), survival=survival("gone"))

    assert parts is not None
    assert parts["survivals"] == (other, survival("gone"))


def test_a_comparison_changes_nothing_that_a_scan_measured() -> None:
    previous = make.found()
    elsewhere = make.model(revision=make.OTHER_REVISION)

    parts = with_survival(previous, model=elsewhere, survival=survival("same", revision=make.OTHER_REVISION))

    assert parts is not None
    made = make.make(parts, previous)
    assert (made.model, made.status, made.scans) == (previous.model, previous.status, previous.scans)


def test_a_scan_that_could_not_be_made_keeps_what_was_compared() -> None:
    previous = make.make({"model": make.model(), "survivals": (survival("same"),)})
    refused = make.failed_parts(revision=make.OTHER_REVISION, outcome=Outcome.TOO_LARGE)

    parts = with_parts(previous, model=refused["model"], scan=refused["scans"][0])

    assert parts is not None
    made = make.make(parts, previous)
    assert (made.status.outcome, made.model, made.survivals) == ("too_large", previous.model, previous.survivals)
