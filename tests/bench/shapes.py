"""The shapes of the generated checkpoints: Llamas from 20 million to 69 billion bfloat16 parameters.

Knows configs, tensor names and how they are cut into files; what the tensors hold is in `content`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

SHARD = 5_000_000_000
"""Bytes of a file at most, as on the Hub."""
TOKENIZER = Path(__file__).parent.parent / "checkpoints" / "stories260k"


@dataclass(frozen=True)
class Shape:
    """The sizes of a Llama."""

    name: str
    width: int
    mlp: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int = 32000

    @property
    def config(self) -> dict[str, object]:
        """config.json."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": self.width,
            "intermediate_size": self.mlp,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": 2048,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "hidden_act": "silu",
            "bos_token_id": 1,
            "eos_token_id": 2,
            "tie_word_embeddings": False,
            "torch_dtype": "bfloat16",
        }

    @property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes in the order of the files."""
        return dict(self._tensors())

    def _tensors(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        d, f, kv = self.width, self.mlp, self.width // self.heads * self.kv_heads
        yield "model.embed_tokens.weight", (self.vocabulary, d)
        for n in range(self.layers):
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
        yield "lm_head.weight", (self.vocabulary, d)

    @property
    def parameters(self) -> int:
        """How many there are."""
        return sum(prod(s) for s in self.tensors.values())

    @property
    def layer(self) -> int:
        """Parameters of one layer."""
        return sum(prod(s) for n, s in self.tensors.items() if n.startswith("model.layers.0."))

    @property
    def files(self) -> dict[str, dict[str, tuple[int, ...]]]:
        """The tensors of each file: one, or shards of at most SHARD bytes."""
        shards: list[dict[str, tuple[int, ...]]] = [{}]
        for name, shape in self.tensors.items():
            if shards[-1] and 2 * sum(map(prod, [*shards[-1].values(), shape])) > SHARD:
                shards.append({})
            shards[-1][name] = shape
        if len(shards) == 1:
            return {"model.safetensors": shards[0]}
        return {f"model-{n:05}-of-{len(shards):05}.safetensors": shard for n, shard in enumerate(shards, 1)}

    @property
    def small_files(self) -> dict[str, bytes]:
        """Config, tokenizer and, where there are shards, their index."""
        found = {name: (TOKENIZER / name).read_bytes() for name in ("tokenizer.json", "tokenizer_config.json")}
        found["config.json"] = json.dumps(self.config).encode()
        if len(self.files) > 1:
            weight_map = {name: file for file, tensors in self.files.items() for name in tensors}
            found["model.safetensors.index.json"] = json.dumps({"metadata": {}, "weight_map": weight_map}).encode()
        return found


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("llama-20m", 384, 1024, 11, 6, 2, 4000),
        Shape("llama-0.1b", 768, 2048, 12, 12, 12),
        Shape("llama-0.35b", 1024, 2816, 24, 16, 16),
        Shape("llama-1.1b", 2048, 5632, 22, 32, 4),
        Shape("llama-7b", 4096, 11008, 32, 32, 32),
        Shape("llama-70b", 8192, 28672, 80, 64, 8),
    )
}
