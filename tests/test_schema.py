"""What makes a record valid: everything that cannot be true is refused; canonical form, bits, the JSON Schema."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rfc8785
import torch
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from swindex.schema.__main__ import json_schema
from swindex.schema.bits import bits_of, decode_bits
from swindex.schema.canonical import canonical_bytes, digest_in, digest_of, read_canonical, strict_loads
from swindex.schema.effect import Effect
from swindex.schema.errors import JsonError, RecordError, SwindexError, UsageError
from swindex.schema.model import Model
from swindex.schema.observation import Granularity, Observation
from swindex.schema.record import Record
from swindex.schema.types import Intervention, Outcome, Verdict, weight_id
from swindex.schema.weight import Coordinates, SuperWeight

from . import records

Json = dict[str, Any]
SHIPPED = Path(__file__).parent.parent / "index" / "records"


ENORMOUS = records.effect("e", "L1.R2.C3", delta=38.0, ppl_after=235385266837020000.0)
"""An effect whose perplexity, exp(40), is beyond 2**53."""


def plain(record: Record) -> Json:
    """A record as plain JSON data, to be changed."""
    data: Json = json.loads(canonical_bytes(record.model_dump(mode="json")))
    return data


def refusal(data: Json) -> str:
    """Why a version of this content is refused."""
    with pytest.raises(RecordError) as caught:
        Record.parse(json.dumps(data))
    return str(caught.value)


def put(*path: str | int, value: Any) -> Callable[[Json], None]:
    """A change: set what is at the path."""

    def change(data: Any) -> None:
        for step in path[:-1]:
            data = data[step]
        data[path[-1]] = value

    return change


def both(*changes: Callable[[Json], None]) -> Callable[[Json], None]:
    """Several changes in turn."""

    def change(data: Json) -> None:
        for each in changes:
            each(data)

    return change


def weight_put(**values: Any) -> Callable[[Json], None]:
    """A change of the first weight."""
    return both(*(put("super_weights", 0, name, value=value) for name, value in values.items()))


def effect_put(**values: Any) -> Callable[[Json], None]:
    """A change of the first effect."""
    return both(*(put("effects", 0, name, value=value) for name, value in values.items()))


def twice(part: str) -> Callable[[Json], None]:
    """A change: name the first of a part's members twice."""
    return lambda data: data[part].append(data[part][0])


def moved(row: int, col: int) -> Callable[[Json], None]:
    """A change: the first weight stands elsewhere."""
    return weight_put(row=row, col=col, id=weight_id(1, row, col), index=[row, col])


