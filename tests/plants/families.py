"""Tiny random models of every family with two planted scalars: one that acts, and one that backs it up (masked).

Channel B is an indicator: 1 at `<s>` and 0 elsewhere, written by the embedding alone. Neuron k of layer 1 reads
only B and writes a massive value to channel J, whose size keeps the norms of all later layers from showing B. Later
layers put noise into the values that attention reads from B: harmless while J is massive. A neuron of layer 2 reads
B too, so it writes to J only where the first scalar is gone. The embedding (or the head) is then trained for
a moment, so that the noise costs likelihood.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from . import Plant, Scalar
from .disk import BOS, add_tokenizer, windows
from .wiring import HEADS, WIDTH, ZERO, Gated, Glm, Gpt2, Mixture, NeoX, Phi, Phi3, Starcoder, rows

LAYERS, VOCABULARY = 5, 512
FIRST, BACKUP = 1, 2
"""Layers of the two planted scalars."""
MASSIVE = 1000.0
GAIN = {True: 45.0, False: 400.0}
"""Of a norm behind the MLP at channel J, by whether the layer reads the residual without a norm."""
NOISE = 1500.0


SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": 256,
    "bos_token_id": BOS,
    "eos_token_id": 2,
    "pad_token_id": None,
}
GROUPED = {"num_key_value_heads": 2}


@dataclass(frozen=True)
class Family:
    """How a family's model is made and where its planted scalars lie."""

    cls: str
    wiring: Gated
    tensor: str
    """Name on disk of a down projection, with {layer} and {expert}."""
    width: int
    """F."""
    row: int
    cols: tuple[int, int]
    experts: tuple[int, int] = (0, 0)
    config: dict[str, Any] = field(default_factory=dict)
    sign: float = 1.0
    dtype: torch.dtype = torch.float32
    transposed: bool = False
    post_norm: bool = False
    no_input_norm: bool = False
    gain: float = 1.0
    """What a norm's weight is around."""


