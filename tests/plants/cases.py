"""Every kind of checkpoint with a known answer, as a table: what scanning must find, and what of it is a super weight.

A case's scalars are all that the criterion must name, in the order in which removal shows them. Its groups are the
super weights: smallest sets of them whose removal costs at least 1 nat per token. Both follow from how a case is made;
that the groups cost as much as they should is read from plainly loaded files, without the detector.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from transformers import Qwen2MoeConfig

from . import Plant, Scalar, families, trained
from .disk import BOS, CHECKPOINTS, read, write
from .trained import (
    DOWN,
    LAYERS,
    NEURON,
    ONE,
    PAIR,
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
Group = tuple[int, ...]
Maker = Callable[[Path], Plant]


@dataclass(frozen=True)
class Case:
    """A checkpoint, what must be found in it, and which of that are super weights."""

    make: Maker
    roles: tuple[str, ...] = ()
    """Of the plant's scalars, in their order."""
    groups: tuple[Group, ...] = ()
    """Super weights, as positions in the plant's scalars."""
    weak: tuple[Group, ...] = ()
    """What costs less, but more than 0.05 nat."""
    bos: bool = True
    """Whether they show in text that begins with `<s>`."""
    refused: bool = False
    unfound: str = ""
    """Why the scalars are not all found, where they are not."""
    unmeasured: str = ""
    """Why a super weight that is found is not confirmed, where it is not."""


# --- what the table needs beyond `trained` ---


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


# --- the table ---

MADE = "creator"
LONE: tuple[Group, ...] = ((0,),)


def _lone(make: Maker) -> Case:
    return Case(make, (MADE,), LONE)


def _together(count: int, make: Maker) -> Case:
    return Case(make, (MADE,) * count, (tuple(range(count)),))


CASES: dict[str, Case] = {
    "one": _lone(partial(trained.repacked, "llama", ONE, (NEURON,))),
    "bfloat16": _lone(partial(stored_as, torch.bfloat16)),
    "float16": _lone(partial(stored_as, torch.float16)),
    "fused projections": _lone(partial(trained.repacked, "phi3", ONE, (NEURON,))),
    "in a late layer": _lone(late),
    "pair": _together(2, partial(trained.repacked, "llama", PAIR, (NEURON, NEURON + 1))),
    "four neurons on a channel": _together(4, partial(many, 4)),
    "five neurons on a channel": _together(5, partial(many, 5)),
    **{f"siblings {n}": _together(n, partial(trained.siblings, n)) for n in (2, 3, 4)},
    "masked": _together(2, trained.backup),
    "chain of three": _together(3, partial(trained.backup, last=3)),
    "chain of five": _together(5, partial(chain, 4)),
    "chain of six": replace(
        _together(6, partial(chain, 5)), unfound="ROUNDS: the sixth is looked for in round five; `converged` says no"
    ),
    "amplified": Case(amplified, (MADE, "amplifier"), LONE),
    "expert": _lone(partial(trained.repacked, "mixtral", ONE, (NEURON,))),
    "two experts": _together(2, trained.two_experts),
    "shared expert": _lone(shared_expert),
    "behind a norm (olmo2)": _lone(partial(families.make, "olmo2")),
    "behind two norms, half lost (gemma2)": Case(partial(families.make, "gemma2"), (MADE,), weak=LONE),
    "Conv1D (gpt2)": _together(2, partial(families.make, "gpt2")),
    "parallel, float16 (gpt_neox)": _together(2, partial(families.make, "gpt_neox")),
    "bfloat16, masked (mistral)": _together(2, partial(families.make, "mistral")),
    "expert, masked (mixtral)": _together(2, partial(families.make, "mixtral")),
    "two spikes": Case(partial(two_spikes, True), (MADE, MADE), ((0,), (1,))),
    "beside an inert one": Case(partial(two_spikes, False), (MADE, MADE), LONE),
    "beyond float16": _lone(trained.beyond_float16),
    "overflow without it": _lone(trained.explosive),
    "with a remover": Case(trained.remover, (MADE, "remover"), LONE),
    "on a full stop": _lone(partial(on_token, STOP)),
    "on a newline": _lone(partial(on_token, NEWLINE)),
    "no <s> at all": Case(without_start, (MADE,), LONE, bos=False),
    "on a repeated token": _lone(partial(counted, 0.58, 1.0)),
    "only without <s>": Case(
        partial(counted, 0.9, 400.0),
        (MADE,),
        LONE,
        bos=False,
        unmeasured="effects are measured on windows that begin with <s> where the tokenizer puts it there",
    ),
    "on a comma": replace(
        _lone(partial(on_token, COMMA)),
        unfound="the first comma is beyond the 64 tokens watched of this tokenizer's prompt",
    ),
    "on a word not watched": replace(
        _lone(partial(on_token, AND)),
        unfound="events are looked for in the prompt only, and it does not have this word",
    ),
    "stories260k": Case(partial(as_it_is, "stories260k")),
    "aidreams260k": Case(partial(as_it_is, "aidreams260k")),
    "relullama-260k": Case(partial(as_it_is, "relullama-260k"), refused=True),
    "inert, 100 % share": Case(inert, (MADE,)),
    "late, not in the texts": Case(partial(on_token, LATE), (MADE,)),
    "transient": Case(trained.transient, ("transient", "remover")),
    "largest |W|": Case(largest),
    "six neurons": Case(partial(trained.spread, 6)),
    "eight neurons": Case(partial(trained.spread, 8)),
    "twelve neurons": Case(partial(trained.spread, 12)),
    "by a bias": Case(trained.by_bias),
    "by attention": Case(trained.by_attention),
    "by the embedding": Case(trained.by_embedding),
}
