"""Masks and module names that keep super weights out of what pruners and quantizers change."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...schema.record import Record
from .editing import Weights, proven
from .errors import LoadedError
from .holding import held
from .sharded import is_sharded


class Mask(NamedTuple):
    """What to keep of one parameter. `mask` is true at its super weights, of its shape, on its device."""

    module: nn.Module
    name: str
    mask: Tensor


def keep_masks(
    model: Any, record: Record | str, weights: Weights = None, *, any_revision: bool = False
) -> dict[str, Mask]:
    """Parameter name -> where its super weights are, for each parameter that has some.

    To prune by a mask of one's own: `prune.custom_from_mask(m.module, m.name, own | m.mask)`. Raises as `zero` does.
    """
    found = proven(model, record, weights, any_revision)
    masks: dict[str, Mask] = {}
    for place in found.places:
        masks.setdefault(place.parameter, _empty(found.model, place.parameter)).mask[place.index] = True
    return masks


def modules(model: Any, record: Record | str, weights: Weights = None, *, any_revision: bool = False) -> list[str]:
    """The names of the modules that hold super weights, as quantizers take them to leave them out. Raises as `zero`."""
    return list(dict.fromkeys(p.module for p in proven(model, record, weights, any_revision).places))


def _empty(model: nn.Module, name: str) -> Mask:
    path, _, leaf = name.rpartition(".")
    tensor = held(model, name)
    if is_sharded(tensor):
        raise LoadedError(f"{name} is spread over processes; make masks of the model before it is sharded")
    return Mask(model.get_submodule(path), leaf, torch.zeros(tensor.shape, dtype=torch.bool, device=tensor.device))
