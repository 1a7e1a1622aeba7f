"""Canonical bytes, digests, and strict reading of JSON.

Canonical form is RFC 8785 (JCS); a record's digest is sha256 over the canonical bytes of the record without its
own `provenance.digest`. Reading rejects duplicate keys, NaN and Infinity, which Python's json accepts.
Knows nothing of what the JSON means.
"""

import hashlib
import json
import re
from contextlib import suppress
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any, NoReturn

import rfc8785

from .errors import JsonError


def canonical_bytes(value: Any) -> bytes:
    """Serialise plain JSON data to RFC 8785 bytes; raise JsonError for NaN, Infinity and integers over 2**53."""
    try:
        return _text(value).encode()
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise JsonError(f"not canonical JSON: {error}") from None


def _text(value: Any) -> str:
    """The canonical text; what is common without rfc8785, which takes several times as long."""
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if kind is dict and all(map(_is_plain, value)):
        return "{" + ",".join([f'"{name}":{_text(value[name])}' for name in sorted(value)]) + "}"
    if kind is list or kind is tuple:
        return "[" + ",".join(map(_text, value)) + "]"
    if value is None or value is True or value is False:
        return _WORDS[value]
    if kind is int and -(2**53) < value < 2**53:
        return str(value)
    if kind is float and 1e-4 <= abs(value) < 1e16:
        return repr(value).removesuffix(".0")
    return rfc8785.dumps(value).decode()


@lru_cache(4096)
def _is_plain(name: object) -> bool:
    """Whether a name needs no escape, and sorts alike as code points and in UTF-16."""
    return isinstance(name, str) and _PLAIN.fullmatch(name) is not None


_PLAIN = re.compile(r"[ !#-\[\]-~]*")
_WORDS = {None: "null", True: "true", False: "false"}


def digest_of(record: dict[str, Any]) -> str:
    """Hex sha256 over the canonical bytes of a record (plain JSON data) without its own digest."""
    provenance = {k: v for k, v in record.get("provenance", {}).items() if k != "digest"}
    return hashlib.sha256(canonical_bytes({**record, "provenance": provenance})).hexdigest()


def read_canonical(text: bytes) -> tuple[Any, bool]:
    """Parse JSON as `strict_loads` does, and say whether the text is the canonical form of what it says."""
    with suppress(ValueError, RecursionError):
        value = _READ.decode(text.decode("ascii"))
        if _WRITE.encode(value).encode() == text:
            return value, True
    value = strict_loads(text)
    with suppress(JsonError):
        return value, canonical_bytes(value) == text
    return value, False


def _common_float(text: str) -> float:
    """A number that Python and the canonical form write alike; raise ValueError for another."""
    value = float(text)
    if repr(value) != text or "e" in text or text.endswith(".0"):
        raise ValueError
    return value


def _common_int(text: str) -> int:
    """An integer that the canonical form has; raise ValueError for another."""
    value = int(text)
    if not -(2**53) < value < 2**53:
        raise ValueError
    return value


_READ = json.JSONDecoder(parse_float=_common_float, parse_int=_common_int)
_WRITE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
"""Writes the canonical form of what `_READ` reads of ASCII text. What has a name twice, white space or a NaN does not
come back from it."""


def digest_in(text: bytes, record: dict[str, Any]) -> str:
    """`digest_of` a record, given its canonical form."""
    head, _, tail = text.partition(_PROVENANCE + b'"digest":"')
    if text.count(_PROVENANCE) != 1 or b'"' in tail[:64] or tail[64:66] != b'",':
        return digest_of(record)
    return hashlib.sha256(head + _PROVENANCE + tail[66:]).hexdigest()


_PROVENANCE = b'"provenance":{'


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(k for k, _ in pairs if k in seen or seen.add(k))  # type: ignore[func-returns-value]
        raise JsonError(f"duplicate key {twice!r}")
    return result


def _no_constant(name: str) -> NoReturn:
    raise JsonError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise JsonError(f"number {text} is beyond float64")
    return value


def _integer(text: str) -> int | float:
    """An integer, or the float64 that canonical form writes so: without an exponent up to 1e21, beyond 2**53 too."""
    value = int(text)
    if abs(value) < 2**53 or len(text) > 22:
        return value
    return float(text) if rfc8785.dumps(float(text)) == text.encode() else value


def strict_loads(text: str | bytes) -> Any:
    """Parse JSON; raise JsonError for malformed text, duplicate keys, NaN, Infinity and numbers beyond float64."""
    try:
        return json.loads(
            text,
            object_pairs_hook=_no_duplicates,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_integer,
        )
    except (ValueError, RecursionError) as error:
        raise JsonError(f"malformed JSON: {error}") from None
