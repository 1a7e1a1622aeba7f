"""From a tensor's name on disk to the expression that a person pastes. Standard library only.

Coordinates are kept by the file's tensor name; in memory transformers adds a prefix where the file lacks it and fuses
the experts of a layer into one parameter. Knows the names only, not the model.
"""

import re
from typing import Any

# name on disk begins with -> name in memory begins with (first match)
_PREFIXES = (
    ("h.", "transformer.h."),
    ("layers.", "model.layers."),
    ("backbone.layers.", "model.layers."),
    ("decoder.layers.", "model.decoder.layers."),
    ("language_model.model.layers.", "model.language_model.layers."),
)
_KEPT = {"Llama4ForConditionalGeneration"}
"""Architectures whose names in memory are those on disk, whatever they begin with."""
_WRAPPED = {
    "DeepseekOcr2ForConditionalGeneration",
    "HunYuanVLForConditionalGeneration",
    "PaddleOCRVLForConditionalGeneration",
    "Qwen2VLForConditionalGeneration",
    "Qwen2_5OmniThinkerForConditionalGeneration",
    "Qwen2_5_VLForConditionalGeneration",
    "Qwen3OmniMoeThinkerForConditionalGeneration",
    "UnlimitedOcrForConditionalGeneration",
}
"""Architectures with a tower for text, whose names on disk leave it out."""
_EXPERT = re.compile(r"(?P<mlp>.+)\.experts\.(?P<expert>\d+)\.(down_proj|w2)\.weight")
_RENAMED = {"block_sparse_moe": "mlp", "ffn": "mlp"}
# (what is in a name on disk, what stands in its place in memory)
_PARTS = (
    (re.compile(r"\.experts\.(fc2\.weight|w2_weight)$"), ".experts.down_proj"),
    (re.compile(r"\.block_sparse_moe\.output_linear\.weight$"), ".block_sparse_moe.experts.down_proj"),
    (re.compile(r"\.block_sparse_moe\.shared_experts\."), ".mlp.shared_experts."),
    (re.compile(r"\.ffn\.shared_experts\.w2\."), ".mlp.shared_experts.down_proj."),
)
_NAME = re.compile(r"[A-Za-z_]\w*(\.\w+)*")


def coordinate(weight: dict[str, Any], architecture: str | None = None) -> str:
    """The element as an expression on a transformers model, as `model.model.layers[1].mlp.down_proj.weight[7, 9]`."""
    tensor, index = weight["tensor"], list(weight["index"])
    if not is_name(tensor):
        return f"{tensor}{index}"
    held, expert = parameter(tensor, architecture)
    return f"model.{_attributes(held)}{index if expert is None else [expert, *index]}"


def is_name(tensor: str) -> bool:
    """Whether a tensor is called as an attribute of a model could be."""
    return _NAME.fullmatch(tensor) is not None


def parameter(tensor: str, architecture: str | None = None) -> tuple[str, int | None]:
    """What transformers calls a stored tensor, and which of the matrices there it is if it was fused with others."""
    if found := _EXPERT.fullmatch(tensor):
        parent, _, block = found["mlp"].rpartition(".")
        held = f"{parent}.{_RENAMED.get(block, block)}.experts.down_proj"
        return _in_memory(held, architecture), int(found["expert"])
    return _in_memory(tensor, architecture), None


def remarks(weights: list[dict[str, Any]]) -> list[str]:
    """What one must know before pasting these weights, a sentence each."""
    return [text for applies, text in _REMARKS if any(applies(w) for w in weights)]


def _is_transposed(weight: dict[str, Any]) -> bool:
    return list(weight["index"][-2:]) != [weight["row"], weight["col"]]


_REMARKS = (
    (
        lambda w: _EXPERT.fullmatch(w["tensor"]) is not None,
        "transformers 5 or newer holds the experts of a layer as one parameter, with index [expert, row, column]; in "
        "the file each expert has a tensor of its own, as ...experts.E.down_proj.weight[row, column].",
    ),
    (lambda w: len(w["index"]) == 3, "The index is for the tensor as stored; a model may hold it transposed."),
    (_is_transposed, "The tensor is stored as [in, out], so its index is [column, row]; L2[7,9] is row 7, column 9."),
)


def short(weight: dict[str, Any]) -> str:
    """The place in a few characters: `L1[7,9]` is layer 1, row 7, col 9; `L1.E5[7,9]` lies in expert 5."""
    expert = "" if weight.get("expert") is None else f".E{weight['expert']}"
    row, col = (":" if weight.get(at) is None else weight[at] for at in ("row", "col"))
    return f"L{weight['layer']}{expert}" + ("" if (row, col) == (":", ":") else f"[{row},{col}]")


def _in_memory(tensor: str, architecture: str | None) -> str:
    if architecture in _KEPT:
        return tensor
    for pattern, held in _PARTS:
        tensor = pattern.sub(held, tensor)
    for stored, held in _PREFIXES:
        if tensor.startswith(stored):
            tensor = held + tensor.removeprefix(stored)
            break
    tower = architecture in _WRAPPED and tensor.startswith("model.layers.")
    return f"model.language_{tensor}" if tower else tensor


def _attributes(name: str) -> str:
    """`a.1.b` as `a[1].b`."""
    return re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", name)
