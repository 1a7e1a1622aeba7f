"""Which channels of a residual are massive, and what a layer did to them (DETECTION.md section 7, 1 and 2).

Pure arithmetic on residuals; knows nothing of weights. Sums are float64: the rest below a massive channel is what
is left of a difference of nearly equal numbers.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...schema.types import Role
from . import constants as c

SLACK = 1.01
"""What float32 sums of squares may be off by: less than 65,536 roundings of 2**-24 each."""
TINY = 1e-30
"""Squares below it may have lost digits in float32."""


def massive(residual: Tensor, least: float = c.KAPPA) -> Tensor:
    """Mask (N, D) of the massive channels of a residual (N, D): the largest n <= MASSIVE_MAX strongest channels
    whose weakest has at least `least` times the energy of all weaker ones together."""
    mask = torch.zeros_like(residual, dtype=torch.bool)
    rows = _suspects(residual, least)
    if len(rows):
        mask[rows] = _massive(residual[rows], least)
    return mask


def _suspects(residual: Tensor, least: float) -> Tensor:
    """Rows that may hold a massive channel; all others cannot. Their strongest channel has too little of the energy:
    n admitted channels have at most n times its energy, and the rest at most 1 / least of the weakest of them."""
    energy = residual.float().square()
    top, whole = energy.amax(-1), energy.sum(-1)
    share = (c.MASSIVE_MAX + 1 / least) * SLACK
    return ((top * share >= whole) | ~whole.isfinite() | (top < TINY)).nonzero().flatten()


def _massive(residual: Tensor, least: float) -> Tensor:
    energy = residual.double().square()
    top, channels = energy.topk(min(c.MASSIVE_MAX, energy.shape[-1] - 1), dim=-1)
    rest = energy.sum(-1, keepdim=True) - top.cumsum(-1)
    holds = (top >= least * rest.clamp_min(0)) & (top > 0)
    last = (holds * torch.arange(1, top.shape[-1] + 1, device=top.device)).amax(-1, keepdim=True)
    admitted = torch.arange(1, top.shape[-1] + 1, device=top.device) <= last
    mask = torch.zeros_like(energy, dtype=torch.bool)
    return mask.scatter(-1, channels, admitted)


def kappa(residual: Tensor, channel: int) -> float:
    """Energy of a channel over that of all weaker ones, in one residual vector (D,)."""
    energy = residual.double().square()
    weaker = energy[energy < energy[channel]].sum()
    return float(energy[channel] / weaker) if weaker > 0 else 1e300


@dataclass(frozen=True)
class Change:
    """What a layer did to a massive channel of one residual vector: row `at` of the (N, D) that were looked at."""

    at: int
    channel: int
    role: Role
    before: float
    after: float


def changes(before: Tensor, after: Tensor, least: float = c.KAPPA) -> list[Change]:
    """The events of a layer, from the residuals (N, D) before and after it; a few tokens per channel and role."""
    before, after = before.float(), after.float()
    stood, stands = massive(before, least), massive(after, least)
    channels = (stood | stands).any(0).nonzero().flatten()
    if not len(channels):
        return []
    before, after, stood, stands = (t[:, channels] for t in (before, after, stood, stands))
    written = after - before
    made = stands & (written.abs() >= c.EVENT * after.abs()) & (written * after > 0)
    created = before.abs() < c.CREATE * after.abs()
    removed = stood & (written * before < 0) & (after.abs() <= c.REMOVE * before.abs())
    masks = {Role.CREATOR: made & created, Role.AMPLIFIER: made & ~created, Role.REMOVER: removed}
    names = channels.tolist()
    found = [e for role, mask in masks.items() for e in _strongest(mask, written, before, after, role, names)]
    return sorted(found, key=lambda e: -abs(e.after - e.before))


def _strongest(
    mask: Tensor, written: Tensor, before: Tensor, after: Tensor, role: Role, channels: list[int]
) -> list[Change]:
    """For each channel in the mask the TOKENS tokens where most was written. `channels` are the columns' names."""
    size = torch.where(mask, written.abs(), torch.zeros_like(written))
    top, tokens = size.topk(min(c.TOKENS, size.shape[0]), dim=0)
    return [
        Change(t := int(tokens[n, j]), channels[j], role, float(before[t, j]), float(after[t, j]))
        for j in mask.any(0).nonzero().flatten().tolist()
        for n in range(top.shape[0])
        if top[n, j] > 0
    ]
