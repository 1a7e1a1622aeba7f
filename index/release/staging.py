"""A release directory while the next release is made in it: what is published, and what is staged beside that.

Everything is written under `.release-new/`, on disk when it is staged. What is immutable by name goes to its place
first; then renaming the folder to `.release-done/` is the moment from which the new release counts: what replaces
older files is complete there, and is moved to its place with `root.json` last. A process that is killed before that
moment changed nothing that the old root names; killed after it, the next one finishes (`settle`).
Knows nothing of what the files say.
"""

import hashlib
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from ..errors import Locked, StoreError, os_reason
from ..files import FILES, Files, close_quietly, make_folder, sync_folder, write_all
from ..locking import locked
from ..site import CHANGES, NODES, ROOT, VERSIONS, File, Root

_NEW, DONE, _LOCK = ".release-new", ".release-done", ".release.lock"
IMMUTABLE = (CHANGES, VERSIONS, NODES)
PARQUET = "parquet"
_OURS = (*IMMUTABLE, ROOT, PARQUET, "index.duckdb", "README.md", "croissant.json", "CHANGELOG.md")
_CHUNK = 1 << 20


class Staging:
    """A release directory that one process at a time makes a release in."""

    def __init__(self, directory: Path, files: Files = FILES) -> None:
        self.directory, self.files = Path(directory), files
        self.folder = self.directory / _NEW
        self.written: list[str] = []
        """Paths of what was staged, in that order."""

    def has(self, path: str) -> bool:
        """Whether a file is published, whatever it holds."""
        return (self.directory / path).is_file()

    def where(self, path: str) -> Path:
        """Where the file of the coming release lies now: staged, else as published."""
        staged = self.folder / path
        return staged if staged.is_file() else self.directory / path

    def read(self, path: str) -> bytes:
        """A file of the coming release; raise StoreError."""
        try:
            return self.where(path).read_bytes()
        except OSError as error:
            raise StoreError(f"{self.directory / path}: cannot be read: {os_reason(error)}") from None

    def put(self, path: str, chunks: Iterable[bytes]) -> None:
        """Stage a file, durably; raise StoreError."""
        target = self.place(path)
        try:
            fd = self.files.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            try:
                for chunk in _gathered(chunks):
                    write_all(fd, chunk, self.files)
                self.files.fsync(fd)
            finally:
                close_quietly(fd, self.files)
        except OSError as error:
            raise StoreError(f"{target}: not written: {os_reason(error)}") from None

    def described(self, path: str) -> File:
        """Size and sha256 of a file of the coming release; raise StoreError."""
        return file_at(self.where(path))

    def place(self, path: str) -> Path:
        """Where to write a file that is staged by somebody else, who calls `keep` afterwards."""
        target = self.folder / path
        make_folder(target.parent, self.files)
        self.written.append(path)
        return target

    def drop(self, path: str) -> None:
        """Take back a file that was staged: the one that is published stays; raise StoreError."""
        try:
            self.files.unlink(self.folder / path)
        except OSError as error:
            raise StoreError(f"{self.folder / path}: not removed: {os_reason(error)}") from None
        self.written.remove(path)

    def keep(self, path: str) -> None:
        """Make a staged file durable that somebody else wrote; raise StoreError."""
        try:
            fd = self.files.open(self.folder / path, os.O_RDWR)
            try:
                self.files.fsync(fd)
            finally:
                close_quietly(fd, self.files)
        except OSError as error:
            raise StoreError(f"{self.folder / path}: not written: {os_reason(error)}") from None

    def publish(self) -> None:
        """Put everything that was staged in its place, `root.json` last; raise StoreError."""
        immutable = [path for path in self.written if path.startswith(IMMUTABLE)]
        _move(self.folder, self.directory, immutable, self.files)
        try:
            for folder in sorted({(self.folder / path).parent for path in self.written}):
                sync_folder(folder, self.files)
            self.files.replace(self.folder, self.directory / DONE)
            sync_folder(self.directory, self.files)
        except OSError as error:
            raise StoreError(f"{self.directory}: not published: {os_reason(error)}") from None
        settle(self.directory, self.files)


def file_at(path: Path) -> File:
    """Size and sha256 of a file; raise StoreError."""
    try:
        with path.open("rb") as file:
            return File(hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {os_reason(error)}") from None


def settle(directory: Path, files: Files = FILES) -> None:
    """Finish a release that was complete when its process was killed; raise StoreError."""
    done = Path(directory) / DONE
    if done.is_dir():
        left = sorted(str(path.relative_to(done)) for path in done.rglob("*") if path.is_file())
        _move(done, Path(directory), [path for path in left if path != ROOT], files)
        _move(done, Path(directory), [path for path in left if path == ROOT], files)
        remove_others(Path(directory), PARQUET, read_root(directory).files.keys(), files)
        shutil.rmtree(done, ignore_errors=True)


def read_root(directory: Path) -> Root:
    """The root of a release directory; raise StoreError."""
    try:
        return Root.parse((Path(directory) / ROOT).read_bytes())
    except OSError as error:
        raise StoreError(f"{directory}: holds no release: {ROOT}: {os_reason(error)}") from None


def remove_others(directory: Path, folder: str, named: Collection[str], files: Files = FILES) -> list[str]:
    """Remove the files below a folder of a release that are not named; their paths; raise StoreError."""
    there = (path for path in (directory / folder).rglob("*") if path.is_file())
    others = sorted(p for path in there if (p := path.relative_to(directory).as_posix()) not in named)
    try:
        for path in others:
            files.unlink(directory / path)
    except OSError as error:
        raise StoreError(f"{directory / path}: not removed: {os_reason(error)}") from None
    return others


@contextmanager
def staging(directory: Path, files: Files = FILES) -> Iterator[Staging]:
    """A release directory, made if it is not there, to make a release in; raise StoreError, Locked."""
    directory = Path(directory)
    if "?" in str(directory):
        raise StoreError(f"{directory}: DuckDB cannot write a file to a path with '?' in it; choose another directory")
    make_folder(directory, files)
    _require(directory)
    busy = Locked(f"{directory}: another process makes a release there; try again when it is done")
    with locked(FileLock(directory / _LOCK), directory, lambda: busy):
        try:
            settle(directory, files)
            shutil.rmtree(directory / _NEW, ignore_errors=True)
            yield Staging(directory, files)
        finally:
            shutil.rmtree(directory / _NEW, ignore_errors=True)


def _require(directory: Path) -> None:
    """Refuse to make a release among files that are no release's."""
    if (directory / ROOT).is_file():
        return
    strange = sorted(e.name for e in directory.iterdir() if e.name not in _OURS and not e.name.startswith("."))
    if strange:
        raise StoreError(f"{directory}: holds {strange[0]} and is no release; name an empty directory")


def _move(source: Path, target: Path, paths: list[str], files: Files) -> None:
    try:
        for path in paths:
            make_folder((target / path).parent, files)
            files.replace(source / path, target / path)
        for folder in sorted({(target / path).parent for path in paths}):
            sync_folder(folder, files)
    except OSError as error:
        raise StoreError(f"{target}: not published: {os_reason(error)}; release again to finish") from None


def _gathered(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer, larger pieces."""
    held, size = [], 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= _CHUNK:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)
