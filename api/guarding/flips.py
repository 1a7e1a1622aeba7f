"""Every single-bit flip of a recorded scalar: the number it makes, and whether that leaves the safe range.

For the dtype in which the scalar is stored, and for the others that a checkpoint may be cast to.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ...schema.bits import DTYPES, decode_bits
from ...schema.record import Record
from ...schema.weight import SuperWeight
from .judging import expected_bits
from .ranges import SafeRange, safe_range

# dtype -> bits of the mantissa
MANTISSA = {"float64": 52, "float32": 23, "float16": 10, "bfloat16": 7, "float8_e4m3fn": 3, "float8_e5m2": 2}
CASTS = ("bfloat16", "float16", "float32")


@dataclass(frozen=True)
class Flip:
    """One bit of one scalar flipped. `beyond` is true where the value leaves the safe range or is not finite."""

    weight: str
    dtype: str
    stored: bool
    """Whether the record's checkpoint holds the scalar in this dtype."""
    bit: int
    """0 is the lowest."""
    part: str
    """sign, exponent or mantissa."""
    bits_before: str
    bits_after: str
    value_before: float
    value_after: float | None
    """Null where it is not finite."""
    factor: float | None
    """Value after / value before."""
    beyond: bool


def flips_of(record: Record, weight: SuperWeight) -> list[Flip]:
    """All flips of a scalar, its own dtype first; none for one without bits of its own (a source's, a packed one)."""
    within = safe_range(record, weight)
    dtypes = dict.fromkeys((weight.dtype or "", *CASTS))
    return [flip for dtype in dtypes for flip in _in_dtype(weight, dtype, within)]


def _in_dtype(weight: SuperWeight, dtype: str, within: SafeRange) -> Iterator[Flip]:
    bits = expected_bits(weight, dtype)
    if bits is None or dtype not in MANTISSA:
        return
    for bit in range(8 * DTYPES[dtype][0]):
        yield _flip(weight, dtype, bits, bit, within)


def _flip(weight: SuperWeight, dtype: str, bits: str, bit: int, within: SafeRange) -> Flip:
    width = 8 * DTYPES[dtype][0]
    after = f"{int(bits, 16) ^ 1 << bit:0{width // 4}x}"
    scale = weight.scale or 1.0
    old, new = decode_bits(bits, dtype) * scale, decode_bits(after, dtype) * scale
    factor = new / old if old else math.nan
    finite = math.isfinite(new)
    return Flip(
        weight=weight.id,
        dtype=dtype,
        stored=dtype == weight.dtype,
        bit=bit,
        part="sign" if bit == width - 1 else "mantissa" if bit < MANTISSA[dtype] else "exponent",
        bits_before=bits,
        bits_after=after,
        value_before=old,
        value_after=new if finite else None,
        factor=factor if math.isfinite(factor) else None,
        beyond=not finite or not within.holds(factor),
    )