UNTRUE = {
    "row beyond the shape": (moved(16, 3), "super_weights.0", "(row 16, col 3) is beyond shape (16, 32)"),
    "col beyond the shape": (moved(2, 32), "super_weights.0", "(row 2, col 32) is beyond shape (16, 32)"),
    "id of other coordinates": (
        weight_put(id="L1.R2.C4"),
        "super_weights.0",
        "id L1.R2.C4 does not say the coordinates",
    ),
    "index of other coordinates": (weight_put(index=[2, 4]), "super_weights.0", "is not made of row 2 and col 3"),
    "index of another expert": (
        weight_put(expert=5, id="L1.E5.R2.C3", index=[4, 2, 3]),
        "super_weights.0",
        "does not begin with expert 5",
    ),
    "shape of another rank": (weight_put(shape=[4, 16, 32]), "super_weights.0", "does not fit shape (4, 16, 32)"),
    "value unlike its bits": (weight_put(value=-0.25), "super_weights.0", "value -0.25 disagrees with bits be8c"),
    "bits of NaN": (weight_put(bits="7fc0"), "super_weights.0", "bits 7fc0 are not a finite bfloat16"),
    "bits of another width": (weight_put(bits="be8c00"), "super_weights.0", "are 24 long, bfloat16 has 16"),
    "bits of an unknown dtype": (weight_put(dtype="int4"), "super_weights.0", "dtype 'int4' has no bits of its own"),
    "bits without a dtype": (weight_put(dtype=None), "super_weights.0", "bits without a dtype and a value"),
    "a find without bits": (weight_put(bits=None), "super_weights.0", "was found by a scan but carries no bits"),
    "value unlike bits times scale": (
        weight_put(scale=2.0, value=-0.54687),
        "super_weights.0",
        "value -0.54687 disagrees with bits be8c, which are -0.2734375 * 2.0 in bfloat16",
    ),
    "a scale with packed bits": (
        weight_put(scale=2.0, packed="mxfp4"),
        "super_weights.0",
        "has a scale, which goes with bits that are not packed",
    ),
    "a scale without bits": (weight_put(scale=2.0, bits=None, scan=None), "super_weights.0", "has a scale, which goes"),
    "packed bits without a value": (
        weight_put(packed="mxfp4", value=None),
        "super_weights.0",
        "bits without a dtype and a value",
    ),
    "a weight twice": (twice("super_weights"), "record", "two super weights with id L1.R2.C3"),
    "a group twice": (twice("groups"), "record", "two groups with id neuron-1-3"),
    "an effect twice": (twice("effects"), "record", "two effects with id scan-1-alone-1"),
    "a scan twice": (twice("scans"), "record", "two scans with id scan-1"),
    "a group that names an absent weight": (
        put("groups", 0, "members", value=["L1.R2.C3", "L9.R9.C9"]),
        "record",
        "groups[neuron-1-3].members: no super weight L9.R9.C9 in this record",
    ),
    "a group that names a weight twice": (
        put("groups", 0, "members", value=["L1.R2.C3", "L1.R2.C3"]),
        "groups.0",
        "group neuron-1-3 names a weight twice",
    ),
    "a weight of an absent group": (weight_put(group="none"), "record", "super_weights[L1.R2.C3].group: no group none"),
    "a weight of an absent scan": (weight_put(scan="none"), "record", "super_weights[L1.R2.C3].scan: no scan none"),
    "an effect on an absent weight": (
        effect_put(weights=["L9.R9.C9"]),
        "record",
        "effects[scan-1-alone-1].weights: no super weight L9.R9.C9",
    ),
    "an effect of an absent scan": (effect_put(scan="none"), "record", "effects[scan-1-alone-1].scan: no scan none"),
    "a remark on an absent weight": (
        put("remarks", value=[{"about": ["L9.R9.C9"], "text": "x"}]),
        "record",
        "remarks.about: no super weight L9.R9.C9",
    ),
    "a perplexity that is not exp(nll)": (effect_put(ppl_after=7.5), "effects.0", "ppl_after 7.5 is not exp(nll_after"),
    "no perplexity for an nll": (
        effect_put(ppl_after=None),
        "effects.0",
        "ppl_after does not go with nll_after",
    ),
    "a figure where the flag says not finite": (
        effect_put(finite=False),
        "effects.0",
        "nll_after must be null exactly when the effect is not finite",
    ),
    "a null where the flag says finite": (
        effect_put(nll_after=None, ppl_after=None),
        "effects.0",
        "nll_after must be null exactly when the effect is not finite",
    ),
    "a scale for zeroing": (effect_put(scale=0.5), "effects.0", "scale belongs to the intervention 'scale'"),
    "no scale for scaling": (
        effect_put(intervention="scale"),
        "effects.0",
        "scale belongs to the intervention 'scale'",
    ),
    "a verdict that the rule does not give": (effect_put(verdict="inert"), "effects.0", "verdict inert is not what"),
    "a status that the rule does not give": (
        put("status", "weights", 0, "location", value="reported"),
        "record",
        "status is not what the rule derives",
    ),
    "an outcome that the effects contradict": (
        both(put("scans", 0, "outcome", value="none_found"), put("status", "outcome", value="none_found")),
        "record",
        "scan scan-1 says none_found, its effects say otherwise",
    ),
    "a scan without a covered layer": (
        put("scans", 0, "layers_covered", value=[]),
        "scans.0",
        "outcome found without a covered layer",
    ),
    "a scan with a reason": (put("scans", 0, "reason", value="x"), "scans.0", "outcome found takes no reason"),
    "a failure without a reason": (
        put("scans", 0, "outcome", value="gated"),
        "scans.0",
        "outcome gated needs a reason",
    ),
    "untested though effects were measured": (
        put("scans", 0, "outcome", value="untested"),
        "scans.0",
        "outcome untested is for a scan without effects",
    ),
    "a first version with a predecessor": (
        put("provenance", "previous", value="a" * 64),
        "provenance",
        "version 1 with previous",
    ),
    "a second version without one": (
        put("provenance", "version", value=2),
        "provenance",
        "version 2 with previous None",
    ),
    "a version zero": (put("provenance", "version", value=0), "provenance.version", "greater than or equal to 1"),
    "a newer major schema": (put("provenance", "schema_version", value="2.0"), "provenance.schema_version", "match"),
    "a time that is none": (put("provenance", "time", value="2026-02-30T00:00:00Z"), "provenance.time", "day is out"),
    "a revision that is no sha": (put("model", "revision", value="main"), "model.revision", "String should match"),
    "an unknown field": (put("model", "colour", value="red"), "model.colour", "Extra inputs are not permitted"),
    "a number as text": (weight_put(layer="1"), "super_weights.0.layer", "valid integer"),
    "a truth value as a number": (weight_put(value=True), "super_weights.0.value", "valid number"),
    "a negative row": (weight_put(row=-1), "super_weights.0.row", "greater than or equal to 0"),
}


