"""Round to nearest: a matrix on the grid of so many bits that spans each of its blocks. Knows no checkpoint.

A block is a square tile of `block` x `block` elements, smaller at the edges; without `block` the whole matrix is one.
The grid has 2**bits - 1 points symmetric about zero, or (asymmetric, the paper's equation 1) 2**bits points from the
least to the largest value of the block. The latter has no point at zero: weights that are exactly zero become noise,
and REPORT.md shows what that costs. With `clip` = z the span ends z standard deviations from the block's mean: what
lies beyond is moved to the last point (the paper's CLIP_z, section 4.2, which takes weights to be Gaussian).
Scalars that are held out count neither in the span nor in mean and deviation, and keep their value exactly.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...schema.errors import UsageError
from ..study.options import MAX_BITS

CHUNK = 1 << 20
"""Elements looked at together."""


@dataclass(frozen=True)
class Rounding:
    """How a matrix is rounded."""

    bits: int = 4
    block: int | None = None
    """Side of a block in elements; None: the whole matrix is one."""
    clip: float | None = None
    """z, in standard deviations; None: nothing is clipped."""
    symmetric: bool = True

    def __post_init__(self) -> None:
        """Raise UsageError for what is no grid."""
        if not 2 <= self.bits <= MAX_BITS:
            raise UsageError(f"{self.bits} bits are no grid; use 2 to {MAX_BITS}")
        if self.block is not None and self.block < 1:
            raise UsageError(f"a block of {self.block} has no element; use 1 or more")
        if self.clip is not None and not (math.isfinite(self.clip) and self.clip > 0):
            raise UsageError(f"clipping at {self.clip} standard deviations; use a positive number")

    @property
    def steps(self) -> int:
        """From the first point of the grid to the last."""
        return (1 << self.bits) - (2 if self.symmetric else 1)


@dataclass(frozen=True)
class Spans:
    """The first and the last point of each block's grid: (block rows, block columns), float32."""

    low: Tensor
    high: Tensor
    sides: tuple[int, int]
    """Rows and columns of a block."""

    def of_columns(self, block_row: int, columns: int) -> tuple[Tensor, Tensor]:
        """Both for each of the columns (C,) of one row of blocks."""
        low, high = (s[block_row].repeat_interleave(self.sides[1])[:columns] for s in (self.low, self.high))
        return low, high


def round_matrix(matrix: Tensor, rounding: Rounding, held: Tensor | None = None) -> Tensor:
    """The matrix (R, C) with every element on its block's grid, float32; `held` (n, 2) are rows and columns of elements
    that keep their value."""
    found = spans(matrix, rounding, held)
    out = torch.empty(matrix.shape, dtype=torch.float32, device=matrix.device)
    for first, last, block_row in _chunks(matrix, found.sides[0]):
        low, high = found.of_columns(block_row, matrix.shape[1])
        out[first:last] = _on_grid(matrix[first:last].float(), low, high, rounding.steps)
    if held is not None and len(held):
        out[held[:, 0], held[:, 1]] = matrix[held[:, 0], held[:, 1]].float()
    return out