DOWN = "model.layers.{layer}.mlp.down_proj.weight"
EXPERT = "model.layers.{layer}.mlp.experts.{expert}.down_proj.weight"
POST: dict[str, Any] = {"post_norm": True, "no_input_norm": True}
TABLE = {
    "gemma": Family(
        "GemmaForCausalLM", Gated(), DOWN, 80, 11, (33, 62), config={"head_dim": 12, "num_key_value_heads": 1}, gain=0.0
    ),
    "gpt2": Family(
        "GPT2LMHeadModel", Gpt2(), "transformer.h.{layer}.mlp.c_proj.weight", 92, 37, (71, 5),
        config={"n_inner": 92}, sign=-1, transposed=True,
    ),
    "gpt_neox": Family(
        "GPTNeoXForCausalLM", NeoX(), "gpt_neox.layers.{layer}.mlp.dense_4h_to_h.weight", 76, 5, (40, 41),
        dtype=torch.float16,
    ),
    "llama": Family("LlamaForCausalLM", Gated(), DOWN, 80, 23, (7, 79), config=GROUPED, sign=-1),
    "mistral": Family("MistralForCausalLM", Gated(), DOWN, 84, 0, (83, 1), config=GROUPED, dtype=torch.bfloat16),
    "mixtral": Family(
        "MixtralForCausalLM", Mixture(), "model.layers.{layer}.block_sparse_moe.experts.{expert}.w2.weight",
        56, 19, (50, 3), experts=(10, 2), config={**GROUPED, "num_local_experts": 12, "num_experts_per_tok": 2},
    ),
    "olmo": Family("OlmoForCausalLM", Gated(), DOWN, 72, 41, (13, 14), config=GROUPED, sign=-1),
    "olmo2": Family("Olmo2ForCausalLM", Gated(), DOWN, 80, 8, (60, 61), config=GROUPED, **POST),
    "phi3": Family("Phi3ForCausalLM", Phi3(), DOWN, 64, 31, (2, 63), config=GROUPED),
    "qwen2": Family("Qwen2ForCausalLM", Gated(), DOWN, 88, 44, (20, 21), config=GROUPED),
    "qwen3": Family(
        "Qwen3ForCausalLM", Gated(), DOWN, 68, 3, (9, 67),
        config={**GROUPED, "head_dim": 16, "tie_word_embeddings": True}, sign=-1,
    ),
    "cohere": Family(
        "CohereForCausalLM", Gated(), DOWN, 76, 12, (5, 6), config={**GROUPED, "pad_token_id": 0, "logit_scale": 1.0}
    ),
    "gemma2": Family(
        "Gemma2ForCausalLM", Gated(), DOWN, 80, 21, (44, 45), sign=-1, post_norm=True, gain=0.0,
        config={**GROUPED, "head_dim": 12, "query_pre_attn_scalar": 12, "sliding_window": 64},
    ),
    "gemma3_text": Family(
        "Gemma3ForCausalLM", Gated(), DOWN, 92, 2, (90, 91), post_norm=True, gain=0.0,
        config={**GROUPED, "head_dim": 12, "query_pre_attn_scalar": 12, "sliding_window": 64},
    ),
    "glm": Family("GlmForCausalLM", Glm(), DOWN, 72, 40, (1, 71), config={**GROUPED, "head_dim": 12}, sign=-1),
    "granite": Family(
        "GraniteForCausalLM", Gated(), DOWN, 84, 16, (17, 18),
        config={**GROUPED, "residual_multiplier": 0.22, "embedding_multiplier": 2.0, "attention_multiplier": 0.2},
    ),
    "olmo3": Family(
        "Olmo3ForCausalLM", Gated(), DOWN, 76, 33, (8, 9), config={**GROUPED, "sliding_window": 64}, sign=-1,
        **POST,
    ),
    "olmoe": Family(
        "OlmoeForCausalLM", Mixture(), EXPERT, 60, 27, (59, 0), experts=(11, 7),
        config={**GROUPED, "num_experts": 12, "num_experts_per_tok": 4},
    ),
    "phi": Family("PhiForCausalLM", Phi(), "model.layers.{layer}.mlp.fc2.weight", 88, 6, (30, 31), sign=-1),
    "qwen3_moe": Family(
        "Qwen3MoeForCausalLM", Mixture(), EXPERT, 64, 36, (10, 11), experts=(2, 10), sign=-1,
        config={
            **GROUPED, "head_dim": 12, "num_experts": 12, "num_experts_per_tok": 3, "moe_intermediate_size": 64,
            "intermediate_size": 90, "norm_topk_prob": True,
        },
    ),
    "smollm3": Family("SmolLM3ForCausalLM", Gated(), DOWN, 68, 45, (60, 61), config=GROUPED),
    "stablelm": Family(
        "StableLmForCausalLM", Gated(), DOWN, 64, 18, (22, 23), config={**GROUPED, "partial_rotary_factor": 0.5}
    ),
    "starcoder2": Family(
        "Starcoder2ForCausalLM", Starcoder(), "model.layers.{layer}.mlp.c_proj.weight", 96, 38, (95, 94), config=GROUPED
    ),
}  # fmt: skip
INDICATOR = 29
TRAINING = (4, 101)
"""Windows and length that the head is trained on, and effects are measured on."""


def make(name: str, folder: Path) -> Plant:
    """Build, plant, train and save one family's checkpoint."""
    family = TABLE[name]
    torch.manual_seed(sorted(TABLE).index(name))
    model = _random(family)
    _silence(family, model)
    _plant(family, model)
    _train(family, model)
    model.to(family.dtype).save_pretrained(folder)
    add_tokenizer(folder)
    return Plant(folder, tuple(_scalars(family)))


def _scalars(family: Family) -> list[Scalar]:
    places = zip((FIRST, BACKUP), family.cols, family.experts, strict=True)
    made = []
    for layer, col, expert in places:
        index = (col, family.row) if family.transposed else (family.row, col)
        named = expert if isinstance(family.wiring, Mixture) else None
        made.append(Scalar(layer, family.row, col, family.tensor.format(layer=layer, expert=expert), index, named))
    return made[:1] if family.post_norm else made


def _random(family: Family) -> PreTrainedModel:
    cls = getattr(transformers, family.cls)
    intermediate = {} if "n_inner" in family.config else {"intermediate_size": family.width}  # GPT-2 has another name
    config = cls.config_class(**{**SIZES, **intermediate, **family.config})
    model: PreTrainedModel = cls(config).eval()
    for name, parameter in model.named_parameters():
        noise = torch.randn_like(parameter)
        if parameter.dim() == 1:
            is_gain = name.endswith("weight")
            parameter.data = family.gain + 0.2 * noise if is_gain else 0.1 * noise
        elif "emb" in name or "wte" in name or "wpe" in name:
            parameter.data = 0.5 * noise
        else:
            transposed = isinstance(model.get_submodule(name.rpartition(".")[0]), Conv1D)
            fan_in = parameter.shape[0] if transposed else parameter.shape[-1]
            parameter.data = 0.6 * noise / fan_in**0.5
    return model


