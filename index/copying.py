"""Lines of another index appended to this one just as they stand there, each checked against its change.

The order is the store's own: the change first, then the version, each on disk before the next step, so a crash leaves
at most one change without its version, which the next writer cuts off. Knows nothing of where the lines came from.
"""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..schema.canonical import canonical_bytes, strict_loads
from ..schema.errors import RecordError
from ..schema.record import Record
from . import feed, log
from .errors import DamagedFeed, DamagedRelease, StoreError, os_reason
from .feed import Entry
from .files import FILES, Files, close_quietly, sync_folder
from .release.staging import Staging
from .release.static import Static, write_static
from .store import Index, is_newer

Json = dict[str, Any]


class Unsynced(Files):
    """Files that make nothing durable: for what is thrown away after a crash unless it proves sound.

    What was written is made durable at its end, by `make_durable`.
    """

    def __init__(self, files: Files = FILES) -> None:
        for name in ("open", "write", "truncate", "close", "replace", "unlink", "mkdir"):
            setattr(self, name, getattr(files, name))

    def fsync(self, fd: int) -> None:
        """Leave it to the operating system when."""


# --- one line ---


def checked(before: Entry | None, entry: Entry, line: bytes) -> Json:
    """The version in a line as plain data, if it is exactly what the change that follows `before` says.

    Fields of a newer minor schema are tolerated; raise DamagedRelease.
    """
    try:
        data = strict_loads(line)
        Record.parse(line, tolerant=_states_newer(data))
        is_right = canonical_bytes(data) == line and feed.next_entry(before, data) == entry
    except (RecordError, DamagedFeed) as error:
        raise _wrong(entry, str(error)) from None
    if not is_right:
        raise _wrong(entry, "its line says another thing, or is not canonical")
    return dict(data)


def append(index: Index, entry: Entry, version: Json, line: bytes) -> None:
    """Append a change and its version, durably; the caller holds the writer lock; raise DamagedRelease, StoreError.

    A version that is there without its change, as a writer of another order may have left it, is given its change.
    """
    path = log.path_of(index.records, entry.model_id)
    found = log.find_path(index.records, entry.model_id)
    lines = log.read_lines(found)[0] if found else []
    is_there = found == path and lines[entry.version - 1 :] == [line]
    before = lines[: entry.version - 1]
    previous = strict_loads(before[-1])["provenance"]["digest"] if before else None
    if found not in (None, path) or len(lines) != entry.version - 1 + is_there:
        raise _wrong(entry, f"does not follow the {len(lines)} versions that are here")
    if version["provenance"]["previous"] != previous:
        raise _wrong(entry, "names another version before it than the one that is here")
    index.put(version, line, is_there=is_there)


def _states_newer(data: object) -> bool:
    provenance = data.get("provenance") if isinstance(data, dict) else None
    return is_newer(provenance.get("schema_version")) if isinstance(provenance, dict) else False


def _wrong(entry: Entry, why: str) -> DamagedRelease:
    return DamagedRelease(f"change {entry.seq}, {entry.model_id}: {why}; read from another copy")


# --- a whole copy ---


def is_sound(index: Index) -> bool:
    """Whether every change has its version, byte for byte, and nothing else is there; reads all and parses little.

    But for what a kill leaves, which the next append cuts off: a last change without its version, or with half of it.
    """
    try:
        digests, halved = _told(index)
        paths = {log.id_of(path): path for path in log.log_paths(index.records)}
        return paths.keys() == digests.keys() and all(_holds(paths[m], digests[m], m == halved) for m in digests)
    except (StoreError, OSError):
        return False


def _told(index: Index) -> tuple[dict[str, list[str]], str | None]:
    """The digests of each model's versions as the changes tell, and whose last change has no version yet."""
    digests: dict[str, list[str]] = {}
    last: Entry | None = None
    for last in feed.written(index.directory):
        digests.setdefault(last.model_id, []).append(last.digest)
    if last is None or feed.is_recorded(index.directory, last):
        return digests, None
    digests[last.model_id].pop()
    return {model_id: each for model_id, each in digests.items() if each}, last.model_id


def _holds(path: Path, digests: list[str], may_be_torn: bool) -> bool:
    lines, torn = log.split(path.read_bytes())
    return torn <= may_be_torn and len(lines) == len(digests) and all(map(is_of, lines, digests))


def is_of(line: bytes, digest: str) -> bool:
    """Whether a line is the canonical version of this digest: the digest is over the line without its own field."""
    field = f'"digest":"{digest}",'.encode()
    held, at = b'"provenance":{', line.find(field)
    is_there = at >= len(held) and line[at - len(held) : at] == held
    return is_there and hashlib.sha256(line[:at] + line[at + len(field) :]).hexdigest() == digest


def static_of(index: Index) -> Static:
    """What a release would say of an index, its tree among it; nothing is written; raise StoreError."""
    return write_static(index.records, feed.read(index.directory), _Nowhere(index.directory))


class _Nowhere(Staging):
    """Where nothing has to be put."""

    def has(self, path: str) -> bool:
        """Always."""
        return True


def bytes_of(index: Index, entries: Iterable[Entry]) -> int:
    """How many bytes the versions of these changes take, with newlines; raise StoreError."""
    logs: dict[str, list[bytes]] = {}
    total = 0
    for entry in entries:
        if entry.model_id not in logs:
            logs[entry.model_id] = log.read_lines(log.path_of(index.records, entry.model_id))[0]
        total += len(logs[entry.model_id][entry.version - 1]) + 1
    return total


def make_durable(folder: Path, files: Files = FILES) -> None:
    """Return when everything below a folder is on disk; raise StoreError.

    All is handed to the disk at once first, so that asking for each file, which tells of errors, is quick.
    """
    os.sync()
    try:
        for path in folder.rglob("*"):
            if path.is_file():
                fd = files.open(path, os.O_RDONLY)
                try:
                    files.fsync(fd)
                finally:
                    close_quietly(fd, files)
        for path in (*(p for p in folder.rglob("*") if p.is_dir()), folder):
            sync_folder(path, files)
    except OSError as error:
        raise StoreError(f"{folder}: not made durable: {os_reason(error)}") from None
