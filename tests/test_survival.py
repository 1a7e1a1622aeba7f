"""What a model has of its base's super weights: the rule of comparison, and the few bytes that are read for it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import HfApi
from hypothesis import assume, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import Tensor

from swindex.crawler.checkpoint.hub import HubCheckpoint
from swindex.crawler.checkpoint.local import LocalCheckpoint
from swindex.crawler.crawling import survival as surveying
from swindex.crawler.crawling.survival import survey
from swindex.crawler.refusal import Refusal
from swindex.schema.__main__ import json_schema
from swindex.schema.canonical import canonical_bytes
from swindex.schema.errors import RecordError
from swindex.schema.record import Record, Withdrawn
from swindex.schema.scan import SharedFrom
from swindex.schema.survival import FLOATS, LOST, Fate, Scalar, Survival, Survivor, compared, drift_of, fate_of
from swindex.schema.types import Outcome

from . import records as make
from .hub import Hub

DOWN = make.tensor(1)
OTHER = make.tensor(2)
DTYPES = st.sampled_from(sorted(FLOATS))
MODERATE = st.floats(1e-3, 1e3) | st.floats(-1e3, -1e-3)
"""Normal numbers of every dtype that is compared."""


def scalar(value: float, dtype: str) -> Scalar:
    """A number as torch rounds and stores it."""
    stored = torch.tensor(value, dtype=torch.float64).to(getattr(torch, dtype))
    bits = bytes(stored.reshape(1).view(torch.uint8).tolist())[::-1].hex()
    return Scalar(dtype=dtype, bits=bits, value=float(stored.double()))


# --- the rule ---


@given(MODERATE, DTYPES, DTYPES)
def test_a_conversion_between_dtypes_leaves_a_number_the_same(value: float, one: str, other: str) -> None:
    base = scalar(value, one)

    assert fate_of(base, scalar(base.value, other)) is Fate.SAME


@given(st.floats(1e-6, 6e-5), st.sampled_from(["bfloat16", "float32", "float64"]))
def test_a_conversion_to_a_subnormal_leaves_a_number_the_same(value: float, dtype: str) -> None:
    base = scalar(value, dtype)

    assert fate_of(base, scalar(base.value, "float16")) is Fate.SAME


@given(MODERATE, DTYPES, DTYPES, st.integers(2, 1000), st.sampled_from([-1, 1]))
def test_two_steps_of_the_coarser_dtype_are_a_drift(value: float, one: str, other: str, steps: int, sign: int) -> None:
    assume(one != other)
    coarser = max(one, other, key=lambda dtype: torch.finfo(getattr(torch, dtype)).eps)
    base = scalar(value, one)
    step = torch.finfo(getattr(torch, coarser)).eps * 2.0 ** math.floor(math.log2(abs(base.value)))
    here = scalar(base.value + sign * steps * step, other)
    assume(abs(here.value) > LOST * abs(base.value) and steps * step < abs(base.value))
    assume(abs(here.value - base.value) >= 1.5 * step)

    assert fate_of(base, here) is Fate.DRIFTED


@given(MODERATE, MODERATE, DTYPES)
def test_in_one_dtype_only_equal_bits_are_the_same(one: float, other: float, dtype: str) -> None:
    base, here = scalar(one, dtype), scalar(other, dtype)

    assert (fate_of(base, here) is Fate.SAME) == (base.bits == here.bits)


@given(MODERATE, MODERATE, DTYPES, DTYPES)
def test_the_drift_is_the_change_over_the_magnitude_of_the_base(one: float, other: float, a: str, b: str) -> None:
    base, here = scalar(one, a), scalar(other, b)
    exact = (Fraction(here.value) - Fraction(base.value)) / abs(Fraction(base.value))

    assert drift_of(base, here) == pytest.approx(float(exact), rel=1e-12, abs=1e-15)


@given(MODERATE, st.floats(-0.09, 0.09), DTYPES, DTYPES)
def test_less_than_a_tenth_of_the_value_is_gone(value: float, part: float, one: str, other: str) -> None:
    base = scalar(value, one)
    assume(abs(base.value) * abs(part) > 1e-6 or part == 0)

    assert fate_of(base, scalar(base.value * part, other)) is Fate.GONE


@given(MODERATE, st.floats(0.11, 5.0) | st.floats(-5.0, -0.11), DTYPES)
def test_more_than_a_tenth_of_the_value_is_not_gone(value: float, part: float, dtype: str) -> None:
    base = scalar(value, dtype)

    assert fate_of(base, scalar(base.value * part, dtype)) is not Fate.GONE


@pytest.mark.parametrize(
    ("base", "here", "state", "drift"),
    [
        (scalar(-2.0, "bfloat16"), scalar(-1.0, "bfloat16"), "drifted", 0.5),
        (scalar(-2.0, "bfloat16"), scalar(-3.0, "bfloat16"), "drifted", -0.5),
        (scalar(2.0, "bfloat16"), scalar(-2.0, "bfloat16"), "drifted", -2.0),
        (scalar(2.0, "bfloat16"), scalar(2.0, "float16"), "same", 0.0),
        (scalar(2.0, "bfloat16"), scalar(2.0 + 2**-8, "float32"), "same", 2.0**-9),
        (scalar(2.0, "bfloat16"), scalar(2.0 + 2**-5, "float32"), "drifted", 2.0**-6),
        (scalar(2.0, "float16"), scalar(0.125, "float16"), "gone", -0.9375),
        (scalar(2.0, "float16"), None, "gone", None),
    ],
)
def test_known_comparisons(base: Scalar, here: Scalar | None, state: str, drift: float | None) -> None:
    assert (fate_of(base, here), drift_of(base, here)) == (state, drift)


def test_a_drift_beyond_float64_is_null() -> None:
    assert drift_of(scalar(5e-324, "float64"), scalar(1e308, "float64")) is None


# --- the parts of a record ---


def survivor(base: Scalar, here: Scalar | None, **more: Any) -> Survivor:
    state = fate_of(base, here)
    fields = {
        "weight": "L1.R2.C3",
        "tensor": DOWN,
        "index": (2, 3),
        "base": base,
        "here": here,
        "state": state,
        "compared": compared(base, here),
        "drift": drift_of(base, here),
        "reason": "no such tensor" if state is Fate.GONE else None,
    }
    return Survivor(**{**fields, **more})


def made(*scalars: Survivor, **more: Any) -> Survival:
    """A survival with these scalars."""
    fields = {"base": "org/base", "base_revision": make.REVISION, "base_record": "e" * 64, "revision": make.REVISION}
    cost = {"time": make.TIME, "bytes_read": 100, "requests": 4}
    return Survival(**{**fields, **cost, "scalars": scalars or (SAME,), **more})


TWO = scalar(2.0, "bfloat16")
SAME = survivor(TWO, TWO)


@pytest.mark.parametrize(
    "lie",
    [
        {"state": Fate.DRIFTED},
        {"state": Fate.GONE, "reason": "so it is said"},
        {"drift": 0.5},
        {"compared": None},
        {"reason": "for no reason"},
    ],
)
def test_what_the_bits_do_not_say_is_refused(lie: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        survivor(TWO, TWO, **lie)


def test_a_base_of_zero_is_refused() -> None:
    with pytest.raises(ValidationError, match="has no relative change"):
        survivor(scalar(0.0, "bfloat16"), None, drift=None)


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "int8", "mxfp4"])
def test_a_dtype_that_needs_a_scale_is_not_compared(dtype: str) -> None:
    with pytest.raises(ValidationError, match="is not compared"):
        Scalar(dtype=dtype, bits="40", value=2.0)


def test_a_record_of_a_survival_alone_is_inherited_and_confirms_nothing() -> None:
    record = make.make({"model": make.model(), "survivals": (made(),)})

    status = record.status
    assert (status.outcome, status.weights, status.groups, record.provenance.schema_version) == (
        "inherited",
        (),
        (),
        "1.1",
    )


def test_a_source_s_word_comes_before_a_survival() -> None:
    assert make.make({**make.reported_parts(), "survivals": (made(),)}).status.outcome == "reported"


def test_a_scan_comes_before_a_survival() -> None:
    assert make.make({**make.none_found_parts(), "survivals": (made(),)}).status.outcome == "none_found"


def test_a_record_with_a_survival_reads_as_it_was_written() -> None:
    record = make.make({"model": make.model(), "survivals": (made(SAME),)})

    assert Record.parse(canonical_bytes(record.model_dump(mode="json"))) == record


def test_a_record_without_newer_fields_has_the_first_schema_and_none_of_their_names() -> None:
    data = make.found().model_dump(mode="json")

    named = ("survivals" in data, "content" in data["model"], "shared_from" in data["scans"][0])
    assert (data["provenance"]["schema_version"], named) == ("1.0", (False, False, False))


def test_newer_fields_under_the_first_schema_are_refused() -> None:
    with pytest.raises(RecordError, match=r"schema 1\.0 is stated"):
        make.make({"model": make.model(), "survivals": (made(),)}, schema_version="1.0")


@pytest.mark.parametrize("survivals", [(made(base=make.MODEL_ID),), (made(), made())])
def test_a_survival_in_itself_or_twice_is_refused(survivals: tuple[Survival, ...]) -> None:
    with pytest.raises(RecordError):
        make.make({"model": make.model(), "survivals": survivals})


# --- reading ---


def base_tensors() -> dict[str, Tensor]:
    """The tensors of `make.found("org/base")`, and an embedding that is most of the file."""
    down = torch.full(make.SHAPE, 0.01, dtype=torch.bfloat16)
    down[2, 3], down[7, 3] = make.VALUES["be8c"], make.VALUES["3f80"]
    torch.manual_seed(0)
    embedding = torch.randn(12_000, 1000).to(torch.bfloat16)
    return {
        "model.embed_tokens.weight": embedding,
        OTHER: torch.full(make.SHAPE, 0.5, dtype=torch.bfloat16),
        DOWN: down,
    }


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    """Those of the base; not to be changed."""
    return base_tensors()


def save(folder: Path, tensors: dict[str, Tensor], shards: dict[str, list[str]] | None = None) -> Path:
    """A checkpoint of these tensors, in one file or in shards."""
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}')
    if shards is None:
        save_file(tensors, folder / "model.safetensors")
        return folder
    for file, names in shards.items():
        save_file({n: tensors[n] for n in names}, folder / file)
    weight_map = {n: file for file, names in shards.items() for n in names}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def states(survival: Survival) -> list[str]:
    return [s.state.value for s in survival.scalars]


def surveyed(folder: Path) -> Survival:
    """What a folder has of `org/base`."""
    return survey(make.found("org/base"), LocalCheckpoint(folder, "org/tiny"))


def test_the_base_itself_is_the_same_bit_by_bit(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    found = surveyed(save(tmp_path / "m", tensors))

    assert [(s.state, s.compared, s.drift) for s in found.scalars] == [("same", "bits", 0.0)] * 2


def test_noise_on_all_other_weights_changes_nothing(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    torch.manual_seed(1)
    tuned = {n: t + torch.randn_like(t) * 0.01 for n, t in tensors.items()}
    tuned[DOWN][2, 3], tuned[DOWN][7, 3] = tensors[DOWN][2, 3], tensors[DOWN][7, 3]

    assert states(surveyed(save(tmp_path / "m", tuned))) == ["same", "same"]


def test_one_edited_scalar_has_drifted_by_what_it_was_edited(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    down = tensors[DOWN].clone()
    down[7, 3] = 1.25

    found = surveyed(save(tmp_path / "m", {**tensors, DOWN: down}))

    assert [(s.state, s.drift) for s in found.scalars] == [("same", 0.0), ("drifted", 0.25)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_another_dtype_is_compared_by_value(dtype: torch.dtype, tensors: dict[str, Tensor], tmp_path: Path) -> None:
    found = surveyed(save(tmp_path / "m", {n: t.to(dtype) for n, t in tensors.items()}))

    assert [(s.state, s.compared, s.drift) for s in found.scalars] == [("same", "value", 0.0)] * 2


def test_a_value_that_is_removed_is_gone(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    down = tensors[DOWN].clone()
    down[2, 3] = 0

    found = surveyed(save(tmp_path / "m", {**tensors, DOWN: down}))

    assert (states(found), found.scalars[0].reason) == (["gone", "same"], "the value is 0 here and -0.273 in the base")


def test_a_value_that_is_not_finite_is_gone(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    down = tensors[DOWN].clone()
    down[2, 3], down[7, 3] = math.nan, math.inf

    found = surveyed(save(tmp_path / "m", {**tensors, DOWN: down}))

    assert [(s.state, s.here, s.reason) for s in found.scalars] == [
        ("gone", None, "the value is nan here"),
        ("gone", None, "the value is inf here"),
    ]


def test_a_truncated_vocabulary_changes_nothing(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    cut = {**tensors, "model.embed_tokens.weight": tensors["model.embed_tokens.weight"][:100].clone()}

    assert states(surveyed(save(tmp_path / "m", cut))) == ["same", "same"]


def test_renamed_tensors_are_gone_by_name(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    found = surveyed(save(tmp_path / "m", {f"language_model.{n}": t for n, t in tensors.items()}))

    assert [(s.state, s.reason) for s in found.scalars] == [("gone", "no tensor of that name")] * 2


def test_another_shape_is_another_tensor(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    wide = torch.zeros(32, 64, dtype=torch.bfloat16)
    wide[2, 3], wide[7, 3] = tensors[DOWN][2, 3], tensors[DOWN][7, 3]

    found = surveyed(save(tmp_path / "m", {**tensors, DOWN: wide}))

    assert [s.reason for s in found.scalars] == ["the tensor has shape [32, 64], the base's [16, 32]"] * 2


def test_codes_are_not_read_as_numbers(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    found = surveyed(save(tmp_path / "m", {**tensors, DOWN: torch.ones(make.SHAPE, dtype=torch.int8)}))

    assert [s.reason for s in found.scalars] == ["stored as int8: its few bytes do not tell the number"] * 2


# --- what is read ---


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A Hub on loopback."""
    with Hub() as started:
        yield started


