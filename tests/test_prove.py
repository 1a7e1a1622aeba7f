"""Which projections of hand-made layers are proven, and which are refused."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from swindex.crawler.architectures.prove import Prover
from swindex.crawler.refusal import Refusal

D, F, LATENT = 24, 40, 10
RESIDUAL = torch.randn(1, 12, D, generator=torch.Generator().manual_seed(5))


class Mlp(nn.Module):
    """D to F and back to `out` channels."""

    def __init__(self, out: int = D) -> None:
        super().__init__()
        self.up_proj, self.down_proj = nn.Linear(D, F, bias=False), nn.Linear(F, out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Back to the residual, or to a latent vector."""
        return self.down_proj(torch.relu(self.up_proj(x)))


class Mean(nn.Module):
    """A mixer: every token gets the mean of those up to it."""

    def __init__(self) -> None:
        super().__init__()
        self.o_proj = nn.Linear(D, D, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """What is mixed, projected."""
        return self.o_proj(x.cumsum(1) / torch.arange(1, x.shape[1] + 1)[:, None])


class Twice(nn.Module):
    """Mixer and MLP, twice; `carried`: how much of the first MLP's write stays in the residual."""

    def __init__(self, carried: float = 1.0) -> None:
        super().__init__()
        self.carried = carried
        self.attn, self.mlps = nn.ModuleList([Mean(), Mean()]), nn.ModuleList([Mlp(), Mlp()])

    def forward(self, x: Tensor) -> Tensor:
        """The residual behind both halves."""
        x = x + self.attn[0](x)
        wrote = self.mlps[0](x)
        x = x + self.attn[1](x + wrote) + self.carried * wrote
        return x + self.mlps[1](x)


class Latent(nn.Module):
    """An MLP to a latent vector, one matrix from there to the residual; `around`: how much of it goes another way."""

    def __init__(self, around: float = 0.0) -> None:
        super().__init__()
        self.around = around
        self.mixer = Mean()
        self.mlp = nn.ModuleDict({"inner": Mlp(LATENT), "out_proj": nn.Linear(LATENT, D, bias=False)})

    def forward(self, x: Tensor) -> Tensor:
        """The residual behind mixer and MLP."""
        x = x + self.mixer(x)
        latent = self.mlp["inner"](x)
        return x + self.mlp["out_proj"](latent) + self.around * nn.functional.pad(latent, (0, D - LATENT))


class Indexed(nn.Module):
    """An MLP, and beside it D channels that decide nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp, self.index = Mlp(), nn.Linear(D, D, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The residual behind the MLP."""
        return x + self.mlp(x) + 0 * self.index(x).argmax(-1, keepdim=True)


def proven(make: Callable[[], nn.Module]) -> list[str]:
    """Parameters that are proven to be down projections."""
    torch.manual_seed(0)
    layer = make()
    for parameter in layer.parameters():
        parameter.requires_grad_(False)
    return [s.parameter for s in Prover("here").sites(layer, layer, RESIDUAL)]


def test_an_mlp_in_the_middle_of_a_layer_is_proven() -> None:
    assert proven(Twice) == ["mlps.0.down_proj.weight", "mlps.1.down_proj.weight"]


def test_an_mlp_that_reaches_the_residual_only_through_a_mixer_is_refused() -> None:
    with pytest.raises(Refusal, match=r"mlps\.0\.down_proj\.weight has the name of a down projection"):
        proven(lambda: Twice(carried=0.0))


def test_behind_a_latent_the_matrix_to_the_residual_is_proven() -> None:
    assert proven(Latent) == ["mlp.out_proj.weight"]


def test_a_latent_that_also_goes_another_way_is_refused() -> None:
    with pytest.raises(Refusal, match=r"mlp\.inner\.down_proj\.weight has the name of a down projection"):
        proven(lambda: Latent(around=1.0))


def test_channels_that_move_nothing_are_no_projection() -> None:
    assert proven(Indexed) == ["mlp.down_proj.weight"]
