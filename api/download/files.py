"""Parquet and DuckDB: whole files, by the digests that root.json states.

A file is fetched into the private folder, from where an earlier try stopped, and checked whole. Only when all are there
are they put in place, by rename. Files whose digest has not changed are not fetched. Knows nothing of what is in them.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ...index.errors import DamagedRelease, StoreError, os_reason
from ...index.files import Files, close_quietly, drop_log, make_folder, sync_folder, write_all
from ...index.site import ROOT, File
from ..remote.fetch import Source
from .counted import Steps
from .target import PART, Target

CHUNK = 8 << 20
"""Bytes asked for at a time: what a kill or a cut connection costs."""


def fetch(source: Source, wanted: Mapping[str, File], target: Target, step: Steps | None = None) -> int:
    """Fetch the files that are not there with this content, and put them in place; how many; raise StoreError."""
    missing = {path: file for path, file in wanted.items() if digest_of(target.directory / path) != file.sha256}
    total, done = sum(file.size for file in missing.values()), 0
    for path, file in missing.items():
        for have in _fetch(source, path, file, _part(target, file), target.files):
            step and step("bytes", done + have, total)
        done += file.size
    for path, file in missing.items():
        place(_part(target, file), target.directory / path, target.files)
    return len(missing)


def remove_others(target: Target, folder: str, wanted: Mapping[str, File]) -> None:
    """Remove the files under a folder of the copy that are not wanted any more; raise StoreError."""
    try:
        for path in sorted((target.directory / folder).rglob("*")):
            if path.is_file() and path.relative_to(target.directory).as_posix() not in wanted:
                target.files.unlink(path)
    except OSError as error:
        raise StoreError(f"{target.directory / folder}: cannot be tidied: {os_reason(error)}") from None


def digest_of(path: Path) -> str | None:
    """Hex sha256 of a file; None if there is none; raise StoreError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {os_reason(error)}") from None


def place(part: Path, path: Path, files: Files) -> None:
    """Rename a whole and durable file into its place, durably; raise StoreError."""
    make_folder(path.parent, files)
    drop_log(path, files)
    try:
        files.replace(part, path)
        sync_folder(path.parent, files)
    except OSError as error:
        raise StoreError(f"{path}: not put in place: {os_reason(error)}; run the same command again") from None


def _part(target: Target, file: File) -> Path:
    return target.private / f"{file.sha256}{PART}"


# --- one file ---


def _fetch(source: Source, path: str, file: File, part: Path, files: Files) -> Iterator[int]:
    """Fetch a file into its part, from where that stops; yield how much is there; raise StoreError.

    What an earlier try left may be damaged by a crash: if the whole is wrong then, it is fetched once more from the
    start before the source is blamed.
    """
    resumed = 0 < _size(part) <= file.size
    for start in (_size(part), 0) if resumed else (0,):
        yield from _append(source, path, file.size, part, start, files)
        if digest_of(part) == file.sha256:
            return
    _remove(part, files)
    raise DamagedRelease(f"{source.name}: {path} is not what {ROOT} says; if a release is being made, try again later")


def _append(source: Source, path: str, size: int, part: Path, start: int, files: Files) -> Iterator[int]:
    with _open(part, start, files) as write:
        while start < size:
            write(source.read(path, start=start, length=min(CHUNK, size - start), most=CHUNK))
            start = min(start + CHUNK, size)
            yield start


@contextmanager
def _open(part: Path, start: int, files: Files) -> Iterator[Callable[[bytes], None]]:
    """A file cut to `start` bytes and what appends to it; durable at the end; raise StoreError."""
    try:
        fd = files.open(part, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            files.truncate(fd, start)
            yield lambda data: write_all(fd, data, files)
            files.fsync(fd)
        finally:
            close_quietly(fd, files)
    except OSError as error:
        raise StoreError(f"{part}: not written: {os_reason(error)}; run the same command again to go on") from None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _remove(path: Path, files: Files) -> None:
    with suppress(OSError):
        files.unlink(path)