def opened(hub: Hub, folder: Path) -> HubCheckpoint:
    """A folder as a repository of that Hub, its log emptied."""
    hub.add_folder("org/tuned", folder)
    return HubCheckpoint("org/tuned", None, HfApi(endpoint=hub.url))


def test_less_than_a_hundredth_of_the_checkpoint_is_read_in_two_requests(
    hub: Hub, tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    checkpoint = opened(hub, save(tmp_path / "m", tensors))

    found = survey(make.found("org/base"), checkpoint)

    sent = [e for e in hub.log.entries if "/resolve/" in e.path]
    size = checkpoint.entries["model.safetensors"].size
    assert (len(sent), sum(e.bytes for e in sent)) == (found.requests, found.bytes_read)
    assert (found.requests, found.bytes_read < size / 100) == (2, True)


def test_only_the_shards_that_hold_them_are_opened(hub: Hub, tensors: dict[str, Tensor], tmp_path: Path) -> None:
    shards = {
        "model-00001-of-00003.safetensors": ["model.embed_tokens.weight"],
        "model-00002-of-00003.safetensors": [DOWN],
        "model-00003-of-00003.safetensors": [OTHER],
    }
    checkpoint = opened(hub, save(tmp_path / "m", tensors, shards))

    found = survey(make.found("org/base"), checkpoint)

    read = sorted({e.path.rsplit("/", 1)[1] for e in hub.log.entries if "/resolve/" in e.path})
    assert (states(found), read) == (
        ["same", "same"],
        ["model-00002-of-00003.safetensors", "model.safetensors.index.json"],
    )


def test_scalars_of_two_files_are_read_each_from_its_own(hub: Hub, tensors: dict[str, Tensor], tmp_path: Path) -> None:
    parts = make.found_parts("org/base")
    base = make.make({**parts, "super_weights": (*parts["super_weights"], make.weight(2, 2, 4, bits="4000"))})
    other = tensors[OTHER].clone()
    other[2, 4] = make.VALUES["4000"]
    shards = {"a.safetensors": [DOWN], "b.safetensors": [OTHER]}

    found = survey(base, opened(hub, save(tmp_path / "m", {**tensors, OTHER: other}, shards)))

    assert states(found) == ["same", "same", "same"]


def test_neighbours_come_in_one_range_of_few_bytes(hub: Hub, tensors: dict[str, Tensor], tmp_path: Path) -> None:
    checkpoint = opened(hub, save(tmp_path / "m", {**tensors, "z": torch.zeros(200_000)}))

    survey(make.found("org/base"), checkpoint)

    ranges = [e for e in hub.log.entries if e.range and not e.range.startswith("bytes=0-")]
    assert [e.bytes for e in ranges] == [2 * (5 * make.SHAPE[1]) + 2]


# --- what is refused ---


def test_a_base_that_was_only_reported_is_refused(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"^org/base: no super weight that we found at a known commit stands"):
        survey(make.reported("org/base"), LocalCheckpoint(save(tmp_path / "m", tensors)))


def test_a_withdrawn_base_is_refused(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    withdrawn = Withdrawn(time=make.TIME, reason="a mistake")
    base = make.make({**make.found_parts("org/base"), "withdrawn": withdrawn})

    with pytest.raises(Refusal, match="no super weight that we found"):
        survey(base, LocalCheckpoint(save(tmp_path / "m", tensors)))


@pytest.mark.parametrize("outcome", [Outcome.NONE_FOUND, Outcome.UNTESTED])
def test_a_base_without_a_confirmed_weight_is_refused(
    outcome: Outcome, tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    parts = {**make.none_found_parts("org/base"), "scans": (make.scan(outcome=outcome, converged=False),)}
    base = make.make({**parts, "super_weights": (make.weight(),)})

    with pytest.raises(Refusal, match="no super weight that we found"):
        survey(base, LocalCheckpoint(save(tmp_path / "m", tensors)))


def test_a_quantized_base_is_refused(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    parts = make.found_parts("org/base")
    weights = tuple(w.model_copy(update={"packed": "mxfp4"}) for w in parts["super_weights"])
    base = make.make({**parts, "super_weights": weights})

    with pytest.raises(Refusal, match=r"L1\.R2\.C3 is stored as mxfp4 and cannot be compared"):
        survey(base, LocalCheckpoint(save(tmp_path / "m", tensors)))


def test_more_scalars_than_are_compared_are_refused(
    tensors: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surveying, "MAX_SCALARS", 1)

    with pytest.raises(Refusal, match="2 scalars are recorded, at most 1 are compared"):
        surveyed(save(tmp_path / "m", tensors))


def test_an_index_that_lies_is_refused_in_one_line(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    folder = save(tmp_path / "m", tensors, {"a.safetensors": [DOWN], "b.safetensors": [OTHER]})
    weight_map = {DOWN: "b.safetensors", OTHER: "a.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))

    with pytest.raises(Refusal, match=r"the index says that .* is in b\.safetensors, and it is not$") as caught:
        surveyed(folder)
    assert caught.value.outcome is Outcome.CORRUPT


def test_a_header_that_lies_is_refused_in_one_line(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    folder = save(tmp_path / "m", {DOWN: tensors[DOWN]})
    with open(folder / "model.safetensors", "ab") as file:
        file.write(b"\0")

    with pytest.raises(Refusal) as caught:
        surveyed(folder)
    assert (caught.value.outcome, "\n" in str(caught.value)) == (Outcome.CORRUPT, False)


# --- what was there before ---


def test_the_shipped_records_read_and_write_the_same_bytes() -> None:
    shipped = Path(__file__).parent.parent / "index" / "records"
    lines = [line for path in sorted(shipped.glob("*/*.jsonl")) for line in path.read_bytes().splitlines()]

    assert lines
    assert [canonical_bytes(Record.parse(line).model_dump(mode="json")) for line in lines] == lines


def test_a_record_with_all_that_is_new_is_valid_by_the_json_schema() -> None:
    parts = make.found_parts()
    origin = SharedFrom(model_id="org/other", revision=make.REVISION, scan="scan-1")
    scans = tuple(s.model_copy(update={"shared_from": origin}) for s in parts["scans"])
    model = make.model(content="f" * 64)
    record = make.make({**parts, "model": model, "scans": scans, "survivals": (made(),)})

    data = json.loads(canonical_bytes(record.model_dump(mode="json")))
    assert list(Draft202012Validator(json_schema()).iter_errors(data)) == []
