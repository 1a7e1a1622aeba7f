"""The largest weights of a layer outside the finds, removed together: what removing many large weights costs.

Yu et al. (2024, Table 1) prune the 7,000 largest weights of the whole model other than the super weight. A scan that
sees one layer at a time cannot rank all layers against each other, so this control differs from theirs: every layer
from that of the first find on gives an equal share of OUTLIERS, its own largest |W|, over all parameters of two or
more axes (attention, MLP, experts, routers); layers before it, embedding and head give none. In small models a layer
gives at most OUTLIER_PART of its weights; what was removed is counted.

Selection is exact and reads each weight once, in blocks of 1 MB. Knows nothing of streams.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..products.narrow import held
from . import constants as c

BLOCK = 1 << 18
"""Weights looked at together."""
Chosen = dict[str, Tensor]
"""By parameter name the flat positions (n,), ascending."""


@dataclass
class Outliers:
    """How many weights each layer gives, and which it gave."""

    layers: int
    first: int | None = None
    """The layer of the first find."""
    wanted: int = c.OUTLIERS
    count: int = 0
    _digest: Any = field(default_factory=hashlib.sha256)

    @property
    def digest(self) -> str:
        """sha256 over a line `<layer>.<parameter>[<index>, ...]` for each weight removed, in transformers' names and
        memory layout; by layer, then parameter, then index."""
        return str(self._digest.hexdigest())

    def choose(self, number: int, layer: nn.Module) -> Chosen:
        """The share of the resident layer. Weights that are zero meanwhile, as the finds should be, are never in it."""
        chosen = largest(layer, self._share(number, layer))
        for name, at in chosen.items():
            self._note(number, name, layer.get_parameter(name), at)
        return chosen

    def _share(self, number: int, layer: nn.Module) -> int:
        first = number if self.first is None else self.first
        left, at = self.layers - first, number - first
        share = self.wanted * (at + 1) // left - self.wanted * at // left
        return min(share, int(c.OUTLIER_PART * sum(p.numel() for _, p in _matrices(layer))))

    def _note(self, number: int, name: str, parameter: Tensor, at: Tensor) -> None:
        self.count += at.numel()
        for index in torch.stack(torch.unravel_index(at, parameter.shape), dim=1).tolist():
            self._digest.update(f"{number}.{name}{index}\n".encode())


def largest(layer: nn.Module, count: int) -> Chosen:
    """The `count` largest |W| of a layer, zeros excepted; of equal ones the first, by parameter, then position."""
    matrices = _matrices(layer)
    best = _Best(count)
    start = 0
    for _, matrix in matrices:
        for at in range(0, matrix.numel(), BLOCK):
            best.look(matrix.view(-1)[at : at + BLOCK], start + at)
        start += matrix.numel()
    return _by_name(matrices, best.taken())


@contextmanager
def without(layer: nn.Module, chosen: Chosen) -> Iterator[None]:
    """The resident layer with these weights zeroed; afterwards it holds exactly the bits it held."""
    flat = {name: held(layer.get_parameter(name)).view(-1) for name in chosen}
    kept = {name: flat[name][at] for name, at in chosen.items()}
    for name, at in chosen.items():
        flat[name][at] = 0.0
    try:
        yield
    finally:
        for name, at in chosen.items():
            flat[name][at] = kept[name]


def _matrices(layer: nn.Module) -> list[tuple[str, Tensor]]:
    return [(n, held(p)) for n, p in layer.named_parameters() if p.dim() >= 2]


def _by_name(matrices: list[tuple[str, Tensor]], taken: Tensor) -> Chosen:
    found, start = {}, 0
    for name, matrix in matrices:
        mine = taken[(taken >= start) & (taken < start + matrix.numel())] - start
        if mine.numel():
            found[name] = mine.sort().values
        start += matrix.numel()
    return found


class _Best:
    """The largest |values| seen so far and where they stood; those above the smallest of them are looked at only."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.least = 0.0
        self.sizes = torch.empty(0)
        self.places = torch.empty(0, dtype=torch.int64)

    def look(self, values: Tensor, start: int) -> None:
        """Take what counts of a block whose first value stands at `start`."""
        sizes = values.abs().float()
        if not self.count or not bool(sizes.amax() > self.least):
            return
        at = (sizes > self.least).nonzero().flatten()
        if at.numel() > self.count:  # all that may count are at least as large as the count-th of them
            at = (sizes >= sizes.topk(self.count).values[-1]).nonzero().flatten()
        self.sizes = torch.cat([self.sizes.to(sizes), sizes[at]])
        self.places = torch.cat([self.places.to(at), at + start])
        self._cut()

    def taken(self) -> Tensor:
        """The positions taken."""
        return self.places

    def _cut(self) -> None:
        order = self.sizes.argsort(descending=True, stable=True)[: self.count]
        self.sizes, self.places = self.sizes[order], self.places[order]
        if len(self.sizes) == self.count:
            self.least = float(self.sizes[-1])
