"""Bytes of a release directory, wherever it lies: a whole file, or a range of one. Standard library only.

Knows paths and sizes, not what a file says: whoever reads checks digests. Nothing is returned that is not exactly
what was asked for, and nothing is read beyond the limit that was given. `web` has what is not in a folder.
"""

import os
import re
import stat
from pathlib import Path
from typing import NamedTuple, Protocol

from ...index.errors import DamagedRelease, StoreError, os_reason
from ...schema.errors import UsageError
from ..names import is_address

VALUES_MOST = 2_000_000
"""Values in a file that is parsed as a whole: some 250 MB of them."""
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,127}){0,7}")


class NotThere(StoreError):
    """The source has no such file."""


class Unreachable(StoreError):
    """The source could not be asked, or did not answer: whether the file is there is not known."""


class Offline(Unreachable):
    """Nobody may be asked."""


class Fresh(NamedTuple):
    """The answer for a file that changes in place."""

    content: bytes | None
    """None: it is as it was when it had the ETag that was given."""
    etag: str | None = None


class Source(Protocol):
    """Where a release is read from."""

    name: str
    """What a person calls it, in errors too."""

    def read(self, path: str, *, start: int = 0, length: int | None = None, most: int) -> bytes:
        """Exactly `length` bytes from `start` (without `length` all to the end), at most `most`.

        Raise NotThere, Unreachable, or StoreError (more than `most`, or fewer bytes than asked for).
        """

    def fresh(self, path: str, etag: str | None = None, *, most: int) -> Fresh:
        """A whole file, unless it is still what had this ETag; raise as `read`."""


def open_source(name: str | Path) -> Source:
    """The source of this name: a directory, `https://...`, or `hf://datasets/ORG/NAME[@REVISION]`; raise UsageError."""
    if not is_address(name):
        return Folder(Path(name))
    from .web import Http, HubDataset

    return HubDataset(str(name)) if str(name).startswith("hf://") else Http(str(name))


def checked(path: str) -> str:
    """A relative path without anything that leads elsewhere; raise StoreError."""
    if not _PATH.fullmatch(path) or ".." in path:
        raise StoreError(f"{path!a:.80}: not a path of a release")
    return path


class Folder:
    """A release directory on this machine."""

    def __init__(self, directory: Path) -> None:
        self.name, self._home = str(directory), Path(directory)

    def __repr__(self) -> str:
        return f"Folder({self.name!r})"

    def read(self, path: str, *, start: int = 0, length: int | None = None, most: int) -> bytes:
        """As `Source.read`."""
        where = self._home / checked(path)
        try:
            with open(where, "rb", opener=_without_waiting) as file:
                size = os.fstat(file.fileno()).st_size
                wanted = size - start if length is None else length
                within(str(where), wanted, most)
                file.seek(start)
                found = file.read(wanted) if wanted > 0 else b""
        except (FileNotFoundError, NotADirectoryError):
            raise NotThere(f"{where}: not there") from None
        except OSError as error:
            raise StoreError(f"{where}: cannot be read: {os_reason(error)}") from None
        return whole(str(where), found, wanted)

    def fresh(self, path: str, etag: str | None = None, *, most: int) -> Fresh:
        """As `Source.fresh`; a file is always read."""
        return Fresh(self.read(path, most=most))


def _without_waiting(path: str, flags: int) -> int:
    """Open a file for reading, and nothing else: a named pipe would wait for a writer."""
    fd = os.open(path, flags | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(0, "not a file")


class Closed:
    """A source that may not be asked."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"Closed({self.name!r})"

    def read(self, path: str, *, start: int = 0, length: int | None = None, most: int) -> bytes:
        """Raise Offline."""
        raise Offline(f"{self.name}/{path}: was not read before, and with --offline nobody is asked")

    def fresh(self, path: str, etag: str | None = None, *, most: int) -> Fresh:
        """Raise Offline."""
        raise Offline(f"{self.name}: with --offline nobody is asked")


def present(source: Source, path: str, *, start: int = 0, length: int | None = None, most: int) -> bytes:
    """What `Source.read` gives, of a file that must be there; raise Unreachable if it is not."""
    try:
        return source.read(path, start=start, length=length, most=most)
    except NotThere:
        raise Unreachable(f"{source.name}/{path}: not there; is it being released now? try again later") from None


def within(where: str, wanted: int, most: int) -> None:
    """Raise StoreError for more bytes than may be read."""
    if wanted > most:
        raise StoreError(f"{where}: {wanted} bytes, {most} at most are read here; is this a release of swindex?")


def modest(where: str, data: bytes) -> bytes:
    """JSON that takes no more memory than it should, told before it is parsed; raise DamagedRelease."""
    if data.count(b",") + data.count(b"[") + data.count(b"{") > VALUES_MOST:
        raise DamagedRelease(f"{where}: more than {VALUES_MOST} values; read another copy")
    return data


def whole(where: str, found: bytes, wanted: int) -> bytes:
    """The bytes, if there are as many as were asked for; raise StoreError."""
    if len(found) != wanted:
        raise StoreError(f"{where}: {len(found)} bytes where {wanted} should be: cut off, or damaged; try again later")
    return found


def require_name(found: re.Match[str] | None, name: str, form: str) -> re.Match[str]:
    """The match; raise UsageError for a name that is not of this form."""
    if found is None:
        raise UsageError(f"{name!a:.120} is not an index: write {form}")
    return found
