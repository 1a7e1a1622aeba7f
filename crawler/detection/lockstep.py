"""Many residual streams through one layer at a time.

Transformers' own forward pass is run once with the layers set aside: each call's arguments (masks, positions) are
kept, they do not depend on the residual. Later each layer is called with any residual; at the end the same forward
pass, layers set aside again, turns a final residual into logits. Knows nothing of which weights are removed.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..refusal import unsupported
from .side import MAX_OUTPUTS, Call, Passing, beside, fork, overwrite, side_of, split, with_side

Visit = Callable[[int, int, Tensor], Tensor]
"""What takes the place of a call: its number, the layer's number, the residual before; the residual behind."""


@dataclass
class Batch:
    """Sequences of equal length: token ids (B, T), first residual (B, T, D), and each layer's call.

    Some models keep S residuals for each token (hyper-connections, alternating updates): theirs is (B, T, S, D) here.
    """

    ids: Tensor
    residual: Tensor | None = None
    calls: dict[int, Call] = field(default_factory=dict)
    """By layer. A layer that is not called (cross-attention to an image that is not there) is not here."""
    outputs: int = 1
    """How many things the model takes apart that a layer gives; more than one come as a tuple."""
    passing: Passing = field(default_factory=Passing)
    copies_first: bool = False
    """Whether the model has its S residuals as (S, B, T, D)."""
    side_by_side: int = 1
    """S, where the model has its S residuals as one vector (B, T, S * D)."""
    parts: list["Batch"] = field(default_factory=list)
    """The sequences one by one, where they are taken through the layers so: it bounds what a layer computes at once."""

    def inner(self, hidden: Tensor) -> Tensor:
        """A residual of the model in our order of axes."""
        if self.side_by_side > 1:
            return hidden.reshape(*hidden.shape[:-1], self.side_by_side, -1)
        return hidden.movedim(0, 2).contiguous() if self.copies_first else hidden

    def outer(self, residual: Tensor) -> Tensor:
        """A residual of ours in the model's."""
        if self.side_by_side > 1:
            return residual.flatten(-2)
        return residual.movedim(2, 0) if self.copies_first else residual

    def given(self, hidden: Tensor, further: Sequence[Any]) -> Any:
        """What a layer gives, as the model expects it."""
        return (hidden, *further) if self.outputs > 1 else hidden

    @property
    def first(self) -> Tensor:
        """The residual before the first layer."""
        if self.residual is None:
            raise ValueError("this batch was not captured, or its first residual was forgotten")
        return self.residual

    def forget(self) -> None:
        """Let go of the first residual, of which someone has a copy: of long texts it takes as much as a stream."""
        for batch in (self, *self.parts):
            batch.residual = None


class _Keeper:
    """Stands in for every layer: keeps how each was called and hands the residual on."""

    def __init__(self, batch: Batch, name: str, width: int | None) -> None:
        self.batch = batch
        self.name = name
        self.width = width
        """D, as the config states it."""

    def __call__(self, number: int, *args: Any, **kwargs: Any) -> Any:
        hidden, call = _call(args, kwargs)
        if number in self.batch.calls:
            raise Looped(f"{self.name}: its layers are called more than once")
        if number < max(self.batch.calls, default=-1):
            raise unsupported(f"{self.name}: its layers are not called one after the other, each once")
        self._check(hidden)
        self.batch.passing.note(call)
        self.batch.calls[number] = call
        return self.batch.given(hidden, self.batch.passing.stand_ins(number, self.batch.outputs - 1))

    def _check(self, hidden: Any) -> None:
        """Raise unless this is the residual that the layer before handed on."""
        if self.batch.residual is None:
            self._first(hidden)
        elif not isinstance(hidden, Tensor) or hidden.shape != self.batch.outer(self.batch.residual).shape:
            raise _WrongOutput
        elif not torch.equal(hidden, self.batch.outer(self.batch.residual)):
            raise unsupported(f"{self.name}: something between its layers changes the residual")

    def _first(self, hidden: Any) -> None:
        """Take the residual before the first layer."""
        shape = tuple(hidden.shape) if isinstance(hidden, Tensor) else ()
        tokens = tuple(self.batch.ids.shape)
        if len(shape) not in (3, 4) or tokens not in (shape[:2], shape[1:3]):
            raise unsupported(f"{self.name}: its residual is neither one vector per token nor some")
        self.batch.copies_first = len(shape) == 4 and shape[:2] != tokens
        if len(shape) == 3 and self.width and shape[-1] % self.width == 0:
            self.batch.side_by_side = shape[-1] // self.width
        self.batch.residual = self.batch.inner(hidden)


def _call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Call]:
    """The residual that a layer is called with, and everything else."""
    hidden = args[0] if args else kwargs["hidden_states"]
    return hidden, (args[1:], {k: v for k, v in kwargs.items() if k != "hidden_states"})


class Looped(Exception):
    """A layer is called more than once: one layer after the other is then not enough."""


class _Stop(Exception):
    """The head is about to be computed: what comes after the layers is not needed yet."""


class _WrongOutput(Exception):
    """The model takes a layer's output apart: layers must give a tuple, or a longer one."""

    def __str__(self) -> str:
        return "what a layer gives does not reach the next"


