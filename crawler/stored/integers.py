"""How GPTQ, AWQ and compressed-tensors' `pack-quantized` name and shape the tensors of a packed weight."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..checkpoint.header import TensorInfo
from .codec import FLOATS, Codec, DamagedError, Tensors, expect, need
from .packed import Integers
from .words import PACKINGS

INT32 = ("int32",)
WORD = 32
"""Bits."""


def _matrix(info: TensorInfo) -> TensorInfo:
    if info.dtype != "int32" or len(info.shape) != 2 or not info.elements:
        raise DamagedError(f"{info.name} is {info.dtype or 'packed'} {list(info.shape)}, expected an int32 matrix")
    return info


def _grouped(inputs: int, groups: int, scale: TensorInfo) -> int:
    """Inputs of a group, given their number and that of the groups."""
    if groups < 1 or inputs % groups:
        raise DamagedError(f"{scale.name}: {inputs} inputs are not divided by {groups} groups")
    return inputs // groups


@dataclass(frozen=True)
class Gptq:
    """GPTQ; `bits` None: as the shapes say (a config with exceptions by module)."""

    bits: int | None
    group: int
    """group_size of config.json; -1: one group."""
    version: int = 1
    codes: str = ".qweight"
    spare: tuple[str, ...] = ()

    def target(self, stem: str) -> str:
        """Name of the weight."""
        return f"{stem}.weight"

    def of(self, stem: str, tensors: Tensors) -> Codec:
        """The weight of that stem."""
        codes = _matrix(tensors[stem + self.codes])
        scale = need(tensors, f"{stem}.scales", codes.name)
        zero = need(tensors, f"{stem}.qzeros", codes.name)
        order = tensors.get(f"{stem}.g_idx")
        bits = self._bits(codes, order)
        per, outputs = WORD // bits, codes.shape[1]
        inputs = codes.shape[0] * per
        groups = scale.shape[0] if scale.shape else 0
        expect(scale, FLOATS, (groups, outputs))
        if outputs % per:
            raise DamagedError(f"{codes.name}: {outputs} outputs do not fill words of {per}")
        expect(zero, INT32, (groups, outputs // per))
        parts = {"scale": scale, "zero": zero}
        group = self._group(inputs, groups, scale, order)
        if order is not None:
            parts["group"] = expect(order, INT32, (inputs,))
        shift = 1 if self.version == 1 else 0
        return Integers(codes, parts, (outputs, inputs), f"gptq-int{bits}", groups, group, True, shift)

    def _bits(self, codes: TensorInfo, order: TensorInfo | None) -> int:
        if self.bits is not None:
            return self.bits
        inputs = order.elements if order is not None else 0
        bits = codes.shape[0] * WORD // inputs if inputs else 0
        if f"gptq-int{bits}" not in PACKINGS:
            raise DamagedError(f"{codes.name}: {list(codes.shape)} words for {inputs} inputs are of no known width")
        return bits

    def _group(self, inputs: int, groups: int, scale: TensorInfo, order: TensorInfo | None) -> int:
        """Inputs of a run that shares a scale; with `g_idx` there are no runs, it names a group for each input."""
        group = inputs if self.group == -1 else self.group
        if order is None and -(-inputs // group) != groups:
            raise DamagedError(f"{scale.name} has {groups} groups of {inputs} inputs, group_size is {self.group}")
        return group


@dataclass(frozen=True)
class Awq:
    """AWQ, packed for gemm."""

    group: int
    codes: str = ".qweight"
    spare: tuple[str, ...] = ()

    def target(self, stem: str) -> str:
        """Name of the weight."""
        return f"{stem}.weight"

    def of(self, stem: str, tensors: Tensors) -> Codec:
        """The weight of that stem."""
        codes = _matrix(tensors[stem + self.codes])
        inputs, outputs = codes.shape[0], codes.shape[1] * 8
        scale = need(tensors, f"{stem}.scales", codes.name)
        zero = need(tensors, f"{stem}.qzeros", codes.name)
        groups = scale.shape[0] if scale.shape else 0
        expect(scale, FLOATS, (groups, outputs))
        expect(zero, INT32, (groups, codes.shape[1]))
        group = _grouped(inputs, groups, scale)
        if group != (inputs if self.group == -1 else self.group):
            raise DamagedError(f"{scale.name} has groups of {group} inputs, group_size is {self.group}")
        parts = {"scale": scale, "zero": zero}
        return Integers(codes, parts, (outputs, inputs), "awq-int4", groups, group, True, 0)


@dataclass(frozen=True)
class Packed:
    """compressed-tensors' `pack-quantized`; `bits`: those that config.json allows."""

    bits: tuple[int, ...]
    shapes: Mapping[str, tuple[int, ...]]
    """What `weight_shape` holds, by the stem of the weight."""
    codes: str = ".weight_packed"
    spare: tuple[str, ...] = (".weight_shape", ".input_scale", ".input_zero_point", ".output_scale")

    def target(self, stem: str) -> str:
        """Name of the weight."""
        return f"{stem}.weight"

    def of(self, stem: str, tensors: Tensors) -> Codec:
        """The weight of that stem."""
        codes = _matrix(tensors[stem + self.codes])
        scale = need(tensors, f"{stem}.weight_scale", codes.name)
        outputs = codes.shape[0]
        bits, inputs = self._width(codes, self.shapes.get(stem))
        groups = scale.shape[-1] if len(scale.shape) == 2 else 1
        one = ((1,), (1, 1)) if groups == 1 else ()
        expect(scale, FLOATS, (outputs, groups), *(((outputs,),) if groups == 1 else ()), *one)
        parts = {"scale": scale}
        zero, order = tensors.get(f"{stem}.weight_zero_point"), tensors.get(f"{stem}.weight_g_idx")
        if zero is not None:
            parts["zero"] = expect(zero, INT32, (-(-outputs // (WORD // bits)), groups))
        if order is not None:
            parts["group"] = expect(order, INT32, (inputs,))
        group = _grouped(inputs, groups, scale)
        shape, middle = (outputs, inputs), 1 << (bits - 1)
        return Integers(codes, parts, shape, f"pack-int{bits}", groups, group, False, 0, default_zero=middle)

    def _width(self, codes: TensorInfo, shape: tuple[int, ...] | None) -> tuple[int, int]:
        """Bits of a code, and inputs."""
        words = codes.shape[1]
        if shape is None and len(self.bits) == 1:
            return self.bits[0], words * (WORD // self.bits[0])
        if shape is not None and len(shape) == 2 and shape[0] == codes.shape[0]:
            fitting = [b for b in self.bits if shape[1] > 0 and -(-shape[1] * b // WORD) == words]
            if len(fitting) == 1:
                return fitting[0], shape[1]
        stated = None if shape is None else list(shape)
        raise DamagedError(f"{codes.name} has shape {list(codes.shape)}, weight_shape says {stated}")
