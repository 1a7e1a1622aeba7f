"""Which transformers class computes a checkpoint, decided from config.json alone, or why none can be used.

Code that a repository ships is never run. A class is used only if transformers has it under the very name that the
checkpoint states: anything else would be a guess about what the model computes.
"""

from typing import Any

from transformers import CONFIG_MAPPING, PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from ...schema.types import Outcome
from ..refusal import Refusal, corrupt, unsupported
from ..stored.methods import formats
from .families import FAMILIES

MAX_SIZE = 1 << 24
"""No width or vocabulary of a real model comes near; a larger one is a lie that would only cost memory."""
MAX_DEPTH = 1 << 14
"""Layers: transformers lists something for each of them before any tensor is looked at."""
NOT_OURS = frozenset({"auto_map", "num_labels", "id2label", "label2id", "quantization_config", "compression_config"})
"""Keys of config.json that are not handed on: code, labels of a classifier, of which a config may ask a billion, and
how weights are stored: `stored` knows."""


def resolve(raw: dict[str, Any], place: str) -> tuple[PretrainedConfig, str]:
    """The config object and the name of the transformers class; raise a Refusal with the reason otherwise."""
    model_type = raw.get("model_type")
    if not isinstance(model_type, str):
        raise unsupported(f"{place}: config.json names no model_type")
    class_name = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(model_type)
    stated = _stated_class(raw)
    if class_name is None or not {stated, _coded_class(raw)} <= {None, class_name}:
        raise _not_built_in(raw, place, model_type, stated)
    if model_type not in FAMILIES:
        raise unsupported(f"{place}: model_type {model_type!r} is not among the families the detector is proven on")
    formats(raw, place)
    return _config(raw, place, model_type), str(class_name)


def _stated_class(raw: dict[str, Any]) -> str | None:
    names = raw.get("architectures")
    return names[0] if isinstance(names, list) and names and isinstance(names[0], str) else None


def _coded_class(raw: dict[str, Any]) -> str | None:
    """The class of the repository's own code, if it brings some; often a copy of the one that transformers has."""
    coded = raw["auto_map"].get("AutoModelForCausalLM") if isinstance(raw.get("auto_map"), dict) else None
    return coded.rpartition(".")[2] if isinstance(coded, str) else None


def _not_built_in(raw: dict[str, Any], place: str, model_type: str, stated: str | None) -> Refusal:
    if raw.get("auto_map"):
        reason = f"{place}: {stated or model_type} is computed by code in the repository, which is never run"
        return Refusal(Outcome.NEEDS_REMOTE_CODE, reason)
    if model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return unsupported(f"{place}: transformers has no causal language model for model_type {model_type!r}")
    return unsupported(f"{place}: config.json states {stated}, transformers would read it as another class")


def _config(raw: dict[str, Any], place: str, model_type: str) -> PretrainedConfig:
    for key, value in raw.items():
        if _is_size(key) and isinstance(value, (int, float)) and not _least(key) <= value <= _most(key):
            raise corrupt(f"{place}: config.json: {key} {value} is no size of a real model")
    try:
        config = CONFIG_MAPPING[model_type].from_dict({k: v for k, v in raw.items() if _is_ours(k)})
    except Exception as error:
        raise corrupt(f"{place}: config.json: {type(error).__name__}: {error}") from None
    return config


def _is_ours(key: str) -> bool:
    """Whether a key says what the model is. An implementation is ours to choose: it may name code on the Hub."""
    return key not in NOT_OURS and "_implementation" not in key


def _least(key: str) -> int:
    return 2 if key in ("max_position_embeddings", "n_positions") else 0


def _most(key: str) -> int:
    return MAX_DEPTH if "layer" in key else MAX_SIZE


def _is_size(key: str) -> bool:
    return key.startswith(("num_", "n_", "hidden", "intermediate", "vocab", "head", "d_", "max_position"))
