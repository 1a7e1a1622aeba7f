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
    ("decoder.layers.", "model.decoder.layers."),
    ("language_model.model.layers.", "model.language_model.layers."),
)
_KEPT = {"Llama4ForConditionalGeneration"}
"""Architectures whose names in memory are those on disk, whatever they begin with."""
_EXPERT = re.compile(r"(?P<mlp>.+)\.experts\.(?P<expert>\d+)\.(down_proj|w2)\.weight")
_RENAMED = {"block_sparse_moe": "mlp"}
_NAME = re.compile(r"[A-Za-z_]\w*(\.\w+)*")


def coordinate(weight: dict[str, Any], architecture: str | None = None) -> str:
    """The element as an expression on a transformers model, as `model.model.layers[1].mlp.down_proj.weight[7, 9]`."""
    tensor, index = weight["tensor"], list(weight["index"])
    if not _NAME.fullmatch(tensor):
        return f"{tensor}{index}"
    if found := _EXPERT.fullmatch(tensor):
        parent, _, block = found["mlp"].rpartition(".")
        tensor = f"{parent}.{_RENAMED.get(block, block)}.experts.down_proj"
        index = [int(found["expert"]), *index]
    return f"model.{_attributes(_in_memory(tensor, architecture))}{index}"


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
    for stored, held in _PREFIXES:
        if tensor.startswith(stored):
            return held + tensor.removeprefix(stored)
    return tensor


def _attributes(name: str) -> str:
    """`a.1.b` as `a[1].b`."""
    return re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", name)
