"""The down projections of a decoder layer, seen alike: a (D, F) matrix per expert, wherever it lies in memory.

D is the residual width, F the MLP width. A dense projection is one matrix (expert None); fused experts are E of them in
one parameter. What was multiplied is watched while the layer runs; which parameters are down projections is found
and proven in `prove`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .watch import Layout, Multiplication, Watch


@dataclass(frozen=True)
class Projection:
    """A down projection as proven for one kind of layer."""

    parameter: str
    """Name inside the layer."""
    layout: Layout
    """Of its first matrix."""
    experts: int | None
    """How many matrices the parameter holds; None for a dense projection."""
    post_norm: bool
    """Whether a norm stands between it and the residual."""

    @property
    def step(self) -> int:
        """Elements from one expert's matrix to the next."""
        return self.layout.rows * self.layout.cols


@dataclass(frozen=True)
class Reached:
    """One expert's part in what a projection gave at one token: its input X (F,), and the products X[k] * W[row, k]
    times the routing weight (F,). What stands behind (norm, multiplier, gate) `attribution` measures for all at once.
    """

    expert: int | None
    x: Tensor
    products: Tensor
    y: float
    """The projection's own output at the row."""


class Site:
    """One down projection of the layer that is resident."""

    def __init__(self, projection: Projection, layer: nn.Module) -> None:
        self.projection = projection
        self.layer = layer
        self.activation_in = 0.0
        self.activation_out = 0.0
        self._seen: list[Multiplication] = []
        self._call: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        self._tokens: tuple[int, int] = (0, 0)
        self._routes: dict[int, list[tuple[int | None, Multiplication, float]]] = {}

    @property
    def parameter(self) -> str:
        """Name of the parameter inside the layer."""
        return self.projection.parameter

    def matrix(self, expert: int | None) -> Tensor:
        """The (D, F) matrix as a view of the resident parameter."""
        start = self.projection.layout.start + (expert or 0) * self.projection.step
        return self.projection.layout.at(self.layer.get_parameter(self.parameter), start)

    def index(self, expert: int | None, row: int, col: int, shape: Sequence[int]) -> tuple[int, ...]:
        """The index in the parameter (of this shape) of a scalar of the matrix."""
        layout = self.projection.layout
        flat = layout.start + (expert or 0) * self.projection.step + row * layout.row_stride + col * layout.col_stride
        at = []
        for size in reversed(shape):
            flat, rest = divmod(flat, size)
            at.append(rest)
        return tuple(reversed(at))

    @property
    def transposed(self) -> bool:
        """Whether the parameter holds its input axis before its output axis."""
        return self.projection.layout.row_stride < self.projection.layout.col_stride

    def experts(self) -> list[int | None]:
        """Experts that the watched tokens reached (for a dense projection, just None)."""
        return list(dict.fromkeys(self._expert(m) for m in self._seen)) if self._is_fused else [None]

    @property
    def _is_fused(self) -> bool:
        return self.projection.experts is not None

    def _expert(self, seen: Multiplication) -> int | None:
        return (seen.layout.start - self.projection.layout.start) // self.projection.step if self._is_fused else None

    def reached(self, token: int, row: int) -> list[Reached]:
        """What the projection adds to channel `row` at a token (flat position), by expert, routing weight included."""
        if not self._is_fused:
            [seen] = self._seen
            return [_reached(None, seen.x[token], self.matrix(None)[row], float(seen.y[token, row]), 1.0)]
        return [
            _reached(expert, seen.x[0], self.matrix(expert)[row], float(seen.y[0, row]), factor)
            for expert, seen, factor in self._routed(token)
        ]

    def _routed(self, token: int) -> list[tuple[int | None, Multiplication, float]]:
        """Experts that a token reaches, what they multiply there, and the factor on what they give."""
        if token not in self._routes:
            seen_here, whole = self._alone(token)
            self._routes[token] = [(self._expert(m), m, self._factor(token, m, whole)) for m in seen_here]
        return self._routes[token]

    def _factor(self, token: int, seen: Multiplication, whole: Tensor) -> float:
        """Measure the routing weight: what the block loses at one row if the expert writes nothing there."""
        row = int(seen.y[0].abs().argmax())
        with scaled([self.matrix(self._expert(seen))[row]], 0.0):
            _, without = self._alone(token)
        y = float(seen.y[0, row])
        return float(whole[row] - without[row]) / y if y else 0.0

    def _alone(self, token: int) -> tuple[list[Multiplication], Tensor]:
        """Run the block that holds the experts on one token alone: what is multiplied, and what it gives (D,)."""
        if self._call is None:
            raise ValueError("the layer was not watched")
        args, kwargs = self._call
        pick = _Pick(token, *self._tokens)
        with torch.no_grad(), Watch([(self.parameter, self.layer.get_parameter(self.parameter))], self._width) as watch:
            out = self.block(*map(pick, args), **{k: pick(v) for k, v in kwargs.items()})
        out = out[0] if isinstance(out, tuple) else out
        return watch.seen, out.reshape(-1, self._width)[0].double()

    @property
    def _width(self) -> int:
        return self.projection.layout.rows

    @property
    def block(self) -> nn.Module:
        """The part of the layer that holds the projection: its outermost module below the layer itself."""
        return self.layer.get_submodule(self.parameter.partition(".")[0])

    @property
    def bias(self) -> Tensor | None:
        """The bias (D,) or (E, D) that is added to what it gives, where there is one."""
        owner, _, leaf = self.parameter.rpartition(".")
        module = self.layer.get_submodule(owner)
        found = getattr(module, "bias" if leaf == "weight" else f"{leaf}_bias", None)
        return found.data if isinstance(found, Tensor) else None

    def forget(self) -> None:
        """Let go of what was watched."""
        self._seen, self._call, self._routes = [], None, {}

    def keep(self, seen: list[Multiplication], call: Any, tokens: tuple[int, int]) -> None:
        """Take what was watched: multiplications, how the block was called, and the shape (B, T) of the tokens."""
        mine = [m for m in seen if m.parameter == self.parameter]
        self.activation_in = max((float(m.x.abs().amax()) for m in mine), default=0.0)
        self.activation_out = max((float(m.y.abs().amax()) for m in mine), default=0.0)
        self._seen = [m.light() for m in mine] if self._is_fused else mine
        self._call, self._tokens, self._routes = call, tokens, {}

    def parts(self, count: int) -> list[list[Multiplication]]:
        """What a dense projection was seen to multiply, if as many streams went through the layer together; to `keep`
        for each."""
        return [[m.part(at, count) for m in self._seen] for at in range(count)]

    @contextmanager
    def clear_row(self, row: int) -> Iterator[None]:
        """Let the projection write nothing but its bias to channel `row` for a while."""
        with scaled([self.matrix(e)[row] for e in self.experts()], 0.0):
            yield


