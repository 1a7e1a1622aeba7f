"""The operations that change the disk, and the safe ways to combine them.

Everything that writes goes through a `Files`, so that a test can fail any single operation. Knows nothing of records.
Standard library only.
"""

import os
from contextlib import suppress
from pathlib import Path

from .errors import StoreError, os_reason


class Files:
    """One method for each operation that changes the disk or makes a change durable."""

    def open(self, path: Path, flags: int) -> int:
        """Open a file or a directory; the descriptor."""
        return os.open(path, flags | os.O_CLOEXEC, 0o666)

    def write(self, fd: int, data: bytes) -> int:
        """Write some of the data; the number of bytes written, which may be fewer."""
        return os.write(fd, data)

    def fsync(self, fd: int) -> None:
        """Return only when what was written is on disk."""
        os.fsync(fd)

    def truncate(self, fd: int, length: int) -> None:
        """Cut a file to `length` bytes."""
        os.ftruncate(fd, length)

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        os.close(fd)

    def replace(self, source: Path, target: Path) -> None:
        """Rename over whatever is there."""
        os.replace(source, target)

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def mkdir(self, path: Path) -> None:
        """Make a directory whose parent exists."""
        path.mkdir()


FILES = Files()


def make_folder(folder: Path, files: Files = FILES) -> None:
    """Make a directory and its missing parents, durably; raise StoreError.

    The last that is there may have been made by a process that was killed before it was on disk.
    """
    try:
        missing = [f for f in (folder, *folder.parents) if not f.exists()]
        there = missing[-1].parent if missing else folder
        with suppress(PermissionError):
            sync_folder(there.parent, files)
        for each in reversed(missing):
            with suppress(FileExistsError):
                files.mkdir(each)
            sync_folder(each.parent, files)
    except OSError as error:
        raise StoreError(f"{folder}: the directory cannot be made: {os_reason(error)}") from None


def sync_folder(folder: Path, files: Files = FILES) -> None:
    """Make the names in a directory durable; raise OSError."""
    fd = files.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        files.fsync(fd)
    finally:
        close_quietly(fd, files)


def settle(path: Path, top: Path, files: Files = FILES) -> None:
    """Make durable what another process left at a path below `top`, content and names; raise StoreError."""
    try:
        fd = files.open(path, os.O_RDONLY)
        try:
            files.fsync(fd)
        finally:
            close_quietly(fd, files)
        for folder in path.parents[: len(path.relative_to(top).parts)]:
            sync_folder(folder, files)
    except OSError as error:
        raise StoreError(f"{path}: not made durable: {os_reason(error)}") from None


def close_quietly(fd: int, files: Files = FILES) -> None:
    """Close a descriptor whose data is on disk or given up already: an error has nothing to say."""
    with suppress(OSError):
        files.close(fd)


def write_all(fd: int, data: bytes, files: Files = FILES) -> None:
    """Write all of the data, however many writes it takes; raise OSError."""
    rest = memoryview(data)
    while rest:
        written = files.write(fd, bytes(rest))
        if written <= 0:
            raise OSError(0, "nothing was written")
        rest = rest[written:]


def create(path: Path, data: bytes, files: Files = FILES) -> None:
    """Make a new file of this content, whole or not at all, and durable; raise StoreError."""
    make_folder(path.parent, files)
    temporary = path.parent / f".{path.name}.tmp"
    try:
        _write_new(temporary, data, files)
        files.replace(temporary, path)
        sync_folder(path.parent, files)
    except BaseException as error:
        undone = [_remove(temporary, files), _remove(path, files)]
        _fail(path, error, next((u for u in undone if u), None))


def extend(path: Path, length: int, data: bytes, files: Files = FILES) -> None:
    """Cut a file to `length` bytes and append, durably; a failure leaves these `length` bytes; raise StoreError."""
    try:
        fd = files.open(path, os.O_WRONLY | os.O_APPEND)
    except OSError as error:
        _fail(path, error, None)
    try:
        files.truncate(fd, length)
        write_all(fd, data, files)
        files.fsync(fd)
    except BaseException as error:
        _fail(path, error, _cut(fd, length, files))
    finally:
        close_quietly(fd, files)


def remove(path: Path, files: Files = FILES) -> None:
    """Remove a file, durably; raise StoreError."""
    try:
        files.unlink(path)
        sync_folder(path.parent, files)
    except OSError as error:
        raise StoreError(f"{path}: not removed: {os_reason(error)}") from None


def publish(temporary: Path, path: Path, files: Files = FILES) -> None:
    """Put a finished file in place of the published one, durably; readers keep what they opened; raise StoreError."""
    try:
        fd = files.open(temporary, os.O_RDWR)
        try:
            files.fsync(fd)
        finally:
            close_quietly(fd, files)
        files.replace(temporary, path)
        sync_folder(path.parent, files)
    except OSError as error:
        raise StoreError(f"{path}: not published: {os_reason(error)}") from None


def log_of(path: Path) -> Path:
    """Where DuckDB's write-ahead log of a file lies, while there is one."""
    return path.with_name(f"{path.name}.wal")


def drop_log(path: Path, files: Files = FILES) -> None:
    """Remove that log, before another file takes the place of this one: it would be read as part of it.

    Raise StoreError.
    """
    if log_of(path).exists():
        remove(log_of(path), files)


def rewrite(path: Path, text: str, files: Files = FILES) -> None:
    """Put a small text in place of the last one, whole and durable; raise StoreError."""
    temporary = path.parent / f".{path.name}.tmp"
    try:
        fd = files.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            write_all(fd, text.encode(), files)
        finally:
            files.close(fd)
    except OSError as error:
        raise StoreError(f"{temporary}: not written: {os_reason(error)}") from None
    publish(temporary, path, files)


def _write_new(path: Path, data: bytes, files: Files) -> None:
    fd = files.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        write_all(fd, data, files)
        files.fsync(fd)
    finally:
        close_quietly(fd, files)


def _remove(path: Path, files: Files) -> OSError | None:
    try:
        if path.exists():
            files.unlink(path)
    except OSError as error:
        return error
    return None


def _cut(fd: int, length: int, files: Files) -> OSError | None:
    try:
        files.truncate(fd, length)
        files.fsync(fd)
    except OSError as error:
        return error
    return None


def _fail(path: Path, error: BaseException, undoing: OSError | None) -> None:
    """Raise what went wrong in one line; say so if the file could not be put back as it was."""
    if not isinstance(error, OSError):
        raise error
    state = "it is as before"
    if undoing:
        state = f"undoing that failed too ({os_reason(undoing)}): run `swindex index check` before going on"
    raise StoreError(f"{path}: not written: {os_reason(error)}; {state}") from None
