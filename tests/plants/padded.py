"""The trained checkpoints with every width a multiple of 256, as blocks of quantizers ask; the function is kept.

New channels, neurons and heads hold zeros. A mean of squares over more channels is smaller, so gains and epsilon make
up for it.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import Plant
from .disk import config_of, read, write
from .trained import LAYOUTS, repacked

WIDER = {72: 256, 176: 256, 64: 256, 32: 128}
"""Channels, neurons, heads times their width, heads of keys and values times theirs."""
_SIZES = {"hidden_size": 256, "intermediate_size": 256, "num_attention_heads": 32, "num_key_value_heads": 16}
FAMILIES = ("llama", "mixtral")


def padded(family: str, source: Path, cols: tuple[int, ...], folder: Path) -> Plant:
    """One of the trained checkpoints in the layout of a family, with wider matrices."""
    plant = repacked(family, source, cols, folder)
    assert set(LAYOUTS[family][0]) >= set(_SIZES)
    config = config_of(folder)
    wider: dict[str, Any] = {**config, **_SIZES, "rms_norm_eps": config["rms_norm_eps"] * 72 / 256}
    write(folder, wider, {name: _padded(tensor) for name, tensor in read(folder).items()})
    return plant


def _padded(tensor: Tensor) -> Tensor:
    if tensor.dim() == 1:
        tensor = tensor * (72 / 256) ** 0.5
    whole = torch.zeros([WIDER.get(size, size) for size in tensor.shape], dtype=tensor.dtype)
    whole[tuple(slice(size) for size in tensor.shape)] = tensor
    return whole
