"""What the table of cases needs beyond `trained`: the trained checkpoints edited into rarer ones, few lines each.

The channels that `trained` leaves free carry what is new. Nothing here knows the detector.
"""

import json
import math
from pathlib import Path

import torch
from torch import Tensor
from transformers import Qwen2MoeConfig

from . import Plant, Scalar, trained
from .disk import BOS, CHECKPOINTS, read, write
from .trained import (
    DOWN,
    LAYERS,
    NEURON,
    ONE,
    B,
    J,
    State,
    configured,
    creator,
    named,
    neuron,
    quiet,
    saved,
    scalar,
)

EMBEDDING = "model.embed_tokens.weight"
STOP, NEWLINE, COMMA, AND, LATE = 426, 13, 432, 269, 437
"""Tokens: a full stop, a newline, a comma, a word that the prompt has not, one near its end that the texts have not."""
SECOND_J, SECOND_B, SINK, SEEN = 65, 69, 66, 68
"""Unused channels: another massive one, its indicator, `<s>` for a planted head, what that head gives."""


def stored_as(dtype: torch.dtype, folder: Path) -> Plant:
    """The one super weight, stored in another dtype."""
    state = {n: t.to(dtype) for n, t in read(ONE).items()}
    return saved(folder, state, scalar(1, J, NEURON), dtype=str(dtype).removeprefix("torch."))


def many(parts: int, folder: Path) -> Plant:
    """So many nearly equal neurons on one channel, all of them named."""
    made = trained.spread(parts, folder)
    state = read(folder)
    state[DOWN.format(1)][J, 176:] *= torch.linspace(1.02, 0.98, parts)  # so that no sum stands on a threshold
    write(folder, trained.config_of(folder), state)
    return Plant(made.folder, tuple(scalar(1, J, 176 + n) for n in range(parts)))


def mostly(share: float, folder: Path) -> Plant:
    """One neuron writes this share of a spike a tenth as large, forty others the rest."""
    trained.spread(41, folder)
    state = read(folder)
    state[DOWN.format(1)][J, 176:] = 0.5 * torch.tensor([share, *[(1 - share) / 40] * 40])
    return saved(folder, state, scalar(1, J, 176), intermediate_size=176 + 41)


def on_token(token: int, folder: Path) -> Plant:
    """The super weight fires at a token of the text, not at `<s>`."""
    state = read(ONE)
    _move(state, token)
    return saved(folder, state, scalar(1, J, NEURON))


def _move(state: State, token: int) -> None:
    state[EMBEDDING][BOS, B], state[EMBEDDING][token, B] = 0.0, 1.0


def without_start(folder: Path) -> Plant:
    """The same on a full stop, with a tokenizer that puts no `<s>` in front."""
    made = on_token(STOP, folder)
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**tokenizer, "post_processor": None}), encoding="utf-8")
    return made


def _second(state: State, *, acts: bool) -> None:
    """Another spike, at full stops, on a channel of its own; `acts`: noise shows where it is gone."""
    state[EMBEDDING][STOP, SECOND_B] = 1.0
    for layer in range(LAYERS):
        for gain in ("input_layernorm", "post_attention_layernorm"):
            state[named(layer, gain)][[SECOND_J, SECOND_B]] = float(state[named(layer, gain)][B])
        for p in "kv" if acts else "":
            matrix = state[named(layer, f"self_attn.{p}_proj")]
            matrix[:, SECOND_J], matrix[:, SECOND_B] = matrix[:, J], matrix[:, B].flip(0)
    neuron(state, 1, NEURON + 1, {SECOND_B: creator(state)}, {SECOND_J: 5.0})


def two_spikes(acts: bool, folder: Path) -> Plant:
    """Two spikes on channels, neurons and tokens of their own; the second acts or not."""
    state = read(ONE)
    _second(state, acts=acts)
    return saved(folder, state, scalar(1, J, NEURON), scalar(1, SECOND_J, NEURON + 1))


def amplified(folder: Path, layer: int = 3, part: float = 0.4) -> Plant:
    """A later layer adds to what layer 1 made: so much of the whole."""
    state = read(ONE)
    neuron(state, layer, NEURON, {J: (1.0, 1.0)}, {J: part / (1 - part) * trained.WRITTEN / trained.SHOWN**2})
    return saved(folder, state, scalar(1, J, NEURON), scalar(layer, J, NEURON))


def late(folder: Path, layer: int = 3) -> Plant:
    """The super weight in a later layer; only the last one reads what its absence shows."""
    state = read(ONE)
    state[DOWN.format(1)][J, NEURON] = 0
    neuron(state, layer, NEURON, {B: creator(state)}, {J: 5.0})
    quiet(state, range(2, layer + 1))
    return saved(folder, state, scalar(layer, J, NEURON))


def chain(length: int, folder: Path) -> Plant:
    """So many masked backups one behind the other, each in a layer of its own; the trained layers follow."""
    state = read(ONE)
    for number in reversed(range(2, LAYERS)):
        _rename(state, number, number + length)
    for layer in range(2, 2 + length):
        for name in [n for n in state if n.startswith(f"model.layers.{LAYERS - 1 + length}.")]:
            idle = torch.zeros_like(state[name]) if "o_proj" in name or "down_proj" in name else state[name].clone()
            state[f"model.layers.{layer}.{name.split('.', 3)[3]}"] = idle
        quiet(state, range(layer, layer + 1))
        neuron(state, layer, NEURON, {B: creator(state)}, {J: 5.0})
    places = [scalar(layer, J, NEURON) for layer in range(1, 2 + length)]
    return saved(folder, state, *places, num_hidden_layers=LAYERS + length)


