"""The down projections of each layer, proven on a short sequence of its own.

The sequence is carried through the layers only as far as kinds of layers come that were not met before.
"""

import torch
from torch import Tensor, nn

from ..architectures.prove import Prover, kind_of
from ..architectures.sites import Site
from .lockstep import Batch, advance
from .side import side_of, with_side

TOKENS = 16
"""Of the sequence: enough for an attention to mix and for experts to be reached."""


def proof_ids(watched: Tensor, vocabulary: int, longest: int) -> Tensor:
    """Token ids (1, T) to prove layers on: the beginning of the first watched sequence, and where that is short any
    tokens that differ: of one token an attention shows nothing."""
    ids = watched[:1, :TOKENS]
    missing = max(min(TOKENS, longest) - ids.shape[1], 0)
    others = torch.arange(1, missing + 1, device=ids.device) * vocabulary // (missing + 1)
    return torch.cat([ids, others[None].to(ids.dtype)], dim=1)


class Proof:
    """Proves layer after layer."""

    def __init__(self, layers: nn.ModuleList, batch: Batch, place: str) -> None:
        self.batch = batch
        self.prover = Prover(place)
        self._residual = batch.first
        first: dict[object, int] = {}
        for number in sorted(batch.calls):
            first.setdefault(kind_of(layers[number]), number)
        self._last = max(first.values())
        """The last layer of a new kind."""

    def sites(self, number: int, layer: nn.Module) -> list[Site]:
        """The down projections of the resident layer; raise a Refusal if one cannot be proven."""

        def run(changed: Tensor) -> Tensor:
            return advance(layer, number, self.batch, with_side(changed, side_of(self._residual)))

        sites = self.prover.sites(layer, run, self._residual)
        if number < self._last:
            self._residual = advance(layer, number, self.batch, self._residual)
        return sites
