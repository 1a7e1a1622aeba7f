"""The bits of one stored element, and the number they mean.

`bits` is the hex of the element as an unsigned integer (most significant digit first), so bfloat16 -0.2734375
is `be8c`. Only dtypes whose elements are whole bytes are covered; sub-byte formats have no bits of their own.
"""

import math
import struct
from collections.abc import Callable

from .errors import RecordError


def _ieee(code: str) -> Callable[[int, int], float]:
    def decode(raw: int, width: int) -> float:
        return float(struct.unpack(code, raw.to_bytes(width, "big"))[0])

    return decode


def _bfloat16(raw: int, _width: int) -> float:
    return float(struct.unpack(">f", (raw << 16).to_bytes(4, "big"))[0])


def _float8(exponent_bits: int, bias: int, finite_only: bool) -> Callable[[int, int], float]:
    """An 8-bit float with a sign; `finite_only` formats (e4m3fn) use the all-ones exponent for numbers too."""
    mantissa_bits = 7 - exponent_bits

    def decode(raw: int, _width: int) -> float:
        sign = -1.0 if raw & 0x80 else 1.0
        exponent, mantissa = (raw & 0x7F) >> mantissa_bits, raw & ((1 << mantissa_bits) - 1)
        top = (1 << exponent_bits) - 1
        if exponent == top and (not finite_only or mantissa == (1 << mantissa_bits) - 1):
            return math.nan if finite_only or mantissa else sign * math.inf
        scale = 2.0 ** (max(exponent, 1) - bias - mantissa_bits)
        return sign * (mantissa + (exponent > 0) * (1 << mantissa_bits)) * scale

    return decode


def _signed(raw: int, width: int) -> float:
    return float(int.from_bytes(raw.to_bytes(width, "big"), "big", signed=True))


# dtype (torch's name) -> (bytes per element, decoder)
DTYPES: dict[str, tuple[int, Callable[[int, int], float]]] = {
    "float64": (8, _ieee(">d")),
    "float32": (4, _ieee(">f")),
    "float16": (2, _ieee(">e")),
    "bfloat16": (2, _bfloat16),
    "float8_e4m3fn": (1, _float8(4, 7, finite_only=True)),
    "float8_e5m2": (1, _float8(5, 15, finite_only=False)),
    "int8": (1, _signed),
    "uint8": (1, lambda raw, _width: float(raw)),
}


def decode_bits(bits: str, dtype: str) -> float:
    """The number (float64, may be NaN or infinite) that `bits` (hex) mean in `dtype` (torch's name)."""
    if dtype not in DTYPES:
        raise RecordError(f"dtype {dtype!r} has no bits of its own; known: {', '.join(DTYPES)}")
    width, decode = DTYPES[dtype]
    if len(bits) != 2 * width:
        raise RecordError(f"bits {bits!r} are {len(bits) * 4} long, {dtype} has {width * 8}")
    return decode(int(bits, 16), width)


def rounded_bits(value: float, dtype: str) -> str:
    """The bits that a cast to a plain float dtype gives: to nearest, ties to even; of float64 by way of float32.

    Beyond the largest finite number it gives infinity, as torch and numpy do. Raise RecordError for other dtypes.
    """
    if dtype not in _ROUNDED:
        raise RecordError(f"dtype {dtype!r} is none that a number is rounded to; known: {', '.join(_ROUNDED)}")
    return _ROUNDED[dtype](value)


def _packed(code: str) -> Callable[[float], str]:
    def encode(value: float) -> str:
        try:
            return struct.pack(code, value).hex()
        except OverflowError:
            return struct.pack(code, math.copysign(math.inf, value)).hex()

    return encode


def _float32(value: float) -> float:
    return float(struct.unpack(">f", bytes.fromhex(_packed(">f")(value)))[0])


def _to_bfloat16(value: float) -> str:
    raw = int(_packed(">f")(value), 16)
    if math.isnan(value):
        return "7fc0"
    return f"{(raw + 0x7FFF + (raw >> 16 & 1)) >> 16:04x}"


_ROUNDED: dict[str, Callable[[float], str]] = {
    "float64": _packed(">d"),
    "float32": _packed(">f"),
    "float16": lambda value: _packed(">e")(_float32(value)),
    "bfloat16": _to_bfloat16,
}


def bits_of(element: bytes) -> str:
    """Hex bits of one element as stored in a file (little-endian bytes)."""
    return element[::-1].hex()
