"""Weights of one byte each, float8 or int8, times a scale per tensor, row, group or block.

Formats: DeepSeek-V3's `weight_scale_inv` (despite its name a factor), fbgemm's and compressed-tensors' `weight_scale`.
W[..., n, k] = (code[..., n, k] - zero) * scale[..., n // block_n, k // block_k].
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from ...schema.bits import bits_of, decode_bits
from ..checkpoint.header import TensorInfo
from .codec import (
    FLOATS,
    Codec,
    DamagedError,
    Element,
    Read,
    Tensors,
    as_float,
    blockwise,
    expect,
    need,
    number,
    small_floats,
)
from .words import flat

FLOAT8 = ("float8_e4m3fn", "float8_e5m2")
SCALES = (*FLOATS, "float8_e8m0fnu", "uint8")
Block = tuple[int, int]


@dataclass(frozen=True)
class Bytes(Codec):
    """A weight (..., N, K) and the block that shares a scale."""

    codes: TensorInfo
    parts: dict[str, TensorInfo]
    block: Block
    grid: Block
    """Scales along N and K."""

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """Of the weight: that of the codes."""
        return self.codes.shape

    @property
    def units(self) -> int:  # type: ignore[override]
        """Rows."""
        return prod(self.shape[:-1])

    @property
    def dtype(self) -> str:
        """The codes' own, unless a zero point stands between code and value."""
        return "zero-point-int8" if "zero" in self.parts else str(self.codes.dtype)

    def decode(self, first: int, codes: Tensor, parts: Mapping[str, Tensor]) -> Tensor:
        """Rows from `first` on."""
        values = self._values(codes).view(-1, self.shape[-1])
        rows = torch.arange(first, first + values.shape[0])
        if "zero" in parts:
            blockwise(Tensor.sub_, values, self._of(parts["zero"].to(torch.float32), rows), self.block[1])
        blockwise(Tensor.mul_, values, self._of(as_float(parts["scale"]), rows), self.block[1])
        return values

    def _values(self, codes: Tensor) -> Tensor:
        if codes.dtype != torch.float8_e4m3fn:
            return codes.to(torch.float32)
        raw = codes.view(torch.uint8)
        if bool(((raw & 127) == 127).any()):
            raise DamagedError(f"{self.codes.name} holds NaN or infinity: the weights are damaged")
        return small_floats(raw, 4, 3)

    def _of(self, grid: Tensor, rows: Tensor) -> Tensor:
        """What the grid holds for some rows (R, grid_k)."""
        height = self.shape[-2]
        return grid.reshape(-1, self.grid[1])[rows // height * self.grid[0] + rows % height // self.block[0]]

    def element(self, index: tuple[int, ...], read: Read) -> Element:
        """The byte, and its scale."""
        width = self.codes.bits // 8
        offset = flat(index, self.shape) * width
        bits = bits_of(read(self.codes, offset, width))
        code, scale = decode_bits(bits, str(self.codes.dtype)), self._at("scale", index, read)
        place = (self.codes, index, self.shape, self.dtype, offset, bits)
        if "zero" in self.parts:
            return Element(*place, value=(code - self._at("zero", index, read)) * scale, packed=self.dtype)
        return Element(*place, value=code * scale, scale=scale)

    def _at(self, part: str, index: tuple[int, ...], read: Read) -> float:
        info = self.parts[part]
        lead = flat(index[:-2], self.shape[:-2])
        position = (lead * self.grid[0] + index[-2] // self.block[0]) * self.grid[1] + index[-1] // self.block[1]
        return number(info, position, read)


@dataclass(frozen=True)
class Scaled:
    """A format: what the name of a scale adds to that of its weight, and the blocks that config.json allows."""

    scales: tuple[str, ...]
    zero: str | None = None
    dtypes: tuple[str, ...] = FLOAT8
    blocks: tuple[Block, ...] = ()
    groups: bool = False
    """Whether a row may have several scales without config.json naming a block."""
    by_column: bool = False
    """Whether fused experts are stored (E, K, N), with a scale per output channel N."""
    spare: tuple[str, ...] = ()
    """Suffixes of tensors that say nothing of a weight (scales of activations)."""
    codes: str = ""

    def target(self, stem: str) -> str:
        """Name of the weight."""
        return stem

    def of(self, stem: str, tensors: Tensors) -> Codec | None:
        """The weight of that name, if this format stores it."""
        codes = tensors[stem]
        if stem.endswith((*self.scales, *self.spare, self.zero or "_zero_point")):
            return None
        names = [n for n in (stem + suffix for suffix in self.scales) if n in tensors]
        if codes.dtype not in self.dtypes or len(codes.shape) < 2:
            if names and stem.endswith(".weight"):
                raise DamagedError(
                    f"{stem} is {codes.dtype or 'packed'} {list(codes.shape)} and has a scale {names[0]}"
                )
            return None
        scale = need(tensors, names[0] if names else stem + self.scales[0], stem)
        if scale.dtype not in SCALES:
            raise DamagedError(f"{scale.name} is {scale.dtype or 'packed'}, not a scale")
        block, grid = self._block(codes, scale)
        parts = {"scale": scale}
        zero = tensors.get(stem + self.zero) if self.zero else None
        if zero is not None:
            parts["zero"] = expect(zero, ("int8", *FLOATS), scale.shape)
        return Bytes(codes, parts, block, grid)

    def _block(self, codes: TensorInfo, scale: TensorInfo) -> tuple[Block, Block]:
        """Elements that share a scale, and how many scales there are, from the shapes."""
        *lead, height, width = codes.shape
        if not codes.elements:
            raise DamagedError(f"{codes.name} has shape {list(codes.shape)}: nothing to scale")
        for block in self._candidates(height, width, scale, bool(lead)):
            grid = (-(-height // block[0]), -(-width // block[1]))
            if tuple(scale.shape) in _written(lead, grid, self.by_column):
                return block, grid
        stated = f", blocks {[list(b) for b in self.blocks]}" if self.blocks else ""
        raise DamagedError(f"{scale.name} {list(scale.shape)} does not fit {codes.name} {list(codes.shape)}{stated}")

    def _candidates(self, height: int, width: int, scale: TensorInfo, fused: bool) -> list[Block]:
        found = [(height, 1)] if fused and self.by_column else []
        found += [*self.blocks, (height, width), (1, width)]
        count = scale.shape[-1] if scale.shape else 0
        if self.groups and count and width % count == 0:
            found.append((1, width // count))
        return found


def _written(lead: list[int], grid: Block, by_column: bool) -> set[tuple[int, ...]]:
    """Shapes in which a grid of scales is found on disk."""
    shapes = {(*lead, *grid)}
    if grid[1] == 1:
        shapes.add((*lead, grid[0]))
    if lead and by_column and grid[0] == 1:
        shapes |= {(*lead, grid[1]), (*lead, grid[1], 1)}
    if grid == (1, 1):
        shapes |= {tuple(lead), (*lead, 1)}
    return shapes
