"""What can be put in the place of a set of scalars while a layer is resident, as a table: zero, a factor, a mean, a
restored activation.

Each entry takes one residual of one text through the layer. A set that spans layers is treated layer by layer, on the
stream in which its earlier members are treated already. Knows nothing of which sets are of interest, nor of loss.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...schema.types import Intervention
from ..architectures.sites import Site, scaled
from ..products.narrow import widened
from .lockstep import Batch, advance
from .massive import massive
from .weights import Place, removed


@dataclass(frozen=True)
class Treatment:
    """What is done to the members of a set."""

    kind: Intervention
    factor: float | None = None
    """Put on each W[j, k]; only for `scale`."""


ZERO = Treatment(Intervention.ZERO)
MEAN = Treatment(Intervention.MEAN)
CLASS_MEAN = Treatment(Intervention.CLASS_MEAN)
RESTORE = Treatment(Intervention.RESTORE)


def scale(factor: float) -> Treatment:
    """Multiply each member by a factor."""
    return Treatment(Intervention.SCALE, factor)


@dataclass(frozen=True)
class Trial:
    """A set of scalars and what is done to it: what one stream is."""

    members: frozenset[Place]
    treatment: Treatment = ZERO


@dataclass(frozen=True)
class Resident:
    """The layer that is resident, and one text's call of it."""

    number: int
    layer: nn.Module
    sites: list[Site]
    batch: Batch
    after: Tensor
    """The unmodified residual (B, T, D) behind the layer."""

    def run(self, residual: Tensor) -> Tensor:
        """The residual (B, T, D) behind the layer as it now stands."""
        return advance(self.layer, self.number, self.batch, residual)

    def without(self, places: list[Place], residual: Tensor) -> Tensor:
        """The same with these scalars zeroed."""
        with removed(self.sites, places):
            return self.run(residual)


def treat(trial: Trial, at: Resident, residual: Tensor) -> Tensor:
    """Take the residual (B, T, D) of a trial through the resident layer."""
    here = [p for p in trial.members if p.layer == at.number]
    return _TABLE[trial.treatment.kind](at, here, trial.treatment, residual) if here else at.run(residual)


def _zero(at: Resident, here: list[Place], _: Treatment, residual: Tensor) -> Tensor:
    return at.without(here, residual)


def _scale(at: Resident, here: list[Place], treatment: Treatment, residual: Tensor) -> Tensor:
    with ExitStack() as stack:
        for name in {at.sites[p.site].parameter for p in here}:
            stack.enter_context(widened(at.layer, name))  # a factor may give what bfloat16 does not hold
        views = [at.sites[p.site].matrix(p.expert)[p.row, p.col : p.col + 1] for p in here]
        stack.enter_context(scaled(views, treatment.factor or 0.0))
        return at.run(residual)


def _mean(at: Resident, here: list[Place], _: Treatment, residual: Tensor) -> Tensor:
    """What the members write on this stream (with them minus without), in its mean over every token of every window
    of the text, at each token. Routing weights, multipliers and a norm behind the write are in the difference."""
    cut = at.without(here, residual)
    written = at.run(residual).sub_(cut)
    return cut.add_(_mean_of(written, torch.ones(written.shape[:-1], dtype=torch.bool, device=written.device)))


def _class_mean(at: Resident, here: list[Place], _: Treatment, residual: Tensor) -> Tensor:
    """The same with two means: over the tokens where a member's channel is massive in the unmodified residual behind
    the layer, and over all others (Sun et al. 2024 replace massive activations by their own mean)."""
    cut = at.without(here, residual)
    written = at.run(residual).sub_(cut)
    spiked = massive(at.after.flatten(0, -2)).view(at.after.shape)[..., [p.row for p in here]].any(-1)
    for tokens in (spiked, ~spiked):
        _fill(cut, tokens, _mean_of(written, tokens))
    return cut


def _mean_of(vectors: Tensor, tokens: Tensor) -> Tensor:
    """The mean (D,) of those vectors (B, ..., D) that a mask (B, ...) picks, summed in float64, window by window: a
    copy of them all takes memory."""
    sums = [one[mask].sum(dim=0, dtype=torch.float64) for one, mask in zip(vectors, tokens, strict=True)]
    return (torch.stack(sums).sum(0) / tokens.count_nonzero()).to(vectors.dtype)


def _fill(vectors: Tensor, tokens: Tensor, mean: Tensor) -> None:
    """Add a mean (D,) where the mask says so."""
    for one, mask in zip(vectors, tokens, strict=True):
        one[mask] += mean


def _restore(at: Resident, here: list[Place], _: Treatment, residual: Tensor) -> Tensor:
    """Zeroed; but where a member's channel is massive in the unmodified residual behind the layer, its value there.
    The paper's "prune, restore activation" (Table 1)."""
    cut = at.without(here, residual)
    stood = massive(at.after.flatten(0, -2)).view(at.after.shape)
    for row in {p.row for p in here}:
        cut[..., row] = torch.where(stood[..., row], at.after[..., row], cut[..., row])
    return cut


_TABLE: dict[Intervention, Callable[[Resident, list[Place], Treatment, Tensor], Tensor]] = {
    Intervention.ZERO: _zero,
    Intervention.SCALE: _scale,
    Intervention.MEAN: _mean,
    Intervention.CLASS_MEAN: _class_mean,
    Intervention.RESTORE: _restore,
}
