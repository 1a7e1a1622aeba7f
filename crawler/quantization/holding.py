"""Which tensors of a model are rounded, and which scalars in them keep their value. Knows no grid."""

import hashlib
import random
from collections.abc import Iterable

from torch import nn
from transformers.pytorch_utils import Conv1D

from ..architectures.skeleton import Skeleton
from ..checkpoint.header import TensorInfo
from ..detection.ablate import whole_of
from ..detection.persistence import is_transient
from ..detection.run import Findings
from ..detection.weights import Place
from ..parts.weights import locate
from .view import Held

MATRICES = (nn.Linear, Conv1D)
ROUTERS = ("gate", "router", "wg", "shared_expert_gate")
"""Names of modules that choose experts: few numbers that quantizers leave alone."""
NONE, SUPER, LARGEST, RANDOM = "none", "super weights", "largest others", "random others"


def rounded_parameters(skeleton: Skeleton) -> list[str]:
    """Parameters that are rounded: matrices of linear modules and of experts in the decoder layers.

    Embedding, head, norms, biases, convolutions and routers are not: the paper rounds the weights of linear layers.
    """
    lists = tuple(f"{path}." for path in skeleton.paths)
    return [t for t in skeleton.placements if t.startswith(lists) and _is_matrix(skeleton.model, t)]


def _is_matrix(model: nn.Module, parameter: str) -> bool:
    path, _, leaf = parameter.rpartition(".")
    module = model.get_submodule(path)
    if path.rpartition(".")[2] in ROUTERS or model.get_parameter(parameter).dim() < 2:
        return False
    return (isinstance(module, MATRICES) and leaf == "weight") or "experts" in path.split(".")


def rounded_tensors(skeleton: Skeleton) -> tuple[str, ...]:
    """The stored tensors that these are made of."""
    placements = [skeleton.placements[t] for t in rounded_parameters(skeleton)]
    return tuple(i.name for p in placements for _, i in p.sources if len(i.shape) >= 2)


def super_weights(findings: Findings) -> list[Place]:
    """What is held out: finds that make or raise a super activation which lasts; no removers, no transients."""
    finds = list(findings.peeler.finds.values())
    lasting = {f.place for f in finds if not is_transient(f, findings.peeler.layers)}
    return sorted(whole_of(finds) & lasting, key=lambda p: (p.layer, p.site, p.expert or 0, p.row, p.col))


def on_disk(findings: Findings, places: Iterable[Place]) -> dict[str, list[tuple[int, ...]]]:
    """Places by stored tensor and index in it, also where experts are fused in memory or matrices lie transposed."""
    held: dict[str, list[tuple[int, ...]]] = {}
    for place in places:
        info, index = locate(findings, place)
        held.setdefault(info.name, []).append(index)
    return held


def largest_others(findings: Findings, held: Held) -> dict[str, list[tuple[int, ...]]]:
    """As many of the largest other |W| of the same tensors: the controls that the scan removed one at a time."""
    controls = on_disk(findings, findings.ablator.nulls if findings.ablator is not None else ())
    return {name: controls.get(name, [])[: len(indices)] for name, indices in held.items()}


def random_others(tensors: dict[str, TensorInfo], held: Held, draw: int) -> dict[str, list[tuple[int, ...]]]:
    """As many others of the same tensors, drawn by chance: the same for the same tensors and number of the draw."""
    found: dict[str, list[tuple[int, ...]]] = {}
    for name, indices in held.items():
        shape = tensors[name].shape
        drawing = random.Random(hashlib.sha256(f"{name} {draw}".encode()).hexdigest())
        taken = list(dict.fromkeys(indices))
        while len(taken) < 2 * len(indices):
            index = tuple(drawing.randrange(size) for size in shape)
            taken += [] if index in taken else [index]
        found[name] = taken[len(indices) :]
    return found
