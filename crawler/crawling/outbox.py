"""What workers have done and the writer has not yet appended: one file for each job, in a folder.

A file is there whole or not at all, and on disk when `put` returns. What is no such file is moved to `bad/` and
reported: it is neither believed nor lost. Knows no index; `bucket` is the same over an object store.
"""

import hashlib
import logging
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from ...index.errors import StoreError, os_reason
from ...index.files import FILES, Files, close_quietly, make_folder, publish, sync_folder, write_all
from ...schema.canonical import canonical_bytes, strict_loads
from ...schema.errors import SwindexError
from .jobs import Done, Job

_LOG = logging.getLogger(__name__)
ENDING = ".json"
BAD = "bad"
MAX_BYTES = 1 << 28
"""Of a file that is read; a scan's is some ten thousand."""

Report = Callable[[str], None]
"""Told in one line of each file that was moved aside."""


class Box(Protocol):
    """Where what was done waits for the writer."""

    def put(self, done: Done) -> str:
        """Keep it, durably; its key. Once more is the same as once; raise StoreError."""

    def has(self, job: Job) -> bool:
        """Whether what became of the job is here."""

    def waiting(self, report: Report | None = None) -> Iterator[Done]:
        """What is here, by key; raise StoreError."""

    def drop(self, job: Job) -> None:
        """Forget it, once it is in the index; raise StoreError."""

    def set_aside(self, job: Job, reason: str, report: Report | None = None) -> None:
        """Move it to `bad/`: it cannot be appended; raise StoreError."""


def key_of(job: Job) -> str:
    """The name of a job: a digest of model and revision."""
    return hashlib.sha256(f"{job.model_id}\n{job.revision or ''}".encode()).hexdigest()


def to_bytes(done: Done) -> bytes:
    """The content of its file."""
    return canonical_bytes(done.as_json())


def from_bytes(key: str, data: bytes) -> Done:
    """Read it, strictly; raise ValueError with the reason if it is not what `to_bytes` wrote under this name."""
    try:
        done = Done.from_json(strict_loads(data))
        same = to_bytes(done) == data
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, SwindexError) as error:
        raise ValueError(" ".join(f"{type(error).__name__}: {error}".split())[:200]) from None
    if not same or key_of(done.job) != key or done.result.model.id != done.job.model_id:
        raise ValueError("it is not what a worker wrote under this name")
    return done


class Outbox:
    """An outbox in a folder that one or more machines share. `files` is what writes go through."""

    def __init__(self, folder: Path, files: Files = FILES) -> None:
        self.folder = Path(folder)
        self.files = files

    def put(self, done: Done) -> str:
        """Keep it, durably; its key. Once more is the same as once; raise StoreError."""
        key = key_of(done.job)
        path = self._path(key)
        temporary = self.folder / f".{key}.{socket.gethostname()}-{os.getpid()}.tmp"
        make_folder(self.folder, self.files)
        try:
            fd = self.files.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            try:
                write_all(fd, to_bytes(done), self.files)
            finally:
                close_quietly(fd, self.files)
        except OSError as error:
            raise StoreError(f"{path}: not written: {os_reason(error)}") from None
        publish(temporary, path, self.files)
        return key

    def has(self, job: Job) -> bool:
        """Whether what became of the job is here."""
        return self._path(key_of(job)).is_file()

    def waiting(self, report: Report | None = None) -> Iterator[Done]:
        """What is here, by key; what is no such file is moved aside; raise StoreError."""
        for path in self._paths():
            try:
                done = from_bytes(path.stem, _read(path))
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StoreError(f"{path}: cannot be read: {os_reason(error)}") from None
            except ValueError as error:
                self._move(path, str(error), report)
                continue
            yield done

    def drop(self, job: Job) -> None:
        """Forget it, once it is in the index; raise StoreError."""
        path = self._path(key_of(job))
        try:
            self.files.unlink(path)
            sync_folder(self.folder, self.files)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"{path}: cannot be removed: {os_reason(error)}") from None

    def set_aside(self, job: Job, reason: str, report: Report | None = None) -> None:
        """Move it to `bad/`: it cannot be appended; raise StoreError."""
        self._move(self._path(key_of(job)), reason, report)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{ENDING}"

    def _paths(self) -> list[Path]:
        """All files but those that are being written, sorted; what a killed process left unfinished is removed."""
        try:
            found = sorted(p for p in self.folder.iterdir() if p.name != BAD)
            for path in filter(_orphaned, found):
                self.files.unlink(path)
            return [p for p in found if not _unfinished(p)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"{self.folder}: cannot be listed: {os_reason(error)}") from None

    def _move(self, path: Path, reason: str, report: Report | None) -> None:
        target = _free(self.folder / BAD, path.name)
        make_folder(target.parent, self.files)
        try:
            self.files.replace(path, target)
            sync_folder(target.parent, self.files)
            sync_folder(self.folder, self.files)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"{path}: cannot be moved aside: {os_reason(error)}") from None
        (report or _LOG.warning)(f"{path.name}: not taken, moved to {target}: {reason}")


def _unfinished(path: Path) -> bool:
    return path.name.startswith(".") and path.name.endswith(".tmp")


def _orphaned(path: Path) -> bool:
    """Whether a process of this machine was writing it and is gone."""
    host, _, number = path.name.removesuffix(".tmp").partition(".")[2].partition(".")[2].rpartition("-")
    if not _unfinished(path) or host != socket.gethostname() or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False


def _read(path: Path) -> bytes:
    if path.suffix != ENDING or not path.is_file() or path.is_symlink():
        raise ValueError("it is no file of a worker")
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES} bytes")
    return data


def _free(folder: Path, name: str) -> Path:
    """A name in the folder that nothing has yet."""
    names = [name, *(f"{name}.{n}" for n in range(1, 10_000))]
    return next(folder / n for n in names if not (folder / n).exists())


def open_box(where: str | Path) -> Box:
    """The outbox in a folder, or under an address (`s3://...`, `hf://buckets/...`) that fsspec knows."""
    if "://" not in str(where):
        return Outbox(Path(where))
    from .bucket import Bucket

    return Bucket(str(where))