def spans(matrix: Tensor, rounding: Rounding, held: Tensor | None = None) -> Spans:
    """The grid of each block of a matrix (R, C)."""
    rows, columns = matrix.shape
    sides = (rounding.block or max(rows, 1), rounding.block or max(columns, 1))
    count = -(-rows // sides[0])
    sums = [_Sums(columns, matrix.device) for _ in range(count)]
    for first, last, block_row in _chunks(matrix, sides[0]):
        sums[block_row].add(matrix[first:last].float(), _mask(held, first, last, columns), rounding.clip is not None)
    found = [s.span(sides[1], rounding) for s in sums]
    return Spans(torch.stack([low for low, _ in found]), torch.stack([high for _, high in found]), sides)


def _chunks(matrix: Tensor, side: int) -> list[tuple[int, int, int]]:
    """Rows of about CHUNK elements within one row of blocks: first, last (exclusive), number of the block row."""
    rows, step = matrix.shape[0], max(1, CHUNK // max(matrix.shape[1], 1))
    return [
        (at, min(at + step, top + side, rows), top // side)
        for top in range(0, rows, side)
        for at in range(top, min(top + side, rows), step)
    ]


def _mask(held: Tensor | None, first: int, last: int, columns: int) -> Tensor | None:
    """Which elements of rows [first, last) are held out; None if none is."""
    if held is None:
        return None
    here = held[(held[:, 0] >= first) & (held[:, 0] < last)]
    if not len(here):
        return None
    mask = torch.zeros(last - first, columns, dtype=torch.bool, device=held.device)
    mask[here[:, 0] - first, here[:, 1]] = True
    return mask


class _Sums:
    """What a span is made of, by column of one row of blocks."""

    def __init__(self, columns: int, device: torch.device) -> None:
        self.low = torch.full((columns,), torch.inf, device=device)
        self.high = torch.full((columns,), -torch.inf, device=device)
        self.moments = torch.zeros(3, columns, dtype=torch.float64, device=device)
        """Number, sum, and sum of squares."""

    def add(self, part: Tensor, mask: Tensor | None, moments: bool) -> None:
        """Rows (n, C), of which the masked elements do not count. A NaN makes the span NaN."""
        low, high = (part, part) if mask is None else (part.masked_fill(mask, s) for s in (torch.inf, -torch.inf))
        self.low, self.high = torch.minimum(self.low, low.amin(0)), torch.maximum(self.high, high.amax(0))
        if not moments:
            return
        wide = part.double() if mask is None else part.double().masked_fill(mask, 0.0)
        count = torch.full_like(self.low, len(part)) if mask is None else (~mask).sum(0)
        self.moments += torch.stack([count.double(), wide.sum(0), wide.square().sum(0)])

    def span(self, side: int, rounding: Rounding) -> tuple[Tensor, Tensor]:
        """First and last point for each block; both 0 where everything is held out."""
        low, high = _by_block(self.low, side, torch.inf).amin(1), _by_block(self.high, side, -torch.inf).amax(1)
        if rounding.clip is not None:
            count, total, squares = _by_block(self.moments, side, 0.0).sum(-1)
            mean = total / count.clamp_min(1)
            far = rounding.clip * (squares / count.clamp_min(1) - mean.square()).clamp_min(0).sqrt()
            low, high = torch.maximum(low, (mean - far).float()), torch.minimum(high, (mean + far).float())
        if rounding.symmetric:
            high = torch.maximum(low.abs(), high.abs())
            low = -high
        empty = _by_block(self.low, side, torch.inf).amin(1) == torch.inf
        return low.masked_fill(empty, 0.0), high.masked_fill(empty, 0.0)


def _by_block(values: Tensor, side: int, fill: float) -> Tensor:
    """Values (..., C) as (..., blocks, side), the last block filled up."""
    missing = -values.shape[-1] % side
    padded = torch.nn.functional.pad(values, (0, missing), value=fill)
    return padded.view(*values.shape[:-1], -1, side)


def _on_grid(values: Tensor, low: Tensor, high: Tensor, steps: int) -> Tensor:
    """Values (..., C) moved to the nearest of `steps` + 1 points from `low` to `high`; both ends are met exactly, so
    rounding again changes nothing."""
    width = (high - low) / steps
    codes = ((values - low) / width.where(width > 0, 1.0)).round_().clamp_(0, steps).div_(steps)
    return torch.lerp(low.expand_as(codes), high.expand_as(codes), codes)


def round_rows(values: Tensor, bits: int, held: Tensor | None = None) -> Tensor:
    """Values (N, K) with each row on a symmetric grid of its own, up to its largest |value|: activations per token.

    Elements in the mask `held` (N, K) are first replaced by the median of their row and keep their value in the end
    (the paper's REPLACE and RESTORE, section 4.1).
    """
    plain = values if held is None else torch.where(held, values.median(-1, keepdim=True).values, values)
    high = plain.abs().amax(-1, keepdim=True)
    out = _on_grid(plain, -high, high, 2**bits - 2)
    return out if held is None else torch.where(held, values, out)
