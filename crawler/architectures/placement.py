"""Where each parameter's bytes are on disk, and how stored tensors become parameters.

Uses transformers' own conversion of checkpoint layouts (renamings, experts stored one by one and fused in memory).
Those functions are private to transformers: they are used here and nowhere else.
"""

import re
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import (
    Transpose,
    WeightConverter,
    WeightRenaming,
    dot_natural_key,
    rename_source_key,
)

from ..checkpoint.header import TensorInfo
from ..refusal import corrupt, unsupported


@dataclass
class Placement:
    """Stored tensors that together become one parameter (or, for a split, several)."""

    target: str
    sources: list[tuple[str, TensorInfo]] = field(default_factory=list)
    """(pattern of the converter that took it, tensor), in natural order of names."""
    converter: WeightConverter | None = None

    def convert(self, loaded: dict[str, torch.Tensor], model: PreTrainedModel) -> dict[str, torch.Tensor]:
        """Turn the loaded stored tensors (by disk name) into parameters by name."""
        if self.converter is None:
            return {self.target: loaded[self.sources[0][1].name]}
        converter = deepcopy(self.converter)
        for pattern, info in self.sources:
            tensor = loaded[info.name]
            converter.add_tensor(self.target, info.name, pattern, partial(_given, tensor))  # type: ignore[arg-type]
        made = converter.convert(self.target, model=model, config=model.config)
        return {name: t[0] if isinstance(t, list) else t for name, t in made.items()}

    @property
    def transposes(self) -> bool:
        """Whether the matrices lie the other way round on disk; shapes cannot tell where they are square."""
        return any(isinstance(o, Transpose) for o in (self.converter.operations if self.converter else ()))

    @property
    def names(self) -> list[str]:
        """Names on disk."""
        return [info.name for _, info in self.sources]


def _given(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def place_tensors(model: PreTrainedModel, tensors: dict[str, TensorInfo], place: str) -> dict[str, Placement]:
    """Map every stored tensor to the model's parameters; raise a Refusal if one is missing, unknown or misshapen."""
    expected: dict[str, torch.Tensor] = model.state_dict()
    placements: dict[str, Placement] = {}
    unknown = []
    for name, target, pattern, converter in assign(model, tensors, expected):
        if target not in expected:
            unknown += [] if tensors[name].idle else [name]
            continue
        placement = placements.setdefault(target, Placement(target, converter=converter))
        placement.sources.append((pattern, tensors[name]))
    _refuse_unknown(model, unknown, place)
    _check_shapes(model, placements, expected, place)
    return placements


def assign(
    model: PreTrainedModel, names: Iterable[str], expected: dict[str, torch.Tensor]
) -> list[tuple[str, str, str, WeightConverter | None]]:
    """For each stored tensor its name, the parameter it goes to, the pattern that took it, and the converter if any.

    `expected` holds the model's parameters by name; a name that is not among them belongs to no parameter.
    """
    mapping = get_model_conversion_mapping(model)
    renamings = [m for m in mapping if isinstance(m, WeightRenaming)]
    converters = [m for m in mapping if isinstance(m, WeightConverter)]
    by_pattern = {p: c for c in converters for p in c.source_patterns}
    prefix = model.base_model_prefix
    rows = []
    for name in sorted(names, key=dot_natural_key):
        target, pattern = rename_source_key(name, renamings, converters, prefix, expected)
        if target not in expected and name in expected:
            target, pattern = name, None
        rows.append((name, target, pattern or name, by_pattern[pattern] if pattern else None))
    return rows


def _refuse_unknown(model: PreTrainedModel, unknown: list[str], place: str) -> None:
    ignored = [*(getattr(model, "_keys_to_ignore_on_load_unexpected", None) or []), *IGNORED]
    left = [n for n in unknown if not any(re.search(p, n) for p in ignored)]
    if left:
        raise unsupported(
            f"{place}: {type(model).__name__} has no place for {len(left)} stored tensors, first {left[0]!r}: "
            "the model computes something else"
        )


# Buffers of older transformers versions that carry no weights.
IGNORED = (r"rotary_emb\.inv_freq$", r"\.attn\.(masked_)?bias$", r"\.attention\.(masked_)?bias$", r"\.position_ids$")


def _check_shapes(
    model: PreTrainedModel, placements: dict[str, Placement], expected: dict[str, torch.Tensor], place: str
) -> None:
    made: dict[str, Any] = {}
    for placement in placements.values():
        meta = {i.name: torch.empty(i.shape, device="meta") for _, i in placement.sources}
        try:
            made |= placement.convert(meta, model)
        except Exception as error:
            raise corrupt(
                f"{place}: {placement.names[0]!r} and its kin do not make {placement.target}: {error}"
            ) from None
    tied = getattr(model, "all_tied_weights_keys", None) or {}
    for name, tensor in expected.items():
        if name not in made:
            if tied.get(name) in made:
                continue
            raise corrupt(f"{place}: no stored tensor for {name}")
        if tuple(made[name].shape) != tuple(tensor.shape):
            stored, stated = list(made[name].shape), list(tensor.shape)
            raise corrupt(f"{place}: {name} is stored as {stored}, config.json says {stated}")
