"""How many bits llama.cpp stores a tensor in: which type a mixture gives it, by its role and layer.

Written from llama-quantize's rules for Q4_K_M and Q8_0 and held against its output (TOOLS.md). Models for which it has
rules of their own are not known here: for them `llama-quantize --dry-run` tells.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from .names import NUMBER

BLOCKS = {"Q4_K": (256, 1152), "Q6_K": (256, 1680), "Q8_0": (32, 272), "Q5_0": (32, 176)}
"""Type: weights of a block, and its bits."""
_FALLBACK = {"Q4_K": "Q5_0", "Q6_K": "Q8_0"}
"""What stands in where a row is no whole number of blocks."""
# (what the disk name has in it, its role), first match
_ROLES = (
    (re.compile(r"(^|\.)(embed_tokens|wte|word_embeddings|embed_in|tok_embeddings)\.weight$"), "embedding"),
    (re.compile(r"(^|\.)(lm_head|embed_out|output)\.weight$"), "output"),
    (re.compile(r"\.(v_proj|wv|value|qkv_proj|query_key_value|c_attn|Wqkv|qkv)\.weight$"), "value"),
    (re.compile(r"\.(down_proj|w2|fc2|dense_4h_to_h|fc_out|output_linear|ff_out|Wo)(\.weight)?$"), "down"),
    (re.compile(r"\.mlp\.c_proj\.weight$"), "down"),
)
_SPECIAL = frozenset({"falcon"})


@dataclass(frozen=True)
class Whole:
    """What the rules ask of the model."""

    layers: int
    tied: bool
    model_type: str | None = None
    experts: int = 0
    latent: bool = False
    """Whether keys and values come from a latent vector (`kv_b_proj`), which the conversion takes apart."""

    @property
    def is_special(self) -> bool:
        """Whether llama-quantize has rules of its own for it: Falcon, eight experts, 80 layers."""
        return self.model_type in _SPECIAL or self.experts == 8 or self.layers == 80 or self.latent


def bits_of(scheme: str, name: str, shape: tuple[int, ...], whole: Whole, kept: Collection[int] = ()) -> int:
    """Bits of a tensor of two axes or more; `kept`: layers whose down projection has a type of its own.

    Without experts llama-quantize counts the down projections that it chooses a type for, and takes that for the layer:
    each that is kept moves the later ones up by one.
    """
    rows, cols = 1, shape[-1]
    for size in shape[:-1]:
        rows *= size
    kind = "Q8_0" if scheme == "Q8_0" else _mixed(name, whole, kept)
    if cols % BLOCKS[kind][0]:
        kind = _FALLBACK.get(kind, kind)
    weights, bits = BLOCKS[kind]
    return 16 * rows * cols if cols % weights else rows * (cols // weights) * bits


def _mixed(name: str, whole: Whole, kept: Collection[int]) -> str:
    """The type that Q4_K_M gives a tensor."""
    role = next((role for pattern, role in _ROLES if pattern.search(name)), "")
    if role == "output" or (role == "embedding" and whole.tied):
        return "Q6_K"
    number = NUMBER.search(name)
    if role not in ("down", "value") or number is None:
        return "Q4_K"
    layer = int(number[1])
    before = sum(each < layer for each in kept) if role == "down" and not whole.experts else 0
    return "Q6_K" if _has_more(layer - before, whole.layers) else "Q4_K"


def _has_more(layer: int, layers: int) -> bool:
    """The first and last eighth of the layers, and every third between."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2