@pytest.mark.parametrize("name", UNTRUE)
def test_what_cannot_be_true_is_refused_by_field_and_model(name: str) -> None:
    change, field, reason = UNTRUE[name]
    data = plain(records.found())
    change(data)

    message = refusal(data)

    assert message.startswith(f"org/tiny: {field}: ")
    assert reason in message
    assert "\n" not in message


def test_the_record_that_these_change_is_valid() -> None:
    record = records.found()

    assert Record.parse(json.dumps(plain(record))) == record


def test_a_verdict_without_an_effect_is_refused() -> None:
    data = plain(records.reported())
    data["status"]["weights"][0]["alone"] = "confirmed"

    assert refusal(data) == "org/tiny: record: status of L1.R2.C3: verdict confirmed without an effect"


def test_a_record_that_knows_nothing_is_refused() -> None:
    with pytest.raises(
        RecordError, match=r"^org/tiny: record: neither a scan, an observation nor a survival: nothing is known$"
    ):
        records.make({"model": records.model()})


def test_a_changed_record_is_refused() -> None:
    data = plain(records.found())
    data["model"]["parameters"] += 1

    assert refusal(data) == "org/tiny: provenance.digest does not match the content: the record was changed"


def test_several_faults_are_counted() -> None:
    data = plain(records.found())
    data["model"].update(revision="main", layers=0)

    assert refusal(data).endswith(" (and 1 more)")


@pytest.mark.parametrize("text", ["[]", "3", "null"])
def test_a_record_is_an_object(text: str) -> None:
    with pytest.raises(RecordError, match="a record is a JSON object"):
        Record.parse(text)


def test_a_transposed_tensor_is_accepted() -> None:
    weight = records.weight(1, 2, 3, index=(3, 2), shape=(32, 16))

    assert (weight.row, weight.col, weight.index) == (2, 3, (3, 2))


def test_a_transposed_index_is_held_against_the_shape_as_stored() -> None:
    with pytest.raises(ValidationError, match="beyond shape"):
        records.weight(1, 2, 20, index=(20, 2))


