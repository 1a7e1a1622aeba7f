"""A checkpoint in a local folder. Links that lead out of the folder are followed only for regular files (the Hub
client's cache is made of them). A file that changes while it is read is noticed at the next read."""

import os
import re
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from stat import S_ISREG
from threading import Event

from ..refusal import failed
from .base import Checkpoint, FileEntry
from .spans import Span

_Mark = tuple[int, int, int, int]


class LocalCheckpoint(Checkpoint):
    """The files directly in `folder`."""

    max_read = 1 << 22

    def __init__(self, folder: Path, model_id: str | None = None) -> None:
        super().__init__()
        if not folder.is_dir():
            raise failed(f"{folder}: no such folder")
        self.folder = folder
        self.model_id = model_id or f"local/{_id_part(folder.resolve().name)}"
        self.revision = None
        self._marks: dict[str, _Mark] = {}

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.folder)

    @cached_property
    def entries(self) -> dict[str, FileEntry]:
        """Regular files in the folder."""
        try:
            found = {p.name: p.stat() for p in sorted(self.folder.iterdir()) if p.is_file()}
        except OSError as error:
            raise failed(f"{self.folder}: {error.strerror}; may it be read?") from None
        self._marks = {name: _mark(stat) for name, stat in found.items()}
        return {name: FileEntry(name, stat.st_size) for name, stat in found.items()}

    def read_into(self, path: str, start: int, view: memoryview, stop: Event | None = None) -> None:
        """Fill `view` with the bytes of a file from `start` on."""
        try:
            got = self._read(path, start, view)
        except OSError as error:
            raise failed(f"{self.folder / path}: {error.strerror}; may it be read?") from None
        self.meter.add(got)
        if got != len(view):
            end = start + len(view)
            raise failed(f"{self.folder / path}: ends at byte {start + got}, expected {end}; it changed, scan it again")

    def advise(self, span: Span) -> bool:
        """Let the system read a span into its cache: that takes no thread, and nothing where it is there already."""
        if not hasattr(os, "posix_fadvise"):
            return False
        with suppress(OSError):  # whoever reads it will say what is wrong
            fd = os.open(self.folder / span.file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                os.posix_fadvise(fd, span.start, span.size, os.POSIX_FADV_WILLNEED)
            finally:
                os.close(fd)
        return True

    def _read(self, path: str, start: int, view: memoryview) -> int:
        # Without O_NONBLOCK a pipe that took the file's place would hold the scan for ever.
        fd = os.open(self.folder / path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            now = os.fstat(fd)
            if not S_ISREG(now.st_mode) or self._marks.get(path, _mark(now)) != _mark(now):
                raise failed(f"{self.folder / path}: changed since the scan began; scan it again")
            return _fill(fd, start, view)
        finally:
            os.close(fd)


def _mark(stat: os.stat_result) -> _Mark:
    """What differs once a file was replaced or written to."""
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def _fill(fd: int, start: int, view: memoryview) -> int:
    """Read into `view` from byte `start` on; how many bytes there were."""
    got = 0
    while got < len(view):
        part = os.preadv(fd, [view[got:]], start + got)
        if part == 0:
            break
        got += part
    return got


def _id_part(name: str) -> str:
    """A folder's name as the Hub would allow it for a model."""
    cleaned = re.sub(r"[^A-Za-z0-9_]+", lambda run: run[0] if run[0] in (".", "-") else "-", name)
    cleaned = re.sub(r"\.git$", "-git", cleaned.strip("-.")[:96].strip("-."))
    return cleaned or "checkpoint"