def _rename(state: State, old: int, new: int) -> None:
    for name in [n for n in state if n.startswith(f"model.layers.{old}.")]:
        state[name.replace(f".{old}.", f".{new}.")] = state.pop(name)


def inert(folder: Path) -> Plant:
    """The whole spike by one scalar, and nothing that its absence would show: removal gives the unedited model."""
    state = read(ONE)
    quiet(state, range(2, LAYERS))
    return saved(folder, state, scalar(1, J, NEURON))


def largest(folder: Path) -> Plant:
    """The largest weight of every matrix stands behind a neuron that never fires; no spike at all."""
    state = read(CHECKPOINTS / "stories260k")
    for layer in range(LAYERS):
        state[named(layer, "mlp.gate_proj")][3] = 0.0
        state[DOWN.format(layer)][7, 3] = 1000.0
    return Plant(write(folder, trained.config_of(CHECKPOINTS / "stories260k"), state), ())


def shared_expert(folder: Path) -> Plant:
    """Qwen2-MoE: Llama's MLP as the shared expert (its gate is a half, its output doubled), idle experts beside it."""
    torch.manual_seed(0)
    state = {n: t for n, t in trained.LAYOUTS["qwen2"][1](read(ONE)).items() if ".mlp." not in n}
    for name, tensor in read(ONE).items():
        if ".mlp." in name:
            state[name.replace(".mlp.", ".mlp.shared_expert.")] = tensor * (2.0 if "down_proj" in name else 1.0)
    for layer in range(LAYERS):
        mlp = f"model.layers.{layer}.mlp"
        state[f"{mlp}.shared_expert_gate.weight"] = torch.zeros(1, 72)
        state[f"{mlp}.gate.weight"] = 0.3 * torch.randn(4, 72)
        for expert in range(4):
            for p, size in (("gate", (8, 72)), ("up", (8, 72)), ("down", (72, 8))):
                state[f"{mlp}.experts.{expert}.{p}_proj.weight"] = 1e-3 * torch.randn(size)
            state[f"{mlp}.experts.{expert}.down_proj.weight"][64:] = 0
    sizes = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8}
    config = configured(Qwen2MoeConfig, "Qwen2MoeForCausalLM", shared_expert_intermediate_size=176, **sizes)
    name = "model.layers.1.mlp.shared_expert.down_proj.weight"
    return Plant(write(folder, config, state), (Scalar(1, J, NEURON, name, (J, NEURON)),))


def counted(least: float, sink: float, folder: Path) -> Plant:
    """A spike at a full stop where a planted head gives full stops at least so much of its attention; the rest goes to
    `<s>`, which counts as `sink` of them: with 1 a repeated full stop fires, with many only one without `<s>`."""
    state = read(ONE)
    config = _head(state)
    table = state[EMBEDDING]
    table[BOS, B], table[BOS, SINK], table[STOP, SECOND_B] = 0.0, 1.0, 1.0
    for name in (named(0, "input_layernorm"), named(1, "post_attention_layernorm")):
        state[name][[SINK, SECOND_B, SEEN]] = float(state[name][B])
    shown = {c: _shown(state, t, c) for t, c in ((BOS, SINK), (STOP, SECOND_B))}
    q, k, v, o = (state[named(0, f"self_attn.{p}_proj")] for p in "qkvo")
    q[64 + 3, SECOND_B] = 8**0.5 / shown[SECOND_B]
    k[32 + 3, SECOND_B], k[32 + 3, SINK] = 12.0 / shown[SECOND_B], (12.0 + math.log(sink)) / shown[SINK]
    v[32, SECOND_B] = 1.0 / shown[SECOND_B]
    o[SEEN, 64] = 1.0
    reads = {SEEN: (400.0, 0.0), SECOND_B: (-400.0 * least, 7.0)}
    neuron(state, 1, NEURON, reads, {J: 5.0, B: 0.0})
    neuron(state, 1, NEURON + 1, reads, {B: 5e-4})
    return saved(folder, state, scalar(1, J, NEURON), **config)


def _head(state: State) -> dict[str, int]:
    """Add four silent heads and two of keys and values to every layer."""
    for layer in range(LAYERS):
        for p, rows in (("q", 32), ("k", 16), ("v", 16)):
            old = state[named(layer, f"self_attn.{p}_proj")]
            state[named(layer, f"self_attn.{p}_proj")] = torch.cat([old, torch.zeros(rows, 72)])
        old = state[named(layer, "self_attn.o_proj")]
        state[named(layer, "self_attn.o_proj")] = torch.cat([old, torch.zeros(72, 32)], dim=1)
    return {"num_attention_heads": 12, "num_key_value_heads": 6}


def _shown(state: State, token: int, channel: int) -> float:
    """What the first norm shows of a channel at a token."""
    h: Tensor = state[EMBEDDING][token]
    return float((h * state[named(0, "input_layernorm")] / h.square().mean().sqrt())[channel])


def as_it_is(name: str, folder: Path) -> Plant:
    """One of the real checkpoints."""
    return Plant(write(folder, trained.config_of(CHECKPOINTS / name), read(CHECKPOINTS / name)), ())