def test_experts_in_one_tensor_are_accepted() -> None:
    weight = records.weight(1, 2, 3, expert=5, id="L1.E5.R2.C3", index=(5, 2, 3), shape=(8, 16, 32))

    assert weight.id == "L1.E5.R2.C3"


def test_a_model_that_was_only_reported_needs_no_revision() -> None:
    assert records.reported(revision=None).model.revision is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "build",
    [
        lambda v: records.weight(1, 2, 3, scan=None, value=v),
        lambda v: records.observation((1, 2, 3), ppl_ratio=v),
        lambda v: records.observation((1, 2, 3), ci95=(0.5, v)),
        lambda v: records.effect("e", "L1.R2.C3", kl=v),
        lambda v: records.effect("e", "L1.R2.C3", worst=v),
    ],
    ids=["weight", "observation", "interval", "effect", "control"],
)
def test_not_finite_is_a_flag_and_never_a_number(build: Callable[[float], object], value: float) -> None:
    with pytest.raises(ValidationError, match="finite number"):
        build(value)


def test_an_effect_that_was_not_finite_has_no_figures_after() -> None:
    effect = records.effect("e", "L1.R2.C3", delta=None)

    assert (effect.finite, effect.nll_after, effect.ppl_after, effect.delta_nll) == (False, None, None, None)
    assert effect.verdict is Verdict.NON_FINITE


def test_a_perplexity_beyond_printing_is_null() -> None:
    effect = Effect(**{**dict(records.effect("e", "L1.R2.C3")), "nll_after": 801.0, "ppl_after": None})

    assert effect.delta_nll == 799.0


