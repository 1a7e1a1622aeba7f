"""`stories260k-one` with its layers quantized in each of the formats, and what each stored weight means.

Nothing of swindex: tensors, config and meaning come from `packers`.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import disk, packers
from .packers import Matrix, Packer, Stored
from .trained import ONE

DOWN = "model.layers.1.mlp.down_proj"
ROW, COL = 67, 172
CT = "compressed-tensors"


def _fp8(**more: Any) -> dict[str, Any]:
    return {"quant_method": "fp8", "activation_scheme": "dynamic", **more}


def _ct(layout: str, weights: dict[str, Any]) -> dict[str, Any]:
    group = {"targets": ["Linear"], "weights": weights, "input_activations": None}
    return {"quant_method": CT, "format": layout, "config_groups": {"group_0": group}, "ignore": ["lm_head"]}


def _int(bits: int, **more: Any) -> dict[str, Any]:
    return {"num_bits": bits, "type": "int", "symmetric": True, **more}


def _gptq(bits: int, group: int, **more: Any) -> dict[str, Any]:
    return {"quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": False, "sym": False, **more}


AWQ = {"quant_method": "awq", "bits": 4, "group_size": 8, "zero_point": True, "version": "gemm"}
FLOAT = {"num_bits": 8, "type": "float", "symmetric": True}
AUTO_ROUND = {"quant_method": "auto-round", "bits": 4, "group_size": 24, "packing_format": "auto_round:auto_gptq"}
INV = ".weight_scale_inv"


@dataclass(frozen=True)
class Case:
    """A format: config, packer, and how a record names the planted scalar."""

    config: dict[str, Any]
    packer: Packer
    codes: str
    """Suffix of the tensor with the codes."""
    dtype: str
    packed: bool
    transposed: bool = False


def _bytes(config: dict[str, Any], packer: Packer, dtype: str = "float8_e4m3fn", packed: bool = False) -> Case:
    return Case(config, packer, ".weight", dtype, packed)


def _words(config: dict[str, Any], packer: Packer, dtype: str) -> Case:
    codes = ".weight_packed" if dtype.startswith("pack") else ".qweight"
    return Case(config, packer, codes, dtype, True, codes == ".qweight")


CASES: dict[str, Case] = {
    "fp8 blocks": _bytes(_fp8(weight_block_size=[16, 24]), packers.fp8(INV, (16, 24), lambda n, k: (n, k))),
    "fp8 large blocks": _bytes(_fp8(weight_block_size=[128, 128]), packers.fp8(INV, (128, 128), lambda n, k: (n, k))),
    "fp8 per tensor": _bytes(_fp8(weight_block_size=None), packers.fp8(INV, None, lambda n, k: ())),
    "fp8 of AutoFP8": _bytes(_fp8(), packers.fp8(".weight_scale", None, lambda n, k: (1,))),
    "fbgemm": _bytes({"quant_method": "fbgemm_fp8"}, packers.fp8(".weight_scale", (1, 0), lambda n, k: (n, 1))),
    "ct fp8 per channel": _bytes(
        _ct("float-quantized", {**FLOAT, "strategy": "channel"}),
        packers.fp8(".weight_scale", (1, 0), lambda n, k: (n, 1)),
    ),
    "ct fp8 per tensor": _bytes(
        _ct("float-quantized", {**FLOAT, "strategy": "tensor"}),
        packers.fp8(".weight_scale", None, lambda n, k: (1,)),
    ),
    "ct fp8 blocks": _bytes(
        _ct("float-quantized", {**FLOAT, "strategy": "block", "block_structure": [16, 24]}),
        packers.fp8(".weight_scale", (16, 24), lambda n, k: (n, k)),
    ),
    "ct int8": _bytes(_ct("int-quantized", _int(8, strategy="channel")), packers.int8(False), "int8"),
    "ct int8 with zeros": _bytes(
        _ct("int-quantized", _int(8, strategy="channel", symmetric=False)), packers.int8(True), "zero-point-int8", True
    ),
    "ct int4": _words(_ct("pack-quantized", _int(4, group_size=8)), packers.packed(4, 8), "pack-int4"),
    "ct int4 per channel": _words(_ct("pack-quantized", _int(4)), packers.packed(4, None), "pack-int4"),
    "ct int4 with zeros": _words(
        _ct("pack-quantized", _int(4, group_size=8, symmetric=False)), packers.packed(4, 8, True), "pack-int4"
    ),
    "ct int4 reordered": _words(
        _ct("pack-quantized", _int(4, group_size=8, actorder="group")), packers.packed(4, 8, order=True), "pack-int4"
    ),
    "ct int8 packed": _words(_ct("pack-quantized", _int(8, group_size=8)), packers.packed(8, 8), "pack-int8"),
    "gptq": _words(_gptq(4, 24), packers.gptq(4, 24), "gptq-int4"),
    "gptq reordered": _words(_gptq(4, 24, desc_act=True), packers.gptq(4, 24, order=True), "gptq-int4"),
    "gptq v2": _words(_gptq(4, 24, checkpoint_format="gptq_v2"), packers.gptq(4, 24, version=2), "gptq-int4"),
    "gptq 8 bits": _words(_gptq(8, -1), packers.gptq(8, 1 << 20), "gptq-int8"),
    "gptq by module": _words(_gptq(8, 24, dynamic={"+:.*": {"bits": 4}}), packers.gptq(4, 24), "gptq-int4"),
    "auto-round as gptq": _words(AUTO_ROUND, packers.gptq(4, 24), "gptq-int4"),
    "awq": _words(AWQ, packers.awq(8), "awq-int4"),
}


@dataclass(frozen=True)
class Packed:
    """A quantized copy: its config, the tensors to store, and what the quantized weights mean."""

    config: dict[str, Any]
    tensors: Stored
    means: dict[str, Matrix]

    def write(self, folder: Path) -> Path:
        """The checkpoint on disk."""
        return disk.write(folder, self.config, self.tensors)


@cache
def packed(name: str) -> Packed:
    """`stories260k-one` with every projection of its layers in a format."""
    case = CASES[name]
    tensors: Stored = {}
    means: dict[str, Matrix] = {}
    for key, tensor in disk.read(ONE).items():
        if not key.endswith("_proj.weight"):
            tensors[key] = tensor
            continue
        stem = key.removesuffix(".weight")
        stored, means[key] = case.packer(tensor.numpy().astype(np.float64))
        tensors |= {stem + suffix: each for suffix, each in stored.items()}
    return Packed({**disk.config_of(ONE), "quantization_config": case.config}, tensors, means)


def as_floats(name: str, folder: Path) -> Path:
    """What the quantized weights mean, as a plain float32 checkpoint."""
    made = packed(name)
    plain = {n: t for n, t in disk.read(ONE).items() if n not in made.means}
    means = {n: torch.from_numpy(m).to(torch.float32) for n, m in made.means.items()}
    return disk.write(folder, disk.config_of(ONE), plain | means)
