"""Each family that the detector claims to know: a planted scalar is found where it lies in the file, and its effect.

The layouts are those of published checkpoints: names, shapes and orientation are asserted here from the published
form, not from what transformers keeps in memory.
"""

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from swindex.crawler.scanning import scan
from swindex.schema.types import Outcome, Role, Verdict

from .plants import Plant, disk, families, trained
from .plants.shared import Scanned, one_thread, options, scanned

__all__ = ["one_thread"]

# A layer's tensors as published checkpoints name them, with their shapes for H = 48, F as planted.
PUBLISHED = {
    "cohere": {"model.layers.1.mlp.down_proj.weight": [48, 76], "model.layers.1.input_layernorm.weight": [48]},
    "gemma2": {
        "model.layers.1.mlp.down_proj.weight": [48, 80],
        "model.layers.1.pre_feedforward_layernorm.weight": [48],
        "model.layers.1.post_feedforward_layernorm.weight": [48],
    },
    "gemma3_text": {
        "model.layers.1.mlp.down_proj.weight": [48, 92],
        "model.layers.1.post_feedforward_layernorm.weight": [48],
        "model.layers.1.self_attn.q_norm.weight": [12],
    },
    "glm": {"model.layers.1.mlp.down_proj.weight": [48, 72], "model.layers.1.mlp.gate_up_proj.weight": [144, 48]},
    "granite": {"model.layers.1.mlp.down_proj.weight": [48, 84], "model.layers.1.mlp.up_proj.weight": [84, 48]},
    "olmo3": {
        "model.layers.1.mlp.down_proj.weight": [48, 76],
        "model.layers.1.post_feedforward_layernorm.weight": [48],
    },
    "olmoe": {
        "model.layers.1.mlp.experts.11.down_proj.weight": [48, 60],
        "model.layers.1.mlp.experts.11.gate_proj.weight": [60, 48],
        "model.layers.1.mlp.gate.weight": [12, 48],
    },
    "phi": {
        "model.layers.1.mlp.fc2.weight": [48, 88],
        "model.layers.1.mlp.fc2.bias": [48],
        "model.layers.1.self_attn.dense.weight": [48, 48],
    },
    "qwen3_moe": {
        "model.layers.1.mlp.experts.2.down_proj.weight": [48, 64],
        "model.layers.1.mlp.experts.2.up_proj.weight": [64, 48],
        "model.layers.1.mlp.gate.weight": [12, 48],
    },
    "smollm3": {"model.layers.1.mlp.down_proj.weight": [48, 68], "model.layers.1.mlp.gate_proj.weight": [68, 48]},
    "stablelm": {"model.layers.1.mlp.down_proj.weight": [48, 64], "model.layers.1.input_layernorm.bias": [48]},
    "starcoder2": {
        "model.layers.1.mlp.c_proj.weight": [48, 96],
        "model.layers.1.mlp.c_fc.weight": [96, 48],
        "model.layers.1.mlp.c_proj.bias": [48],
    },
    "gemma": {"model.layers.1.mlp.down_proj.weight": [48, 80], "model.layers.1.self_attn.k_proj.weight": [12, 48]},
    "gpt2": {
        "transformer.h.1.mlp.c_proj.weight": [92, 48],
        "transformer.h.1.mlp.c_fc.weight": [48, 92],
        "transformer.h.1.attn.c_attn.weight": [48, 144],
        "transformer.h.1.mlp.c_proj.bias": [48],
    },
    "gpt_neox": {
        "gpt_neox.layers.1.mlp.dense_4h_to_h.weight": [48, 76],
        "gpt_neox.layers.1.attention.query_key_value.weight": [144, 48],
        "embed_out.weight": [512, 48],
    },
    "llama": {"model.layers.1.mlp.down_proj.weight": [48, 80], "model.layers.1.self_attn.k_proj.weight": [24, 48]},
    "mistral": {"model.layers.1.mlp.down_proj.weight": [48, 84], "model.layers.1.mlp.gate_proj.weight": [84, 48]},
    "mixtral": {
        "model.layers.1.block_sparse_moe.experts.10.w1.weight": [56, 48],
        "model.layers.1.block_sparse_moe.experts.10.w2.weight": [48, 56],
        "model.layers.1.block_sparse_moe.experts.10.w3.weight": [56, 48],
        "model.layers.1.block_sparse_moe.gate.weight": [12, 48],
    },
    "olmo": {"model.layers.1.mlp.down_proj.weight": [48, 72], "lm_head.weight": [512, 48]},
    "olmo2": {
        "model.layers.1.mlp.down_proj.weight": [48, 80],
        "model.layers.1.post_feedforward_layernorm.weight": [48],
        "model.layers.1.self_attn.q_norm.weight": [48],
    },
    "phi3": {
        "model.layers.1.mlp.down_proj.weight": [48, 64],
        "model.layers.1.mlp.gate_up_proj.weight": [128, 48],
        "model.layers.1.self_attn.qkv_proj.weight": [96, 48],
    },
    "qwen2": {"model.layers.1.mlp.down_proj.weight": [48, 88], "model.layers.1.self_attn.q_proj.bias": [48]},
    "qwen3": {"model.layers.1.mlp.down_proj.weight": [48, 68], "model.layers.1.self_attn.q_norm.weight": [16]},
}


