"""An empty model: transformers' own class with parameters on the meta device and buffers ready.

Before anything is allocated the class is built wholly on meta and held against the shapes on disk, so that a config
that lies costs nothing. Knows nothing of detection.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from accelerate import init_empty_weights
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from ..checkpoint.header import TensorInfo
from ..refusal import corrupt, unsupported
from .placement import Placement, place_tensors

MAX_BUFFERS = 1 << 30
"""Bytes of buffers (masks, rotary tables) that a model may ask for."""
EAGER = {"experts_implementation": "eager"}
"""Experts one after the other, each multiplied with its own part of the fused weights: `watch` can see those."""


@dataclass
class Skeleton:
    """A model without weights, its decoder layers, and where each parameter's bytes are."""

    model: PreTrainedModel
    layers: nn.ModuleList
    paths: list[str]
    """Of each layer."""
    placements: dict[str, Placement]
    """By first parameter name; a placement may fill several parameters."""
    looped: bool = False
    """Whether layers are called more than once."""

    def join(self) -> None:
        """Take the layers of all lists that hold layers of this class, in the model's order, for looped ones."""
        lists = [(p, m) for p, m in _shallow_lists(self.model) if len(m) and type(m[0]) is type(self.layers[0])]
        self.paths = [f"{path}.{n}" for path, layers in lists for n in range(len(layers))]
        self.layers = nn.ModuleList(layer for _, layers in lists for layer in layers)
        self.looped = True

    def of_layer(self, layer: int) -> list[Placement]:
        """The placements that fill layer `layer`."""
        prefix = f"{self.paths[layer]}."
        return [p for t, p in self.placements.items() if t.startswith(prefix)]

    def shared_of(self, layer: int) -> dict[str, str]:
        """Parameters of layer `layer` that have their bytes in another layer -> the parameter there."""
        return {t: s for t, s in self.tied.items() if t.startswith(f"{self.paths[layer]}.")}

    def is_shared(self, layer: int, parameter: str) -> bool:
        """Whether a parameter of layer `layer` is one of another layer too."""
        name = f"{self.paths[layer]}.{parameter}"
        return name in self.tied or name in self.tied.values()

    def outside(self) -> dict[str, Placement]:
        """The placements that fill no decoder layer."""
        lists = tuple({path.rpartition(".")[0] + "." for path in self.paths})
        return {t: p for t, p in self.placements.items() if not t.startswith(lists)}

    @property
    def tied(self) -> dict[str, str]:
        """Parameters that have no bytes of their own -> the parameter they share."""
        tied: dict[str, str] = getattr(self.model, "all_tied_weights_keys", None) or {}
        return {t: s for t, s in tied.items() if t not in self.placements and s in self.placements}


def build(config: PretrainedConfig, class_name: str, tensors: dict[str, TensorInfo], place: str) -> Skeleton:
    """Build the empty model and map every stored tensor to it; raise a Refusal where they do not fit."""
    depth = getattr(config.get_text_config(), "num_hidden_layers", None)
    if not isinstance(depth, int) or not 1 <= depth <= len(tensors):
        raise corrupt(f"{place}: config.json: {depth} layers, but the files hold {len(tensors)} tensors")
    config.use_cache = config.get_text_config().use_cache = False
    cls = getattr(transformers, class_name)
    sketch = _construct(cls, config, place, everything=True)
    place_tensors(sketch, tensors, place)
    buffers = sum(b.numel() * b.element_size() for b in sketch.buffers())
    if buffers > MAX_BUFFERS:
        raise corrupt(f"{place}: config.json asks for {buffers} bytes of buffers; no model of these weights does")
    model = _construct(cls, config, place, everything=False)
    model.train(False)
    path, layers = layer_list(model)
    paths = [f"{path}.{n}" for n in range(len(layers))]
    skeleton = Skeleton(model, layers, paths, place_tensors(model, tensors, place))
    _make_parameters(model, skeleton.placements)
    return skeleton


def _make_parameters(model: PreTrainedModel, placements: dict[str, Placement]) -> None:
    """Stored buffers (a router's correction) come and go like the parameters they are."""
    for name, buffer in list(model.named_buffers()):
        if name in placements:
            path, _, leaf = name.rpartition(".")
            empty = nn.Parameter(torch.empty_like(buffer, device="meta"), requires_grad=False)
            setattr(model.get_submodule(path), leaf, empty)


def _construct(cls: type, config: PretrainedConfig, place: str, *, everything: bool) -> PreTrainedModel:
    try:
        with torch.device("meta") if everything else init_empty_weights(include_buffers=False):
            model: PreTrainedModel = cls._from_config(config, dtype=torch.float32, **EAGER)  # type: ignore[attr-defined]
    except Exception as error:
        raise corrupt(f"{place}: config.json builds no {cls.__name__}: {type(error).__name__}: {error}") from None
    return model


def layer_list(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """The decoder layers: the longest ModuleList near the top of the text decoder that is not a list of experts."""
    lists = [(path, m) for path, m in _shallow_lists(model) if "expert" not in path]
    if not lists:
        raise unsupported(f"{type(model).__name__}: no list of decoder layers")
    return max(lists, key=lambda item: len(item[1]))


def _shallow_lists(model: Any) -> Iterator[tuple[str, nn.ModuleList]]:
    """Lists at most three names deep, within the text decoder where the model also has towers for other inputs."""
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else model
    within = next((path for path, module in model.named_modules() if module is decoder), "")
    lists = [(p, m) for p, m in model.named_modules() if isinstance(m, nn.ModuleList) and p.count(".") < 3]
    yield from [(p, m) for p, m in lists if p.startswith(within)] or lists
