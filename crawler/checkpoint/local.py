"""A checkpoint in a local folder. Links that lead out of the folder are followed only for regular files (the Hub
client's cache is made of them)."""

import os
import re
from functools import cached_property
from pathlib import Path

from ..refusal import corrupt, failed
from .base import Checkpoint, FileEntry


class LocalCheckpoint(Checkpoint):
    """The files directly in `folder`."""

    max_read = 1 << 24

    def __init__(self, folder: Path, model_id: str | None = None) -> None:
        super().__init__()
        if not folder.is_dir():
            raise failed(f"{folder}: no such folder")
        self.folder = folder
        self.model_id = model_id or f"local/{_id_part(folder.resolve().name)}"
        self.revision = None
        self._buffer = bytearray()

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.folder)

    @cached_property
    def entries(self) -> dict[str, FileEntry]:
        """Regular files in the folder."""
        files = sorted(p for p in self.folder.iterdir() if p.is_file())
        return {p.name: FileEntry(p.name, p.stat().st_size) for p in files}

    def read_range(self, path: str, start: int, end: int) -> memoryview:
        """Read exactly [start, end) into a buffer that is used again: fresh pages cost more than the reading."""
        if len(self._buffer) < end - start:
            self._buffer = bytearray(end - start)
        view = memoryview(self._buffer)[: end - start]
        try:
            with open(self.folder / path, "rb", buffering=0) as file:
                got = _fill(file.fileno(), start, view)
        except OSError as error:
            raise failed(f"{self.folder / path}: {error.strerror}") from None
        if got != end - start:
            raise corrupt(f"{self.folder / path}: ends at byte {start + got}, expected {end}; it changed or is cut")
        self.meter.bytes += got
        return view


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
    cleaned = re.sub(r"-{2,}|\.{2,}", "-", re.sub(r"[^A-Za-z0-9._-]", "-", name)).strip("-.")
    return cleaned[:96] or "checkpoint"
