"""The directory that a copy is kept in: whether it is one, who writes to it, and the private folder within.

What is not whole yet lies in the private folder, on the same file system, and is put in place by rename.
Knows nothing of sources.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from ...index.errors import Locked, StoreError, os_reason
from ...index.files import FILES, Files, make_folder
from ...index.locking import locked
from ...index.log import is_folder
from ...index.store import Index
from .. import origin

PRIVATE = ".download"
PART = ".part"
"""Ending of the name of a file that is not whole yet; before it stands its digest."""
_LOCK = "index.lock"


class Target:
    """A directory that holds, or is to hold, a copy."""

    def __init__(self, directory: Path, files: Files = FILES, lock_timeout: float = 10.0) -> None:
        self.directory, self.files = Path(directory), files
        self.index = Index(self.directory, files=files, lock_timeout=lock_timeout)
        self.private = self.directory / PRIVATE
        self._lock = FileLock(self.private / "lock")

    def require_ours(self) -> None:
        """Raise StoreError for a directory that holds things and no copy."""
        try:
            if not self.directory.exists():
                return
            names = {path.name for path in self.directory.iterdir()} - {_LOCK}
        except OSError as error:
            raise StoreError(f"{self.directory}: cannot be looked into: {os_reason(error)}") from None
        if names and not names & {origin.NAME, PRIVATE}:
            what = "an index that was not downloaded" if "records" in names else "other files"
            raise StoreError(f"{self.directory}: holds {what}; choose another directory with --to DIR")

    def has_lines(self) -> bool:
        """Whether a copy of the lines is there; raise StoreError."""
        return is_folder(self.index.records)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Make the directory and let no other download write to it; raise StoreError if it is no copy, Locked."""
        self.require_ours()
        make_folder(self.private, self.files)
        if not os.access(self.private, os.W_OK):
            raise StoreError(f"{self.directory}: not writable; choose another directory with --to DIR")
        busy = Locked(f"{self.directory}: another download is at work there; run this again when it is done")
        with locked(self._lock, self.private, lambda: busy):
            yield

    def tidy(self, wanted: Collection[str]) -> None:
        """Remove parts of files that nobody will ask for any more: all but those of these digests."""
        with suppress(OSError):
            for path in self.private.glob(f"*{PART}"):
                if path.name.removesuffix(PART) not in wanted:
                    self.files.unlink(path)