def test_a_perplexity_that_is_written_without_an_exponent_reads_back() -> None:
    record = records.make({**records.found_parts(), "effects": (ENORMOUS,)})
    line = canonical_bytes(record.model_dump(mode="json"))

    assert b'"ppl_after":235385266837020000,' in line
    assert Record.parse(line) == record


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"intervention": Intervention.ZERO}, "intervention and changed go together"),
        ({"changed": Granularity.ROW}, "intervention and changed go together"),
        ({"finite": False, "ppl_ratio": 3.0}, "a figure that was not finite has no number"),
        ({"finite": False, "ppl_after": 3.0}, "a figure that was not finite has no number"),
        ({"targets": (Coordinates(layer=1, row=2),)}, "a claim about scalars names row and col of each"),
    ],
)
def test_an_observation_that_contradicts_itself_is_refused(fields: Json, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        records.observation((1, 2, 3), **fields)


def test_a_place_without_row_or_col_has_no_weight_id() -> None:
    assert [Coordinates(layer=1, row=2).weight_id, Coordinates(layer=1, expert=4, row=2, col=3).weight_id] == [
        None,
        "L1.E4.R2.C3",
    ]


@pytest.mark.parametrize("model_id", ["org/name", "a/b", "0x/1", "Org-1/na.me_2", "o/" + "n" * 96])
def test_a_hub_id_is_accepted(model_id: str) -> None:
    assert Model(id=model_id).id == model_id


@pytest.mark.parametrize(
    "model_id",
    [
        "name",
        "a/b/c",
        "/b",
        "a/",
        "a/.b",
        "a/b.",
        "-a/b",
        "a..b/c",
        "a--b/c",
        "a/b.git",
        "a/b c",
        "a/../b",
        "o/" + "n" * 97,
    ],
)
def test_what_is_no_hub_id_is_refused(model_id: str) -> None:
    with pytest.raises(ValidationError, match="not a Hub id"):
        Model(id=model_id)


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        records.reported().model.id = "org/other"  # type: ignore[misc]


# --- versions ---


def test_a_version_names_its_predecessor() -> None:
    one = records.reported()
    two = records.found(previous=one)

    assert (two.provenance.version, two.provenance.previous) == (2, one.provenance.digest)


def test_a_digest_covers_everything_but_itself() -> None:
    record = records.found()
    data = plain(record)
    data["provenance"]["digest"] = "0" * 64

    assert digest_of(data) == record.provenance.digest


def test_an_unknown_field_of_a_newer_minor_schema_is_tolerated_on_read() -> None:
    record = records.found()
    data = plain(record)
    data["super_weights"][0]["colour"] = "red"
    data["provenance"]["digest"] = digest_of(data)

    read = Record.parse(json.dumps(data), tolerant=True)

    assert read.super_weights == record.super_weights
    assert refusal(data).startswith("org/tiny: super_weights.0.colour: Extra inputs")


def test_tolerance_does_not_extend_to_what_is_not_true() -> None:
    data = plain(records.found())
    data["super_weights"][0]["value"] = 7.0

    with pytest.raises(RecordError, match="disagrees with bits"):
        Record.parse(json.dumps(data), tolerant=True)


@pytest.mark.parametrize("outcome", [Outcome.GATED, Outcome.CORRUPT, Outcome.TOO_LARGE])
def test_a_scan_that_could_not_be_made_is_a_record(outcome: Outcome) -> None:
    assert records.failed(outcome=outcome).status.outcome == outcome.value


def test_every_kind_of_record_reads_back_as_it_was() -> None:
    made = [records.reported(), records.found(), records.none_found(), records.failed()]

    assert [Record.parse(canonical_bytes(r.model_dump(mode="json"))) for r in made] == made


def test_the_exit_status_of_an_error_is_that_of_its_kind() -> None:
    assert (SwindexError.exit_status, RecordError.exit_status, UsageError.exit_status) == (3, 3, 2)


# --- JSON ---

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NUMBER = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def reversed_keys(value: Any) -> Any:
    """The same JSON data with the keys of every object in reverse order."""
    if isinstance(value, dict):
        return {k: reversed_keys(v) for k, v in reversed(value.items())}
    return [reversed_keys(v) for v in value] if isinstance(value, list) else value


@given(JSON)
def test_strict_reading_agrees_with_json_on_what_is_json(value: Any) -> None:
    text = json.dumps(value)

    assert strict_loads(text) == json.loads(text)


@given(JSON)
def test_canonical_bytes_read_back_as_the_same_data(value: Any) -> None:
    assert strict_loads(canonical_bytes(value)) == value


@given(JSON | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, -0.0, 1e16, 1e21, 1e-7, 5e-324]))
def test_canonical_bytes_are_those_of_rfc8785(value: Any) -> None:
    assert canonical_bytes(value) == rfc8785.dumps(value)


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parent.parent / "index" / "records").glob("*/*.jsonl")), ids=lambda p: p.stem
)
def test_the_shipped_lines_are_canonical_by_rfc8785_too(path: Path) -> None:
    for line in path.read_bytes().splitlines():
        assert canonical_bytes(json.loads(line)) == rfc8785.dumps(json.loads(line)) == line


@given(st.dictionaries(TEXT, JSON, max_size=4))
def test_a_digest_does_not_depend_on_the_order_of_keys(value: Json) -> None:
    data = {**value, "provenance": {"digest": "x", "version": 1}}

    assert digest_of(data) == digest_of(reversed_keys(data))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "a": 1}', "duplicate key 'a'"),
        ('{"b": [{"a": 1, "c": 2, "a": 3}]}', "duplicate key 'a'"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": Infinity}', "Infinity is not JSON"),
        ('{"a": -Infinity}', "-Infinity is not JSON"),
        ('{"a": 1e999}', "number 1e999 is beyond float64"),
        ('{"a": ', "malformed JSON"),
        ("", "malformed JSON"),
        ("[" * 100_000, "malformed JSON"),
        (b'"\xff"', "malformed JSON"),
    ],
)
def test_what_is_not_strict_json_is_refused(text: str | bytes, reason: str) -> None:
    with pytest.raises(JsonError, match=reason):
        strict_loads(text)


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**53 + 1, "\ud800", {"a": object()}])
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(JsonError, match="not canonical JSON"):
        canonical_bytes({"v": value})


