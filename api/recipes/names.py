"""What a stored tensor is called elsewhere: in transformers' memory, taken apart again, and in GGUF.

Knows names only, no model. Held against the real tools in TOOLS.md.
"""

import re
from dataclasses import dataclass

from ...schema.errors import SwindexError
from ..paste import is_name, parameter

NUMBER = re.compile(r"(?:^|\.)(?:layers|h|blocks|block|layer)\.(\d+)\.")
"""The number of a layer in the name of one of its tensors."""
_EXPERTS = re.compile(r"(?:^|\.)(?:experts|moe)\.|\.(?:block_sparse_moe|mlp)\.output_linear(?:\.|$)")
# GGUF's word for a down projection by what the disk name has in it (first match)
_GGUF = (
    (re.compile(r"(?:^|\.)(?:share_expert|shared_experts?|shared_mlp)\."), "ffn_down_shexp"),
    (_EXPERTS, "ffn_down_exps"),
    (re.compile(r"\.fc2_latent_proj\."), "ffn_latent_up"),
    (re.compile(r""), "ffn_down"),
)


class UnnamedTensor(SwindexError):
    """A tensor whose name no tool could have."""


@dataclass(frozen=True)
class Names:
    """One stored matrix under its several names."""

    disk: str
    parameter: str
    """In a model that transformers built; that of all experts where it holds them as one."""
    module: str
    """The module that owns the parameter."""
    unfused: str
    """The module that a tool gives it which takes experts apart; else the same as `module`."""
    gguf: str
    """The tensor in a GGUF file; that of all experts of the layer."""
    is_expert: bool
    """Whether it is held together with the matrices of other experts."""


def names_of(tensor: str, expert: int | None = None, architecture: str | None = None) -> Names:
    """The names of a down projection on disk; raise UnnamedTensor."""
    number = NUMBER.search(tensor)
    if not is_name(tensor) or number is None:
        raise UnnamedTensor(f"tensor {tensor[:100]!r}: not the name of a layer's weight, so no tool can be told of it")
    held, _ = parameter(tensor, architecture)
    module = held.rpartition(".")[0]
    owner = module if module.endswith(".experts") else f"{module}.experts"
    return Names(
        disk=tensor,
        parameter=held,
        module=module,
        unfused=f"{owner}.{expert}.down_proj" if is_fused(tensor) and expert is not None else module,
        gguf=f"blk.{number[1]}.{gguf_word(tensor)}.weight",
        is_expert=is_fused(tensor),
    )


def is_fused(tensor: str) -> bool:
    """Whether transformers holds it together with the matrices of other experts."""
    return gguf_word(tensor) == "ffn_down_exps"


def gguf_word(tensor: str) -> str:
    """GGUF's word for a down projection."""
    return next(word for pattern, word in _GGUF if pattern.search(tensor))
