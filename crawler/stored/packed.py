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
from .codec import Codec, DamagedError, Element, Read, blockwise, number
from .words import PACKINGS, Packing

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
