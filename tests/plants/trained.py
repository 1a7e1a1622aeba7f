"""The trained checkpoints with a planted super weight, repacked for other families and edited into other cases.

`stories260k-one` computes Llama with width 72, channel J = 67 massive at `<s>` from layer 1 on, indicator channel
B = 70 (1 in the embedding of `<s>` alone), channels 64 to 71 unused otherwise, neurons 172 to 175 of every layer free.
Families whose function contains Llama's give the same logits, so the perplexity ratios stated for it hold for them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    Phi3Config,
    PretrainedConfig,
    Qwen2Config,
)

from . import Plant, Scalar
from .disk import CHECKPOINTS, config_of, read, write

J, B, NEURON, LAYERS = 67, 70, 172, 5
WRITTEN = 400.0
"""What the planted scalar of `stories260k-one` writes to J."""
SHOWN = 8.0
"""What a norm shows of J while it is massive: sqrt(72) times the gain 0.9428."""
ONE = CHECKPOINTS / "stories260k-one"
PAIR = CHECKPOINTS / "stories260k-pair"
State = dict[str, Tensor]
DOWN = "model.layers.{}.mlp.down_proj.weight"


def named(layer: int, rest: str) -> str:
    return f"model.layers.{layer}.{rest}.weight"


# --- the same function in another family's layout ---


def configured(cls: type[PretrainedConfig], architecture: str, **more: Any) -> dict[str, Any]:
    llama = config_of(ONE)
    keys = (
        "vocab_size hidden_size head_dim intermediate_size num_hidden_layers num_attention_heads num_key_value_heads "
        "rms_norm_eps max_position_embeddings bos_token_id eos_token_id hidden_act tie_word_embeddings rope_parameters"
    )
    config = cls(**{k: llama[k] for k in keys.split()}, **more)
    return {**config.to_dict(), "architectures": [architecture], "dtype": "float32"}


def _as_qwen2(state: State) -> State:
    biases = {f"{n.removesuffix('weight')}bias": torch.zeros(t.shape[0]) for n, t in state.items() if _is_qkv(n)}
    return {**state, **biases}


def _is_qkv(name: str) -> bool:
    return any(f".{p}_proj." in name for p in "qkv")


def _as_phi3(state: State) -> State:
    fused = {n: t for n, t in state.items() if not _is_qkv(n) and "gate_proj" not in n and "up_proj" not in n}
    for layer in range(LAYERS):
        q, k, v = (state[named(layer, f"self_attn.{p}_proj")] for p in "qkv")
        gate, up = (state[named(layer, f"mlp.{p}_proj")] for p in ("gate", "up"))
        fused[named(layer, "self_attn.qkv_proj")] = torch.cat([q, k, v])
        fused[named(layer, "mlp.gate_up_proj")] = torch.cat([gate, up])
    return fused


EXPERTS, PLANTED_EXPERT = 4, 2


def _as_mixtral(state: State) -> State:
    """Identical experts, but for the planted scalars: only one expert has them, and `<s>` is routed to it."""
    torch.manual_seed(0)
    mixed = {n: t for n, t in state.items() if ".mlp." not in n}
    for layer in range(LAYERS):
        moe = f"model.layers.{layer}.block_sparse_moe"
        for expert in range(EXPERTS):
            for ours, theirs in (("gate", "w1"), ("down", "w2"), ("up", "w3")):
                copy = state[named(layer, f"mlp.{ours}_proj")].clone()
                if ours == "down" and expert != PLANTED_EXPERT:
                    copy[J] = 0
                mixed[f"{moe}.experts.{expert}.{theirs}.weight"] = copy
        router = 0.3 * torch.randn(EXPERTS, 72)
        router[:, [J, B]] = 0
        router[PLANTED_EXPERT, B] = 30.0
        mixed[f"{moe}.gate.weight"] = router
    return mixed


LAYOUTS: dict[str, tuple[dict[str, Any], Callable[[State], State], str]] = {
    "llama": (configured(LlamaConfig, "LlamaForCausalLM"), dict, DOWN),
    "mistral": (configured(MistralConfig, "MistralForCausalLM", sliding_window=None), dict, DOWN),
    "qwen2": (configured(Qwen2Config, "Qwen2ForCausalLM"), _as_qwen2, DOWN),
    "phi3": (configured(Phi3Config, "Phi3ForCausalLM", pad_token_id=None), _as_phi3, DOWN),
    "mixtral": (
        configured(MixtralConfig, "MixtralForCausalLM", num_local_experts=EXPERTS, num_experts_per_tok=2),
        _as_mixtral,
        f"model.layers.{{}}.block_sparse_moe.experts.{PLANTED_EXPERT}.w2.weight",
    ),
}
"""By family: its config, its tensors from Llama's, and what it calls a down projection on disk."""


