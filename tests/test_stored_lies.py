"""Quantized files that lie, methods that are not read, and biases that a quantizer added: each gets its own answer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from swindex.crawler.architectures.resolve import resolve
from swindex.crawler.detection.run import Options
from swindex.crawler.refusal import Refusal
from swindex.crawler.scanning import scan
from swindex.crawler.stored.methods import formats
from swindex.schema.types import Outcome

from .plants import disk
from .plants.packers import Stored
from .plants.shared import one_thread
from .plants.stored import CASES, DOWN, packed
from .plants.trained import ONE
from .plants.views import decoded, stored

__all__ = ["one_thread"]
NAN, INF = float("nan"), float("inf")


def put(suffix: str, value: float) -> Callable[[Stored], None]:
    """One element of a tensor set."""

    def change(tensors: Stored) -> None:
        tensor = tensors[DOWN + suffix]
        flat = tensor.flatten()
        flat[-1] = value
        tensors[DOWN + suffix] = flat.view(tensor.shape)

    return change


def swap(suffix: str, made: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Stored], None]:
    """A tensor replaced by what is made of it."""

    def change(tensors: Stored) -> None:
        tensors[DOWN + suffix] = made(tensors[DOWN + suffix]).contiguous()

    return change


def drop(suffix: str) -> Callable[[Stored], None]:
    """A tensor left out."""

    def change(tensors: Stored) -> None:
        del tensors[DOWN + suffix]

    return change


def twice(tensors: Stored) -> None:
    """The weight also stored plainly."""
    tensors[f"{DOWN}.weight"] = torch.zeros(72, 176)


INV = ".weight_scale_inv"
LIES: dict[str, tuple[str, Callable[[Stored], None], str]] = {
    "no scale": ("fp8 blocks", drop(INV), "stored without model.layers.1.mlp.down_proj.weight_scale_inv"),
    "no codes": ("fp8 blocks", drop(".weight"), "down_proj.weight_scale_inv is stored without the weight"),
    "scale of NaN": ("fp8 blocks", put(INV, NAN), "down_proj.weight_scale_inv holds a scale that is zero, NaN"),
    "scale of infinity": ("fp8 blocks", put(INV, INF), "down_proj.weight_scale_inv holds a scale"),
    "scale of zero": ("fp8 blocks", put(INV, 0.0), "down_proj.weight_scale_inv holds a scale"),
    "scales of another shape": ("fp8 blocks", swap(INV, lambda t: t[:, 1:]), "weight_scale_inv [5, 7] does not fit"),
    "scales transposed": ("fp8 blocks", swap(INV, lambda t: t.T), "weight_scale_inv [8, 5] does not fit"),
    "scales as integers": ("fp8 blocks", swap(INV, lambda t: t.to(torch.int64)), "weight_scale_inv is int64, not a"),
    "scale overflows": ("fp8 blocks", put(INV, 3e38), "down_proj.weight holds NaN or infinity"),
    "codes of NaN": (
        "fp8 blocks",
        swap(".weight", lambda t: t.view(torch.uint8).fill_(127).view(t.dtype)),
        "down_proj.weight holds NaN or infinity",
    ),
    "codes in floats": ("fp8 blocks", swap(".weight", lambda t: t.float()), "is float32 [72, 176] and has a scale"),
    "codes in one row": ("fp8 blocks", swap(".weight", lambda t: t.flatten()), "is float8_e4m3fn [12672] and has a"),
    "rows without scales": ("fbgemm", swap(".weight_scale", lambda t: t[1:]), "down_proj.weight_scale [71, 1] does"),
    "zeros of another shape": (
        "ct int8 with zeros",
        swap(".weight_zero_point", lambda t: t[1:]),
        "weight_zero_point has shape [71, 1], expected [72, 1]",
    ),
    "weight_shape lies": ("ct int4", put(".weight_shape", 9999), "weight_shape says [72, 9999]"),
    "weight_shape below zero": ("ct int4", put(".weight_shape", -176), "weight_shape says [72, -176]"),
    "weight_shape of words": ("ct int4", swap(".weight_shape", lambda t: t.float()), "weight_shape is float32 [2]"),
    "packed in bytes": ("ct int4", swap(".weight_packed", lambda t: t.view(torch.uint8)), "expected an int32 matrix"),
    "groups that do not divide": (
        "ct int4",
        swap(".weight_scale", lambda t: t[:, :21]),
        "weight_scale: 176 inputs are not divided by 21 groups",
    ),
    "no packed scale": ("ct int4", drop(".weight_scale"), "stored without model.layers.1.mlp.down_proj.weight_scale"),
    "packed scale of zero": ("ct int4", put(".weight_scale", 0.0), "down_proj.weight_scale holds a scale"),
    "packed zeros of another shape": (
        "ct int4 with zeros",
        swap(".weight_zero_point", lambda t: t[:, 1:]),
        "weight_zero_point has shape [9, 21], expected [9, 22]",
    ),
    "order beyond the groups": ("ct int4 reordered", put(".weight_g_idx", 22), "weight_g_idx names a group"),
    "order below zero": ("gptq", put(".g_idx", -1), "down_proj.g_idx names a group that is not among the 8"),
    "order beyond the scales": ("gptq", put(".g_idx", 8), "down_proj.g_idx names a group that is not among the 8"),
    "order of another length": ("gptq", swap(".g_idx", lambda t: t[1:]), "g_idx has shape [175], expected [176]"),
    "order in floats": ("gptq", swap(".g_idx", lambda t: t.float()), "down_proj.g_idx is float32, expected int32"),
    "no zeros": ("gptq", drop(".qzeros"), "stored without model.layers.1.mlp.down_proj.qzeros"),
    "no words": ("gptq", drop(".qweight"), "down_proj.qzeros is stored without the weight"),
    "zeros too few": ("gptq", swap(".qzeros", lambda t: t[1:]), "qzeros has shape [7, 9], expected [8, 9]"),
    "scales too narrow": ("gptq", swap(".scales", lambda t: t[:, 1:]), "scales has shape [8, 71], expected [8, 72]"),
    "scales as words": ("gptq", swap(".scales", lambda t: t.int()), "down_proj.scales is int32, expected float32 or"),
    "words as floats": ("gptq", swap(".qweight", lambda t: t.float()), "down_proj.qweight is float32"),
    "words in one row": ("gptq", swap(".qweight", lambda t: t.flatten()), "down_proj.qweight is int32 [1584]"),
    "no words at all": ("gptq", swap(".qweight", lambda t: t[:0]), "down_proj.qweight is int32 [0, 72]"),
    "words of fewer bits": ("gptq by module", swap(".qweight", lambda t: t[:5]), "for 176 inputs are of no known"),
    "half the outputs": ("awq", swap(".qweight", lambda t: t[:, :4]), "scales has shape [22, 72], expected [22, 32]"),
    "other groups than config.json": ("awq", swap(".scales", lambda t: t[:11]), "qzeros has shape [22, 9], expected"),
    "half scale of infinity": ("awq", put(".scales", INF), "down_proj.scales holds a scale that is zero, NaN"),
    "stored twice": ("gptq", twice, "down_proj.weight is stored twice"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_file_that_lies_is_corrupt(tmp_path: Path, name: str) -> None:
    case, change, reason = LIES[name]
    made = packed(case)
    tensors = {n: t.clone() for n, t in made.tensors.items()}
    change(tensors)

    scanned = scan(str(disk.write(tmp_path / "m", made.config, tensors)), options=Options(effects=False)).scans[0]

    assert scanned.outcome is Outcome.CORRUPT
    assert reason in (scanned.reason or "")


@pytest.mark.parametrize(
    ("blocks", "scales", "reason"),
    [
        (torch.zeros(2, 4, 3, 8), torch.ones(2, 4, 3), "x_blocks is uint8 [2, 4, 3, 8], expected uint8 [E, N, G, 16]"),
        (torch.zeros(2, 4, 16), torch.ones(2, 4), "x_blocks is uint8 [2, 4, 16]"),
        (torch.zeros(2, 4, 3, 16), torch.ones(2, 4, 2), "x_scales has shape [2, 4, 2], expected [2, 4, 3]"),
        (torch.zeros(2, 4, 3, 16), torch.full((2, 4, 3), 255), "x_scales holds a scale that is zero, NaN or infinite"),
        (torch.zeros(0, 4, 3, 16), torch.ones(0, 4, 3), "x_blocks is uint8 [0, 4, 3, 16]"),
    ],
)
def test_mxfp4_that_lies_is_corrupt(tmp_path: Path, blocks: torch.Tensor, scales: torch.Tensor, reason: str) -> None:
    tensors = {"x_blocks": blocks.byte(), "x_scales": scales.byte()}

    with pytest.raises(Refusal) as refused:
        decoded(stored(tmp_path, {"quant_method": "mxfp4"}, tensors))

    assert (refused.value.outcome, reason in str(refused.value)) == (Outcome.CORRUPT, True)


def test_mxfp4_without_scales_is_corrupt(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="x_blocks is stored without x_scales"):
        decoded(stored(tmp_path, {"quant_method": "mxfp4"}, {"x_blocks": torch.zeros(1, 1, 1, 16).byte()}))


# --- config.json ---


def quantized(method: str, **more: Any) -> dict[str, Any]:
    """A config with some quantization_config."""
    return {**disk.config_of(ONE), "quantization_config": {"quant_method": method, **more}}


REFUSED = [
    "aqlm",
    "bitnet",
    "bitsandbytes",
    "eetq",
    "fp_quant",
    "gguf",
    "higgs",
    "hqq",
    "modelopt",
    "mxfp8",
    "nvfp4",
    "quanto",
    "quark",
    "quip",
    "quip_sharp",
    "sinq",
    "spqr",
    "torchao",
    "vptq",
    "something_new",
]


@pytest.mark.parametrize("method", REFUSED)
def test_a_method_that_is_not_read_is_refused_by_name(method: str) -> None:
    with pytest.raises(Refusal) as refused:
        resolve(quantized(method), "here")

    said = f"here: weights are quantized ({method}); scan the checkpoint it was made from"
    assert (refused.value.outcome, str(refused.value)) == (Outcome.UNSUPPORTED_ARCHITECTURE, said)


def _ct(**more: Any) -> dict[str, Any]:
    weights = {"num_bits": 4, "type": "int"}
    return quantized("compressed-tensors", config_groups={"g": {"weights": weights}}, **more)


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "gptq, 3 bits": (quantized("gptq", bits=3, group_size=128), "gptq, 3 bits"),
    "gptq, marlin": (quantized("gptq", bits=4, checkpoint_format="marlin"), "gptq, marlin"),
    "gptq, marlin by flag": (quantized("gptq", bits=4, is_marlin_format=True), "gptq, marlin"),
    "gptq in bytes": (quantized("gptq", bits=4, pack_dtype="int8"), "gptq, packed in int8"),
    "gptq of gpt2": ({**quantized("gptq", bits=4), "model_type": "gpt2"}, "gptq, for gpt2"),
    "awq, gemv": (quantized("awq", bits=4, version="gemv"), "awq, gemv"),
    "awq without zeros": (quantized("awq", bits=4, zero_point=False), "awq, without zero points"),
    "auto-round": (quantized("auto-round", bits=4, packing_format="auto_round"), "auto-round, auto_round"),
    "auto-round, mixed": (
        quantized("auto-round", bits=4, packing_format="auto_round:auto_gptq", extra_config={"lm_head": {"bits": 8}}),
        "auto-round, exceptions by layer",
    ),
    "fp8 with fp4 experts": (quantized("fp8", expert_dtype="fp4"), "fp8, experts in fp4"),
    "compressed-tensors, nvfp4": (_ct(format="nvfp4-pack-quantized"), "compressed-tensors, nvfp4-pack-quantized"),
    "compressed-tensors, a list": (_ct(format=["pack-quantized"]), "compressed-tensors, ['pack-quantized']"),
    "compressed-tensors, marlin": (_ct(format="marlin-24"), "compressed-tensors, marlin-24"),
    "compressed-tensors, not yet": (_ct(quantization_status="frozen"), "compressed-tensors, status frozen"),
    "compressed-tensors, sparse": (
        _ct(sparsity_config={"format": "sparse-24-bitmask"}),
        "compressed-tensors, sparse as sparse-24-bitmask",
    ),
    "compressed-tensors, 3 bits": (
        quantized("compressed-tensors", config_groups={"g": {"weights": {"num_bits": 3, "type": "int"}}}),
        "compressed-tensors, 3 bits",
    ),
    "compressed-tensors, nothing": (quantized("compressed-tensors"), "compressed-tensors, no weights"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_variant_that_is_not_read_is_refused_by_name(name: str) -> None:
    raw, said = OTHERS[name]
    with pytest.raises(Refusal) as refused:
        formats(raw, "here")

    reason = f"here: weights are quantized ({said}); scan the checkpoint it was made from"
    assert (refused.value.outcome, str(refused.value)) == (Outcome.UNSUPPORTED_ARCHITECTURE, reason)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (quantized("gptq"), "bits None is not a number of bits"),
        (quantized("gptq", bits=True), "bits True is not a number of bits"),
        (quantized("gptq", bits=4, group_size=0), "group_size 0 is no size"),
        (quantized("gptq", bits=4, group_size=-2), "group_size -2 is no size"),
        (quantized("awq", bits=4, group_size="128"), "group_size '128' is no size"),
        (quantized("fp8", weight_block_size=[128]), "weight_block_size [128] is not two sizes"),
        (quantized("fp8", weight_block_size=[0, 128]), "weight_block_size [0, 128] is not two sizes"),
        (quantized("fp8", weight_block_size="128"), "weight_block_size '128' is not two sizes"),
    ],
)
def test_settings_that_cannot_be_are_refused(raw: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refusal) as refused:
        formats(raw, "here")

    assert str(refused.value) == f"here: config.json: quantization_config: {reason}"


@pytest.mark.parametrize("where", ["quantization_config", "compression_config"])
def test_a_wrapper_may_say_it_of_its_text_model(where: str) -> None:
    with pytest.raises(Refusal, match="quantized \\(hqq\\)"):
        formats({"text_config": {where: {"quant_method": "hqq"}}}, "here")


# --- biases that AutoGPTQ adds ---


@pytest.mark.parametrize(("value", "outcome"), [(0.0, Outcome.UNTESTED), (0.5, Outcome.UNSUPPORTED_ARCHITECTURE)])
def test_a_bias_that_the_model_lacks_must_be_zero(tmp_path: Path, value: float, outcome: Outcome) -> None:
    made = packed("gptq")
    tensors = {**made.tensors, f"{DOWN}.bias": torch.full((72,), value, dtype=torch.float16)}

    scanned = scan(str(disk.write(tmp_path / "m", made.config, tensors)), options=Options(effects=False)).scans[0]

    assert scanned.outcome is outcome


def test_a_bias_that_the_model_has_is_loaded(tmp_path: Path) -> None:
    made = packed("gptq")
    biases = {n.replace("qweight", "bias"): torch.zeros(t.shape[1]) for n, t in made.tensors.items() if "qweight" in n}
    tensors = {**made.tensors, **biases, f"{DOWN}.bias": torch.full((72,), 0.5)}
    config = {**made.config, "mlp_bias": True, "attention_bias": True}

    record = scan(str(disk.write(tmp_path / "m", config, tensors)), options=Options(effects=False))
    without = scan(str(packed("gptq").write(tmp_path / "n")), options=Options(effects=False))

    assert record.scans[0].outcome is Outcome.UNTESTED
    assert record.scans[0].profile[1].activation_out != without.scans[0].profile[1].activation_out


@pytest.mark.parametrize("suffix", [".input_scale", ".output_scale"])
def test_scales_of_activations_are_left_aside(tmp_path: Path, suffix: str) -> None:
    made = packed("fp8 of AutoFP8")
    tensors = {**made.tensors, f"{DOWN}{suffix}": torch.tensor(3.0)}

    record = scan(str(disk.write(tmp_path / "m", made.config, tensors)), options=Options(effects=False))

    assert record.scans[0].outcome is Outcome.UNTESTED


def test_cases_and_lies_name_the_same_formats() -> None:
    assert {case for case, _, _ in LIES.values()} <= set(CASES)
