"""What can be put in the place of a set of scalars while a layer is resident, as a table: zero, a factor, a mean, a
restored activation.

Each entry takes one residual of one text through the layer. A set that spans layers is treated layer by layer, on the
stream in which its earlier members are treated already. Knows nothing of which sets are of interest, nor of loss.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...schema.types import Intervention
from ..architectures.sites import Site, scaled
from ..products.narrow import widened
from .lockstep import Batch, advance, carry
from .massive import massive
from .side import beside, overwrite, split
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

    def carry(self, residual: Tensor) -> Tensor:
        """Take a residual (B, T, D) through the layer as it now stands, in place."""
        return carry(self.layer, self.number, self.batch, residual)

    def cut(self, places: list[Place], residual: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """The same with these scalars zeroed. Gives, window by window, what they write on this stream (with them minus
        without), the residual behind the layer, and the unmodified one: all at once would take as much memory again."""
        parts = self.batch.parts or [self.batch]
        windows = split(residual) if self.batch.parts else [residual]
        unmodified = split(self.after) if self.batch.parts else [self.after]
        for part, one, after in zip(parts, windows, unmodified, strict=False):
            written = advance(self.layer, self.number, part, one)
            with removed(self.sites, places):
                overwrite(one, advance(self.layer, self.number, part, one))
            yield written.sub_(one), one, after
        if self.batch.parts:
            beside(residual, windows)


def treat(trial: Trial, at: Resident, residual: Tensor) -> Tensor:
    """Take the residual (B, T, D) of a trial through the resident layer, in place."""
    here = [p for p in trial.members if p.layer == at.number]
    return _TABLE[trial.treatment.kind](at, here, trial.treatment, residual) if here else at.carry(residual)


def _zero(at: Resident, here: list[Place], _: Treatment, residual: Tensor) -> Tensor:
    with removed(at.sites, here):
        return at.carry(residual)


def _scale(at: Resident, here: list[Place], treatment: Treatment, residual: Tensor) -> Tensor:
    with ExitStack() as stack:
        for name in {at.sites[p.site].parameter for p in here}:
            stack.enter_context(widened(at.layer, name))  # a factor may give what bfloat16 does not hold
        views = [at.sites[p.site].matrix(p.expert)[p.row, p.col : p.col + 1] for p in here]
        stack.enter_context(scaled(views, treatment.factor or 0.0))
        return at.carry(residual)


def _mean(at: Resident, here: list[Place], _: Treatment, residual: Tensor) -> Tensor:
    """What the members write on this stream, in its mean over every token of every window of the text, at each token.
    Routing weights, multipliers and a norm behind the write are in the difference."""
    sums = [written.flatten(0, -2).sum(0, dtype=torch.float64) for written, _, _ in at.cut(here, residual)]
    return residual.add_((torch.stack(sums).sum(0) / residual[..., 0].numel()).to(residual.dtype))


def _class_mean(at: Resident, here: list[Place], _: Treatment, residual: Tensor) -> Tensor:
    """The same with two means: over the tokens where a member's channel is massive in the unmodified residual behind
    the layer, and over all others (Sun et al. 2024 replace massive activations by their own mean)."""
    rows, sums, masks = [p.row for p in here], dict[bool, list[Tensor]](), list[tuple[Tensor, Tensor]]()
    for written, one, after in at.cut(here, residual):
        spiked = _massive(after)[..., rows].any(-1)
        masks.append((one, spiked))
        for of in (True, False):
            sums.setdefault(of, []).append(written[spiked == of].sum(0, dtype=torch.float64))
    for of, found in sums.items():
        count = sum(int((spiked == of).sum()) for _, spiked in masks)
        mean = (torch.stack(found).sum(0) / max(count, 1)).to(residual.dtype)
        for one, spiked in masks:
            one[spiked == of] += mean
    return residual


def _restore(at: Resident, here: list[Place], _: Treatment, residual: Tensor) -> Tensor:
    """Zeroed; but where a member's channel is massive in the unmodified residual behind the layer, its value there.
    The paper's "prune, restore activation" (Table 1)."""
    for _written, one, after in at.cut(here, residual):
        stood = _massive(after)
        for row in {p.row for p in here}:
            one[..., row] = torch.where(stood[..., row], after[..., row], one[..., row])
    return residual


def _massive(residual: Tensor) -> Tensor:
    """Which channels of each token are massive: a mask of the residual's shape."""
    return massive(residual.flatten(0, -2)).view(residual.shape)


_TABLE: dict[Intervention, Callable[[Resident, list[Place], Treatment, Tensor], Tensor]] = {
    Intervention.ZERO: _zero,
    Intervention.SCALE: _scale,
    Intervention.MEAN: _mean,
    Intervention.CLASS_MEAN: _class_mean,
    Intervention.RESTORE: _restore,
}
