"""Which products X[i, k] * W[j, k] explain what a layer wrote (DETECTION.md section 7.3).

How much of the write came through a down projection is measured, not assumed: its row j is cleared and the layer run
again. That one difference holds residual multipliers, routing weights, gates and norm gains alike.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..architectures.sites import Site
from . import constants as c
from .massive import Change


@dataclass(frozen=True)
class Product:
    """One product: which scalar, and how much of the layer's write it is (signed, in residual units)."""

    site: int
    expert: int | None
    row: int
    col: int
    contribution: float
    share: float
    x: float
    y: float
    """The projection's own output at the token and row, its bias included."""


@dataclass(frozen=True)
class Named:
    """Where a run of products comes from: site, expert, the (F,) input X, and the site's output Y."""

    site: int
    expert: int | None
    x: Tensor
    y: float


@dataclass(frozen=True)
class Explained:
    """What explains a change: products (largest first) and how they spread."""

    change: Change
    origin: str
    """mlp, attention or bias: where most of the write came from."""
    spread: str
    """concentrated, neuron_group, distributed, or none when the MLP did not do it."""
    n_eff: float | None
    coherence: float | None
    members: tuple[Product, ...]


def explain(changes: list[Change], sites: list[Site], rerun: Callable[[], Tensor], after: Tensor) -> list[Explained]:
    """Explain each change of a layer. `rerun` gives the residual (N, D) after the layer as it now stands; `after`
    is the one after the unchanged layer. The sites must have watched the layer's forward."""
    written = {(s, j): _written_through(sites[s], j, rerun, after) for s in range(len(sites)) for j in _rows(changes)}
    return [_explain(change, sites, written) for change in changes]


def _rows(changes: list[Change]) -> list[int]:
    return sorted({e.channel for e in changes})


def _written_through(site: Site, row: int, rerun: Callable[[], Tensor], after: Tensor) -> Tensor:
    """What reached channel `row` (N,) through this projection."""
    with site.clear_row(row):
        return (after - rerun())[:, row]


def _explain(change: Change, sites: list[Site], written: dict[tuple[int, int], Tensor]) -> Explained:
    total = change.after - change.before
    through = [float(written[s, change.channel][change.token]) for s in range(len(sites))]
    products, sums = [], []
    for number, site in enumerate(sites):
        found, bias_part = _products(number, site, change, through[number])
        products.append(found)
        sums.append(bias_part)
    mlp, bias = sum(through), sum(sums)
    if mlp * total <= 0 or abs(mlp) < 0.5 * abs(total):
        return Explained(change, "attention", "none", None, None, ())
    if abs(bias) > 0.5 * abs(mlp):
        return Explained(change, "bias", "none", None, None, ())
    return _spread(change, torch.cat([p[0] for p in products]), [p[1] for p in products], mlp - bias)


def _products(number: int, site: Site, change: Change, through: float) -> tuple[tuple[Tensor, list[Named]], float]:
    """All products of a site in residual units, with what is needed to name them; and the bias' part."""
    by_expert = site.products(change.token, change.channel)
    raw = torch.cat(list(by_expert.values())) if by_expert else torch.zeros(0, dtype=torch.float64)
    bias = _bias(site, change.channel)
    whole = float(raw.sum()) + bias
    scale = through / whole if whole else 0.0
    names = [Named(number, e, site.inputs(change.token, e), whole) for e in by_expert]
    return (raw * scale, names), bias * scale


def _bias(site: Site, row: int) -> float:
    bias = getattr(site.module, "bias", None)
    return float(bias.data[row]) if isinstance(bias, Tensor) else 0.0


def _spread(change: Change, products: Tensor, names: list[list[Named]], write: float) -> Explained:
    flat = [named for site in names for named in site]
    shares = products / write
    order = shares.argsort(descending=True)
    covered = shares[order].cumsum(0)
    count = int((covered < c.COVER).sum()) + 1
    n_eff = float(products.sum() ** 2 / products.square().sum())
    coherence = float(products.sum().abs() / products.abs().sum())
    reached = count <= len(order) and float(covered.max()) >= c.COVER
    spread = "distributed" if not reached or count > c.MAX_GROUP else "concentrated"
    if spread == "concentrated" and count > c.MAX_MEMBERS:
        spread = "neuron_group"
    members: list[Product] = []
    if spread == "concentrated":
        for at in order[:count].tolist():
            if float(shares[at]) >= c.MIN_SHARE:
                members.append(_name(at, flat, change.channel, float(products[at]), float(shares[at])))
    return Explained(change, "mlp", spread, n_eff, coherence, tuple(members))


def _name(at: int, flat: list[Named], row: int, contribution: float, share: float) -> Product:
    for named in flat:
        if at < named.x.shape[0]:
            return Product(named.site, named.expert, row, at, contribution, share, float(named.x[at]), named.y)
        at -= named.x.shape[0]
    raise IndexError(at)