def _reached(expert: int | None, x: Tensor, weights: Tensor, y: float, factor: float) -> Reached:
    return Reached(expert, x, x.double() * weights.double() * factor, y)


class _Pick:
    """Cuts one token out of the arguments of a block that were given for (B, T) tokens."""

    def __init__(self, token: int, sequences: int, length: int) -> None:
        self.token, self.shape = token, (sequences, length)

    def __call__(self, value: Any) -> Any:
        """The argument for the one token; what has no token axis stays."""
        if not isinstance(value, Tensor):
            return value
        if tuple(value.shape[:2]) == self.shape:
            at, position = divmod(self.token, self.shape[1])
            return value[at : at + 1, position : position + 1]
        if value.dim() and value.shape[0] == self.shape[0] * self.shape[1]:
            return value[self.token : self.token + 1]
        return value


@contextmanager
def watching(sites: Sequence[Site], tokens: tuple[int, int]) -> Iterator[None]:
    """All sites of a layer watch while it runs on (B, T) tokens."""
    calls: dict[str, Any] = {}
    handles = []
    for site in sites:
        path = site.parameter.partition(".")[0]
        if site.projection.experts is not None:
            handles.append(site.block.register_forward_pre_hook(_keeper(calls, path), with_kwargs=True))
    parameters = [(s.parameter, s.layer.get_parameter(s.parameter)) for s in sites]
    try:
        with Watch(parameters, sites[0].projection.layout.rows if sites else 0) as watch:
            yield
    finally:
        for handle in handles:
            handle.remove()
    for site in sites:
        site.keep(watch.seen, calls.get(site.parameter.partition(".")[0]), tokens)


def _keeper(calls: dict[str, Any], path: str) -> Any:
    def keep(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls[path] = (args, kwargs)

    return keep


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