@pytest.fixture(params=sorted(families.TABLE))
def name(request: pytest.FixtureRequest) -> str:
    """A model type."""
    found: str = request.param
    return found


@pytest.fixture
def family(name: str, tmp_path_factory: pytest.TempPathFactory) -> Scanned:
    """A family's plant, scanned."""
    return scanned(name, lambda folder: families.make(name, folder), tmp_path_factory)


def shapes(folder: Path) -> dict[str, list[int]]:
    """Shapes by name, from the header alone."""
    with open(folder / "model.safetensors", "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    return {n: entry["shape"] for n, entry in header.items() if n != "__metadata__"}


def test_every_family_has_a_plant() -> None:
    assert set(families.TABLE) == set(PUBLISHED)


def test_the_plant_lies_on_disk_as_published_checkpoints_do(name: str, family: Scanned) -> None:
    assert {n: s for n, s in shapes(family.plant.folder).items() if n in PUBLISHED[name]} == PUBLISHED[name]


def test_the_planted_scalars_are_found_in_the_file(family: Scanned) -> None:
    found = [(w.id, w.tensor, w.index, w.role, w.round) for w in family.record.super_weights]

    assert found == [(s.id, s.tensor, s.index, Role.CREATOR, n) for n, s in enumerate(family.plant.scalars)]


def test_the_spike_is_theirs_and_stands_on_the_first_token(family: Scanned) -> None:
    for weight in family.record.super_weights:
        assert weight.share == pytest.approx(1, abs=1e-3)
        assert (weight.token.position, weight.token.id, weight.token.kind) == (0, disk.BOS, "bos")


def test_value_bits_and_offset_are_those_of_the_stored_element(family: Scanned) -> None:
    for weight in family.record.super_weights:
        with safe_open(family.plant.folder / weight.file, "pt") as file:
            element = file.get_tensor(weight.tensor)[weight.index]
        raw = (family.plant.folder / weight.file).read_bytes()
        size = element.element_size()

        assert weight.value == float(element)
        assert str(element.dtype) == f"torch.{weight.dtype}"
        assert raw[weight.byte_offset : weight.byte_offset + size][::-1].hex() == weight.bits


def test_removing_all_of_them_destroys_the_model(family: Scanned) -> None:
    effect = family.effect(*(s.id for s in family.plant.scalars))

    assert effect.verdict is Verdict.CONFIRMED
    assert family.record.scans[-1].outcome is Outcome.FOUND


def test_every_layer_is_covered_and_the_rounds_end(family: Scanned) -> None:
    scan = family.record.scans[-1]

    assert (scan.layers, scan.layers_covered, scan.converged) == (5, (0, 1, 2, 3, 4), True)
    assert scan.rounds == len(family.plant.scalars)


def test_a_norm_behind_the_mlp_is_noticed_where_there_is_one(name: str, family: Scanned) -> None:
    assert family.findings.peeler.post_norm is (name in {"olmo2", "olmo3", "gemma2", "gemma3_text"})


def test_experts_that_no_token_reached_are_not_counted_as_covered(tmp_path_factory) -> None:
    made = scanned("mixtral", lambda folder: families.make("mixtral", folder), tmp_path_factory)
    reached = sum(len(experts) for experts in made.findings.peeler.experts_seen.values())

    assert (made.record.scans[-1].experts, made.record.scans[-1].experts_covered) == (60, reached)


# --- the trained weights in other families' layouts: the known ratios hold ---


@pytest.mark.parametrize("layout", sorted(trained.LAYOUTS))
def test_the_trained_super_weight_destroys_the_model_in_every_layout(layout: str, tmp_path_factory) -> None:
    def make(folder: Path) -> Plant:
        return trained.repacked(layout, trained.ONE, (172,), folder)

    made = scanned(f"one-{layout}", make, tmp_path_factory, windows=24, window=201)
    weight, effect = made.record.super_weights[0], made.record.effects[0]

    assert [(w.id, w.tensor, w.index) for w in made.record.super_weights] == [
        (s.id, s.tensor, s.index) for s in made.plant.scalars
    ]
    assert effect.weights == (weight.id,)
    assert effect.ppl_after / effect.ppl_before == pytest.approx(7727, rel=1e-3)


@pytest.mark.parametrize("layout", sorted(trained.LAYOUTS))
def test_the_trained_pair_acts_only_together_in_every_layout(layout: str, tmp_path_factory) -> None:
    def make(folder: Path) -> Plant:
        return trained.repacked(layout, trained.PAIR, (172, 173), folder)

    made = scanned(f"pair-{layout}", make, tmp_path_factory, windows=24, window=201)
    first, second = (s.id for s in made.plant.scalars)
    ratios = {e.weights: e.ppl_after / e.ppl_before for e in made.removals}

    assert ratios == {
        (first,): pytest.approx(1.017, abs=6e-4),
        (second,): pytest.approx(1.005, abs=6e-4),
        (first, second): pytest.approx(7725, rel=1e-3),
    }


# --- other ways in which the same checkpoint is stored ---


def outcome(folder: Path) -> tuple[Outcome, list[tuple[str, str, tuple[int, ...]]]]:
    """How a scan ends, and the tensors and indices it names."""
    record = scan(str(folder), options=options(1, 64))
    return record.scans[-1].outcome, [(w.id, w.tensor, w.index) for w in record.super_weights]


def test_gpt2_without_the_prefix_and_with_old_mask_buffers(tmp_path_factory, tmp_path: Path) -> None:
    made = scanned("gpt2", lambda folder: families.make("gpt2", folder), tmp_path_factory)
    tensors = {n.removeprefix("transformer."): t for n, t in disk.read(made.plant.folder).items()}
    buffers = {f"h.{n}.attn.bias": torch.ones(1, 1, 256, 256) for n in range(5)}
    disk.write(tmp_path, disk.config_of(made.plant.folder), {**tensors, **buffers})

    expected = [(s.id, s.tensor.removeprefix("transformer."), s.index) for s in made.plant.scalars]
    assert outcome(tmp_path) == (Outcome.FOUND, expected)


def test_gpt_neox_with_old_buffers(tmp_path_factory, tmp_path: Path) -> None:
    made = scanned("gpt_neox", lambda folder: families.make("gpt_neox", folder), tmp_path_factory)
    buffers = {
        f"gpt_neox.layers.{n}.attention.{name}": value
        for n in range(5)
        for name, value in {
            "bias": torch.ones(1, 1, 256, 256, dtype=torch.uint8),
            "masked_bias": torch.tensor(-1e9),
            "rotary_emb.inv_freq": torch.ones(6),
        }.items()
    }
    disk.write(tmp_path, disk.config_of(made.plant.folder), {**disk.read(made.plant.folder), **buffers})

    assert outcome(tmp_path) == (Outcome.FOUND, [(s.id, s.tensor, s.index) for s in made.plant.scalars])


def test_a_checkpoint_in_shards(tmp_path_factory, tmp_path: Path) -> None:
    made = scanned("mixtral", lambda folder: families.make("mixtral", folder), tmp_path_factory)
    tensors = disk.read(made.plant.folder)
    disk.write(tmp_path, disk.config_of(made.plant.folder), {})
    (tmp_path / "model.safetensors").unlink()
    names = sorted(tensors)
    shards = {f"model-0000{n + 1}-of-00003.safetensors": names[n::3] for n in range(3)}
    for file, own in shards.items():
        save_file({n: tensors[n] for n in own}, tmp_path / file)
    index = {"metadata": {}, "weight_map": {n: file for file, own in shards.items() for n in own}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))

    assert outcome(tmp_path) == (Outcome.FOUND, [(s.id, s.tensor, s.index) for s in made.plant.scalars])
