"""The generic plants are what they say: read plainly, without the detector, from the folder that they wrote."""

import re

import pytest
import torch

from .plants import generic, matrix, tiny
from .plants.coverage import CONVOLVED, GATED_OUTPUT, KINDS_OF, LATENT, LOOPED, NOT_BUILT, STREAMS
from .plants.shared import one_thread
from .plants.summary import Measured
from .plants.tiny_configs import VARIANTS, H

__all__ = ["one_thread"]
CASES = [(name, kind) for name, kinds in KINDS_OF.items() for kind in kinds]


def _named(tensor: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), tensor)


PUBLISHED = {
    **_named(
        "model.layers.N.mlp.experts.N.down_proj.weight",
        "qwen2_moe qwen3_moe qwen3_next qwen3_5_moe_text olmoe flex_olmo cohere2_moe deepseek_v2 deepseek_v3 "
        "deepseek_v32 glm4_moe glm4_moe_lite glm_moe_dsa ernie4_5_moe exaone_moe hunyuan_v1_moe dots1 dots3_note_text "
        "longcat_flash solar_open hy_v3 mellum mimo_v2_flash afmoe axk1 axk2 bailing_hybrid flint kolibri1 laguna",
    ),
    **_named("model.layers.N.block_sparse_moe.experts.N.w2.weight", "mixtral phimoe minimax minimax_m2 kimi_linear"),
    **_named("model.language_model.layers.N.mlp.down_proj.weight", "qwen3_vl qwen3_5 gemma4"),
    **_named("language_model.model.layers.N.mlp.down_proj.weight", "gemma3 mistral3 llava paligemma internvl mllama"),
    **_named("model.layers.N.mlp.down_proj.weight", "qwen2_vl qwen2_5_vl"),
    **_named("model.text_model.layers.N.mlp.down_proj.weight", "smolvlm idefics3"),
    "aria": "language_model.model.layers.N.mlp.experts.fc2.weight",
    "aria_text": "model.layers.N.mlp.experts.fc2.weight",
    "dbrx": "transformer.blocks.N.ffn.experts.mlp.w2",
    "deepseek_v4": "model.layers.N.ffn.experts.N.w2.weight",
    "gpt_oss": "model.layers.N.mlp.experts.down_proj",
    "granitemoe": "model.layers.N.block_sparse_moe.output_linear.weight",
    "granitemoehybrid": "model.layers.N.block_sparse_moe.output_linear.weight",
    "granitemoeshared": "model.layers.N.block_sparse_moe.output_linear.weight",
    "inkling2_text": "model.llm.layers.N.mlp.experts.w2_weight",
    "jamba": "model.layers.N.feed_forward.experts.N.down_proj.weight",
    "jetmoe": "model.layers.N.mlp.output_linear.weight",
    "lfm2_moe": "model.layers.N.feed_forward.experts.N.w2.weight",
    "llama4": "language_model.model.layers.N.feed_forward.experts.down_proj",
    "llama4_text": "model.layers.N.feed_forward.experts.down_proj",
    "minimax_m3_vl": "language_model.model.layers.N.block_sparse_moe.experts.N.w2.weight",
    "nemotron_h": "backbone.layers.N.mixer.experts.N.down_proj.weight",
    "qwen3_5_moe": "model.language_model.layers.N.mlp.experts.N.down_proj.weight",
    "qwen3_vl_moe": "model.language_model.layers.N.mlp.experts.down_proj",
}
"""By type the name that published checkpoints give an expert's tensor, or the dense one where there is no expert, with
N for layer and expert (ARCHITECTURES.md, section 5)."""

INPUT_FIRST = {
    ("aria", "expert"),
    ("aria_text", "expert"),
    ("dbrx", "expert"),
    ("gpt-sw3", "dense"),
    ("gpt2", "dense"),
    ("gpt_oss", "expert"),
    ("llama4", "expert"),
    ("llama4_text", "expert"),
    ("openai-gpt", "dense"),
    ("qwen3_vl_moe", "expert"),
}
"""Stored with the neuron's axis before the channel's (ARCHITECTURES.md, sections 2 and 5); all others the other way."""


@pytest.fixture(params=CASES, ids=lambda case: "-".join(case))
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A model type or variant, and a kind of down projection."""
    found: tuple[str, str] = request.param
    return found


@pytest.fixture
def measured(case: tuple[str, str]) -> Measured:
    """Its plant, planted and measured once in a session; the folder is not kept."""
    return matrix.row(*case).measured


def test_the_planted_channel_is_massive_and_without_the_stored_element_it_is_not(measured: Measured) -> None:
    assert (measured.massive, measured.massive_zeroed) == (True, False)


def test_zeroing_the_stored_element_takes_the_spike_away(measured: Measured) -> None:
    assert abs(measured.spike_zeroed) < 0.3 * abs(measured.spike)


def test_the_stored_index_is_the_planted_place(case: tuple[str, str], measured: Measured) -> None:
    scalar = measured.plant.scalars[0]
    place: tuple[int, ...] = (scalar.col, scalar.row) if case in INPUT_FIRST else (scalar.row, scalar.col)
    if case[0] == "dbrx":
        assert scalar.expert is not None
        place = (scalar.expert * measured.shape[0] // 8 + scalar.col, scalar.row)
    elif len(measured.shape) == 3:
        assert scalar.expert is not None
        place = (scalar.expert, *place)

    assert scalar.index == place


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_the_planted_tensor_has_its_published_name(name: str) -> None:
    kind = "expert" if "expert" in KINDS_OF[name] else "dense"
    made = matrix.row(name, kind).plant

    assert re.sub(r"\.\d+\.", ".N.", made.scalars[0].tensor) == PUBLISHED[name]


def test_a_planted_expert_is_named_where_experts_have_tensors_of_their_own(measured: Measured) -> None:
    scalar = measured.plant.scalars[0]
    own = re.search(r"\.experts\.(\d+)\.", scalar.tensor)

    assert own is None or int(own[1]) == scalar.expert


@pytest.mark.parametrize("name", [*KINDS_OF, "zamba", "zamba2"])
def test_the_tiny_model_has_the_kinds_that_the_table_says(name: str) -> None:
    model = tiny.tiny_model(name, 0)

    assert tuple(generic.kinds_of(model)) == KINDS_OF.get(name, ("dense",))


@pytest.mark.parametrize("name", sorted(STREAMS))
def test_a_residual_of_several_streams_is_not_one_vector_per_token(name: str) -> None:
    model = tiny.tiny_model(name, 0)
    layer = generic.layers_of(model)[1]
    with torch.no_grad(), generic.recording(layer) as kept:
        model(input_ids=generic.PROMPT, use_cache=False)

    assert kept[0].shape != (*generic.PROMPT.shape, H)


def test_every_type_that_transformers_builds_as_a_language_model_has_a_plant_or_a_reason() -> None:
    known = set(tiny.CAUSAL) | set(tiny.WRAPPED)

    assert known - set(NOT_BUILT) <= set(KINDS_OF)
    assert set(KINDS_OF) - set(VARIANTS) <= known
    assert set(NOT_BUILT) & set(KINDS_OF) == set()


def test_the_tables_of_peculiar_types_name_types_that_exist() -> None:
    known = set(tiny.CAUSAL) | set(tiny.WRAPPED) | set(VARIANTS)

    assert set(LOOPED) | set(STREAMS) | set(CONVOLVED) | set(LATENT) | set(GATED_OUTPUT) <= known