def layers_of(model: Any) -> nn.ModuleList:
    """The decoder layers."""
    base = model.base_model
    found: nn.ModuleList = base.h if hasattr(base, "h") else base.layers
    return found


def _silence(family: Family, model: PreTrainedModel) -> None:
    """Let nothing but the plants write to J and B."""
    for channel in (family.row, INDICATOR, ZERO):
        for layer in layers_of(model):
            for matrix in [rows(family.wiring.attention(layer)), *family.wiring.downs(layer)]:
                matrix[channel] = 0
            for bias in family.wiring.biases(layer):
                bias[channel] = 0
        for embedding in _embeddings(model):
            embedding[:, channel] = 0
    for parameter in model.parameters():
        if parameter.shape == (WIDTH,):
            parameter.data[ZERO] = parameter.data[INDICATOR]  # norms must show both alike
    _embeddings(model)[0][BOS, INDICATOR] = 5.0


def _embeddings(model: Any) -> list[Tensor]:
    tables = [model.get_input_embeddings(), getattr(model.base_model, "wpe", None)]
    return [t.weight.data for t in tables if t is not None]


def _plant(family: Family, model: PreTrainedModel) -> None:
    wiring, layers = family.wiring, layers_of(model)
    for scalar in _scalars(family):
        wiring.fire(layers[scalar.layer], scalar.expert or 0, scalar.col, INDICATOR)
        wiring.downs(layers[scalar.layer])[scalar.expert or 0][:, scalar.col] = 0
    for scalar in reversed(_scalars(family)):
        _calibrate(family, model, scalar)
    for number, layer in enumerate(layers):
        if number > (FIRST if family.post_norm else BACKUP):
            values = wiring.values(layer)
            values[..., INDICATOR] = NOISE * torch.randn(values.shape[:-1]) / WIDTH**0.5
            if family.post_norm and not family.no_input_norm:
                layer.post_attention_layernorm.weight.data += 4.0  # let what attention reads count
    if family.no_input_norm:
        _cancel(family, model)


def _calibrate(family: Family, model: PreTrainedModel, scalar: Scalar) -> None:
    """Choose the scalar so that it writes MASSIVE at `<s>` (with every scalar planted so far still zero before it)."""
    matrix = family.wiring.downs(layers_of(model)[scalar.layer])[scalar.expert or 0]
    matrix[scalar.row, scalar.col] = 1.0
    written = float(_residuals(model)[scalar.layer + 1][0, 0, scalar.row])
    matrix[scalar.row, scalar.col] = family.sign * MASSIVE / written
    if family.post_norm:
        layers_of(model)[scalar.layer].post_feedforward_layernorm.weight.data[scalar.row] = GAIN[family.no_input_norm]
        matrix[scalar.row, scalar.col] = family.sign * 50.0 * abs(float(matrix[scalar.row, scalar.col])) / MASSIVE


def _residuals(model: PreTrainedModel) -> list[Tensor]:
    """Residuals (1, 1, D) of `<s>` alone, before each layer and behind the last but for the final norm."""
    kept: list[Tensor] = []
    hooks = [m.register_forward_hook(lambda _m, _a, out: kept.append(_tensor(out))) for m in layers_of(model)]
    with torch.no_grad():
        model(input_ids=torch.tensor([[BOS]]))
    for hook in hooks:
        hook.remove()
    return [kept[0], *kept]


def _tensor(out: Any) -> Tensor:
    return out[0] if isinstance(out, tuple) else out


def _cancel(family: Family, model: PreTrainedModel) -> None:
    """No norm hides B behind J here: let the values from J cancel those from B, and nothing else read J."""
    residuals = _residuals(model)
    for number in range(FIRST + 1, LAYERS):
        layer: Any = layers_of(model)[number]
        h = residuals[number][0, 0]
        for module in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.mlp.gate_proj, layer.mlp.up_proj):
            module.weight.data[:, family.row] = 0
        values = family.wiring.values(layer)
        values[:, family.row] = -values[:, INDICATOR] * h[INDICATOR] / h[family.row]


def _train(family: Family, model: Any, steps: int = 80) -> None:
    """Fit the embedding (where it is the head too) or the head to a few windows; J, B and `<s>` stay."""
    ids = windows(*TRAINING)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    weight = model.get_output_embeddings().weight.requires_grad_(True)
    optimizer = torch.optim.Adam([weight], lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        weight.grad[:, [family.row, INDICATOR, ZERO]] = 0
        weight.grad[BOS] = 0
        optimizer.step()
    weight.requires_grad_(False)