@contextmanager
def _set_aside(layers: nn.ModuleList, stand_in: Callable[..., Any]) -> Iterator[None]:
    for number, layer in enumerate(layers):
        layer.forward = partial(stand_in, number)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


@contextmanager
def _stopping_at_the_head(model: PreTrainedModel) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise _Stop

    inner = [m.get_output_embeddings() for m in model.modules() if isinstance(m, PreTrainedModel)]  # type: ignore[no-untyped-call]
    head = next((h for h in inner if h is not None), None)
    if head is None:
        raise unsupported(f"{type(model).__name__}: it has no output embeddings")
    handle = head.register_forward_pre_hook(stop, prepend=True)
    try:
        yield
    finally:
        handle.remove()


def capture(model: PreTrainedModel, layers: nn.ModuleList, ids: Tensor) -> Batch:
    """Run the model up to its head on token ids (B, T), layers set aside, and keep how it calls each layer.

    Raise a Refusal if the layers do not follow one another on one residual, each called once.
    """
    name = type(model).__name__
    width = getattr(model.config.get_text_config(), "hidden_size", None)
    reason: Exception | None = None
    for outputs in range(1, MAX_OUTPUTS + 1):
        batch = Batch(ids, outputs=outputs)
        keeper = _Keeper(batch, name, width)
        try:
            with _stopping_at_the_head(model), _set_aside(layers, keeper), torch.no_grad():
                model(input_ids=ids, use_cache=False)
        except _Stop:
            if len(batch.calls) > len(layers) // 2:
                return batch
            raise unsupported(f"{name}: {len(layers)} layers, of which {len(batch.calls)} are called") from None
        except (_WrongOutput, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            reason = error
    raise unsupported(f"{name}: cannot be run with its layers set aside: {reason}")


def capture_each(model: PreTrainedModel, layers: nn.ModuleList, ids: Tensor) -> Batch:
    """The same, for sequences (B, T) that are taken through the layers one after the other."""
    if len(ids) == 1:
        return capture(model, layers, ids)
    parts = [capture(model, layers, one[None]) for one in ids]
    return replace(parts[0], ids=ids, residual=torch.cat([p.first for p in parts]), parts=parts)


def advance(layer: nn.Module, number: int, batch: Batch, residual: Tensor) -> Tensor:
    """The residual (B, T, D) after layer `number`; unchanged if the model does not call it."""
    if number not in batch.calls:
        return residual
    if batch.parts:
        return carry(layer, number, batch, fork(residual))
    side = side_of(residual)
    (args, kwargs), shared = batch.passing.fill(batch.calls[number], side)
    with torch.no_grad():
        out = layer(batch.outer(residual), *args, **kwargs)
    after: Tensor = out[0] if isinstance(out, tuple | list) else out
    return with_side(batch.inner(after), batch.passing.after(number, out, side, shared))


def carry(layer: nn.Module, number: int, batch: Batch, residual: Tensor) -> Tensor:
    """The same in place: the residual (B, T, D) becomes that after the layer, sequence by sequence where taken so."""
    if not batch.parts:
        return overwrite(residual, advance(layer, number, batch, residual))
    ones = split(residual)
    for part, one in zip(batch.parts, ones, strict=False):
        overwrite(one, advance(layer, number, part, one))
    return beside(residual, ones)


def replay(model: PreTrainedModel, layers: nn.ModuleList, batch: Batch, visit: Visit) -> Tensor:
    """Run the model up to its head with `visit` in the place of every call of a layer; the residual behind the last.

    `visit` gets the number of the call, that of the layer, and the residual; meanwhile `advance` computes that call.
    """
    last: Tensor | None = None
    calls, within = 0, False

    def stand_in(number: int, *args: Any, **kwargs: Any) -> Tensor:
        nonlocal last, calls, within
        if within:
            return _tensor(type(layers[number]).forward(layers[number], *args, **kwargs), type(model).__name__)
        hidden, batch.calls[number] = _call(args, kwargs)
        within = True
        try:
            last = visit(calls, number, hidden)
        finally:
            within = False
        calls += 1
        return last

    with suppress(_Stop), _stopping_at_the_head(model), _set_aside(layers, stand_in), torch.no_grad():
        model(input_ids=batch.ids, use_cache=False)
    if last is None:
        raise unsupported(f"{type(model).__name__}: none of its layers is called")
    return last


def _tensor(out: Any, name: str) -> Tensor:
    if not isinstance(out, Tensor):
        raise unsupported(f"{name}: layers are called more than once and give more than a residual")
    return out


def logits(model: PreTrainedModel, layers: nn.ModuleList, batch: Batch, residual: Tensor, keep: Tensor) -> Tensor:
    """The logits (B, len(keep), V) that a final residual (B, T, D) gives at the positions `keep`.

    The model is called on token ids, as it was captured: some look them up again behind the layers.
    """
    out = batch.given(batch.outer(residual), [None] * (batch.outputs - 1))
    with _set_aside(layers, lambda *_, **__: out), torch.no_grad():
        made: Tensor = model(input_ids=batch.ids, use_cache=False, logits_to_keep=keep).logits
    return made
