"""Recipes as the tools' own parsers read them: transformers always, the others where they are installed.

What became of whole checkpoints in their hands stands in api/recipes/TOOLS.md.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
import transformers
import yaml
from torch import nn
from transformers import BitsAndBytesConfig, FineGrainedFP8Config
from transformers.quantizers.auto import AutoQuantizationConfig
from transformers.quantizers.quantizers_utils import should_convert_module

from swindex.api.recipes.recipe import recipe
from swindex.api.recipes.tools import scheme_of, tool_of
from swindex.schema.record import Record
from swindex.schema.types import weight_id

from . import records as make
from .plants.tiny import class_name, tiny_config

DOWN = "model.layers.1.mlp.down_proj"


def of_expert() -> Record:
    """A record whose one weight lies in expert 2 of a Mixtral."""
    tensor = "model.layers.1.block_sparse_moe.experts.2.w2.weight"
    weight = make.weight(1, 2, 3, id=weight_id(1, 2, 3, 2), tensor=tensor, expert=2)
    model = make.model(architecture="MixtralForCausalLM", model_type="mixtral")
    parts = {"effects": (make.effect("alone", weight.id),), "scans": (make.scan(),)}
    return make.make({"model": model, "super_weights": (weight,), **parts})


RECORDS = {"llama": make.found, "mixtral": of_expert}


def text_of(family: str, tool: str, scheme: str | None = None) -> str:
    """The file for a tool."""
    chosen = tool_of(tool)
    made = recipe(RECORDS[family](), chosen, scheme_of(chosen, scheme))
    assert made.text is not None
    return made.text


def empty(family: str) -> nn.Module:
    """The model that transformers builds, without weights."""
    with torch.device("meta"):
        built: nn.Module = getattr(transformers, class_name(family))(tiny_config(family))
    return built


def small(family: str) -> nn.Module:
    """The model that transformers builds, with random weights in bfloat16."""
    torch.manual_seed(0)
    config = tiny_config(family)
    config._experts_implementation = "eager"
    built: nn.Module = getattr(transformers, class_name(family))(config).to(torch.bfloat16)
    return built


def linears(model: nn.Module) -> list[str]:
    """The names of its linear modules."""
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]


# --- transformers ---


@pytest.mark.parametrize(("scheme", "method"), [("nf4", "nf4"), ("int8", "llm_int8")])
def test_transformers_reads_the_settings_for_bitsandbytes(scheme: str, method: str) -> None:
    settings = json.loads(text_of("llama", "bitsandbytes", scheme))

    config = AutoQuantizationConfig.from_dict(settings)

    assert isinstance(config, BitsAndBytesConfig)
    assert config.llm_int8_skip_modules == ["lm_head", DOWN]
    assert config.quantization_method() == method


def test_transformers_reads_its_own_fp8_settings() -> None:
    config = AutoQuantizationConfig.from_dict(json.loads(text_of("mixtral", "transformers", "fp8")))

    assert isinstance(config, FineGrainedFP8Config)
    assert config.modules_to_not_convert == ["lm_head", "model.layers.1.mlp.experts"]


@pytest.mark.parametrize("tool", ["bitsandbytes", "transformers"])
def test_transformers_spares_the_module_and_the_head_and_nothing_else(tool: str) -> None:
    settings = json.loads(text_of("llama", tool))
    spared = settings.get("llm_int8_skip_modules") or settings["modules_to_not_convert"]

    kept = [name for name in linears(empty("llama")) if not should_convert_module(name, spared)]

    assert kept == [DOWN, "lm_head"]


def test_the_module_of_layer_11_is_not_taken_for_that_of_layer_1() -> None:
    spared = json.loads(text_of("llama", "transformers"))["modules_to_not_convert"]

    assert should_convert_module("model.layers.11.mlp.down_proj", spared)


# --- where they are installed ---


def test_llm_compressor_reads_the_recipe_and_ignores_the_module() -> None:
    parsed = pytest.importorskip("llmcompressor.recipe").Recipe.create_instance(text_of("llama", "llm-compressor"))
    match = pytest.importorskip("compressed_tensors.utils.match").match_named_modules
    modifier = parsed.modifiers[0]
    model = empty("llama")

    taken = [name for name, _ in match(model, modifier.targets, modifier.ignore)]

    assert sorted(set(linears(model)) - set(taken)) == ["lm_head", DOWN]
    assert yaml.safe_load(text_of("llama", "llm-compressor"))["quant_stage"] is not None


@pytest.mark.parametrize("family", list(RECORDS))
def test_torchao_quantizes_all_but_what_the_recipe_names(family: str) -> None:
    from_dict = pytest.importorskip("torchao.core.config").config_from_dict
    quantize: Any = pytest.importorskip("torchao.quantization").quantize_
    model = small(family)
    kept = {"llama": f"{DOWN}.weight", "mixtral": "model.layers.1.mlp.experts.down_proj"}[family]

    quantize(model, from_dict(json.loads(text_of(family, "torchao"))), filter_fn=None)

    plain = {name for name, p in model.named_parameters() if type(p.data) is torch.Tensor and p.dim() > 1}
    assert {name for name in plain if "gate.weight" not in name} - {"model.embed_tokens.weight"} <= {
        kept,
        "lm_head.weight",
    }
    assert kept in plain
    assert model(torch.tensor([[1, 2, 3]])).logits.isfinite().all()


@pytest.mark.parametrize("family", list(RECORDS))
def test_gptqmodel_reads_the_settings_and_passes_over_the_module(family: str) -> None:
    config = pytest.importorskip("gptqmodel").QuantizeConfig.from_quant_config(json.loads(text_of(family, "gptqmodel")))
    kept = {"llama": DOWN, "mixtral": "model.layers.1.mlp.experts.2.down_proj"}[family]

    assert config.dynamic_get(layer_name=kept) is False
    assert config.dynamic_get(layer_name=kept.replace("layers.1", "layers.11")) is None
    assert config.meta["swindex"]["record_digest"] == RECORDS[family]().provenance.digest