@pytest.mark.parametrize(("text", "kind"), [("235385266837020000", float), ("1152921504606846976", int), ("7", int)])
def test_a_large_integer_is_a_float_only_where_canonical_form_writes_it_so(text: str, kind: type) -> None:
    assert type(strict_loads(text)) is kind


# --- quantized weights ---


@pytest.mark.parametrize(
    "more",
    [
        {"scale": 2.0, "value": -0.546875},
        {"scale": 0.1, "value": -0.2734375 * 0.1},
        {"scale": -1e-30, "value": 0.2734375e-30 * (1 + 9e-7)},
        {"packed": "gptq-int4", "dtype": "gptq-int4", "bits": "deadbeef", "value": 5.0},
        {"packed": "mxfp4", "dtype": "mxfp4", "bits": "1f", "value": 5.0},
    ],
)
def test_a_quantized_weight_is_what_its_scale_or_format_makes_of_its_bits(more: dict[str, Any]) -> None:
    weight = SuperWeight(**{**dict(records.weight()), **more})

    assert SuperWeight.model_validate_json(weight.model_dump_json()) == weight
    assert {k: v for k, v in weight.model_dump(mode="json").items() if k in ("scale", "packed")} == {
        k: v for k, v in more.items() if k in ("scale", "packed")
    }


def test_a_plain_weight_says_nothing_of_scale_or_packing() -> None:
    dumped = records.weight().model_dump(mode="json")

    assert not {"scale", "packed"} & set(dumped)


# --- bits ---


def same(ours: float, theirs: float) -> bool:
    """Whether two numbers are the same, signs of zero and NaN included."""
    if math.isnan(theirs):
        return math.isnan(ours)
    return ours == theirs and math.copysign(1, ours) == math.copysign(1, theirs)


def test_every_float16_means_what_numpy_says() -> None:
    expected = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float64).tolist()

    assert all(same(decode_bits(f"{i:04x}", "float16"), expected[i]) for i in range(65536))


def test_every_bfloat16_means_what_torch_says() -> None:
    patterns = torch.from_numpy(np.arange(65536, dtype=np.uint16).view(np.int16))
    expected = patterns.view(torch.bfloat16).double().tolist()

    assert all(same(decode_bits(f"{i:04x}", "bfloat16"), expected[i]) for i in range(65536))


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2", "int8", "uint8"])
def test_every_pattern_of_a_byte_means_what_torch_says(name: str) -> None:
    expected = torch.arange(256, dtype=torch.uint8).view(getattr(torch, name)).double().tolist()

    assert [i for i in range(256) if not same(decode_bits(f"{i:02x}", name), expected[i])] == []


@given(st.floats(width=32, allow_nan=False))
def test_a_float32_reads_back_from_its_bytes(value: float) -> None:
    assert same(decode_bits(bits_of(struct.pack("<f", value)), "float32"), value)


@given(st.floats(allow_nan=False))
def test_a_float64_reads_back_from_its_bytes(value: float) -> None:
    assert same(decode_bits(bits_of(struct.pack("<d", value)), "float64"), value)


def test_the_published_value_of_mistral_in_bits() -> None:
    assert decode_bits("be8c", "bfloat16") == -0.2734375


def test_bits_of_another_width_are_refused() -> None:
    with pytest.raises(RecordError, match="bits 'be' are 8 long, bfloat16 has 16"):
        decode_bits("be", "bfloat16")


@given(st.integers(0, 99), st.integers(0, 999) | st.none(), st.integers(0, 99999), st.integers(0, 99999))
def test_a_weight_id_is_valid_and_says_the_coordinates(layer: int, expert: int | None, row: int, col: int) -> None:
    at = weight_id(layer, row, col, expert)
    weight = SuperWeight(id=at, tensor="t", layer=layer, expert=expert, row=row, col=col, index=(row, col))

    assert at == weight.id == Coordinates(layer=layer, expert=expert, row=row, col=col).weight_id


