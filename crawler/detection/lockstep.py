"""Many residual streams through one layer at a time.

Transformers' own forward pass is run once with the layers set aside: each call's arguments (masks, positions) are
kept, they do not depend on the residual. Later each layer is called with any residual; at the end the same forward
pass, layers set aside again, turns a final residual into logits. Knows nothing of which weights are removed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..refusal import unsupported


@dataclass
class Batch:
    """Sequences of equal length: token ids (B, T), first residual (B, T, D), and each layer's call."""

    ids: Tensor
    residual: Tensor | None = None
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    tuple_output: bool = False

    @property
    def first(self) -> Tensor:
        """The residual before the first layer."""
        if self.residual is None:
            raise ValueError("this batch was not captured")
        return self.residual


class _Keeper:
    """Stands in for every layer: keeps how it was called, hands the residual on, stops after the last layer."""

    def __init__(self, batch: Batch, layers: int) -> None:
        self.batch = batch
        self.layers = layers

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        hidden = args[0] if args else kwargs["hidden_states"]
        if self.batch.residual is None:
            self.batch.residual = hidden
        elif hidden.shape != self.batch.residual.shape:
            raise _WrongOutput
        self.batch.calls.append((args[1:], {k: v for k, v in kwargs.items() if k != "hidden_states"}))
        if len(self.batch.calls) == self.layers:
            raise _Stop
        return (hidden, None) if self.batch.tuple_output else hidden


class _Stop(Exception):
    """Every layer was called: what comes after them is not needed yet."""


class _WrongOutput(Exception):
    """The model takes a layer's output apart: layers must return a tuple."""


@contextmanager
def _set_aside(layers: nn.ModuleList, stand_in: Callable[..., Any]) -> Iterator[None]:
    for layer in layers:
        layer.forward = stand_in
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def capture(model: PreTrainedModel, layers: nn.ModuleList, ids: Tensor) -> Batch:
    """Run the model up to its layers on token ids (B, T) and keep how it calls each layer."""
    for as_tuple in (False, True):
        batch = Batch(ids, tuple_output=as_tuple)
        try:
            with _set_aside(layers, _Keeper(batch, len(layers))), torch.no_grad():
                model(input_ids=ids, use_cache=False)
        except _Stop:
            return batch
        except (_WrongOutput, IndexError):
            continue
    raise unsupported(f"{type(model).__name__}: its layers are not called one after the other on one residual")


def advance(layer: nn.Module, number: int, batch: Batch, residual: Tensor) -> Tensor:
    """The residual (B, T, D) after layer `number`."""
    args, kwargs = batch.calls[number]
    with torch.no_grad():
        out = layer(residual, *args, **kwargs)
    after: Tensor = out[0] if isinstance(out, tuple) else out
    return after


def logits(model: PreTrainedModel, layers: nn.ModuleList, batch: Batch, residual: Tensor, keep: Tensor) -> Tensor:
    """The logits (B, len(keep), V) that a final residual (B, T, D) gives at the positions `keep`."""
    out = (residual, None) if batch.tuple_output else residual
    with _set_aside(layers, lambda *_, **__: out), torch.no_grad():
        made: Tensor = model(inputs_embeds=residual, use_cache=False, logits_to_keep=keep).logits
    return made
