"""How one weight is made of stored tensors: what every format must say of itself. Knows no format."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from ...schema.bits import bits_of, decode_bits
from ..checkpoint.header import MAX_ELEMENTS, TensorInfo
from .words import PACKINGS

Tensors = Mapping[str, TensorInfo]
Read = Callable[[TensorInfo, int, int], bytes]
"""Bytes of a stored tensor: (tensor, first byte within it, how many)."""

FLOATS = ("float32", "bfloat16", "float16")


class DamagedError(Exception):
    """Stored tensors that cannot make a weight; the message names the tensor."""


@dataclass(frozen=True)
class Element:
    """One scalar as a record names it: `value` is `bits` times `scale`, or follows from `packed`'s definition."""

    tensor: TensorInfo
    index: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: str
    offset: int
    """Of the first byte within the tensor."""
    bits: str
    value: float
    scale: float | None = None
    packed: str | None = None


class Codec(ABC):
    """One weight: its stored tensors and the arithmetic between them."""

    codes: TensorInfo
    parts: dict[str, TensorInfo]
    """Scales and the like, by what they are: scale, zero, group."""
    shape: tuple[int, ...]
    """Of the weight."""
    units: int
    """Equal parts, one behind the other both in the codes and in the weight, that can be decoded apart."""

    @property
    @abstractmethod
    def dtype(self) -> str:
        """What a record calls the stored elements."""

    @abstractmethod
    def decode(self, first: int, codes: Tensor, parts: Mapping[str, Tensor]) -> Tensor:
        """The float32 values of some units from `first` on; `codes` holds theirs alone, flat."""

    @abstractmethod
    def element(self, index: tuple[int, ...], read: Read) -> Element:
        """The scalar at `index` of the weight, read by its own few bytes."""

    def check(self, parts: Mapping[str, Tensor]) -> None:
        """Raise DamagedError for scales that no quantizer writes: zero, NaN, infinity."""
        scale = as_float(parts["scale"])
        if not bool(scale.isfinite().all()) or bool((scale == 0).any()):
            raise DamagedError(f"{self.parts['scale'].name} holds a scale that is zero, NaN or infinite")

    def packed_element(self, index: tuple[int, ...], shape: tuple[int, ...], read: Read) -> tuple[Element, int]:
        """An element of a packed format without its value, and its code."""
        packing = PACKINGS[self.dtype]
        word = packing.word(self.codes.shape, index)
        if word is None:
            raise DamagedError(f"{self.codes.name} has no element {list(index)}")
        raw = read(self.codes, word.offset, word.size)
        named = Element(self.codes, index, shape, self.dtype, word.offset, bits_of(raw), 0.0, packed=self.dtype)
        return named, packing.code(raw, word)


@dataclass(frozen=True)
class Quantized(TensorInfo):
    """A weight as the rest of the scan sees it: float32, and its codec."""

    codec: Codec


def quantized(name: str, codec: Codec) -> Quantized:
    """The weight that a codec makes."""
    elements = prod(codec.shape)
    if elements > MAX_ELEMENTS:
        raise DamagedError(f"{codec.codes.name}: {list(codec.shape)} is beyond any file")
    return Quantized(name, codec.codes.file, "float32", 32, codec.shape, 0, 4 * elements, codec)


def small_floats(codes: Tensor, exponent: int, mantissa: int) -> Tensor:
    """Codes (uint8) of sign, exponent and mantissa bits in float32, without infinities and NaN.

    Their bits are put where float16 has its own, which differs from them by a power of two: four times as fast as
    torch's conversion, and exact, subnormal numbers too.
    """
    width = exponent + mantissa
    wide = codes.to(torch.int16)
    bits = ((wide >> width) << 15) | ((wide & ((1 << width) - 1)) << (10 - mantissa))
    return bits.view(torch.float16).to(torch.float32).mul_(2.0 ** (15 - (1 << (exponent - 1)) + 1))


def blockwise(change: Callable[[Tensor, Tensor], Tensor], values: Tensor, chosen: Tensor, block: int) -> None:
    """Apply to rows (R, K), in place, the numbers (R, G) that their blocks of `block` columns have; the last may end
    early."""
    whole = values.shape[1] // block
    if whole:
        change(values[:, : whole * block].view(-1, whole, block), chosen[:, :whole, None])
    if whole < chosen.shape[1]:
        change(values[:, whole * block :], chosen[:, whole:])


def as_float(scale: Tensor) -> Tensor:
    """Scales in float32; whole bytes are powers of two (E8M0, OCP MX 1.0 section 5.4.1), 255 being NaN."""
    if scale.dtype == torch.uint8:
        scale = scale.view(torch.float8_e8m0fnu)
    return scale.to(torch.float32)


def number(info: TensorInfo, position: int, read: Read) -> float:
    """One stored number in float64, by its position in row-major order."""
    width = info.bits // 8
    raw = read(info, position * width, width)
    if info.dtype in ("uint8", "float8_e8m0fnu"):
        return 2.0 ** (raw[0] - 127)
    return decode_bits(bits_of(raw), info.dtype or "packed")


def need(tensors: Tensors, name: str, beside: str) -> TensorInfo:
    """A companion tensor that must be there."""
    if name not in tensors:
        raise DamagedError(f"{beside} is stored without {name}, so its values are not known")
    return tensors[name]


def expect(info: TensorInfo, dtypes: tuple[str, ...], *shapes: tuple[int, ...]) -> TensorInfo:
    """The tensor, if it has one of the dtypes and one of the shapes."""
    if info.dtype not in dtypes:
        raise DamagedError(f"{info.name} is {info.dtype or 'packed'}, expected {' or '.join(dtypes)}")
    if info.shape not in shapes:
        wanted = " or ".join(str(list(s)) for s in shapes)
        raise DamagedError(f"{info.name} has shape {list(info.shape)}, expected {wanted}")
    return info
