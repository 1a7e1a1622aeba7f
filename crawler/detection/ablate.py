"""Residual streams of the corpora in which chosen sets of scalars are treated, forked where their first weight is.

A set that grows in a later layer forks from the stream of what it was before, so every stream equals really treating
its set and rerunning. Controls fork likewise. What a treatment is stands in `treatments`. Knows nothing of loss.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..architectures.sites import Site
from . import constants as c
from .lockstep import Batch, carry
from .memory import ROWS
from .outliers import Outliers, without
from .peel import PEELED, LayerSeen
from .persistence import is_transient
from .side import fork, overwrite
from .treatments import CLASS_MEAN, MEAN, RESTORE, ZERO, Resident, Trial, scale, treat
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


def whole_of(finds: Iterable[Find]) -> PlaceSet:
    """Everything that is peeled: the joint set."""
    return frozenset(f.place for f in finds if f.role in PEELED)


def apart_of(finds: Iterable[Find]) -> dict[int, PlaceSet]:
    """For each of the first APART layers with peeled finds, the peeled finds of all other layers, where there are."""
    whole = whole_of(finds)
    layers = sorted({p.layer for p in whole})[: c.APART]
    rest = {layer: frozenset(p for p in whole if p.layer != layer) for layer in layers}
    return {layer: members for layer, members in rest.items() if members}


def settled(finds: Sequence[Find], layers: Sequence[LayerSeen]) -> dict[str, PlaceSet]:
    """The finds that last, where those of one whole layer turned out transient: `joint:without:L<layer>`, by id."""
    peeled = [f for f in finds if f.role in PEELED]
    passing = {f.place for f in peeled if is_transient(f, layers)}
    return {
        f"joint:without:L{layer}": members
        for layer, members in apart_of(finds).items()
        if whole_of(finds) - members == passing and len(members) > 1 and members not in groups_of(finds).values()
    }


@dataclass
class Ablator:
    """Carries the baseline, the wanted sets under each treatment, and the controls of the corpora through the layers.

    `shorter` are the first windows of each batch, on which the matched controls run; without it they run on all.
    """

    batches: list[Batch]
    singles: int = c.SINGLES
    controls: int = c.CONTROLS
    shorter: list[Batch] | None = None
    factors: tuple[float, ...] = ()
    baseline: Residuals = field(default_factory=list)
    ahead: Residuals = field(default_factory=list)
    """The baseline behind the resident layer, where it was made before the step: whoever watches it."""
    trials: dict[Trial, Residuals] = field(default_factory=dict)
    nulls: dict[Place, Residuals] = field(default_factory=dict)
    """Each on the windows of `shorter`."""
    outliers: Residuals = field(default_factory=list)
    """Without the largest other weights of every layer from the first peeled find on; empty before."""
    others: Outliers = field(init=False)
    _finds: list[Find] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.baseline = _clone([b.first for b in self.batches])
        self.others = Outliers(layers=len(self.batches[0].calls))

    def results(self, layers: Sequence[LayerSeen]) -> dict[Trial, Residuals]:
        """The final streams that say something: not those that were carried only because a set might have grown."""
        groups = set(groups_of(self._finds).values())
        sets = {frozenset([f.place]) for f in self._finds[: self.singles]} | groups
        zeroed = sets | set(settled(self._finds, layers).values())
        kept = {ZERO: zeroed, MEAN: sets, CLASS_MEAN: groups, RESTORE: groups}
        return {t: r for t, r in self.trials.items() if t.members in kept.get(t.treatment, {t.members})}

    @property
    def sets(self) -> dict[PlaceSet, Residuals]:
        """The streams in which a set is zeroed."""
        return {t.members: r for t, r in self.trials.items() if t.treatment == ZERO}

    def step(self, number: int, layer: nn.Module, sites: list[Site], new: list[Find]) -> None:
        """Take every stream through the resident layer in which `new` was found.

        Residuals are overwritten in place: long-lived memory that moves would be scattered among the short-lived.
        """
        self._finds += new
        self.trials = {t: self.trials.get(t) or self._fork(t, number) for t in self._wanted()}
        for place in self._new_controls(number, sites, new):
            self.nulls[place] = [fork(r, len(b.ids)) for r, b in zip(self.baseline, self._short, strict=True)]
        if not self.outliers and whole_of(self._finds):
            self.outliers, self.others.first = _clone(self.baseline), number
        self._unmodified(number, layer)
        self._treated(number, layer, sites)
        self._controlled(number, layer, sites)

    def _unmodified(self, number: int, layer: nn.Module) -> None:
        if not self.ahead:
            _through(number, layer, self.batches, self.baseline)
        for residual, after in zip(self.baseline, self.ahead, strict=False):
            overwrite(residual, after)
        self.ahead = []

    def _treated(self, number: int, layer: nn.Module, sites: list[Site]) -> None:
        texts = [Resident(number, layer, sites, b, a) for b, a in zip(self.batches, self.baseline, strict=True)]
        for trial, residuals in self.trials.items():
            for at, residual in zip(texts, residuals, strict=True):
                treat(trial, at, residual)

    def _controlled(self, number: int, layer: nn.Module, sites: list[Site]) -> None:
        for place, residuals in self.nulls.items():
            with removed(sites, [place] if place.layer == number else []):
                _through(number, layer, self._short, residuals)
        if self.outliers:
            with removed(sites, [f.place for f in self._finds if f.place.layer == number]):  # never among the others
                others = self.others.choose(number, layer)
            with without(layer, others):
                _through(number, layer, self.batches, self.outliers)

    @property
    def _short(self) -> list[Batch]:
        return self.batches if self.shorter is None else self.shorter

    def _fork(self, wanted: Trial, number: int) -> Residuals:
        """Where a set that did not run yet starts: the stream of the part of it that lies in earlier layers."""
        earlier = frozenset(p for p in wanted.members if p.layer < number)
        return _clone(self.trials[Trial(earlier, wanted.treatment)] if earlier else self.baseline)

    def _wanted(self) -> list[Trial]:
        """The first scalars alone, every group, and each channel so far: a later layer may add to it. Only groups are
        restored and class-averaged; the factors are for everything together."""
        alone = [frozenset([f.place]) for f in self._finds[: self.singles]]
        whole = whole_of(self._finds)
        rows = dict.fromkeys(f.place.row for f in self._finds if f.place in whole)
        channels = [frozenset(p for p in whole if p.row == r) for r in rows]
        groups = [*groups_of(self._finds).values(), *channels]
        apart = list(apart_of(self._finds).values())
        wanted = [(ZERO, [*alone, *groups, *apart]), (MEAN, [*alone, *groups])]
        wanted += [(CLASS_MEAN, groups), (RESTORE, groups)]
        wanted += [(scale(f), [whole] if whole else []) for f in self.factors]
        return list(dict.fromkeys(Trial(s, t) for t, sets in wanted for s in sets))

    def _new_controls(self, number: int, sites: list[Site], new: list[Find]) -> list[Place]:
        """The largest |W| outside the finds, of each matrix in which something new was found."""
        matrices = dict.fromkeys((f.place.site, f.place.expert) for f in new)
        found = {f.place for f in self._finds}
        return [p for s, e in matrices for p in self._largest(number, sites[s], s, e, found)]

    def _largest(self, number: int, site: Site, at: int, expert: int | None, found: set[Place]) -> list[Place]:
        weight = site.matrix(expert)
        wanted = self.controls + len(found)
        sizes, cols = _largest_by_row(weight, min(wanted, weight.shape[1]))  # sorting it all takes memory
        order = sizes.flatten().topk(min(wanted, sizes.numel())).indices.tolist()
        places = [Place(number, at, expert, i // cols.shape[1], int(cols.flatten()[i])) for i in order]
        return [p for p in places if p not in found][: self.controls]


def _largest_by_row(weight: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest |W| of each row, and their columns. In float32 whatever the weight is held in: which of equal
    numbers come first is not said."""
    found = [part.abs().float().topk(count, dim=1) for part in torch.split(weight, ROWS)]
    return torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])


def _through(number: int, layer: nn.Module, batches: list[Batch], residuals: Residuals) -> None:
    for batch, residual in zip(batches, residuals, strict=True):
        carry(layer, number, batch, residual)


def _clone(residuals: Residuals) -> Residuals:
    return [fork(r) for r in residuals]
