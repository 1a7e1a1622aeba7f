"""Data: how a published checkpoint's names and orientation differ from what save_pretrained of transformers writes."""

import re
from collections.abc import Callable

from torch import Tensor

Stored = tuple[str, Tensor]


def _experts_input_first(name: str, tensor: Tensor) -> Stored:
    """Fused experts (E, H, I) are published as (E, I, H)."""
    fused = re.search(r"language_model.*\.experts\.(down_proj|gate_up_proj)$", name)
    return name, tensor.mT.contiguous() if fused else tensor


def _renamed(pattern: str, to: str) -> Callable[[str, Tensor], Stored]:
    return lambda name, tensor: (re.sub(pattern, to, name), tensor)


PUBLISHED: dict[str, Callable[[str, Tensor], Stored]] = {
    # the dense layers are called mlp, only the sparse ones block_sparse_moe
    "kimi_linear": _renamed(r"\.block_sparse_moe\.((gate|up|down)_proj)", r".mlp.\1"),
    # the reverse of a renaming of the vision tower also takes the text layers
    "kimi_k25": _renamed(r"^language_model\.model\.blocks\.", "language_model.model.layers."),
    "qianfan_ocr": _renamed(r"^language_model\.model\.encoder\.layers\.", "language_model.model.layers."),
    "qwen3_vl_moe": _experts_input_first,
}
"""By model type what makes one stored tensor the published one."""

MEMORY_FORM = {
    "dbrx": "fused (E * I, H), as published",
    "gpt_oss": "fused (E, I, H), as the bfloat16 releases; MXFP4 ones hold down_proj_blocks and down_proj_scales",
    "granitemoe_swa": "no conversion is known to transformers",
    "hy_v4": "no conversion of the experts is known to transformers",
    "inkling_text": "the conversion is registered for the wrapper only (experts.w2_weight, experts.shared_w2_weight)",
    "jetmoe": "fused (E, H, I), as published",
    "llama4": "fused (E, I, H), as published",
    "llama4_text": "fused (E, I, H), as published",
    "minimax_m3_vl_text": "the conversion is registered for the wrapper only (block_sparse_moe.experts.N.w2)",
    "mistral4": "no conversion is known to transformers",
    "zaya": "no conversion is known to transformers",
}
"""Types whose experts save_pretrained writes fused and under their names in memory, and why."""
