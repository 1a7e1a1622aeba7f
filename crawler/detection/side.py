"""What passes from layer to layer beside the residual, kept for each stream apart.

Some layers give more than a residual and a later one takes it (which tokens to attend to, a router's state); some write
to a mapping that all are called with (keys and values that later layers share). A stream's own state travels with its
residual tensor, as an attribute: a run never sees another stream's, and running a layer twice from one residual gives
the same twice. Knows nothing of what the values mean.
"""

import copy
from collections.abc import MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

Call = tuple[tuple[Any, ...], dict[str, Any]]
MAX_OUTPUTS = 3
"""What a layer gives at most, the residual included."""


@dataclass(frozen=True)
class Side:
    """The state of one stream: further outputs by (layer, place), and shared mappings by the name of the argument."""

    outputs: dict[tuple[int, int], Any] = field(default_factory=dict)
    shared: dict[str, Any] = field(default_factory=dict)
    each: tuple["Side", ...] = ()
    """Those of the sequences, where they are taken through the layers one by one."""


@dataclass
class Passing:
    """What the calls of a model's layers pass on, found while the layers are set aside."""

    marks: dict[int, tuple[tuple[int, int], Tensor]] = field(default_factory=dict)
    """By identity of what stood for a further output: of which layer, at which place."""
    needed: set[tuple[int, int]] = field(default_factory=set)
    mappings: dict[str, MutableMapping[Any, Any]] = field(default_factory=dict)
    """Mappings that more than one call got, by argument."""
    _seen: dict[str, int] = field(default_factory=dict)

    def stand_ins(self, layer: int, count: int) -> list[Tensor]:
        """What stands for the further outputs of a layer."""
        made = [torch.zeros(0) for _ in range(count)]
        self.marks |= {id(mark): ((layer, place), mark) for place, mark in enumerate(made)}
        return made

    def note(self, call: Call) -> None:
        """Look at how a layer is called."""
        args, kwargs = call
        for value in (*args, *kwargs.values()):
            if id(value) in self.marks:
                self.needed.add(self.marks[id(value)][0])
        for name, value in kwargs.items():
            if isinstance(value, MutableMapping):
                if self._seen.get(name) == id(value):
                    self.mappings[name] = value
                self._seen[name] = id(value)

    def fill(self, call: Call, side: Side) -> tuple[Call, dict[str, Any]]:
        """The call with this stream's state in it, and the copies of the mappings that the layer may write to."""
        args, kwargs = call
        shared = {name: copy.copy(side.shared.get(name, value)) for name, value in self.mappings.items()}
        filled = {name: self._of(value, side) for name, value in kwargs.items()} | {
            name: value for name, value in shared.items() if name in kwargs
        }
        return (tuple(self._of(a, side) for a in args), filled), shared

    def _of(self, value: Any, side: Side) -> Any:
        mark = self.marks.get(id(value))
        return value if mark is None else side.outputs.get(mark[0])

    def after(self, layer: int, out: Any, side: Side, shared: dict[str, Any]) -> Side:
        """The state behind a layer."""
        further = out[1:] if isinstance(out, tuple | list) else ()
        given = {(layer, n): value for n, value in enumerate(further) if (layer, n) in self.needed}
        return Side(side.outputs | given, side.shared | shared)


def side_of(residual: Tensor) -> Side:
    """The state that travels with a residual."""
    side: Side = getattr(residual, "swindex_side", None) or Side()
    return side


def with_side(residual: Tensor, side: Side) -> Tensor:
    """The residual with a state."""
    residual.swindex_side = side  # type: ignore[attr-defined]
    return residual


def overwrite(residual: Tensor, after: Tensor) -> Tensor:
    """Put a residual and its state in the place of another: memory that lives long stays where it is."""
    if after is not residual:
        residual.copy_(after)
    return with_side(residual, side_of(after))


def fork(residual: Tensor, windows: int | None = None) -> Tensor:
    """A copy of a residual with its state, of the first `windows` sequences alone if that is given."""
    side = side_of(residual)
    if windows is not None and windows < len(residual) and not side.each and (side.outputs or side.shared):
        raise ValueError("the state of sequences that were taken together cannot be cut")
    one = windows == 1 and side.each
    return with_side(residual[:windows].clone(), side.each[0] if one else replace(side, each=side.each[:windows]))


def split(residual: Tensor) -> list[Tensor]:
    """The sequences of a residual (B, ...), each with its own state."""
    each = side_of(residual).each or (Side(),) * len(residual)
    return [with_side(one, side) for one, side in zip(torch.split(residual, 1), each, strict=True)]


def beside(residual: Tensor, parts: list[Tensor]) -> Tensor:
    """The residual whose sequences `parts` are views of, with their states beside one another."""
    return with_side(residual, Side(each=tuple(side_of(p) for p in parts)))