def repacked(family: str, source: Path, cols: tuple[int, ...], folder: Path) -> Plant:
    """One of the trained checkpoints in the layout of a family."""
    config, pack, tensor = LAYOUTS[family]
    write(folder, config, pack(read(source)))
    expert = PLANTED_EXPERT if family == "mixtral" else None
    return Plant(folder, tuple(Scalar(1, J, c, tensor.format(1), (J, c), expert) for c in cols))


def two_experts(folder: Path) -> Plant:
    """Mixtral with the scalar in two experts; `<s>` is routed to both, with unequal weights."""
    config, pack, _ = LAYOUTS["mixtral"]
    state = pack(read(ONE))
    moe, second = "model.layers.1.block_sparse_moe", 1
    state[f"{moe}.experts.{second}.w2.weight"] = state[f"{moe}.experts.{PLANTED_EXPERT}.w2.weight"].clone()
    state[f"{moe}.gate.weight"][second] = state[f"{moe}.gate.weight"][PLANTED_EXPERT]
    state[f"{moe}.gate.weight"][second, B] -= 0.5
    write(folder, config, state)
    names = [(e, f"{moe}.experts.{e}.w2.weight") for e in (PLANTED_EXPERT, second)]
    return Plant(folder, tuple(Scalar(1, J, NEURON, name, (J, NEURON), e) for e, name in names))


# --- other cases, in Llama's layout ---


def scalar(layer: int, row: int, col: int) -> Scalar:
    return Scalar(layer, row, col, DOWN.format(layer), (row, col))


def saved(folder: Path, state: State, *scalars: Scalar, **config: Any) -> Plant:
    return Plant(write(folder, {**config_of(ONE), **config}, state), scalars)


Reads = dict[int, tuple[float, float]]


def neuron(state: State, layer: int, col: int, reads: Reads, writes: dict[int, float]) -> None:
    """Set a free neuron: by channel what gate and up read, by channel what it writes."""
    for channel, (gate, up) in reads.items():
        state[named(layer, "mlp.gate_proj")][col, channel] = gate
        state[named(layer, "mlp.up_proj")][col, channel] = up
    for channel, value in writes.items():
        state[DOWN.format(layer)][channel, col] = value


def quiet(state: State, layers: range) -> None:
    """Take the noise out of what attention reads from B in some layers."""
    for layer in layers:
        for p in "kv":
            state[named(layer, f"self_attn.{p}_proj")][:, B] = 0


def creator(state: State) -> tuple[float, float]:
    """What the planted neuron's gate and up read from B."""
    gate, up = (float(state[named(1, f"mlp.{p}_proj")][NEURON, B]) for p in ("gate", "up"))
    return gate, up


SIBLINGS = {67: 5.0, 65: -4.6, 68: 4.55, 66: -4.75}
"""Channel: weight. Near-equal, as in Llama-3.1-8B and Phi-3."""


def siblings(count: int, folder: Path) -> Plant:
    """One neuron that writes near-equal massive values to several channels; the function is kept."""
    state = read(ONE)
    values = dict(list(SIBLINGS.items())[:count])
    norm = sum(v * v for v in values.values()) ** 0.5
    neuron(state, 1, NEURON, {}, values)
    for layer in range(LAYERS):
        for channel in values:
            for gain in ("input_layernorm", "post_attention_layernorm"):
                state[named(layer, gain)][channel] = state[named(layer, gain)][B]
        for p in "kv":
            read_of_j = state[named(layer, f"self_attn.{p}_proj")]
            whole = read_of_j[:, J].clone()
            for channel, value in values.items():
                read_of_j[:, channel] = whole * value / norm
    return saved(folder, state, *(scalar(1, channel, NEURON) for channel in values))


def backup(folder: Path, last: int = 2) -> Plant:
    """A neuron of each layer from 2 to `last` that fires only where all scalars of earlier layers are gone."""
    state = read(ONE)
    later = range(2, last + 1)
    for layer in later:
        neuron(state, layer, NEURON, {B: creator(state)}, {J: 5.0})
    quiet(state, later)
    return saved(folder, state, *(scalar(layer, J, NEURON) for layer in (1, *later)))


def remover(folder: Path, layer: int = 3, keep: float = 0.4) -> Plant:
    """A neuron of a later layer that reads J and takes most of it away; the second scalar is the remover."""
    state = read(ONE)
    neuron(state, layer, NEURON, {J: (1.0, 1.0)}, {J: -(1 - keep) * WRITTEN / SHOWN**2})
    return saved(folder, state, scalar(1, J, NEURON), scalar(layer, J, NEURON))


def transient(folder: Path) -> Plant:
    """What layer 1 writes, layer 2 takes away: the first scalar is transient, the second its remover."""
    state = read(ONE)
    neuron(state, 2, NEURON, {J: (1.0, 1.0)}, {J: -WRITTEN / SHOWN**2})
    quiet(state, range(2, LAYERS))
    return saved(folder, state, scalar(1, J, NEURON), scalar(2, J, NEURON))


