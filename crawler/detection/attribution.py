"""Which products X[i, k] * W[j, k] explain what a layer wrote (DETECTION.md section 7.3).

How much of the write came through a down projection is measured, not assumed: its row j is cleared and the layer run
again. That one difference holds residual multipliers, routing weights, gates and norm gains alike.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..architectures.sites import Site, scaled
from . import constants as c
from .massive import Change, massive


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
    """The projection's own output at the token and row."""


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
    written: Tensor | None = None
    """What reached the channel (N,) through the down projections; None when the MLP did not do it."""


def explain(
    changes: list[Change], sites: list[Site], rerun: Callable[[], Tensor], after: Tensor, copies: int = 1
) -> list[Explained]:
    """Explain each change of a layer. `rerun` gives the residual (N, D) after the layer as it now stands; `after`
    is the one after the unchanged layer. The sites must have watched the layer's forward. `copies`: residual vectors
    of one token, which stand side by side."""
    rows = sorted({e.channel for e in changes})
    written = {(s, j): _written(site, j, rerun, after) for s, site in enumerate(sites) for j in rows}
    return [_without_noise(_explain(change, sites, written, copies), after) for change in changes]


def _without_noise(found: Explained, after: Tensor) -> Explained:
    """Leads of a spread write count only in a channel that stands far above the others: those of noise do not."""
    if not found.members or found.spread == "concentrated":
        return found
    clear = massive(after[found.change.at, None], c.LEAD_KAPPA)[0, found.change.channel]
    return found if clear else replace(found, members=())


def by_products(change: Change, sites: list[Site], copies: int = 1) -> Explained | None:
    """What the products in a change's row say by themselves, without running the layer; None if they add to nothing.

    With one down projection members and shares are those of `explain`; how much of the change it wrote is not known.
    For channels that stand clear, as those watched in texts do: TEXT_KAPPA is not below LEAD_KAPPA.
    """
    parts = [_raw(n, site, change.at // copies, change.channel) for n, site in enumerate(sites)]
    products, names = torch.cat([p for p, _ in parts]), [n for _, names in parts for n in names]
    whole = float(products.sum())
    return _spread(change, products, names, whole) if whole else None


@dataclass(frozen=True)
class _Written:
    """What reached a channel (N,) through a projection: by its weights, and by its bias."""

    weights: Tensor
    bias: Tensor


def _written(site: Site, row: int, rerun: Callable[[], Tensor], after: Tensor) -> _Written:
    with site.clear_row(row):
        weights = (after - rerun())[:, row]
    if site.bias is None:
        return _Written(weights, torch.zeros_like(weights))
    with scaled([site.bias[..., row]], 0.0):
        return _Written(weights, (after - rerun())[:, row])


def _explain(change: Change, sites: list[Site], written: dict[tuple[int, int], _Written], copies: int) -> Explained:
    total = change.after - change.before
    here = [written[s, change.channel] for s in range(len(sites))]
    through = [float(w.weights[change.at]) for w in here]
    write, bias = sum(through), sum(float(w.bias[change.at]) for w in here)
    if write * total <= 0 or abs(write) < 0.5 * abs(total):
        return Explained(change, "bias" if bias * total > 0.5 * total**2 else "attention", "none", None, None, ())
    parts = [_products(n, site, change.at // copies, change.channel, through[n]) for n, site in enumerate(sites)]
    products, names = torch.cat([p for p, _ in parts]), [n for _, names in parts for n in names]
    found = _spread(change, products, names, write)
    return replace(found, written=torch.stack([w.weights for w in here]).sum(0))


def _products(number: int, site: Site, token: int, row: int, through: float) -> tuple[Tensor, list[Named]]:
    """All products of a site at a token and row, in residual units, and what is needed to name them."""
    raw, names = _raw(number, site, token, row)
    whole = float(raw.sum())
    return raw * (through / whole if whole else 0.0), names


def _raw(number: int, site: Site, token: int, row: int) -> tuple[Tensor, list[Named]]:
    """The same in the units of the projection's own output."""
    reached = site.reached(token, row)
    raw = torch.cat([r.products for r in reached]) if reached else torch.zeros(0, dtype=torch.float64)
    return raw, [Named(number, r.expert, r.x, r.y) for r in reached]


def _spread(change: Change, products: Tensor, names: list[Named], write: float) -> Explained:
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
    least = c.MIN_SHARE if spread == "concentrated" else c.LEAD
    places = [at for at in order[:count].tolist() if float(shares[at]) >= least]
    members = [_name(at, names, change.channel, float(products[at]), float(shares[at])) for at in places]
    return Explained(change, "mlp", spread, n_eff, coherence, tuple(members))


def _name(at: int, flat: list[Named], row: int, contribution: float, share: float) -> Product:
    for named in flat:
        if at < named.x.shape[0]:
            return Product(named.site, named.expert, row, at, contribution, share, float(named.x[at]), named.y)
        at -= named.x.shape[0]
    raise IndexError(at)
