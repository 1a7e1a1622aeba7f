"""Stored formats tensor by tensor: odd shapes, the libraries' own arithmetic, and files that lie."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import GptOssConfig
from transformers.integrations.finegrained_fp8 import Fp8Dequantize
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from swindex.crawler.architectures.skeleton import build
from swindex.crawler.checkpoint.local import LocalCheckpoint
from swindex.crawler.detection.resident import Weights
from swindex.crawler.stored.view import in_floats

from .plants import packers
from .plants.packers import Packer, Stored
from .plants.stored import CASES, CT, INV
from .plants.views import decoded, stored

CONFIGS: dict[str, dict[str, Any]] = {name: case.config for name, case in CASES.items()}
FP8 = {"quant_method": "fp8", "weight_block_size": [16, 24]}
MXFP4 = {"quant_method": "mxfp4"}


def pack(packer: Packer, weight: np.ndarray, stem: str = "m") -> tuple[Stored, np.ndarray]:
    """The stored tensors under a module's name, and what they mean in float32."""
    tensors, means = packer(weight)
    return {stem + suffix: t for suffix, t in tensors.items()}, means.astype(np.float32)


def random(*shape: int, seed: int = 0) -> np.ndarray:
    """A weight with a few large elements."""
    generator = np.random.default_rng(seed)
    return generator.normal(size=shape) * np.where(generator.random(shape) < 0.02, 50, 1)


def experts(e: int, n: int, groups: int, seed: int = 0) -> dict[str, Tensor]:
    """Any MXFP4 experts: every byte, and exponents of all sizes that float32 holds."""
    generator = torch.Generator().manual_seed(seed)
    blocks = torch.randint(0, 256, (e, n, groups, 16), generator=generator, dtype=torch.uint8)
    return {"x_blocks": blocks, "x_scales": torch.randint(1, 251, (e, n, groups), generator=generator).byte()}


# --- odd shapes ---

SIZES = st.integers(1, 40)
FREELY = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FREELY
@given(n=SIZES, k=SIZES, high=SIZES, wide=SIZES)
def test_float8_blocks_may_overhang(tmp_path: Path, n: int, k: int, high: int, wide: int) -> None:
    tensors, means = pack(packers.fp8(INV, (high, wide), lambda *grid: grid), random(n, k))

    folder = stored(tmp_path, {"quant_method": "fp8", "weight_block_size": [high, wide]}, tensors)
    np.testing.assert_array_equal(decoded(folder)["m.weight"].numpy(), means)


@FREELY
@given(n=SIZES, k=SIZES, bits=st.sampled_from([2, 4, 8]), zeros=st.booleans())
def test_packed_rows_may_end_within_a_word(tmp_path: Path, n: int, k: int, bits: int, zeros: bool) -> None:
    tensors, means = pack(packers.packed(bits, None, zeros), random(n, k))

    weights = {"num_bits": bits, "type": "int", "symmetric": not zeros}
    config = {"quant_method": CT, "format": "pack-quantized", "config_groups": {"g": {"weights": weights}}}
    np.testing.assert_array_equal(decoded(stored(tmp_path, config, tensors))["m.weight"].numpy(), means)


@FREELY
@given(n=st.integers(1, 5), k=st.integers(1, 5), group=SIZES, bits=st.sampled_from([2, 4, 8]), order=st.booleans())
def test_gptq_groups_may_be_of_any_size(tmp_path: Path, n: int, k: int, group: int, bits: int, order: bool) -> None:
    per = 32 // bits
    tensors, means = pack(packers.gptq(bits, group, order=order), random(n * per, k * per))

    config = {"quant_method": "gptq", "bits": bits, "group_size": group}
    np.testing.assert_array_equal(decoded(stored(tmp_path, config, tensors))["m.weight"].numpy(), means)


def test_gptq_without_an_order_has_runs_of_inputs(tmp_path: Path) -> None:
    tensors, means = pack(packers.gptq(4, 24), random(16, 64))
    del tensors["m.g_idx"]

    config = {"quant_method": "gptq", "bits": 4, "group_size": 24}
    np.testing.assert_array_equal(decoded(stored(tmp_path, config, tensors))["m.weight"].numpy(), means)


