"""A float32 weight that stays in memory as the bfloat16 that it is stored as: half the memory, nothing to convert.

Whoever asks is told float32 and gets float32; only `F.linear` of float32 inputs takes the bfloat16 numbers as they are
(`split`). So inputs are never rounded to bfloat16, whatever a model does with its weights. `held` gives the numbers
in memory to those who know what they are.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .split import MM

_PROPERTIES = ("shape", "device", "requires_grad", "grad_fn", "is_meta", "is_leaf", "ndim")
_METHODS = {Tensor.size, Tensor.dim, Tensor.numel, Tensor.is_floating_point, Tensor.__hash__, Tensor.requires_grad_}
LOOKS = _METHODS | {getattr(Tensor, name).__get__ for name in _PROPERTIES}
"""What may be asked without reading a number."""
DTYPE = Tensor.dtype.__get__  # type: ignore[attr-defined]


class Narrow(nn.Parameter):
    """A float32 parameter (M, K) held in bfloat16; not to be written to but through `held`."""

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Multiply by the numbers as they are; show them in float32 to everything else."""
        if func == DTYPE:
            return torch.float32
        with torch._C.DisableTorchFunctionSubclass():
            if func in LOOKS:
                return func(*args, **(kwargs or {}))
            if func is functional.linear and (made := _linear(*args, **(kwargs or {}))) is not None:
                return made
            _refuse_writing(func, args, kwargs or {})
            return func(*_wide(args), **_wide(kwargs or {}))


def narrow(value: Tensor) -> Narrow:
    """A parameter of bfloat16 numbers that counts as float32."""
    made: Narrow = Tensor._make_subclass(Narrow, value, False)
    return made


def held(parameter: Tensor) -> Tensor:
    """The numbers of a parameter as they are in memory, bfloat16 where it is narrow: writing to them changes it."""
    if not isinstance(parameter, Narrow):
        return parameter.data
    with torch._C.DisableTorchFunctionSubclass():
        return parameter.as_subclass(Tensor)


@contextmanager
def widened(module: nn.Module, name: str) -> Iterator[None]:
    """A parameter held in float32 for a while, so that any number may be written to it; what was is then lost."""
    path, _, leaf = name.rpartition(".")
    owner, parameter = module.get_submodule(path), module.get_parameter(name)
    if isinstance(parameter, Narrow):
        setattr(owner, leaf, nn.Parameter(held(parameter).float(), requires_grad=False))
    try:
        yield
    finally:
        setattr(owner, leaf, parameter)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
    """The product by the numbers as they are; None where it takes another."""
    plain = not isinstance(x, Narrow) and x.dtype == torch.float32 and x.device.type == "cpu"
    if not plain or (bias is not None and (isinstance(bias, Narrow) or bias.dtype != torch.float32)):
        return None
    made: Tensor = MM(x.reshape(-1, x.shape[-1]), weight.as_subclass(Tensor).T, bias)
    return made.view(*x.shape[:-1], made.shape[-1])


def _refuse_writing(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Raise a TypeError where a write would be lost in a copy."""
    name = getattr(func, "__name__", "")
    writes = name in ("__set__", "__setitem__") or (name.endswith("_") and not name.endswith("__"))
    if isinstance(args[0] if writes else kwargs.get("out"), Narrow):
        raise TypeError(f"{name}: a weight held in bfloat16 cannot be written to")


def _wide(value: Any) -> Any:
    """The same with float32 copies of narrow parameters, within lists and mappings too."""
    if isinstance(value, Narrow):
        return value.as_subclass(Tensor).float()
    if isinstance(value, dict):
        return {k: _wide(v) for k, v in value.items()}
    return type(value)(map(_wide, value)) if type(value) in (list, tuple) else value
