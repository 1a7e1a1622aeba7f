"""The down projections of a decoder layer, in transformers' memory layout, seen alike: a (D, F) matrix per expert.

D is the residual width, F the MLP width. A dense projection is one matrix (expert None); fused experts are E of them.
Matrices are views: writing to one changes what the layer computes.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

# Paths inside a layer; only those that exist are used. Leaf names alone are not enough: attention has a c_proj too.
DENSE = ("mlp.down_proj", "mlp.c_proj", "mlp.dense_4h_to_h", "mlp.fc2")
EXPERTS = ("mlp.experts",)


class Site(ABC):
    """One down projection of the layer that is resident."""

    def __init__(self, path: str, module: nn.Module) -> None:
        self.path = path
        self.module = module
        self.activation_in = 0.0
        self.activation_out = 0.0

    @property
    @abstractmethod
    def parameter(self) -> str:
        """Name of the parameter inside the layer."""

    @property
    @abstractmethod
    def transposed(self) -> bool:
        """Whether the parameter is stored with its input axis first."""

    @abstractmethod
    def matrix(self, expert: int | None) -> Tensor:
        """The (D, F) matrix as a view of the resident parameter."""

    @abstractmethod
    def experts(self) -> list[int | None]:
        """Experts that the watched tokens reached (for a dense projection, just None)."""

    @abstractmethod
    def products(self, token: int, row: int) -> dict[int | None, Tensor]:
        """By expert the (F,) products X[token, k] * W[row, k], routing weight included; token counts B*T."""

    @abstractmethod
    def inputs(self, token: int, expert: int | None) -> Tensor:
        """The (F,) input X of the projection at a token."""

    @abstractmethod
    def forget(self) -> None:
        """Let go of what was recorded."""

    @abstractmethod
    def _record(self, args: tuple[Tensor, ...], output: Tensor) -> None:
        """Keep what products and inputs are made of, from the module's arguments and output."""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Record the projection's input, and the largest |X| and |Y|, during the layer's forward."""

        def hook(_module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            self._record(args, output)

        handle = self.module.register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()

    @abstractmethod
    def clear_row(self, row: int) -> Any:
        """Context in which the projection writes nothing to channel `row`."""


class DenseSite(Site):
    """A Linear (D, F) or Conv1D (F, D) projection."""

    _x: Tensor

    def forget(self) -> None:
        """Let go of X."""
        del self._x

    @property
    def parameter(self) -> str:
        """Name of the parameter inside the layer."""
        return f"{self.path}.weight"

    @property
    def transposed(self) -> bool:
        """Conv1D stores (F, D)."""
        return isinstance(self.module, Conv1D)

    def matrix(self, expert: int | None) -> Tensor:
        """The (D, F) matrix."""
        weight: Tensor = self.module.weight  # type: ignore[assignment]
        return weight.data.T if self.transposed else weight.data

    def experts(self) -> list[int | None]:
        """Just the one matrix."""
        return [None]

    def inputs(self, token: int, expert: int | None) -> Tensor:
        """The (F,) input at a token."""
        return self._x.reshape(-1, self._x.shape[-1])[token]

    def products(self, token: int, row: int) -> dict[int | None, Tensor]:
        """The (F,) products for a row."""
        return {None: self.inputs(token, None).double() * self.matrix(None)[row].double()}

    def _record(self, args: tuple[Tensor, ...], output: Tensor) -> None:
        """Keep X (B, T, F)."""
        self._x = args[0].detach()
        self.activation_in = float(self._x.abs().amax())
        self.activation_out = float(output.abs().amax())

    @contextmanager
    def clear_row(self, row: int) -> Iterator[None]:
        """Zero row `row` and its bias for a while."""
        bias = getattr(self.module, "bias", None)
        vectors = [self.matrix(None)[row], *([] if bias is None else [bias.data[row : row + 1]])]
        with scaled(vectors, 0.0):
            yield


class ExpertSite(Site):
    """Experts fused as (E, D, F), or (E, F, D) with `is_transposed`; rows of tokens reach `top_k` of them."""

    _hidden: Tensor
    _index: Tensor
    _weights: Tensor

    def forget(self) -> None:
        """Let go of what reached the experts."""
        del self._hidden, self._index, self._weights

    @property
    def parameter(self) -> str:
        """Name of the parameter inside the layer."""
        return f"{self.path}.down_proj"

    @property
    def transposed(self) -> bool:
        """The module's own flag: shapes cannot tell, gpt-oss is square."""
        return bool(getattr(self.module, "is_transposed", False))

    def matrix(self, expert: int | None) -> Tensor:
        """The (D, F) matrix of one expert."""
        data: Tensor = self.module.down_proj.data[expert]  # type: ignore[index]
        return data.T if self.transposed else data

    def experts(self) -> list[int | None]:
        """Experts that the watched tokens reached."""
        return list(dict.fromkeys(int(e) for e in self._index.flatten().tolist()))

    def inputs(self, token: int, expert: int | None) -> Tensor:
        """The (F,) input of one expert at a token, computed with the module's own gate."""
        weight: Tensor = self.module.gate_up_proj.data[expert]  # type: ignore[index]
        weight = weight.T if self.transposed else weight
        gate, up = nn.functional.linear(self._hidden[token], weight).chunk(2, dim=-1)
        return self.module.act_fn(gate) * up  # type: ignore[operator, no-any-return]

    def products(self, token: int, row: int) -> dict[int | None, Tensor]:
        """By routed expert the (F,) products for a row, times the routing weight."""
        routed = zip(self._index[token].tolist(), self._weights[token].tolist(), strict=True)
        return {e: r * self.inputs(token, e).double() * self.matrix(e)[row].double() for e, r in routed}

    def _record(self, args: tuple[Tensor, ...], output: Tensor) -> None:
        """Keep what reaches the experts: hidden (N, D), expert ids and routing weights (N, K)."""
        self._hidden, self._index, self._weights = (a.detach() for a in args[:3])
        self.activation_out = float(output.abs().amax())
        self.activation_in = max(
            float(self.inputs(t, e).abs().amax()) for t, row in enumerate(self._index.tolist()) for e in row
        )

    @contextmanager
    def clear_row(self, row: int) -> Iterator[None]:
        """Zero row `row` of every expert that was reached for a while."""
        with scaled([self.matrix(e)[row] for e in self.experts()], 0.0):
            yield


@contextmanager
def scaled(views: list[Tensor], factor: float) -> Iterator[None]:
    """Multiply views of resident weights for a while; afterwards they hold exactly what they held."""
    kept = [v.clone() for v in views]
    for view in views:
        view.mul_(factor)
    try:
        yield
    finally:
        for view, old in zip(views, kept, strict=True):
            view.copy_(old)


def find_sites(layer: nn.Module) -> list[Site]:
    """The down projections of a layer, by the tables above."""
    modules = dict(layer.named_modules())
    dense: list[Site] = [DenseSite(p, modules[p]) for p in DENSE if isinstance(modules.get(p), (nn.Linear, Conv1D))]
    experts = [ExpertSite(p, modules[p]) for p in EXPERTS if hasattr(modules.get(p), "down_proj")]
    return dense + [s for s in experts if s.module.down_proj.dim() == 3]  # type: ignore[operator]