def test_a_zero_of_0_survives_gptq_v1(tmp_path: Path) -> None:
    tensors = {
        "m.qweight": torch.full((1, 8), 0x33333333, dtype=torch.int32),
        "m.qzeros": torch.full((1, 1), -1, dtype=torch.int32),  # 0 less one, in each of eight nibbles
        "m.scales": torch.ones(1, 8, dtype=torch.float16),
    }

    got = decoded(stored(tmp_path, {"quant_method": "gptq", "bits": 4, "group_size": 8}, tensors))
    assert got["m.weight"].unique().tolist() == [3.0]


@FREELY
@given(e=st.integers(1, 3), n=st.integers(1, 9), groups=st.integers(1, 3), seed=st.integers(0, 99))
def test_mxfp4_is_what_it_means(tmp_path: Path, e: int, n: int, groups: int, seed: int) -> None:
    tensors = experts(e, n, groups, seed)

    got = decoded(stored(tmp_path, MXFP4, tensors))["x"]
    means = packers.mxfp4(tensors["x_blocks"].numpy(), tensors["x_scales"].numpy())
    np.testing.assert_array_equal(got.numpy(), means.astype(np.float32))


@pytest.mark.parametrize("shape", [(3, 2, 2), (3, 1, 1), (3, 1), (3,)])
def test_fused_float8_experts(tmp_path: Path, shape: tuple[int, ...]) -> None:
    block = (16, 24) if shape == (3, 2, 2) else None
    made = [packers.fp8(INV, block, lambda *grid: grid)(random(20, 30, seed=s)) for s in range(3)]
    tensors = {
        "experts.down_proj": torch.stack([t[".weight"] for t, _ in made]),
        "experts.down_proj_scale_inv": torch.stack([t[INV] for t, _ in made]).reshape(shape),
    }

    got = decoded(stored(tmp_path, FP8, tensors))["experts.down_proj"]
    np.testing.assert_array_equal(got.numpy(), np.stack([m for _, m in made]).astype(np.float32))


@pytest.mark.parametrize("shape", [(3, 1, 30), (3, 30, 1), (3, 30)])
def test_fused_fbgemm_experts_have_a_scale_per_output(tmp_path: Path, shape: tuple[int, ...]) -> None:
    made = [packers.fp8(INV, (0, 1), lambda *grid: grid)(random(20, 30, seed=s)) for s in range(3)]
    tensors = {
        "experts.down_proj": torch.stack([t[".weight"] for t, _ in made]),
        "experts.down_proj_scale": torch.stack([t[INV] for t, _ in made]).reshape(shape),
    }

    got = decoded(stored(tmp_path, {"quant_method": "fbgemm_fp8"}, tensors))["experts.down_proj"]
    np.testing.assert_array_equal(got.numpy(), np.stack([m for _, m in made]).astype(np.float32))


@pytest.mark.parametrize("dtype", [torch.float8_e8m0fnu, torch.uint8])
def test_float8_scales_may_be_powers_of_two(tmp_path: Path, dtype: torch.dtype) -> None:
    exponents = torch.tensor([[120, 130], [127, 1]], dtype=torch.uint8)
    tensors = {
        "m.weight": torch.full((32, 48), 1.5).to(torch.float8_e4m3fn),
        "m.weight_scale_inv": exponents.view(dtype) if dtype != torch.uint8 else exponents,
    }

    got = decoded(stored(tmp_path, FP8, tensors))["m.weight"]
    assert [float(got[i, j]) for i in (0, 31) for j in (0, 47)] == [1.5 * 2.0 ** (e - 127) for e in (120, 130, 127, 1)]


# --- the libraries' own arithmetic ---


def test_mxfp4_agrees_with_transformers(tmp_path: Path) -> None:
    tensors = experts(4, 30, 3)

    got = decoded(stored(tmp_path, MXFP4, tensors))["x"]
    theirs = convert_moe_packed_tensors(tensors["x_blocks"], tensors["x_scales"], dtype=torch.float32)
    assert torch.equal(got, theirs)


