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
from .codec import FLOATS, Codec, DamagedError, Element, Read, Tensors, blockwise, expect, need, number
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
        words, order = codes.view(-1, self.codes.shape[1]), self._order(parts)
        scale, zero = self._scale(parts), self._zero(parts)
        if not self.transposed:
            rows = slice(first, first + len(words))
            return self._values(words, scale[rows], zero[rows], order)
        made = torch.empty(self.shape)
        per = 1 if self.along_inputs else PACKINGS[self.name].per_word
        step = max(1, CHUNK // (self.shape[1] * per))
        for start in range(0, words.shape[1], step):
            rows = slice(start * per, (start + step) * per)
            made[rows] = self._values(words[:, start : start + step], scale[rows], zero[rows], order)
        return made

    def _values(self, words: Tensor, scale: Tensor, zero: Tensor, order: Tensor | None) -> Tensor:
        """Rows (R, K), given their words and (R, G) scales and zeros."""
        packing = PACKINGS[self.name]
        if self.transposed and self.along_inputs:
            values = unpack(words.T.contiguous(), packing)  # transposed while it is small
        else:
            values = unpack(words, packing)
            values = values.T.contiguous() if self.transposed else values
        floats = values[:, : self.shape[1]].to(torch.float32)
        if order is not None:
            return floats.sub_(zero[:, order]).mul_(scale[:, order])
        blockwise(Tensor.sub_, floats, zero, self.group)
        blockwise(Tensor.mul_, floats, scale, self.group)
        return floats

    @property
    def along_inputs(self) -> bool:
        """Whether the codes of a word are inputs of one output."""
        return not self.transposed or PACKINGS[self.name].axis == -2

    def _order(self, parts: Mapping[str, Tensor]) -> Tensor | None:
        """The group (K,) of each input, unless groups are runs of inputs."""
        if "group" not in parts or self._in_order(parts["group"]):
            return None
        order = parts["group"].long()
        runs = torch.arange(self.shape[1]) // self.group
        return None if torch.equal(order, runs) and int(runs[-1]) + 1 == self.groups else order

    def _scale(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Scales (N, G) in float32."""
        stored = parts["scale"].to(torch.float32)
        return stored.T if self.transposed else stored.reshape(-1, self.groups).expand(self.shape[0], -1)

    def _zero(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Zeros of the codes (N, G) in float32."""
        if "zero" not in parts:
            return torch.full((self.shape[0], self.groups), float(self.default_zero or 0))
        packing, words = PACKINGS[self.name], parts["zero"]
        zero = unpack(words if self.transposed else words.T.contiguous(), packing).to(torch.int32)
        zero = ((zero + self.shift) & ((1 << packing.bits) - 1)).to(torch.float32)
        return zero.T[: self.shape[0]]

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
    """The codes (R, C * per word), uint8, in words (R, C), int32, of which each holds codes of one row."""
    octets = words.flatten().view(torch.uint8).view(*words.shape, 4)  # little-endian, as in the file
    mask = (1 << packing.bits) - 1
    shifts = [divmod(slot * packing.bits, 8) for slot in packing.order or range(packing.per_word)]
    return torch.stack([(octets[..., at] >> shift) & mask for at, shift in shifts], dim=2).view(words.shape[0], -1)


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
