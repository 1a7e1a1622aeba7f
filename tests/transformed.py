"""Copies of a Llama checkpoint that compute the same and store other numbers, and ordinary ones beside them.

Folding puts the gain of each norm into the matrices that read it (columns times gain) and leaves ones. Rotating turns
the residual stream by an orthogonal matrix after that, as QuaRot and SpinQuant's R1 do. Knows nothing of recipes.
"""

import math
from pathlib import Path

import torch
from torch import Tensor

from .plants.disk import config_of, plain, read, windows, write

READERS = {"input_layernorm": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")}
READERS["post_attention_layernorm"] = ("mlp.gate_proj", "mlp.up_proj")
WRITERS = ("self_attn.o_proj", "mlp.down_proj")
EMBEDDING, HEAD, LAST = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"
State = dict[str, Tensor]


def hadamard(size: int, seed: int = 0) -> Tensor:
    """Sylvester's matrix with random signs, orthogonal (size, size), size a power of two; float64."""
    matrix = torch.ones(1, 1, dtype=torch.float64)
    while matrix.shape[0] < size:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    signs = torch.randint(0, 2, (size,), generator=torch.Generator().manual_seed(seed)).double() * 2 - 1
    return matrix * signs[:, None] / math.sqrt(size)


def orthogonal(size: int, seed: int = 0) -> Tensor:
    """A random orthogonal matrix (size, size), float64."""
    return torch.linalg.qr(torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))[
        0
    ]


def folded(source: Path, out: Path) -> Path:
    """The gains of all norms put into what reads them; embedding and head are no longer the same."""
    return _write(source, out, _fold(_state(source)))


def rotated(source: Path, out: Path, rotation: Tensor) -> Path:
    """Folded, and the residual stream turned: channels h become h @ rotation (D, D)."""
    state = _fold(_state(source))
    readers = tuple(name for names in READERS.values() for name in names)
    for name, tensor in state.items():
        if any(f".{each}." in name for each in readers) or name in (EMBEDDING, HEAD):
            state[name] = tensor @ rotation
        elif any(f".{each}." in name for each in WRITERS):
            state[name] = rotation.T @ tensor
    return _write(source, out, state)


def partly_folded(source: Path, out: Path) -> Path:
    """Only the last norm folded into the head, as some conversions do: the layers are as they were."""
    state = _state(source)
    state[HEAD] = state[HEAD] * state[LAST]
    state[LAST] = torch.ones_like(state[LAST])
    return _write(source, out, state)


def cast(source: Path, out: Path, dtype: torch.dtype) -> Path:
    """Stored in another dtype."""
    name = str(dtype).removeprefix("torch.")
    return write(out, {**config_of(source), "dtype": name}, {n: t.to(dtype) for n, t in read(source).items()})


def tuned(source: Path, out: Path, steps: int = 4) -> Path:
    """Trained on for a few steps of Adam."""
    model, ids = plain(source).train(), windows(4, 64)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
    stored, held = read(source), model.state_dict()
    return write(out, config_of(source), {name: held[name].detach() for name in stored})


def scaled(source: Path, out: Path, layer: int, col: int, factor: float) -> Path:
    """One neuron's column of the down projection divided by a factor, its up row multiplied, as AWQ scales."""
    state = read(source)
    state[f"model.layers.{layer}.mlp.down_proj.weight"][:, col] /= factor
    state[f"model.layers.{layer}.mlp.up_proj.weight"][col] *= factor
    return write(out, config_of(source), state)


def _state(source: Path) -> State:
    """The tensors in float64, with a head of their own."""
    state = {name: tensor.double() for name, tensor in read(source).items()}
    return {**state, HEAD: state.get(HEAD, state[EMBEDDING]).clone()}


def _fold(state: State) -> State:
    for name in [n for n in state if "layernorm" in n]:
        layer, norm = name.removesuffix(".weight").rsplit(".", 1)
        for reader in READERS[norm]:
            state[f"{layer}.{reader}.weight"] = state[f"{layer}.{reader}.weight"] * state[name]
        state[name] = torch.ones_like(state[name])
    state[HEAD] = state[HEAD] * state[LAST]
    state[LAST] = torch.ones_like(state[LAST])
    return state


def _write(source: Path, out: Path, state: State) -> Path:
    config = {**config_of(source), "tie_word_embeddings": False}
    return write(out, config, {name: tensor.float() for name, tensor in state.items()})