def test_float8_agrees_with_transformers(tmp_path: Path) -> None:
    tensors, _ = pack(packers.fp8(INV, (16, 24), lambda *grid: grid), random(32, 48))

    got = decoded(stored(tmp_path, FP8, tensors))["m.weight"]
    parts = {"weight": tensors["m.weight"], "weight_scale_inv": tensors["m.weight_scale_inv"]}
    assert torch.equal(got, Fp8Dequantize(None).convert(parts)["weight"])


@pytest.mark.parametrize("name", [n for n in CASES if n.startswith("ct ") and "reordered" not in n])
def test_compressed_tensors_agrees_with_its_library(tmp_path: Path, name: str) -> None:
    library = pytest.importorskip("compressed_tensors", reason="not among our dependencies")
    from compressed_tensors.compressors import BaseCompressor  # type: ignore[import-not-found]

    config, tensors = CONFIGS[name], pack(CASES[name].packer, random(48, 72))[0]
    parsed = library.quantization.QuantizationConfig.model_validate(config)
    scheme = parsed.config_groups["group_0"]
    theirs = {
        n.removeprefix("m."): t.float() if t.is_floating_point() and t.itemsize > 1 else t for n, t in tensors.items()
    }
    made = BaseCompressor.get_value_from_registry(config["format"]).decompress(theirs, scheme)["weight"]

    assert torch.equal(decoded(stored(tmp_path, config, tensors))["m.weight"], made)


def test_gpt_oss_gets_its_experts(tmp_path: Path) -> None:
    config = GptOssConfig(
        num_hidden_layers=1, hidden_size=64, intermediate_size=32, num_local_experts=3, head_dim=16, vocab_size=8,
        num_attention_heads=2, num_key_value_heads=1, layer_types=["full_attention"], pad_token_id=None,
    )  # fmt: skip
    mlp = "model.layers.0.mlp.experts"
    down, gate = experts(3, 64, 1), experts(3, 64, 2)
    packed = {f"{mlp}.down_proj{n[1:]}": t for n, t in down.items()} | {
        f"{mlp}.gate_up_proj{n[1:]}": t for n, t in gate.items()
    }
    model = build_plain(config)
    plain = {n: t for n, t in model.items() if n not in (f"{mlp}.down_proj", f"{mlp}.gate_up_proj")}
    checkpoint = in_floats(LocalCheckpoint(stored(tmp_path, MXFP4, plain | packed)))
    weights = Weights(build(config, "GptOssForCausalLM", checkpoint.tensors, "here"), checkpoint)

    with weights.layer(0) as layer:
        got = layer.mlp.experts.down_proj.data, layer.mlp.experts.gate_up_proj.data
        theirs = (convert_moe_packed_tensors(t["x_blocks"], t["x_scales"], dtype=torch.float32) for t in (down, gate))

        assert all(torch.equal(a, b) for a, b in zip(got, theirs, strict=True))


def build_plain(config: GptOssConfig) -> dict[str, Tensor]:
    """The tensors of a random gpt-oss."""
    from transformers import GptOssForCausalLM

    torch.manual_seed(0)
    return {n: t.clone() for n, t in GptOssForCausalLM(config).state_dict().items()}


def test_experts_are_decoded_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swindex.crawler.stored.view.PIECE", 1)
    checkpoint = in_floats(LocalCheckpoint(stored(tmp_path, MXFP4, experts(5, 8, 2))))

    assert [(at, len(data)) for _, at, data in checkpoint.read(["x"])] == [(n * 2048, 2048) for n in range(5)]


def test_a_large_request_reads_scales_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = decoded(stored(tmp_path, MXFP4, experts(5, 8, 2)))["x"]
    monkeypatch.setattr("swindex.crawler.stored.view.TOGETHER", 0)

    assert torch.equal(decoded(tmp_path)["x"], plain)
