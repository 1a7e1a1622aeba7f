"""Checkpoints made of given stored tensors, and their tensors as a scan gets them."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from swindex.crawler.checkpoint.local import LocalCheckpoint
from swindex.crawler.stored.view import in_floats


def stored(folder: Path, quantization: dict[str, Any], tensors: dict[str, Tensor]) -> Path:
    """A folder with these tensors and this quantization_config."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "quantization_config": quantization}))
    save_file({n: t.contiguous() for n, t in tensors.items()}, folder / "model.safetensors")
    return folder


def decoded(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint as the scan gets them, in their dtype."""
    checkpoint = in_floats(LocalCheckpoint(folder))
    infos = checkpoint.tensors
    found: dict[str, bytearray] = {}
    for info, at, data in checkpoint.read(list(infos)):
        found.setdefault(info.name, bytearray(info.size))[at : at + len(data)] = data
    dtypes = {n: getattr(torch, i.dtype or "") for n, i in infos.items()}
    return {n: torch.frombuffer(b, dtype=dtypes[n]).view(infos[n].shape) for n, b in found.items()}
