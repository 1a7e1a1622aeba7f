"""Reading and writing single elements of parameters, wherever they are: on any device, or offloaded by accelerate.

What is offloaded to memory is changed there. What is offloaded to disk is never written: the changed tensor lies in
memory over it and is dropped when all is restored. Quantized parameters are refused by name.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from . import sharded
from .errors import LoadedError

Spot = tuple[str, tuple[int, ...]]
"""A parameter's name and an index in it."""
INTEGERS = {
    torch.float64: torch.int64,
    torch.float32: torch.int32,
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
}
"""Dtypes whose elements are numbers by themselves -> integers of the same width."""


@dataclass(frozen=True)
class Element:
    """One element: torch's name of its dtype, and its bits in hex."""

    dtype: str
    bits: str


def held(model: nn.Module, name: str) -> Tensor:
    """The tensor that holds a parameter's numbers; raise LoadedError if it is not a plain one, or no more there."""
    try:
        sharded.reshard(model, name)
        parameter = plain(model, name)
    except AttributeError:
        raise LoadedError(f"{name}: the model has no such parameter any more; put the module back first") from None
    return parameter if parameter.device.type != "meta" else _Offloaded.of(model, name).tensor


def plain(model: nn.Module, name: str) -> nn.Parameter:
    """A parameter whose elements are numbers by themselves; raise LoadedError for any other, by name."""
    parameter, owner = model.get_parameter(name), model.get_submodule(name.rpartition(".")[0])
    kind = f"{type(owner).__module__.partition('.')[0]} {type(owner).__name__}"
    spread = sharded.is_sharded(parameter)
    if not (sharded.is_settled(parameter) if spread else type(parameter) in (nn.Parameter, Tensor)):
        raise LoadedError(f"{name} is a {type(parameter).__name__} ({kind}), not a plain parameter: quantized?")
    if parameter.dtype not in INTEGERS:
        dtype = str(parameter.dtype).removeprefix("torch.")
        raise LoadedError(f"{name} is {dtype} ({kind}), quantized; load the model in float32, bfloat16 or float16")
    return parameter


def read(model: nn.Module, spots: Sequence[Spot]) -> list[Element]:
    """The elements at these places, in order; each device is waited for once."""
    tensors = {name: held(model, name) for name in dict.fromkeys(name for name, _ in spots)}
    together: dict[Any, list[int]] = defaultdict(list)
    for number, (name, _) in enumerate(spots):
        tensor = tensors[name]
        together[tensor.device, getattr(tensor, "device_mesh", None)].append(number)
    found: dict[int, int] = {}
    with torch.no_grad():
        for (_, mesh), numbers in together.items():
            raw = torch.stack([_raw(tensors[spots[n][0]], spots[n][1]) for n in numbers])
            found.update(zip(numbers, (raw if mesh is None else sharded.summed(mesh, raw)).tolist(), strict=True))
    return [_element(tensors[name].dtype, found[n]) for n, (name, _) in enumerate(spots)]


def _raw(tensor: Tensor, index: tuple[int, ...]) -> Tensor:
    """The bits of an element as an integer; 0 where another process answers for it."""
    part, at = _part(tensor.detach(), index)
    if at is None or (sharded.is_sharded(tensor) and not sharded.is_first(tensor)):
        return torch.zeros((), dtype=torch.int64, device=part.device)
    return part[at].view(INTEGERS[tensor.dtype]).to(torch.int64)


def _part(tensor: Tensor, index: tuple[int, ...]) -> tuple[Tensor, tuple[int, ...] | None]:
    """What this process holds of a tensor, and the index in it; None if the element lies in another process."""
    return sharded.local(tensor, index) if sharded.is_sharded(tensor) else (tensor, index)


def _element(dtype: torch.dtype, raw: int) -> Element:
    width = 8 * dtype.itemsize
    return Element(str(dtype).removeprefix("torch."), f"{raw & (1 << width) - 1:0{width // 4}x}")


