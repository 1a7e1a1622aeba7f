"""Which transformers class computes a checkpoint, decided from config.json alone, or why none can be used.

Code that a repository ships is never run. A class is used only if transformers has it under the very name that the
checkpoint states: anything else would be a guess about what the model computes.
"""

from typing import Any

from transformers import CONFIG_MAPPING, PretrainedConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
)

from ...schema.types import Outcome
from ..refusal import Refusal, corrupt, unsupported
from ..stored.methods import formats

MAPPINGS = (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
)
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
    stated = _stated_class(raw)
    fits = [c for c in _classes(model_type) if {stated, _coded_class(raw)} <= {None, c}]
    if not fits:
        raise _not_built_in(raw, place, model_type, stated)
    formats(raw, place)
    return _config(raw, place, model_type), fits[0]


def _classes(model_type: str) -> list[str]:
    """transformers' classes for a type: the language model, and those that wrap it to take other inputs too."""
    return list(dict.fromkeys(str(mapping[model_type]) for mapping in MAPPINGS if model_type in mapping))


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
    if not _classes(model_type):
        return unsupported(f"{place}: transformers has no causal language model for model_type {model_type!r}")
    return unsupported(f"{place}: config.json states {stated}, transformers would read it as another class")


def _config(raw: dict[str, Any], place: str, model_type: str) -> PretrainedConfig:
    try:
        config = CONFIG_MAPPING[model_type].from_dict(_checked(raw, place))
    except Refusal:
        raise
    except Exception as error:
        raise corrupt(f"{place}: config.json: {type(error).__name__}: {error}") from None
    return config


def _checked(raw: dict[str, Any], place: str) -> dict[str, Any]:
    """What a config says of the model, also in its parts (text, vision), sizes checked."""
    kept: dict[str, Any] = {}
    for key, value in raw.items():
        if _is_size(key) and isinstance(value, (int, float)) and not _least(key) <= value <= _most(key):
            raise corrupt(f"{place}: config.json: {key} {value} is no size of a real model")
        if _is_ours(key):
            kept[key] = _checked(value, place) if isinstance(value, dict) and key.endswith("_config") else _plain(value)
    return kept


def _plain(value: Any) -> Any:
    """A value with transformers' spelling of numbers that JSON does not have undone."""
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, dict) and set(value) == {"__float__"} and value["__float__"] in ("Infinity", "-Infinity"):
        return float(value["__float__"])
    return value


def _is_ours(key: str) -> bool:
    """Whether a key says what the model is. An implementation is ours to choose: it may name code on the Hub."""
    return key not in NOT_OURS and "_implementation" not in key


def _least(key: str) -> int:
    return 2 if key in ("max_position_embeddings", "n_positions") else 0


def _most(key: str) -> int:
    return MAX_DEPTH if "layer" in key else MAX_SIZE


def _is_size(key: str) -> bool:
    return key.startswith(("num_", "n_", "hidden", "intermediate", "vocab", "head", "d_", "max_position"))
