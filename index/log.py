"""One model's log: a JSON Lines file, a line per version, and where it lies.

Knows bytes, lines and paths, not what a line says. Standard library only: the lookup of one model reads it directly.
A torn last line (no newline at its end, or not JSON) is dropped and reported; a damaged earlier line is an error.
"""

import json
import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

from ..schema.errors import UsageError
from ..schema.ids import is_model_id
from .errors import DamagedLog, StoreError, os_reason
from .files import FILES, Files, create, extend

SUFFIX = ".jsonl"
_TAIL = 64 * 1024
"""Bytes read first from the end of a log (most versions are shorter)."""


# --- where a log lies ---


def path_of(records: Path, model_id: str) -> Path:
    """Where the log of a model lies, whether or not it is there; raise UsageError for a malformed id."""
    if not is_model_id(model_id):
        raise UsageError(f"not a model id: {model_id!r:.120}; write org/name as on the Hub")
    org, name = model_id.split("/")
    return records / org / f"{name}{SUFFIX}"


@lru_cache(256)
def id_of(path: Path) -> str | None:
    """The model whose log lies at this path; None if the path is not that of a log."""
    model_id = f"{path.parent.name}/{path.name.removesuffix(SUFFIX)}"
    return model_id if path.name.endswith(SUFFIX) and is_model_id(model_id) else None


def find_path(records: Path, model_id: str) -> Path | None:
    """The log of a model, of this spelling or else of another case; None if absent; raise UsageError, StoreError."""
    exact = path_of(records, model_id)
    if is_file(exact):
        return exact
    org, name = exact.parent.name.lower(), exact.name.lower()
    for other in sorted(each for each in folders(records) if each.lower() == org):
        for found in sorted(each for each in names(records / other) if each.lower() == name):
            return records / other / found
    return None


def is_file(path: Path) -> bool:
    """Whether a file is there; raise StoreError if that cannot be told."""
    try:
        return path.is_file()
    except OSError as error:
        raise _unreadable(path, error) from None


def is_there(path: Path) -> bool:
    """Whether anything is there, a directory in place of a log too; raise StoreError if that cannot be told."""
    try:
        return path.exists()
    except OSError as error:
        raise _unreadable(path, error) from None


def is_folder(path: Path) -> bool:
    """Whether a directory is there; raise StoreError if that cannot be told."""
    try:
        return path.is_dir()
    except OSError as error:
        raise _unreadable(path, error) from None


def log_paths(records: Path) -> Iterator[Path]:
    """Yield the logs in the order of their paths, whatever else lies there; raise StoreError."""
    for org in _names(records):
        if is_folder(records / org):
            yield from (p for name in _names(records / org) if id_of(p := records / org / name) and is_file(p))


def model_ids(records: Path) -> list[str]:
    """The ids of all models with a log, in no order; raise StoreError."""
    return [f"{org}/{name.removesuffix(SUFFIX)}" for org in folders(records) for name in _files(records / org)]


def folders(records: Path) -> list[str]:
    """The names of the directories there, in no order; raise StoreError."""
    return _listed(records, os.DirEntry.is_dir)


def names(folder: Path) -> list[str]:
    """The names in the directory of an organisation that are those of logs, in no order; raise StoreError."""
    return _listed(folder, lambda entry: _is_log(folder.name, entry.name))


def _files(folder: Path) -> list[str]:
    return _listed(folder, lambda entry: _is_log(folder.name, entry.name) and entry.is_file())


def _is_log(org: str, name: str) -> bool:
    return name.endswith(SUFFIX) and is_model_id(f"{org}/{name.removesuffix(SUFFIX)}")


def _listed(folder: Path, is_wanted: Callable[["os.DirEntry[str]"], bool]) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if is_wanted(entry)]
    except OSError as error:
        raise StoreError(f"{folder}: cannot be listed: {os_reason(error)}") from None


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise StoreError(f"{folder}: cannot be listed: {os_reason(error)}") from None


# --- reading ---


def read_lines(path: Path) -> tuple[list[bytes], bool]:
    """The versions, oldest first, without newlines, and whether a torn last line was dropped; raise DamagedLog."""
    lines, torn = split(read(path))
    for number, line in enumerate(lines, 1):
        if not is_json(line):
            raise damaged(path, number)
    return lines, torn


def newest_line(path: Path) -> tuple[bytes | None, bool]:
    """The newest version (None if the log has none), read from the end, and whether a torn last line was dropped."""
    wanted = _TAIL
    while True:
        size = _size(path)
        start = max(size - wanted, 0)
        lines, torn = split(_read(path, start))
        if start == 0 or len(lines) > 1:  # the first line of a part may lack its beginning
            return _newest(path, lines), torn
        wanted *= 4


def split(data: bytes) -> tuple[list[bytes], bool]:
    """The whole lines of a log, and whether what follows them (or the last of them) is torn."""
    *lines, tail = data.split(b"\n")
    if tail:
        return lines, True
    if lines and not is_json(lines[-1]):
        return lines[:-1], True
    return lines, False


def is_json(line: bytes) -> bool:
    """Whether the line is a JSON text in UTF-8."""
    try:
        json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    return True


def damaged(path: Path, number: int, why: str = "not JSON") -> DamagedLog:
    """The error for line `number` (from 1) of a log."""
    return DamagedLog(f"{path} line {number}: {why}; restore it from another copy (`swindex index check` lists all)")


def _newest(path: Path, lines: list[bytes]) -> bytes | None:
    if not lines:
        return None
    if not is_json(lines[-1]):
        raise damaged(path, len(split(_read(path, 0))[0]))
    return lines[-1]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from None


def read(path: Path) -> bytes:
    """All bytes of a log; raise StoreError."""
    return _read(path, 0)


def _read(path: Path, start: int) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(start)
            return file.read()
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path}: cannot be read: {os_reason(error)}")


# --- appending ---


def append(path: Path, line: bytes, files: Files = FILES) -> None:
    """Append one version, on disk when this returns; cut a torn end off first; the caller holds the writer lock.

    A failure leaves the whole lines as they were; raise StoreError, DamagedLog.
    """
    if not is_file(path):
        create(path, line + b"\n", files)
        return
    lines, _ = read_lines(path)
    extend(path, sum(len(each) + 1 for each in lines), line + b"\n", files)
