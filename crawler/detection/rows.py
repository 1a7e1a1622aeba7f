"""Rows of an embedding: a few hundred tokens need a few hundred rows, not a table of a gigabyte.

Rows that lie close together in the file are fetched in one range. Knows nothing of what the rows mean.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..architectures.placement import Placement
from ..checkpoint.base import Checkpoint
from ..checkpoint.header import TensorInfo
from ..refusal import corrupt, unsupported


def float_dtype(checkpoint: Checkpoint, info: TensorInfo) -> torch.dtype:
    """torch's dtype of a stored float tensor; raise a `corrupt` Refusal for any other."""
    dtype = getattr(torch, info.dtype) if info.dtype else None
    if dtype is None or not dtype.is_floating_point:
        raise corrupt(f"{checkpoint.place}: {info.name} is {info.dtype or 'packed'}, not a float weight")
    return dtype  # type: ignore[no-any-return]


FEW = 16
"""Rows are read alone if they are at most this part of the table (1 / FEW)."""


def in_rows(placement: Placement, module: nn.Module, count: int) -> bool:
    """Whether `count` rows are few of one plainly stored (V, D) table for a module that looks rows up by id."""
    sources = [i for _, i in placement.sources]
    plain = placement.converter is None and len(sources) == 1 and len(sources[0].shape) == 2
    looks_up = type(sources[0]) is TensorInfo and isinstance(module, nn.Embedding)
    return plain and looks_up and count * FEW <= sources[0].shape[0]


def read_rows(checkpoint: Checkpoint, info: TensorInfo, rows: Tensor) -> Tensor:
    """Rows (N, D) of a stored (V, D) table, in its stored dtype; `rows` sorted and distinct."""
    width = info.size // info.shape[0]
    table = torch.empty(len(rows), info.shape[1], dtype=float_dtype(checkpoint, info))
    done = 0
    for first, last in _runs(rows.tolist(), checkpoint.gap // max(width, 1)):
        start = info.start + first * width
        data = checkpoint.read_range(info.file, start, info.start + (last + 1) * width)
        run = torch.frombuffer(data, dtype=table.dtype).view(-1, info.shape[1])
        inside = rows[(rows >= first) & (rows <= last)] - first
        table[done : done + len(inside)] = run[inside]
        done += len(inside)
    return table


def _runs(rows: list[int], gap: int) -> Iterator[tuple[int, int]]:
    """First and last row of each range: rows at most `gap` apart belong together."""
    first = last = rows[0]
    for row in rows[1:]:
        if row - last > gap + 1:
            yield first, last
            first = row
        last = row
    yield first, last


@contextmanager
def looking_up(module: nn.Module, known: Tensor) -> Iterator[None]:
    """The embedding holds just the rows of `known` (sorted): ids that it is called with are looked up among them.

    Raise a Refusal if it is called with another.
    """

    def translate(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        at = torch.searchsorted(known, args[0].contiguous()).clamp_max(len(known) - 1)
        if not torch.equal(known[at], args[0]):
            raise unsupported(f"{type(module).__name__} is asked for tokens that the texts do not hold")
        return at, *args[1:]

    padding, module.padding_idx = getattr(module, "padding_idx", None), None  # type: ignore[assignment]
    handle = module.register_forward_pre_hook(translate)
    try:
        yield
    finally:
        handle.remove()
        module.padding_idx = padding  # type: ignore[assignment]
