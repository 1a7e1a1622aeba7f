"""The header of a safetensors file, believed only after every number in it was checked.

Stricter than the format's own library, which accepts duplicate keys, a header that does not begin with "{", further
keys in a tensor's entry, and names that no terminal should see. Knows nothing of where the bytes come from.
Format: 8 bytes little-endian n, n bytes of JSON, then the data; offsets count from the start of the data.
"""

import re
from dataclasses import dataclass
from math import prod
from reprlib import Repr
from typing import Any

from ...schema.canonical import strict_loads
from ...schema.errors import JsonError
from ..refusal import corrupt

MAX_HEADER = 100_000_000
"""Bytes; the format's own cap."""
MAX_DIM = 1 << 40
MAX_ELEMENTS = 1 << 56
"""Product of the sizes that are not zero: with it bits still fit 64-bit arithmetic, in whatever order it is done."""

# safetensors dtype -> (bits per element, torch's name or None where torch has none)
DTYPES: dict[str, tuple[int, str | None]] = {
    "BOOL": (8, "bool"),
    "U8": (8, "uint8"),
    "I8": (8, "int8"),
    "F8_E5M2": (8, "float8_e5m2"),
    "F8_E4M3": (8, "float8_e4m3fn"),
    "F8_E8M0": (8, "float8_e8m0fnu"),
    "F8_E4M3FNUZ": (8, "float8_e4m3fnuz"),
    "F8_E5M2FNUZ": (8, "float8_e5m2fnuz"),
    "I16": (16, "int16"),
    "U16": (16, "uint16"),
    "F16": (16, "float16"),
    "BF16": (16, "bfloat16"),
    "I32": (32, "int32"),
    "U32": (32, "uint32"),
    "F32": (32, "float32"),
    "I64": (64, "int64"),
    "U64": (64, "uint64"),
    "F64": (64, "float64"),
    "C64": (64, "complex64"),
    "F4": (4, None),
    "F6_E2M3": (6, None),
    "F6_E3M2": (6, None),
}


_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_SURROGATE = re.compile("[\ud800-\udfff]")
_short = Repr()
_short.maxstring = _short.maxother = 120
_short.maxlist = 16


@dataclass(frozen=True)
class TensorInfo:
    """A tensor on disk: its file, dtype (torch's name), shape, and the absolute byte range of its data."""

    name: str
    file: str
    dtype: str | None
    bits: int
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start

    @property
    def elements(self) -> int:
        """Number of scalars."""
        return prod(self.shape)

    @property
    def idle(self) -> bool:
        """Whether a model that has no place for it computes the same; known only for some."""
        return False


def header_length(first8: bytes, file: str, file_size: int) -> int:
    """The length of the JSON header, from the first 8 bytes; raise a `corrupt` Refusal if it cannot be."""
    if len(first8) < 8 or file_size < 8:
        raise corrupt(f"{file}: {file_size} bytes are too few for a safetensors header; fetch the file again")
    length = int.from_bytes(first8[:8], "little")
    if length > MAX_HEADER:
        raise corrupt(f"{file}: header claims {length} bytes, the format allows {MAX_HEADER}")
    if length > file_size - 8:
        raise corrupt(f"{file}: header claims {length} bytes, the file has {file_size - 8} after its length")
    return length


def parse_header(text: bytes, file: str, file_size: int) -> dict[str, TensorInfo]:
    """Check the JSON header of `file` (`file_size` bytes in all) and return its tensors by name."""
    base = 8 + len(text)
    header = _object(text, file)
    _check_metadata(header.pop("__metadata__", {}), file)
    tensors = {name: _tensor(name, entry, file, base) for name, entry in header.items()}
    if b"-" in _STRING.sub(b"", text):
        raise corrupt(f"{file}: header: -0 is not a position or size")
    _check_cover(tensors, file, base, file_size)
    return tensors


def _object(text: bytes, file: str) -> dict[str, Any]:
    if not text.startswith(b"{"):
        raise corrupt(f"{file}: header begins with {text[:1]!r}, the format wants {{")
    try:
        header: dict[str, Any] = strict_loads(text.decode("utf-8"))
    except UnicodeDecodeError:
        raise corrupt(f"{file}: header is not UTF-8") from None
    except JsonError as error:
        raise corrupt(f"{file}: header: {error}") from None
    return header


def _check_metadata(metadata: Any, file: str) -> None:
    if not isinstance(metadata, dict) or not all(map(_is_text, [*metadata, *metadata.values()])):
        raise corrupt(f"{file}: __metadata__ must map text to text")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not _SURROGATE.search(value)


def _tensor_name(name: str) -> str:
    return f"tensor {_short.repr(name)}"


def _is_count(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _tensor(name: str, entry: Any, file: str, base: int) -> TensorInfo:
    where = f"{file}: {_tensor_name(name)}"
    if not name or len(name) > 1000 or not name.isprintable():
        raise corrupt(f"{where}: a name must be printable text of at most 1000 characters")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise corrupt(f"{where}: needs exactly dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise corrupt(f"{where}: unknown dtype {_short.repr(dtype)}")
    if not isinstance(shape, list) or len(shape) > 16 or not all(_is_count(d, MAX_DIM) for d in shape):
        raise corrupt(f"{where}: shape {_short.repr(shape)} is not a list of sizes")
    if prod(filter(None, shape)) > MAX_ELEMENTS:
        raise corrupt(f"{where}: shape {shape} is beyond any file")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_count(o, 1 << 62) for o in offsets):
        raise corrupt(f"{where}: data_offsets {_short.repr(offsets)} are not two positions")
    bits, torch_name = DTYPES[dtype]
    if prod(shape) * bits != (offsets[1] - offsets[0]) * 8:
        raise corrupt(f"{where}: {dtype} {shape} does not fit {offsets[1] - offsets[0]} bytes")
    return TensorInfo(name, file, torch_name, bits, tuple(shape), base + offsets[0], base + offsets[1])


def _check_cover(tensors: dict[str, TensorInfo], file: str, base: int, file_size: int) -> None:
    """The tensors must fill the data from its first to its last byte, without hole or overlap."""
    at = base
    for info in sorted(tensors.values(), key=lambda t: (t.start, t.end)):
        if info.start != at:
            kind = "overlaps what lies before it" if info.start < at else "leaves a hole before it"
            raise corrupt(f"{file}: {_tensor_name(info.name)} {kind} (starts at byte {info.start}, expected {at})")
        at = info.end
    if at != file_size:
        raise corrupt(f"{file}: the header describes {at} bytes, the file has {file_size}: truncated or padded")
