"""A Llama checkpoint of about 1.1 billion random bfloat16 parameters (the shape of TinyLlama) with one spike planted.

The weights are noise, so the model says nothing; its size is real. One scalar of layer 1 is large, so that the scan
has something to find, to remove and to measure.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "vocab_size": 32000,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
SPIKE = ("model.layers.1.mlp.down_proj.weight", 7, 11, 60.0)
TOKENIZER = Path(__file__).parent.parent / "checkpoints" / "stories260k"


def shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Tensor names and shapes in the order of the file."""
    d, f, v, kv = 2048, 5632, 32000, 256
    yield "model.embed_tokens.weight", (v, d)
    for n in range(22):
        p = f"model.layers.{n}."
        yield p + "input_layernorm.weight", (d,)
        yield p + "self_attn.q_proj.weight", (d, d)
        yield p + "self_attn.k_proj.weight", (kv, d)
        yield p + "self_attn.v_proj.weight", (kv, d)
        yield p + "self_attn.o_proj.weight", (d, d)
        yield p + "post_attention_layernorm.weight", (d,)
        yield p + "mlp.gate_proj.weight", (f, d)
        yield p + "mlp.up_proj.weight", (f, d)
        yield p + "mlp.down_proj.weight", (d, f)
    yield "model.norm.weight", (d,)
    yield "lm_head.weight", (v, d)


def generate(folder: Path) -> Path:
    """Write the checkpoint into `folder` (2.2 GB), tensor by tensor."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(TOKENIZER / name, folder / name)
    header, at = {}, 0
    for name, shape in shapes():
        size = 2 * torch.Size(shape).numel()
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    torch.manual_seed(0)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes():
            file.write(_tensor(name, shape).view(torch.int16).numpy().tobytes())
    return folder


def _tensor(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    if len(shape) == 1:
        return torch.ones(shape, dtype=torch.bfloat16)
    scale = 0.02 if "embed" in name else 0.6 / shape[1] ** 0.5
    tensor = torch.empty(shape, dtype=torch.bfloat16).normal_(0, scale)
    if name == SPIKE[0]:
        tensor[SPIKE[1], SPIKE[2]] = SPIKE[3]
    return tensor
