"""Token ids of the shipped texts, kept between runs: what a tokenizer makes of a text never changes.

An entry is named by everything that decides it: the tokenizer's files, the libraries, the text, the windows. It holds
that key and a digest of its ids; one that is missing, damaged, foreign or out of range is made anew, and what cannot be
written is not kept. Never raises, never changes a result.

The folder is $SWINDEX_CACHE, else $XDG_CACHE_HOME/swindex, else ~/.cache/swindex; SWINDEX_CACHE= (empty) turns it off.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...schema.canonical import canonical_bytes, strict_loads
from ...schema.errors import SwindexError

Ids = list[list[int]]
_LIBRARIES = ("transformers", "tokenizers")
_DIGITS = 24
"""Bytes that a token id and what stands around it take at most; a longer entry is not read."""


def folder() -> Path | None:
    """Where entries lie; None if nothing is to be kept."""
    given, home = os.environ.get("SWINDEX_CACHE"), os.environ.get("XDG_CACHE_HOME", "")
    if given is not None:
        return Path(given) / "tokens" if given else None
    with suppress(RuntimeError):  # no home
        return (Path(home) if os.path.isabs(home) else Path.home() / ".cache") / "swindex" / "tokens"
    return None


def digest_of_files(files: Path) -> str:
    """sha256 over the names and bytes of a tokenizer's files."""
    whole = hashlib.sha256()
    for path in sorted(p for p in files.iterdir() if p.is_file()):
        whole.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def kept(key: dict[str, Any], make: Callable[[], Ids], limit: int) -> Ids:
    """The ids (windows, window) kept under a key, else what `make` gives, which is kept from now on.

    Ids are from 0 to `limit`, exclusive. `key` has at least windows and window, the most that there can be.
    """
    place = folder()
    if place is None:
        return make()
    key = {**key, "libraries": {name: version(name) for name in _LIBRARIES}}
    path = place / f"{_digest(key)}.json"
    found = _read(path, key, limit)
    if found is None:
        found = make()
        _write(path, key, found)
    return found


def _read(path: Path, key: dict[str, Any], limit: int) -> Ids | None:
    most = 4096 + _DIGITS * key["windows"] * key["window"]
    try:
        if not path.is_file() or path.stat().st_size > most:
            return None
        entry = strict_loads(path.read_bytes())
        whole = isinstance(entry, dict) and entry.get("key") == key and _is_sound(entry.get("ids"), key, limit)
        return entry["ids"] if whole and entry.get("sha256") == _digest(entry["ids"]) else None
    except (OSError, SwindexError, ValueError):
        return None


def _is_sound(ids: Any, key: dict[str, Any], limit: int) -> bool:
    """Whether these are windows of token ids, as many as there may be."""
    if not isinstance(ids, list) or not 1 <= len(ids) <= key["windows"]:
        return False
    rows = [row for row in ids if isinstance(row, list) and len(row) == key["window"]]
    return len(rows) == len(ids) and all(type(i) is int and 0 <= i < limit for row in rows for i in row)


def _write(path: Path, key: dict[str, Any], ids: Ids) -> None:
    """Write an entry whole or not at all."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({"key": key, "ids": ids, "sha256": _digest(ids)}, file)
            os.replace(name, path)
        except OSError:
            os.unlink(name)


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical_bytes(value)).hexdigest()
