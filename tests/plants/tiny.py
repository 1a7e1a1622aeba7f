"""Tiny random models of every model type: the family's own configuration class and switches, shrunken sizes.

Knows configurations and random weights; knows neither the detector nor where a down projection lies.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.models.auto import modeling_auto as auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.pytorch_utils import Conv1D

from .tiny_configs import CLASSES, EXTRA, RULES, VARIANTS, VISION

CAUSAL: dict[str, str] = dict(auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
WRAPPED: dict[str, str] = {
    **auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
    **auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
}
TEXT_TOWERS = ("text", "decoder", "vlm", "thinker")
KEPT = ("A_log", "dt_bias", "inv_freq", "sinks", "D", "time_", "decay", "slope")
"""Parameters whose own initialisation is kept: a recurrence would explode."""


def class_name(model_type: str) -> str:
    """The class that a published checkpoint of this type names in `architectures`."""
    model_type = VARIANTS.get(model_type, (model_type,))[0]
    return CLASSES.get(model_type) or WRAPPED.get(model_type) or CAUSAL[model_type]


def tiny_config(model_type: str) -> PretrainedConfig:
    """The configuration of a model type or variant, shrunken; eager attention."""
    base, switches = VARIANTS.get(model_type, (model_type, {}))
    config = _shrunken(CONFIG_MAPPING[base], RULES, switches)
    config._attn_implementation = "eager"
    return config


def _shrunken(kind: Any, rules: dict[str, Any], switches: Mapping[str, Any] = MappingProxyType({})) -> PretrainedConfig:
    """Rules, then what follows from the default configuration, then the keys of the type."""
    own, default = {**EXTRA.get(kind.model_type, {}), **switches}, _default(kind)
    fields = kind.__dataclass_fields__
    alias = {a for a, target in kind.attribute_map.items() if target in fields}
    chosen = {n: rules[n] for n in fields if n in rules and n not in alias}
    if "kv_lora_rank" in fields and "num_key_value_heads" in chosen:
        chosen["num_key_value_heads"] = chosen["num_attention_heads"]
    chosen |= _token_ids(default, fields)
    chosen |= _towers(default, set(own)) if kind.sub_configs else {}
    made: PretrainedConfig = kind(**{**chosen, **own})
    return made


def _default(kind: Any) -> Any:
    try:
        return kind()
    except Exception:
        return None


def _token_ids(default: Any, fields: Any) -> dict[str, int]:
    """Special tokens that a vocabulary of 512 does not have; the padding is token 0."""
    if default is None:
        return {}
    names = [n for n in fields if n.endswith(("_token_id", "_token_index")) and n not in RULES]
    beyond = [n for n in names if isinstance(old := default.__dict__.get(n), int) and old >= RULES["vocab_size"]]
    return {n: 0 if n == "pad_token_id" else RULES["vocab_size"] - 1 - i for i, n in enumerate(beyond)}


def _towers(default: Any, given: set[str]) -> dict[str, PretrainedConfig]:
    parts = {n: getattr(default, n, None) for n in default.sub_configs if n not in given}
    return {
        name: _shrunken(type(part), RULES if any(t in name for t in TEXT_TOWERS) else VISION)
        for name, part in parts.items()
        if isinstance(part, PretrainedConfig)
    }


def tiny_model(model_type: str, seed: int) -> PreTrainedModel:
    """A model of random float32 weights: matrices 0.6/sqrt(fan in), embeddings 0.5, gains 0.2 around neutral."""
    torch.manual_seed(seed)
    model: PreTrainedModel = getattr(transformers, class_name(model_type))(tiny_config(model_type)).eval()
    with torch.no_grad():
        for module in model.modules():
            for name, parameter in module.named_parameters(recurse=False):
                if not name.startswith(KEPT):
                    parameter.copy_(_random(module, name, parameter))
    model.tie_weights()
    return model


def _random(module: nn.Module, name: str, old: Tensor) -> Tensor:
    noise = torch.randn_like(old)
    if isinstance(module, nn.Embedding):
        return 0.5 * noise
    if old.dim() < 2 or (min(old.shape[1:]) == 1 and old.dim() < 3):
        return old + (0.1 if "bias" in name else 0.2) * noise if _constant(old) else old
    return noise * (0.6 / math.sqrt(_fan_in(module, old)))


def _fan_in(module: nn.Module, old: Tensor) -> int:
    if isinstance(module, nn.Conv1d):
        return old[0].numel()
    transposed = isinstance(module, Conv1D) or getattr(module, "is_transposed", False)
    return old.shape[-2 if transposed else -1]


def _constant(tensor: Tensor) -> bool:
    return tensor.numel() > 0 and bool((tensor == tensor.flatten()[0]).all())