def passing(folder: Path) -> Plant:
    """Two neurons of layer 1 write near-equal massive values to two channels and stay; what a neuron of layer 2 writes
    to a third is taken away by one of layer 3: of four scalars the third is transient and the last its remover."""
    state = read(ONE)
    values, third = {67: 5.0, 66: -4.75}, 65
    norm = sum(v * v for v in values.values()) ** 0.5
    neuron(state, 1, NEURON + 1, {B: creator(state)}, {66: values[66]})
    for layer in range(LAYERS):
        for gain in ("input_layernorm", "post_attention_layernorm"):
            state[named(layer, gain)][[*values, third]] = float(state[named(layer, gain)][B])
        for p in "kv":
            read_of_j = state[named(layer, f"self_attn.{p}_proj")]
            whole = read_of_j[:, J].clone()
            for channel, value in values.items():
                read_of_j[:, channel] = whole * value / norm
    neuron(state, 2, NEURON + 2, {67: (1.0, 1.0)}, {third: WRITTEN / 32})
    neuron(state, 3, NEURON + 2, {third: (1.0, 1.0)}, {third: -WRITTEN / 22.17})
    scalars = [(1, 67, NEURON), (1, 66, NEURON + 1), (2, third, NEURON + 2), (3, third, NEURON + 2)]
    return saved(folder, state, *(scalar(*at) for at in scalars))


def spread(parts: int, folder: Path) -> Plant:
    """The same spike made by so many equal neurons of layer 1: no scalar is planted."""
    state = read(ONE)
    for layer in range(LAYERS):
        for p in ("gate", "up"):
            old = state[named(layer, f"mlp.{p}_proj")]
            state[named(layer, f"mlp.{p}_proj")] = torch.cat([old, torch.zeros(parts, old.shape[1])])
        old = state[DOWN.format(layer)]
        state[DOWN.format(layer)] = torch.cat([old, torch.zeros(old.shape[0], parts)], dim=1)
    reads = creator(state)
    state[DOWN.format(1)][J, NEURON] = 0
    for part in range(parts):
        neuron(state, 1, 176 + part, {B: reads}, {J: 5.0 / parts})
    return saved(folder, state, intermediate_size=176 + parts)


def by_bias(folder: Path) -> Plant:
    """The spike is the down projection's bias, at every token."""
    state = read(ONE)
    state[DOWN.format(1)][J, NEURON] = 0
    for name in [n for n in state if ".mlp." in n]:
        state[name.replace("weight", "bias")] = torch.zeros(state[name].shape[0])
    state["model.layers.1.mlp.down_proj.bias"][J] = WRITTEN
    return saved(folder, state, mlp_bias=True)


def by_attention(folder: Path) -> Plant:
    """The spike comes through attention: one value row reads B, the output projection writes it to J."""
    state = read(ONE)
    state[DOWN.format(1)][J, NEURON] = 0
    value, out = state[named(1, "self_attn.v_proj")], state[named(1, "self_attn.o_proj")]
    value[0] = 0
    value[0, B] = 50.0
    out[:, [0, 8]] = 0
    out[J, 0] = 8.0
    return saved(folder, state)


def by_embedding(folder: Path) -> Plant:
    """The spike is there before the first layer."""
    state = read(ONE)
    state[DOWN.format(1)][J, NEURON] = 0
    state["model.embed_tokens.weight"][1, J] = WRITTEN
    return saved(folder, state)


def explosive(folder: Path) -> Plant:
    """While J is massive a gate of layer 2 is shut; without it, its neuron overflows float32."""
    state = read(ONE)
    neuron(state, 2, NEURON, {B: (1e4, 1e38), J: (-100.0, 0.0)}, {64: 1.0})
    return saved(folder, state, scalar(1, J, NEURON))


def beyond_float16(folder: Path) -> Plant:
    """The spike is 80,000: above float16's largest number."""
    state = read(ONE)
    state[DOWN.format(1)][J, NEURON] *= 200
    return saved(folder, state, scalar(1, J, NEURON))


def rescaled(folder: Path, neuron: int, factor: float) -> Plant:
    """`stories260k-pair` with one neuron's up row times a factor and its down column divided by it."""
    state = read(PAIR)
    state[named(1, "mlp.up_proj")][neuron] *= factor
    state[DOWN.format(1)][:, neuron] /= factor
    return saved(folder, state, scalar(1, J, NEURON), scalar(1, J, NEURON + 1))


def permuted(folder: Path, order: Tensor) -> Plant:
    """`stories260k-pair` with its residual channels in another order (72,): new channel i is old order[i]."""
    state = read(PAIR)
    for name, tensor in state.items():
        writes = name.endswith(("o_proj.weight", "down_proj.weight"))
        state[name] = tensor[order] if writes or tensor.dim() == 1 else tensor[:, order]
    row = int((order == J).nonzero())
    return saved(folder, state, scalar(1, row, NEURON), scalar(1, row, NEURON + 1))
