"""Where a recorded scalar lies in a loaded model: from the tensor's name on disk to a parameter and an index in it.

transformers' own renamings and conversions are followed (`crawler.architectures.placement`): experts that are stored
one by one and fused in memory, matrices that lie the other way round. What stands at a place is not looked at here.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from ...crawler.architectures.placement import assign
from ...schema.weight import SuperWeight
from .errors import LoadedError, NotFoundInModel
from .holding import Spot, canonical, plain

Index = tuple[int, ...]


@dataclass(frozen=True)
class Place:
    """A scalar in a loaded model: `parameter` is its name there, `index` the position in it."""

    weight: SuperWeight
    parameter: str
    index: Index

    @property
    def module(self) -> str:
        """The name of the module that owns the parameter."""
        return self.parameter.rpartition(".")[0]

    @property
    def spot(self) -> Spot:
        """The parameter and the index, as `holding` takes them."""
        return self.parameter, self.index

    def __str__(self) -> str:
        return f"{self.parameter}{list(self.index)}"

    @property
    def stored(self) -> str:
        """The same place on disk, as the record has it."""
        return f"{self.weight.tensor}{list(self.weight.index)}"


def unwrapped(model: Any) -> PreTrainedModel:
    """The transformers model within what compilers, data parallelism and peft put around it; raise LoadedError."""
    while not isinstance(model, PreTrainedModel):
        inner = next((getattr(model, n) for n in ("_orig_mod", "module") if hasattr(model, n)), None)
        if inner is None and hasattr(model, "get_base_model"):
            inner = model.get_base_model()
        if inner is None:
            raise LoadedError(f"{type(model).__name__} is not a transformers model; give the PreTrainedModel itself")
        model = inner
    return model


def locate(model: PreTrainedModel, weights: Iterable[SuperWeight]) -> tuple[Place, ...]:
    """The places of recorded scalars, in their order; raise NotFoundInModel naming the scalar and what is there.

    Where parameters are tied the first of their names is given.
    """
    wanted = tuple(weights)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    assigned = {row[0]: row for row in assign(model, {w.tensor for w in wanted}, parameters)}  # type: ignore[arg-type]
    first = canonical(model)
    found = [_place(model, weight, parameters, assigned[weight.tensor]) for weight in wanted]
    return tuple(replace(place, parameter=first[place.parameter]) for place in found)


def _place(model: PreTrainedModel, weight: SuperWeight, parameters: dict[str, nn.Parameter], row: Any) -> Place:
    target, converter = _under_adapter(row[1], parameters), row[3]
    if target not in parameters:
        raise NotFoundInModel(f"{_named(model, weight)}: no parameter {target}; {_instead(target, model)}")
    shape = tuple(plain(model, target).shape)
    index, stored = weight.index, weight.shape
    for operation in converter.operations if converter else ():
        move = _MOVES.get(type(operation).__name__)
        if move is None:
            what = f"{type(operation).__name__} makes {target} of it when it is loaded"
            raise NotFoundInModel(f"{_named(model, weight)}: {what}, which is not followed here")
        index, stored = move(operation, index, stored, shape, weight)
    if stored not in (None, shape) or not _within(index, shape):
        expected = f"index {list(index)} of {list(stored) if stored else 'a tensor'}"
        raise NotFoundInModel(f"{_named(model, weight)}: {target} has shape {list(shape)}, expected {expected}")
    return Place(weight, target, index)


def _under_adapter(target: str, parameters: dict[str, nn.Parameter]) -> str:
    """The name of a parameter around whose module peft has put an adapter: that of the weight under it."""
    path, _, leaf = target.rpartition(".")
    under = f"{path}.base_layer.{leaf}"
    return under if target not in parameters and under in parameters else target


def _within(index: Index, shape: Index) -> bool:
    return len(index) == len(shape) and all(at < size for at, size in zip(index, shape, strict=True))


def _named(model: nn.Module, weight: SuperWeight) -> str:
    return f"{type(model).__name__} has no place for {weight.tensor}{list(weight.index)}"


def _instead(target: str, model: nn.Module) -> str:
    """What stands where a parameter was expected."""
    path, _, leaf = target.rpartition(".")
    try:
        owner = model.get_submodule(path)
    except AttributeError:
        return f"nor a module {path}: is it this model's record?"
    held = sorted({*owner._parameters, *owner._buffers} - {None})
    kind = type(owner)
    if hasattr(owner, "parametrizations") or f"{leaf}_orig" in held:
        return f"it is parametrized or pruned ({', '.join(held) or kind.__name__}); undo that first (prune.remove)"
    return f"{path} is a {kind.__module__.partition('.')[0]} {kind.__name__} that holds {', '.join(held) or 'none'}"


# --- what conversions do to an index ---

Moved = tuple[Index, Index | None]
"""Index and shape, None where the record has no shape."""
Move = Callable[[Any, Index, Index | None, Index, SuperWeight], Moved]


def _stacked(operation: Any, index: Index, shape: Index | None, held: Index, weight: SuperWeight) -> Moved:
    """One matrix for each expert becomes one tensor of them all (Ernie VL: of the first half, those for text)."""
    expert = (weight.expert or 0,)
    at = getattr(operation, "stack_dim", getattr(operation, "dim", 0))
    return _put(index, at, expert), None if shape is None else _put(shape, at, held[at : at + 1])


def _put(values: Sequence[int], at: int, more: Index) -> Index:
    return (*values[:at], *more, *values[at:])


def _turned(operation: Any, index: Index, shape: Index | None, held: Index, _weight: SuperWeight) -> Moved:
    """Two axes change places; with `check_dims` only where the shapes say so."""
    if operation.check_dims and shape == held:
        return index, shape
    axes = list(range(len(index)))
    axes[operation.dim0], axes[operation.dim1] = axes[operation.dim1], axes[operation.dim0]
    return tuple(index[a] for a in axes), None if shape is None else tuple(shape[a] for a in axes)


_MOVES: dict[str, Move] = {
    "ErnieFuseAndSplitTextVisionExperts": _stacked,
    "MergeModulelist": _stacked,
    "Transpose": _turned,
}
"""By the name of transformers' operation; others do not meet down projections."""