def number_of(element: Element) -> Tensor:
    """An element as a tensor in memory, with its bits."""
    dtype = getattr(torch, element.dtype)
    raw = int.from_bytes(bytes.fromhex(element.bits), "big", signed=True)
    return torch.tensor(raw, dtype=INTEGERS[dtype]).view(dtype)


def write(model: nn.Module, spot: Spot, value: Tensor) -> None:
    """Write one element in place, rounded to the parameter's dtype; autograd is told that the parameter changed."""
    name, index = spot
    tensor = held(model, name)
    if model.get_parameter(name).device.type == "meta":
        tensor = _Offloaded.of(model, name).writable()
    with torch.inference_mode(tensor.is_inference()), torch.no_grad():
        part, at = _part(tensor, index)
        if at is not None:
            part[at] = value.to(tensor.dtype).to(part.device)


def settle(model: nn.Module, names: Iterable[str]) -> None:
    """Drop what `write` laid over parameters that are offloaded to disk: they are as they were."""
    for name in names:
        if model.get_parameter(name).device.type == "meta":
            _Offloaded.of(model, name).drop()


def canonical(model: nn.Module) -> dict[str, str]:
    """Every parameter's name -> the first name of the same parameter: tied weights are one."""
    tied: dict[str, str] = getattr(model, "all_tied_weights_keys", None) or {}
    first: dict[int, str] = {}
    names = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names[name] = first.setdefault(id(parameter), name)
    return {name: names.get(tied.get(name, ""), own) for name, own in names.items()}


# --- offloaded by accelerate ---


_LAID_OVER: WeakKeyDictionary[nn.Module, set[str]] = WeakKeyDictionary()
"""Model -> parameters on disk over which a changed tensor lies in memory."""


@dataclass
class _Offloaded:
    """The map of accelerate that holds a parameter while no module does."""

    model: nn.Module
    name: str
    weights: Any
    key: str

    @classmethod
    def of(cls, model: nn.Module, name: str) -> "_Offloaded":
        """Find it: at the module that owns the parameter, or at one around it."""
        hook, key = _hook(model, name)
        if hook is None:
            raise LoadedError(f"{name} is on the meta device and nothing holds its numbers; load the weights first")
        if key in hook.tied_params_names:
            raise LoadedError(f"{name} is tied and offloaded; keep that module on a device (device_map)")
        weights = hook.weights_map
        while hasattr(weights, "dataset") and hasattr(weights, "prefix"):
            weights, key = weights.dataset, f"{weights.prefix}{key}"
        return cls(model, name, weights, key)

    @property
    def tensor(self) -> Tensor:
        """Its numbers; from disk a copy of them."""
        tensor: Tensor = self.weights[self.key]
        return tensor

    @property
    def _memory(self) -> Any:
        """The part of the map that lies in memory; a key there goes before the same key on disk."""
        return getattr(self.weights, "state_dict", self.weights)

    def writable(self) -> Tensor:
        """Its numbers in memory, so that what is written is there in the next forward pass."""
        if self.key not in self._memory:
            self._memory[self.key] = self.tensor.clone()
            _LAID_OVER.setdefault(self.model, set()).add(self.name)
        tensor: Tensor = self._memory[self.key]
        return tensor

    def drop(self) -> None:
        """Forget what lies in memory over a tensor on disk."""
        laid_over = _LAID_OVER.get(self.model, set())
        if self.name in laid_over:
            laid_over.remove(self.name)
            del self._memory[self.key]


def _hook(model: nn.Module, name: str) -> tuple[Any, str]:
    """accelerate's hook that offloads a parameter, and the parameter's name there; (None, '') without one."""
    parts = name.split(".")
    for depth in range(len(parts) - 1, -1, -1):
        module = model.get_submodule(".".join(parts[:depth]))
        hook = getattr(module, "_hf_hook", None)
        for each in getattr(hook, "hooks", (hook,)):
            if getattr(each, "offload", False) and getattr(each, "weights_map", None) is not None:
                return each, ".".join(parts[depth:])
    return None, ""
