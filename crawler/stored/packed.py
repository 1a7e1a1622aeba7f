"""Integers of 2, 4 or 8 bits packed in int32 words: GPTQ, AWQ and compressed-tensors' `pack-quantized`.

In all, W[n, k] = (code - zero) * scale, with a scale and a zero per output n and group of inputs k.
GPTQ (AutoGPTQ): codes (K/per, N) packed along K; zeros (G, N/per) along N, stored less one in format v1 (mod 2^bits);
scales (G, N); `g_idx` (K) names the group of each input. AWQ (AutoAWQ, gemm): codes (K, N/8) and zeros (G, N/8) packed
along N in the order of `words.AWQ_ORDER`. Both hold the weight transposed.
compressed-tensors: codes (N, K/per) along K, stored plus 2^(bits-1), as are zeros (N/per, G) along N; scales (N, G).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..checkpoint.header import TensorInfo
from .codec import FLOATS, Codec, DamagedError, Element, Read, Tensors, expect, need, number
from .words import PACKINGS, Packing

INT32 = ("int32",)
WORD = 32
CHUNK = 1 << 22
"""Elements decoded at a time of a weight that is stored transposed."""


@dataclass(frozen=True)
class Integers(Codec):
    """A weight (N, K) made of packed integers; `transposed`: stored as (K, N)."""

    codes: TensorInfo
    parts: dict[str, TensorInfo]
    shape: tuple[int, ...]
    name: str
    """In `words.PACKINGS`."""
    groups: int
    group: int
    """Inputs that share a scale, where no part `group` says it of each."""
    transposed: bool
    shift: int
    """What is added to a stored zero to get the zero of the codes (mod 2^bits)."""
    default_zero: int | None = None
    """The zero of the codes where none is stored."""

    @property
    def units(self) -> int:  # type: ignore[override]
        """Rows, or just one where the weight is stored transposed."""
        return 1 if self.transposed else self.shape[0]

    @property
    def dtype(self) -> str:
        """The format's name."""
        return self.name

    def check(self, parts: Mapping[str, Tensor]) -> None:
        """Also raise DamagedError for an input of a group that has no scale."""
        super().check(parts)
        if "group" in parts:
            groups = parts["group"]
            if bool(((groups < 0) | (groups >= self.groups)).any()) and not self._in_order(groups):
                name = self.parts["group"].name
                raise DamagedError(f"{name} names a group that is not among the {self.groups} that have scales")

    def _in_order(self, groups: Tensor) -> bool:
        """compressed-tensors writes -1 for "no reordering"."""
        return not self.transposed and bool((groups == -1).all())

    def decode(self, first: int, codes: Tensor, parts: Mapping[str, Tensor]) -> Tensor:
        """Rows from `first` on, or all where the weight is stored transposed."""
        packing, words = PACKINGS[self.name], codes.view(-1, self.codes.shape[1])
        group, (scale, zero) = self._group_of(parts), self._pair(parts)
        if not self.transposed:
            rows, inputs = slice(first, first + len(words)), self.shape[1]
            values = unpack(words, packing)[:, :inputs] - zero[rows][:, group]
            return values.to(torch.float32).mul_(scale[rows][:, group])
        made = torch.empty(self.shape)
        per = packing.per_word if packing.axis == -2 else 1
        step = max(1, CHUNK // (self.shape[0] * per))
        for start in range(0, len(words), step):
            inputs = slice(start * per, (start + step) * per)
            values = unpack(words[start : start + step], packing) - zero[group[inputs]]
            made[:, inputs] = values.to(torch.float32).mul_(scale[group[inputs]]).T
        return made

    def _group_of(self, parts: Mapping[str, Tensor]) -> Tensor:
        """The group (K,) of each input."""
        if "group" in parts and not self._in_order(parts["group"]):
            return parts["group"].long()
        return torch.arange(self.shape[1]) // self.group

    def _pair(self, parts: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Scales in float32 and zeros of the codes in int32: both (G, N) if transposed, else (N, G)."""
        stored = parts["scale"].to(torch.float32)
        scale = stored if self.transposed else stored.reshape(-1, self.groups).expand(self.shape[0], -1)
        if "zero" not in parts:
            return scale, torch.full(scale.shape, self.default_zero or 0, dtype=torch.int32)
        packing = PACKINGS[self.name]
        across = replace(packing, axis=-1 if self.transposed else -2)
        zero = unpack(parts["zero"], across)[: scale.shape[0], : scale.shape[1]]
        return scale, (zero + self.shift) & ((1 << packing.bits) - 1)

    def element(self, index: tuple[int, ...], read: Read) -> Element:
        """The word, which holds more codes; index and shape count codes as stored, (K, N) if transposed."""
        row, col = index
        place, shape = ((col, row), self.shape[::-1]) if self.transposed else ((row, col), self.shape)
        named, code = self.packed_element(place, shape, read)
        group = self._group_at(col, read)
        zero, scale = self._zero_at(row, group, read), self.parts["scale"]
        if self.transposed:
            at = group * self.shape[0] + row
        else:
            at = (row if scale.elements > self.groups else 0) * self.groups + group
        return replace(named, value=(code - zero) * number(scale, at, read))

    def _group_at(self, col: int, read: Read) -> int:
        if "group" in self.parts:
            named = int.from_bytes(read(self.parts["group"], 4 * col, 4), "little", signed=True)
            if named >= 0:
                return named
        return col // self.group

    def _zero_at(self, row: int, group: int, read: Read) -> int:
        if "zero" not in self.parts:
            return self.default_zero or 0
        info, packing = self.parts["zero"], PACKINGS[self.name]
        across = replace(packing, axis=-1 if self.transposed else -2)
        word = across.word(info.shape, (group, row) if self.transposed else (row, group))
        if word is None:
            raise DamagedError(f"{info.name} has no zero for group {group} of output {row}")
        return (across.code(read(info, word.offset, word.size), word) + self.shift) & ((1 << packing.bits) - 1)


def unpack(words: Tensor, packing: Packing) -> Tensor:
    """The codes (int32) in a matrix of int32 words."""
    slots = torch.tensor(packing.order or range(packing.per_word), dtype=torch.int32) * packing.bits
    mask = (1 << packing.bits) - 1
    if packing.axis == -1:
        return ((words[:, :, None] >> slots) & mask).reshape(words.shape[0], -1)
    return ((words[:, None, :] >> slots[:, None]) & mask).reshape(-1, words.shape[1])


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
