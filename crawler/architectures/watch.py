"""Which weights a running layer multiplies with what, read off the multiplications themselves.

Every matrix product that has a watched parameter (or a part of one) as an operand is kept: its input X, its output Y,
and how the (D, F) matrix lies in the parameter's memory. Orientation and expert are therefore seen and not assumed:
Linear, Conv1D, fused experts in either orientation and two-dimensional experts look alike from here. Knows nothing of
what the weights mean. A weight that is copied or changed before it is multiplied is not seen.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ..products.narrow import held
from ..products.split import MM

_aten = torch.ops.aten
OPERANDS = {
    _aten.mm.default: (0, 1),
    _aten.addmm.default: (1, 2),
    _aten.bmm.default: (0, 1),
    _aten.baddbmm.default: (1, 2),
    MM: (0, 1),
}
"""Matrix products by operation -> which arguments are its factors."""


@dataclass(frozen=True)
class Layout:
    """A (rows, cols) matrix within a parameter: strides in elements, and where it starts."""

    rows: int
    cols: int
    row_stride: int
    col_stride: int
    start: int

    def of(self, parameter: Tensor) -> Tensor:
        """The matrix as a view of the parameter: writing to it changes what the layer computes."""
        return self.at(parameter, self.start)

    def at(self, parameter: Tensor, start: int) -> Tensor:
        """The matrix of this shape that begins at another element, for instance another expert's."""
        data = held(parameter)
        strides = (self.row_stride, self.col_stride)
        return data.as_strided((self.rows, self.cols), strides, data.storage_offset() + start)


@dataclass(frozen=True, eq=False)
class Multiplication:
    """Y = X W^T with W (rows, cols) in a parameter: X (N, cols), Y (N, rows), a bias added later not included."""

    parameter: str
    layout: Layout
    x: Tensor
    y: Tensor

    def part(self, at: int, count: int) -> "Multiplication":
        """One of `count` equal parts of the rows."""
        rows = len(self.x) // count
        here = slice(at * rows, (at + 1) * rows)
        return Multiplication(self.parameter, self.layout, self.x[here], self.y[here])

    def light(self) -> "Multiplication":
        """The same without its figures."""
        return Multiplication(self.parameter, self.layout, self.x[:0].clone(), self.y[:0].clone())


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While active, keeps the multiplications by the given parameters, `width` wide on the output side.

    `frozen`: what was seen of some parameters before; they give again what they gave then, whatever they are given.
    """

    def __init__(
        self, parameters: Iterable[tuple[str, Tensor]], width: int, frozen: Iterable[Multiplication] = ()
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.width = width
        self._frozen = list(frozen)
        self.seen: list[Multiplication] = []
        self._by_storage: dict[int, list[tuple[str, Tensor]]] = {}
        for name, parameter in parameters:
            data = held(parameter)
            self._by_storage.setdefault(data.untyped_storage().data_ptr(), []).append((name, data))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and look at it if it is a matrix product."""
        out = func(*args, **(kwargs or {}))
        if (at := OPERANDS.get(func)) is not None:
            self._look(args[at[0]], args[at[1]], out)
        return out

    def _look(self, left: Tensor, right: Tensor, out: Tensor) -> None:
        left, right, out = (t if t.dim() == 3 else t[None] for t in (left, right, out))
        if name := self._name(right):
            self._hold(name, out)
            self.seen += self._cut(name, right.mT, left, out)
        elif name := self._name(left):
            self._hold(name, out.mT)
            self.seen += self._cut(name, left, right.mT, out.mT)

    def _hold(self, name: str, out: Tensor) -> None:
        """Write over what a held parameter gives, where it gives as much as before."""
        first = next((m for m in self._frozen if m.parameter == name), None)
        if first is not None and first.y.numel() == out.numel():
            self._frozen.remove(first)
            out.copy_(first.y.view(out.shape))

    def _name(self, operand: Tensor) -> str | None:
        """The parameter that an operand is a view of."""
        for name, parameter in self._by_storage.get(operand.untyped_storage().data_ptr(), ()):
            start = operand.storage_offset() - parameter.storage_offset()
            if 0 <= start < parameter.numel():
                return name
        return None

    def _cut(self, name: str, weight: Tensor, x: Tensor, y: Tensor) -> Iterator[Multiplication]:
        """One multiplication for each matrix of a batched product."""
        if weight.shape[1] != self.width:
            return
        [parameter] = [p for n, p in self._by_storage[weight.untyped_storage().data_ptr()] if n == name]
        for at in range(weight.shape[0]):
            matrix = weight[at]
            start = matrix.storage_offset() - parameter.storage_offset()
            row_stride, col_stride = (int(s) for s in matrix.stride())
            layout = Layout(self.width, matrix.shape[1], row_stride, col_stride, int(start))
            if len(weight) == 1 and len(x[at]):
                yield Multiplication(name, layout, x[at], y[at].clone())  # what is given may be added to in place
            elif bool((rows := x[at].any(-1)).any()):  # zeros come from tokens that are not routed to this expert
                yield Multiplication(name, layout, x[at][rows], y[at][rows])
