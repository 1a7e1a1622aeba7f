"""Residual streams of the corpora in which chosen sets of scalars are removed, forked where their first weight is.

A set that grows in a later layer forks from the stream of what it was before, so every stream equals really zeroing
its set and rerunning. Controls fork likewise. Knows nothing of loss.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import Tensor, nn

from ..architectures.sites import Site
from . import constants as c
from .lockstep import Batch, advance
from .peel import PEELED
from .weights import Find, Place, removed

PlaceSet = frozenset[Place]
Residuals = list[Tensor]


def groups_of(finds: Iterable[Find]) -> dict[str, PlaceSet]:
    """The sets judged together, by id: neurons (layer, expert, col), channels (row, over layers), and everything.

    Only peeled finds; a set that equals an earlier one is not repeated, and a lone weight is a set only if it is in no
    larger one.
    """
    places = [f.place for f in finds if f.role in PEELED]
    named: dict[str, set[Place]] = {}
    for p in places:
        expert = "" if p.expert is None else f".E{p.expert}"
        named.setdefault(f"neuron:L{p.layer}{expert}.C{p.col}", set()).add(p)
    for p in places:
        named.setdefault(f"channel:R{p.row}", set()).add(p)
    if places:
        named["joint"] = set(places)
    unique: dict[PlaceSet, str] = {}
    for name, members in named.items():
        unique.setdefault(frozenset(members), name)
    return {n: s for s, n in unique.items() if len(s) > 1 or not any(s < other for other in unique)}


@dataclass
class Ablator:
    """Carries the baseline, the wanted sets and the controls of the corpora through the layers."""

    batches: list[Batch]
    singles: int = c.SINGLES
    controls: int = c.CONTROLS
    baseline: Residuals = field(default_factory=list)
    sets: dict[PlaceSet, Residuals] = field(default_factory=dict)
    nulls: dict[Place, Residuals] = field(default_factory=dict)
    _finds: list[Find] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.baseline = _clone([b.first for b in self.batches])

    def step(self, number: int, layer: nn.Module, sites: list[Site], new: list[Find]) -> None:
        """Take every stream through the resident layer in which `new` was found.

        Residuals are overwritten in place: long-lived memory that moves would be scattered among the short-lived.
        """
        self._finds += new
        self.sets = {w: self.sets.get(w) or self._fork(w, number) for w in self._wanted()}
        for place in self._new_controls(number, sites, new):
            self.nulls[place] = _clone(self.baseline)
        for members, residuals in self.sets.items():
            with removed(sites, [p for p in members if p.layer == number]):
                self._through(number, layer, residuals)
        for place, residuals in self.nulls.items():
            with removed(sites, [place] if place.layer == number else []):
                self._through(number, layer, residuals)
        self._through(number, layer, self.baseline)

    def _through(self, number: int, layer: nn.Module, residuals: Residuals) -> None:
        for batch, residual in zip(self.batches, residuals, strict=True):
            residual.copy_(advance(layer, number, batch, residual))

    def _fork(self, wanted: PlaceSet, number: int) -> Residuals:
        """Where a set that did not run yet starts: the stream of the part of it that lies in earlier layers."""
        earlier = frozenset(p for p in wanted if p.layer < number)
        return _clone(self.sets[earlier] if earlier else self.baseline)

    def _wanted(self) -> list[PlaceSet]:
        """The first scalars alone, every group, and each channel so far: a later layer may add to it."""
        alone = [frozenset([f.place]) for f in self._finds[: self.singles]]
        rows = dict.fromkeys(f.place.row for f in self._finds if f.role in PEELED)
        channels = [frozenset(f.place for f in self._finds if f.place.row == r and f.role in PEELED) for r in rows]
        return list(dict.fromkeys([*alone, *groups_of(self._finds).values(), *channels]))

    def _new_controls(self, number: int, sites: list[Site], new: list[Find]) -> list[Place]:
        """The largest |W| outside the finds, of each matrix in which something new was found."""
        matrices = dict.fromkeys((f.place.site, f.place.expert) for f in new)
        found = {f.place for f in self._finds}
        return [p for s, e in matrices for p in self._largest(number, sites[s], s, e, found)]

    def _largest(self, number: int, site: Site, at: int, expert: int | None, found: set[Place]) -> list[Place]:
        weight = site.matrix(expert)
        wanted = self.controls + len(found)
        sizes, cols = weight.abs().topk(min(wanted, weight.shape[1]), dim=1)  # by row: sorting it all takes memory
        order = sizes.flatten().topk(min(wanted, sizes.numel())).indices.tolist()
        places = [Place(number, at, expert, i // cols.shape[1], int(cols.flatten()[i])) for i in order]
        return [p for p in places if p not in found][: self.controls]


def _clone(residuals: Residuals) -> Residuals:
    return [r.clone() for r in residuals]
