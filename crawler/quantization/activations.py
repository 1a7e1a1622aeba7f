"""Activations rounded where they are multiplied: whatever is multiplied with a watched weight is put on a grid first.

As in `architectures.watch` products are seen as they are made, so Linear, Conv1D and fused experts are alike. Each
token has a grid of its own. Knows nothing of how weights are rounded.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ..architectures.watch import OPERANDS
from ..detection.massive import massive
from ..products.narrow import held
from .rounding import round_rows


class Keep(NamedTuple):
    """Channels whose super activation keeps its value in the inputs of one parameter."""

    parameter: str
    channels: tuple[int, ...]


class _Rounding(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While active, rounds what is multiplied with the given parameters."""

    def __init__(self, parameters: dict[str, Tensor], bits: int, keep: dict[str, tuple[int, ...]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bits = bits
        self.keep = keep
        self._by_storage = {held(p).untyped_storage().data_ptr(): name for name, p in parameters.items()}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, on rounded inputs if it multiplies with such a parameter."""
        if (at := OPERANDS.get(func)) is not None:
            args = self._rounded(list(args), *at)
        return func(*args, **(kwargs or {}))

    def _rounded(self, args: list[Any], left: int, right: int) -> list[Any]:
        """The arguments of a product X W^T or W X^T with X rounded token by token."""
        names = [self._by_storage.get(args[at].untyped_storage().data_ptr()) for at in (left, right)]
        if names[1] is not None and names[0] is None:
            args[left] = self._tokens(args[left], names[1])
        elif names[0] is not None and names[1] is None:
            args[right] = self._tokens(args[right].mT, names[0]).mT
        return args

    def _tokens(self, x: Tensor, name: str) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        return round_rows(flat, self.bits, self._kept(flat, name)).view(x.shape)

    def _kept(self, flat: Tensor, name: str) -> Tensor | None:
        """Where the super activation stands in the inputs (N, K): in its channels, at tokens where it is massive."""
        channels = [c for c in self.keep.get(name, ()) if c < flat.shape[1]]
        if not channels:
            return None
        mask = torch.zeros_like(flat, dtype=torch.bool)
        mask[:, channels] = massive(flat)[:, channels]
        return mask if bool(mask.any()) else None


@contextmanager
def rounded_inputs(layer: nn.Module, parameters: list[str], bits: int, keep: tuple[Keep, ...]) -> Iterator[None]:
    """Round the inputs of products with these parameters of the resident layer (names within it) while it runs."""
    named: dict[str, Tensor] = {name: layer.get_parameter(name) for name in parameters}
    with _Rounding(named, bits, dict(keep)):
        yield
