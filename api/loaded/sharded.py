"""Parameters that are spread over processes (DTensor: tensor parallel, FSDP2): which process holds an element.

Every process of the mesh must ask for the same elements in the same order, as for any collective operation. An element
is written by all that hold it, and read from the first of them.
"""

from typing import Any

import torch
from torch import Tensor, nn

Index = tuple[int, ...]


def is_sharded(tensor: Any) -> bool:
    """Whether a tensor is spread over processes."""
    return hasattr(tensor, "device_mesh") and hasattr(tensor, "placements") and hasattr(tensor, "to_local")


def reshard(model: nn.Module, name: str) -> None:
    """Let go of the copies that FSDP has put together for a forward pass: what is written must be in the shards."""
    parts = name.split(".")
    for depth in range(len(parts)):
        module: Any = model.get_submodule(".".join(parts[:depth]))
        if type(module).__name__.startswith("FSDP") and hasattr(module, "reshard"):
            module.reshard()


def is_settled(tensor: Any) -> bool:
    """Whether every element is held as it is, and not as parts of a sum that is still to be made."""
    return not any(placement.is_partial() for placement in tensor.placements)


def local(tensor: Any, index: Index) -> tuple[Tensor, Index | None]:
    """This process's part, and the index in it; None if the element lies elsewhere."""
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    shape, offset = compute_local_shape_and_global_offset(tensor.shape, tensor.device_mesh, tensor.placements)
    at = tuple(i - first for i, first in zip(index, offset, strict=True))
    inside = all(0 <= i < size for i, size in zip(at, shape, strict=True))
    return tensor.to_local(), at if inside else None


def is_first(tensor: Any) -> bool:
    """Whether this process is the one, of those with the same shard, that answers for it."""
    own = tensor.device_mesh.get_coordinate() or ()
    whole = [placement.is_replicate() for placement in tensor.placements]
    return all(at == 0 for at, replicated in zip(own, whole, strict=True) if replicated)


def summed(mesh: Any, values: Tensor) -> Tensor:
    """The sum of what all processes of a mesh have."""
    for axis in range(mesh.ndim):
        torch.distributed.all_reduce(values, group=mesh.get_group(axis))
    return values
