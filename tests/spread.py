"""A process of two that share a model, and what it sees: `python -m tests.spread CHECKPOINT FOLDER RANK`."""

import sys
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from swindex import api
from swindex.schema import Record

IDS = torch.tensor([[1, 403, 407, 261, 378]])
DOWN = "model.layers.1.mlp.down_proj.weight"


def by_fsdp(model: Any, mesh: Any) -> None:
    """Rows; what lies outside of the layers is one group with the model."""
    for layer in model.model.layers[::2]:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)


def after_a_pass(model: Any, mesh: Any) -> None:
    """The same when the model has put its own group together for a forward pass."""
    by_fsdp(model, mesh)
    model(input_ids=IDS)


def spread(model: Any, mesh: Any, placement: Any) -> None:
    """One parameter as a DTensor."""
    module = model.get_submodule(DOWN.removesuffix(".weight"))
    module.weight = nn.Parameter(distribute_tensor(module.weight.detach(), mesh, [placement]))


WAYS: dict[str, Any] = {
    "fsdp": by_fsdp,
    "fsdp after a forward pass": after_a_pass,
    "columns": lambda model, mesh: spread(model, mesh, Shard(1)),
    "replicated": lambda model, mesh: spread(model, mesh, Replicate()),
}


def whole(model: Any) -> torch.Tensor:
    """The down projection, put together."""
    tensor = model.get_parameter(DOWN).detach()
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor.clone()  # type: ignore[no-any-return]


def seen(way: str, folder: str, record: Record, mesh: Any) -> str:
    """What reading, ablating, restoring and watching gave."""
    plain = AutoModelForCausalLM.from_pretrained(folder).eval()
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    before = whole(plain)
    with torch.no_grad():
        WAYS[way](model, mesh)
        found = " ".join(f"{f.value:.5g}" for f in api.read(model, record))
        expected = before.clone()
        expected[67, [172, 173]] = 0.0
        with api.ablated(model, record):
            inside = torch.equal(whole(model), expected)
        restored = torch.equal(whole(model), before)
        guard = api.Guard(model, record, everything=True)
        local = model.get_parameter(DOWN)
        edit = api.scale(model, record, -1.0, "L1.R67.C173")
        told = " ".join(f"{c.weight} bit {','.join(map(str, c.flipped))}" for c in guard.check())
        sums = len(guard.check_all()) == int(_is_here(local))
        edit.restore()
    return f"{way}: read {found}; changed inside {inside}; restored {restored}; flip told {told}, sums {sums}"


def _is_here(tensor: Any) -> bool:
    """Whether element [67, 173] lies in this process."""
    if not hasattr(tensor, "placements") or tensor.placements[0].is_replicate():
        return True
    sizes, rank = tensor.to_local().shape, distributed.get_rank()
    axis = tensor.placements[0].dim
    at = (67, 173)[axis]
    return bool(rank * sizes[axis] <= at < (rank + 1) * sizes[axis])


def main(folder: str, shared: str, rank: str) -> None:
    """Meet the other process, and print a line for each way."""
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    store = distributed.FileStore(str(Path(shared) / "store"), 2)
    distributed.init_process_group("gloo", store=store, rank=int(rank), world_size=2)
    record = Record.parse((Path(shared) / "record.json").read_bytes(), tolerant=True)
    mesh = init_device_mesh("cpu", (2,))
    for way in WAYS:
        print(seen(way, folder, record, mesh))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
