"""What treatments do, once more and plainly: a whole model from disk, its layers or projections wrapped.

Shares no code with the detector. `by_layer` compares each layer with and without its scalars; `by_product` rewrites the
output of the down projections, for Llama's layout. Both in one forward pass over all windows.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import disk
from .families import layers_of
from .reference import Spot, _massive, _matrix

Combine = Callable[[Tensor, Tensor, Tensor, list[int]], Tensor]
"""From a layer's output with its scalars and without them, the unmodified one (all (B, T, D)), and their rows."""


def masses(after: Tensor) -> Tensor:
    """Mask (B, T, D) of massive channels."""
    flat = after.double().reshape(-1, after.shape[-1]).numpy()
    mask = torch.zeros(flat.shape, dtype=torch.bool)
    for token, vector in enumerate(flat):
        mask[token, sorted(_massive(vector))] = True
    return mask.view(after.shape)


def mean(full: Tensor, cut: Tensor, _base: Tensor, _rows: list[int]) -> Tensor:
    """The mean of what was cut, everywhere."""
    return (cut.double() + (full.double() - cut.double()).mean((0, 1))).float()


def class_mean(full: Tensor, cut: Tensor, base: Tensor, rows: list[int]) -> Tensor:
    """Two means: where a row is massive in the unmodified model, and elsewhere."""
    spiked, out = masses(base)[..., rows].any(-1), cut.double().clone()
    for mask in (spiked, ~spiked):
        if mask.any():
            out[mask] = cut.double()[mask] + (full.double() - cut.double())[mask].mean(0)
    return out.float()


def restore(_full: Tensor, cut: Tensor, base: Tensor, rows: list[int]) -> Tensor:
    """The unmodified value of each row where it is massive."""
    out, mask = cut.clone(), masses(base)
    for row in rows:
        out[..., row][mask[..., row]] = base[..., row][mask[..., row]]
    return out


COMBINE: dict[str, Combine] = {"mean": mean, "class_mean": class_mean, "restore": restore}


def by_layer(folder: Path, ids: Tensor, spots: Iterable[Spot], kind: str) -> Tensor:
    """Logits (B, T, V) with these scalars treated."""
    plain, model = _outputs(disk.plain(folder), ids), disk.plain(folder)
    model.config.get_text_config().use_cache = False  # a layer that is called twice would keep its keys twice
    for number, layer in enumerate(layers_of(model)):
        here = [s for s in spots if s.layer == number]
        if here:
            layer.forward = _wrapped(layer, here, plain[number], COMBINE[kind])
    return disk.plain_logits(model, ids)


def _outputs(model: Any, ids: Tensor) -> list[Tensor]:
    kept: list[Tensor] = []
    for layer in layers_of(model):
        layer.register_forward_hook(lambda _m, _a, out: kept.append(out[0] if isinstance(out, tuple) else out))
    disk.plain_logits(model, ids)
    return kept


def _wrapped(layer: Any, here: list[Spot], base: Tensor, combine: Combine) -> Callable[..., Any]:
    own = layer.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        full = own(*args, **kwargs)
        old = [float(_matrix(layer, s.expert)[s.row, s.col]) for s in here]
        for s in here:
            _matrix(layer, s.expert)[s.row, s.col] = 0
        cut = own(*args, **kwargs)
        for s, value in zip(here, old, strict=True):
            _matrix(layer, s.expert)[s.row, s.col] = value
        if isinstance(full, tuple):
            return (combine(full[0], cut[0], base, [s.row for s in here]), *full[1:])
        return combine(full, cut, base, [s.row for s in here])

    return forward


def by_product(folder: Path, ids: Tensor, spots: Iterable[Spot]) -> Tensor:
    """Logits with each product X[k] * W[j, k] in its mean: a hook on the down projection adds what is missing."""
    model = disk.plain(folder)
    for number, layer in enumerate(model.model.layers):
        here = [s for s in spots if s.layer == number]
        down = layer.mlp.down_proj
        down.register_forward_hook(_levelled([(s, float(down.weight.data[s.row, s.col])) for s in here]))
    return disk.plain_logits(model, ids)


def _levelled(here: list[tuple[Spot, float]]) -> Callable[..., Tensor]:
    def hook(_module: Any, args: tuple[Tensor, ...], out: Tensor) -> Tensor:
        changed = out.double()
        for spot, weight in here:
            product = args[0][..., spot.col].double() * weight
            changed[..., spot.row] += product.mean() - product
        return changed.float()

    return hook