# --- the JSON Schema ---


def test_the_json_schema_is_that_of_the_models() -> None:
    kept = files("swindex.schema").joinpath("record.schema.json").read_text("utf-8")

    assert kept == json.dumps(json_schema(), indent=1, sort_keys=True) + "\n"


def test_the_json_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(json_schema())


def test_records_of_every_kind_are_valid_by_the_json_schema() -> None:
    validator = Draft202012Validator(json_schema())
    made = [records.reported(), records.found(), records.none_found(), records.failed()]

    assert [e.message for r in made for e in validator.iter_errors(plain(r))] == []


def test_the_shipped_records_are_valid_by_the_json_schema() -> None:
    validator = Draft202012Validator(json_schema())
    lines = [line for path in sorted(SHIPPED.glob("*/*.jsonl")) for line in path.read_bytes().splitlines()]

    assert lines
    assert [e.message for line in lines for e in validator.iter_errors(json.loads(line))] == []


def test_the_json_schema_refuses_an_unknown_field() -> None:
    data = plain(records.reported())
    data["observations"][0]["colour"] = "red"

    errors = list(Draft202012Validator(json_schema()).iter_errors(data))

    assert [list(e.absolute_path) for e in errors] == [["observations", 0]]


def test_an_observation_is_about_the_scalars_it_names() -> None:
    told: Observation = records.observation((1, 2, 3), (2, 4, 3))

    assert told.weights == ("L1.R2.C3", "L2.R4.C3")


# --- canonical form, told while reading ---

_NUMBERS = ["0", "-0", "1", "1.0", "-0.0", "0.5", "1e-05", "0.00001", "1e-7", "1e+16", "1e16", "1e21", "1E5", "7.25"]
_NUMBERS += ["9007199254740991", "9007199254740992", "-9007199254740993", "1" * 30, "123456789012345.6", "1e999"]
_TEXTS = [
    '"a"',
    '"\\u00e9"',
    '"é"',
    '"\\n"',
    '"\\u000a"',
    '"\\/"',
    '"\\u007f"',
    '"1.0,"',
    "NaN",
    "Infinity",
    "null",
    "true",
]


def _spelled(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Arrays, and objects whose names may stand twice or in another order."""
    arrays = st.lists(inner, max_size=3).map(lambda parts: f"[{','.join(parts)}]")
    names = st.sampled_from(['"a"', '"b"', '"é"', '"\\u0061"', '"\U0001f600"', '"\ufb33"'])
    members = st.lists(st.tuples(names, inner), max_size=3)
    return arrays | members.map(lambda pairs: "{" + ",".join(f"{name}:{each}" for name, each in pairs) + "}")


@given(st.recursive(st.sampled_from(_NUMBERS + _TEXTS), _spelled, max_leaves=6), st.booleans())
def test_reading_tells_whether_a_text_is_canonical_as_writing_it_anew_does(text: str, spaced: bool) -> None:
    data = (f" {text}" if spaced else text).encode()
    try:
        value = strict_loads(data)
    except JsonError:
        with pytest.raises(JsonError):
            read_canonical(data)
        return
    try:
        expected = rfc8785.dumps(value) == data
    except rfc8785.CanonicalizationError:
        expected = False

    found, is_canonical = read_canonical(data)

    assert (found, is_canonical) == (value, expected)
    assert repr(found) == repr(value)


@pytest.mark.parametrize("name", ["org/tiny", 'org/"provenance":{"digest":"' + "0" * 64 + '",'])
def test_the_digest_of_a_canonical_text_is_that_of_what_it_says(name: str) -> None:
    said = {**plain(records.found()), "newer": {"provenance": {"digest": "1" * 64, "name": name}}}
    for data in (plain(records.found()), said, {**said, "provenance": {"digest": "short", "text": '",' * 40}}):
        assert digest_in(canonical_bytes(data), data) == digest_of(data)
