"""Write the hostile files and the README that argues each: python -m tests.hostile.make

A file is one lie in an otherwise honest safetensors file of one or two tensors. The tests compare what lies here with
what this module makes, so that neither can change alone.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def entry(start: int, end: int, dtype: str = "U8", shape: list[Any] | None = None) -> dict[str, Any]:
    """The header's words for a tensor; by default as many bytes as its offsets say."""
    return {"dtype": dtype, "shape": [end - start] if shape is None else shape, "data_offsets": [start, end]}


def pack(header: Any, data: bytes = b"", claim: int | None = None) -> bytes:
    """A safetensors file; `header` is JSON data or raw bytes, `claim` the length it states for itself."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if claim is None else claim) + text + data


@dataclass(frozen=True)
class Lie:
    """A file, a part of the message that refuses it, whether the format's library takes it, and why it matters."""

    content: bytes
    message: str
    library_accepts: bool
    argument: str


ONE = b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}'
ODD = b'"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}'

LIES: dict[str, Lie] = {
    "duplicate-key": Lie(
        pack(ONE[:-1] + b"," + ONE[1:], bytes(4)),
        "duplicate key 'a'",
        True,
        "Readers differ in which of the two they take, so two people can see two models in one file.",
    ),
    "duplicate-metadata-key": Lie(
        pack(b'{"__metadata__":{"format":"pt","format":"np"}}'),
        "duplicate key 'format'",
        True,
        "The same, one level down.",
    ),
    "overlap": Lie(
        pack({"a": entry(0, 4), "b": entry(2, 6)}, bytes(6)),
        "tensor 'b' overlaps",
        False,
        "One byte would be part of two weights: a coordinate would no longer name one scalar.",
    ),
    "same-bytes": Lie(
        pack(ONE[:-1] + b"," + ODD + b"}", bytes(4)),
        "tensor 'b' overlaps",
        False,
        "Two names for the same bytes: the file looks larger than it is.",
    ),
    "hole": Lie(
        pack({"a": entry(0, 4), "b": entry(6, 8)}, bytes(8)),
        "tensor 'b' leaves a hole",
        False,
        "Bytes that belong to nothing can hold anything, for instance another file.",
    ),
    "hole-at-start": Lie(
        pack({"a": entry(2, 4)}, bytes(4)),
        "tensor 'a' leaves a hole",
        False,
        "The same, in front.",
    ),
    "tail": Lie(
        pack(ONE, bytes(5)),
        "truncated or padded",
        False,
        "Bytes after the last tensor: a polyglot file, or a download that went wrong.",
    ),
    "beyond-end": Lie(
        pack({"a": entry(0, 400)}, bytes(4)),
        "truncated or padded",
        False,
        "The usual broken download; a reader that trusts the header reads past the end.",
    ),
    "shape-too-large": Lie(
        pack({"a": entry(0, 4, "F32", [2])}, bytes(4)),
        "tensor 'a': F32 [2] does not fit 4 bytes",
        False,
        "A shape that the bytes cannot fill: the rest would come from the next tensor.",
    ),
    "shape-too-small": Lie(
        pack({"a": entry(0, 8, "F32", [1])}, bytes(8)),
        "tensor 'a': F32 [1] does not fit 8 bytes",
        False,
        "Bytes inside a tensor that are none of its elements.",
    ),
    "cut-inside-a-scalar": Lie(
        pack({"a": entry(0, 4, "F32", [])}, bytes(3)),
        "truncated or padded",
        False,
        "A scalar with three of its four bytes.",
    ),
    "half-a-byte": Lie(
        pack({"a": entry(0, 1, "F4", [1])}, bytes(1)),
        "tensor 'a': F4 [1] does not fit 1 bytes",
        False,
        "Elements of four bits must end at a byte.",
    ),
    "backwards": Lie(
        pack({"a": entry(4, 0, "U8", [4])}, bytes(4)),
        "tensor 'a': U8 [4] does not fit -4 bytes",
        False,
        "An end before the start: the size is negative.",
    ),
    "negative-size": Lie(
        pack({"a": entry(0, 4, "U8", [-2, -2])}, bytes(4)),
        "tensor 'a': shape [-2, -2]",
        False,
        "Two negative sizes whose product fits.",
    ),
    "negative-offset": Lie(
        pack({"a": {"dtype": "U8", "shape": [4], "data_offsets": [-4, 0]}}, bytes(4)),
        "tensor 'a': data_offsets [-4, 0]",
        False,
        "A position in front of the data: the header itself would be read as weights.",
    ),
    "minus-zero": Lie(
        pack(ONE.replace(b"[0,4]", b"[-0,4]"), bytes(4)),
        "-0 is not",
        False,
        "A number to which JSON readers give different types.",
    ),
    "bool-as-size": Lie(
        pack({"a": entry(0, 1, "U8", [True])}, bytes(1)),
        "tensor 'a': shape [True]",
        False,
        "In Python true is an integer, and equal to one.",
    ),
    "float-as-size": Lie(
        pack({"a": entry(0, 4, "U8", [4.0])}, bytes(4)),
        "tensor 'a': shape [4.0]",
        False,
        "Sizes above 2**53 would lose bits on the way.",
    ),
    "text-as-size": Lie(
        pack({"a": entry(0, 4, "U8", ["4"])}, bytes(4)),
        "tensor 'a': shape ['4']",
        False,
        "A lenient reader would convert it.",
    ),
    "product-overflows": Lie(
        pack({"a": entry(0, 0, "U8", [1 << 40, 1 << 40, 0])}),
        "tensor 'a': shape [1099511627776, 1099511627776, 0] is beyond",
        False,
        "In 64 bits the product wraps around before the zero is reached.",
    ),
    "size-beyond-64-bit": Lie(
        pack({"a": entry(0, 4, "U8", [1 << 64])}, bytes(4)),
        "tensor 'a': shape [18446744073709551616]",
        False,
        "It is zero in 64 bits.",
    ),
    "number-of-5000-digits": Lie(
        pack(ONE.replace(b"[4]", b"[" + b"9" * 5000 + b"]"), bytes(4)),
        "malformed JSON",
        False,
        "Converting such digits takes quadratic time.",
    ),
    "unknown-dtype": Lie(
        pack({"a": entry(0, 4, "F5")}, bytes(4)),
        "tensor 'a': unknown dtype 'F5'",
        False,
        "Without its size nothing can be checked.",
    ),
    "dtype-in-lower-case": Lie(
        pack({"a": entry(0, 4, "u8")}, bytes(4)),
        "tensor 'a': unknown dtype 'u8'",
        False,
        "Not a dtype of the format.",
    ),
    "dtype-as-object": Lie(
        pack(ONE.replace(b'"U8"', b'{"U8":null}'), bytes(4)),
        "tensor 'a': unknown dtype {'U8': None}",
        True,
        "An accident of the library's JSON reader; no other reader understands it.",
    ),
    "entry-as-list": Lie(
        pack(b'{"a":["U8",[4],[0,4]]}', bytes(4)),
        "tensor 'a': needs exactly dtype, shape and data_offsets",
        True,
        "The same accident.",
    ),
    "extra-key": Lie(
        pack(ONE.replace(b'"U8",', b'"U8","strides":[-1],'), bytes(4)),
        "tensor 'a': needs exactly dtype, shape and data_offsets",
        True,
        "What a key of a later format would mean is not known, and it could change where a scalar lies.",
    ),
    "missing-offsets": Lie(
        pack(b'{"a":{"dtype":"U8","shape":[4]}}', bytes(4)),
        "tensor 'a': needs exactly dtype, shape and data_offsets",
        False,
        "A tensor that is nowhere.",
    ),
    "three-offsets": Lie(
        pack(ONE.replace(b"[0,4]", b"[0,4,4]"), bytes(4)),
        "tensor 'a': data_offsets [0, 4, 4] are not two positions",
        False,
        "Which two?",
    ),
    "null-entry": Lie(
        pack({"a": None}),
        "tensor 'a': needs exactly dtype, shape and data_offsets",
        False,
        "A tensor without anything.",
    ),
    "seventeen-axes": Lie(
        pack({"a": entry(0, 1, "U8", [1] * 17)}, bytes(1)),
        "tensor 'a': shape",
        True,
        "No weight has so many axes, and most tensor libraries stop earlier.",
    ),
    "control-character": Lie(
        pack({"\x1b[2Ja": entry(0, 4)}, bytes(4)),
        r"tensor '\x1b[2Ja': a name must be printable",
        True,
        "Printed to a terminal it clears the screen; with other codes it does worse.",
    ),
    "right-to-left": Lie(
        pack({"a\u202eb": entry(0, 4)}, bytes(4)),
        r"tensor 'a\u202eb': a name must be printable",
        True,
        "The name is shown in another order than it is stored in.",
    ),
    "nul-in-name": Lie(
        pack({"a\0": entry(0, 4)}, bytes(4)),
        r"tensor 'a\x00': a name must be printable",
        True,
        "Ends the name for every reader written in C.",
    ),
    "empty-name": Lie(
        pack({"": entry(0, 4)}, bytes(4)),
        "tensor '': a name must be printable",
        True,
        "Nothing to call it by.",
    ),
    "long-name": Lie(
        pack({"a" * 1001: entry(0, 4)}, bytes(4)),
        "a name must be printable text of at most 1000 characters",
        True,
        "Names stand in records and messages.",
    ),
    "half-a-surrogate": Lie(
        pack(b'{"__metadata__":{"format":"\\ud800"}}'),
        "__metadata__ must map text to text",
        False,
        "Python reads it and cannot write it again.",
    ),
    "metadata-of-numbers": Lie(
        pack({"__metadata__": {"step": 3}}),
        "__metadata__ must map text to text",
        False,
        "The format allows text only.",
    ),
    "metadata-as-list": Lie(
        pack({"__metadata__": ["format", "pt"]}),
        "__metadata__ must map text to text",
        False,
        "The format allows a map only.",
    ),
    "metadata-null": Lie(
        pack({"__metadata__": None}),
        "__metadata__ must map text to text",
        True,
        "The format allows a map or nothing at all.",
    ),
    "not-utf-8": Lie(
        pack(ONE.replace(b'"a"', b'"\xff"'), bytes(4)),
        "header is not UTF-8",
        False,
        "A name that every reader would repair in its own way.",
    ),
    "not-a-number": Lie(
        pack(ONE.replace(b"[4]", b"[NaN]"), bytes(4)),
        "NaN is not JSON",
        False,
        "Python's reader takes it for a number.",
    ),
    "deep-nesting": Lie(
        pack(b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}"),
        "malformed JSON",
        False,
        "A reader that recurses runs out of stack.",
    ),
    "list-header": Lie(
        pack([]),
        "header begins with b'['",
        False,
        "Valid JSON, but no map of tensors; the Hub's client falls over it.",
    ),
    "leading-space": Lie(
        pack(b" " + ONE, bytes(4)),
        "header begins with b' '",
        True,
        "The format says that the first byte is {; who sniffs for it sees another file.",
    ),
    "byte-order-mark": Lie(
        pack(b"\xef\xbb\xbf" + ONE, bytes(4)),
        "header begins with",
        False,
        "The same.",
    ),
    "empty-header": Lie(pack(b""), "header begins with b''", False, "Zero bytes are no JSON."),
    "trailing-nul": Lie(
        pack(ONE + b"\0\0", bytes(4)),
        "malformed JSON",
        False,
        "The header may be padded with spaces, not with zeros.",
    ),
    "three-bytes": Lie(b"abc", "3 bytes are too few", False, "Shorter than the length of its header."),
    "no-bytes": Lie(b"", "0 bytes are too few", False, "What a failed download leaves."),
    "header-beyond-file": Lie(
        pack(b"{}", claim=3),
        "header claims 3 bytes, the file has 2",
        False,
        "The Hub's client reads it as a file without tensors.",
    ),
    "header-of-100-megabytes": Lie(
        pack(b"{}", claim=100_000_000),
        "header claims 100000000 bytes, the file has 2",
        False,
        "The largest header that the format allows, claimed by a file of ten bytes: nothing may be allocated for it.",
    ),
    "header-beyond-the-cap": Lie(
        pack(b"{}", claim=100_000_001),
        "header claims 100000001 bytes, the format allows 100000000",
        False,
        "One byte more than the format allows.",
    ),
    "header-of-2-to-the-64": Lie(
        pack(b"{}", claim=(1 << 64) - 1),
        "header claims 18446744073709551615 bytes",
        False,
        "With the eight bytes of its length added it wraps around.",
    ),
}


def readme() -> str:
    """The README: a row per file."""
    head = (
        "# Hostile files\n\nOne lie each; all are refused as `corrupt` before a single weight is read. "
        "Written by `make.py`, read by `tests/test_header.py`.\n\n"
        "| file | the message holds | safetensors takes it | why it matters |\n|---|---|---|---|\n"
    )
    rows = [
        f"| {name} | `{lie.message}` | {'yes' if lie.library_accepts else 'no'} | {lie.argument} |\n"
        for name, lie in LIES.items()
    ]
    return head + "".join(rows)


def main() -> None:
    """Write all of it."""
    for name, lie in LIES.items():
        (FOLDER / f"{name}.safetensors").write_bytes(lie.content)
    (FOLDER / "README.md").write_text(readme())


if __name__ == "__main__":
    main()
