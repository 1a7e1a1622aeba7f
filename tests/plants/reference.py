"""DETECTION.md section 7 once more, plainly: a whole model, forward hooks, numpy loops, one forward per round.

Shares no code with the detector; only the constants of the criterion are the same numbers. For pre-norm and post-norm
blocks whose MLP is `layer.mlp`, which all families of the tests have.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from .disk import plain
from .families import layers_of


class Spot(NamedTuple):
    """Layer, expert, row, col."""

    layer: int
    expert: int | None
    row: int
    col: int


class Event(NamedTuple):
    """A massive channel that a layer changed."""

    token: int
    channel: int
    role: str


def rounds(folder: Path, ids: Tensor, most: int = 10) -> list[dict[Spot, str]]:
    """Finds (place: role) of each round of: run, note, zero the creators and amplifiers, run again."""
    model = plain(folder)
    found: list[dict[Spot, str]] = []
    while True:
        seen = _one_round(model, ids)
        known = {spot for earlier in found for spot in earlier}
        found.append({s: r for s, r in seen.items() if s not in known})
        peeled = [s for s, r in seen.items() if r != "remover"]
        if not peeled or len(found) > most:
            return found
        for spot in peeled:
            _matrix(layers_of(model)[spot.layer], spot.expert)[spot.row, spot.col] = 0


def _down(layer: Any) -> Any:
    for name in ("down_proj", "c_proj", "dense_4h_to_h", "fc2"):
        if hasattr(layer.mlp, name):
            return getattr(layer.mlp, name)
    return layer.mlp.experts


def _matrix(layer: Any, expert: int | None) -> Tensor:
    down = _down(layer)
    if expert is not None:
        return down.down_proj.data[expert]
    return down.weight.data.T if isinstance(down, Conv1D) else down.weight.data


def _one_round(model: Any, ids: Tensor) -> dict[Spot, str]:
    kept: dict[tuple[int, str], Any] = {}
    hooks = []
    for number, layer in enumerate(layers_of(model)):
        hooks.append(layer.register_forward_hook(_keep(kept, number, "layer")))
        hooks.append(_down(layer).register_forward_hook(_keep(kept, number, "down")))
        writer = getattr(layer, "post_feedforward_layernorm", layer.mlp)
        hooks.append(writer.register_forward_hook(_keep(kept, number, "write")))
    with torch.no_grad():
        model(input_ids=ids, use_cache=False)
    for hook in hooks:
        hook.remove()
    found: dict[Spot, str] = {}
    for number, layer in enumerate(layers_of(model)):
        for spot, role in _layer_finds(number, layer, kept):
            if found.get(spot, "remover") == "remover":
                found[spot] = role
    return found


def _keep(kept: dict[tuple[int, str], Any], number: int, what: str) -> Any:
    def hook(_module: Any, args: tuple[Any, ...], output: Any) -> None:
        kept[number, what] = (args, output[0] if isinstance(output, tuple) else output)

    return hook


def _flat(tensor: Tensor) -> np.ndarray:
    return tensor.detach().reshape(-1, tensor.shape[-1]).double().numpy()


def _layer_finds(number: int, layer: Any, kept: dict[tuple[int, str], Any]) -> list[tuple[Spot, str]]:
    """Scalars and roles, strongest event first."""
    args, output = kept[number, "layer"]
    before, after = _flat(args[0]), _flat(output)
    written = _flat(kept[number, "write"][1])
    found = []
    for event in _events(before, after):
        total = after[event.token, event.channel] - before[event.token, event.channel]
        through = written[event.token, event.channel]
        if through * total <= 0 or abs(through) < 0.5 * abs(total):
            continue
        clear = event.channel in _massive(after[event.token], 10.0)
        for expert, col in _members(layer, kept[number, "down"], event.token, event.channel, clear):
            found.append((Spot(number, expert, event.channel, col), event.role))
    return found


def _massive(h: np.ndarray, least: float = 1.0) -> set[int]:
    order = np.argsort(-(h**2), kind="stable")
    energy = h[order] ** 2
    admitted = 0
    for n in range(1, 17):
        if energy[n - 1] >= least * energy[n:].sum():
            admitted = n
    return set(order[:admitted].tolist())


def _events(before: np.ndarray, after: np.ndarray) -> list[Event]:
    sizes: dict[tuple[int, str], list[tuple[float, int]]] = defaultdict(list)
    for token in range(len(after)):
        for j in _massive(after[token]):
            r, h_in, h_out = after[token, j] - before[token, j], before[token, j], after[token, j]
            if abs(r) >= 0.2 * abs(h_out) and r * h_out > 0:
                role = "creator" if abs(h_in) < 0.5 * abs(h_out) else "amplifier"
                sizes[j, role].append((abs(r), token))
        for j in _massive(before[token]):
            r, h_in, h_out = after[token, j] - before[token, j], before[token, j], after[token, j]
            if r * h_in < 0 and abs(h_out) <= 0.7 * abs(h_in):
                sizes[j, "remover"].append((abs(r), token))
    chosen = [(r, t, j, role) for (j, role), found in sizes.items() for r, t in sorted(found, reverse=True)[:4]]
    return [Event(t, j, role) for _, t, j, role in sorted(chosen, reverse=True)]


def _members(layer: Any, kept: Any, token: int, row: int, clear: bool) -> list[tuple[int | None, int]]:
    args, _ = kept
    products: list[tuple[float, int | None, int]] = []
    bias = 0.0
    down = _down(layer)
    if hasattr(down, "down_proj"):
        hidden, index, weights = args[:3]
        for e, r in zip(index[token].tolist(), weights[token].tolist(), strict=True):
            gate, up = (hidden[token] @ down.gate_up_proj[e].T).chunk(2)
            x = down.act_fn(gate) * up
            products += [(r * p, e, k) for k, p in enumerate((x * down.down_proj[e, row]).tolist())]
    else:
        x = _flat(args[0])[token] * _matrix(layer, None)[row].double().numpy()
        products = [(p, None, k) for k, p in enumerate(x.tolist())]
        bias = 0.0 if down.bias is None else float(down.bias.data[row])
    whole = sum(p for p, _, _ in products)
    if abs(bias) > 0.5 * abs(whole + bias):
        return []
    return _prefix(sorted(products, key=lambda p: -p[0] / whole), whole, clear)


def _prefix(products: list[tuple[float, int | None, int]], whole: float, clear: bool) -> list[tuple[int | None, int]]:
    covered, members = 0.0, []
    for product, expert, col in products:
        members.append((expert, col, product / whole))
        covered += product / whole
        if covered >= 0.8:
            break
    if len(members) <= 4:
        return [(e, k) for e, k, share in members if share >= 0.1]
    return [(e, k) for e, k, share in members if clear and share >= 0.25]
