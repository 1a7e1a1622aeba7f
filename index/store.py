"""An index: a directory that holds `records/` (the truth, a log per model), `changes/` and `index.duckdb` (made of it).

Appends versions, one process at a time, strictly; reading is in `stored`. A version's change is written to the feed
(see `feed`) before the version itself, and what a crash left of the first alone is cut off by the next writer. Knows
nothing of DuckDB, models' files or the Hub.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from filelock import FileLock

from ..schema.canonical import canonical_bytes
from ..schema.record import Record
from ..schema.types import SCHEMA_VERSION
from . import log
from .errors import Locked, StaleRecord, StoreError, os_reason
from .feeding import Feed
from .files import FILES, Files, make_folder
from .locking import locked
from .spelled import Spelled
from .stored import Stored, digest_in, parse


class Appended(StrEnum):
    """What became of a version that was offered."""

    APPENDED = "appended"
    ALREADY_THERE = "already_there"


class Index(Stored):
    """The index in a directory. `lock_timeout` is in seconds; `files` is what writes go through."""

    def __init__(self, directory: Path, *, files: Files = FILES, lock_timeout: float = 10.0) -> None:
        super().__init__(directory)
        self.database = self.directory / "index.duckdb"
        self.lock_file = self.directory / "index.lock"
        self.files = files
        self._lock_timeout = lock_timeout
        self._lock = FileLock(self.lock_file)
        self._feed = Feed(self.directory, files)
        self._spelled = Spelled(self.records)
        self._is_made = False

    def ensure(self) -> None:
        """Make an empty index where there is nothing yet; raise StoreError if something else is there."""
        if self.vacant:
            make_folder(self.records, self.files)
        self.require()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the writer lock (again, if this thread holds it already), the feed's end healed.

        Raise Locked, StoreError.
        """
        if not (self._is_made and log.is_folder(self.directory)):
            make_folder(self.directory, self.files)
            self._is_made = True
        if not os.access(self.directory, os.W_OK):
            raise StoreError(f"{self.directory}: not writable; choose another index with --index DIR")
        with locked(self._lock, self.lock_file, self._not_locked, self._lock_timeout):
            if self._feed.heal():
                self._spelled.forget()
            yield

    def append(self, record: Record) -> Appended:
        """Append a version that follows the newest one; on disk when this returns.

        Raise StaleRecord if it does not follow, Locked, StoreError, RecordError (its parts do not fit its digest).
        """
        with self.writing():
            newest, digests = self._known(record.model.id)
            if record.provenance.digest in digests:
                return Appended.ALREADY_THERE
            return self._append(newest, record)

    def add(
        self,
        model_id: str,
        build: Callable[[Record | None], dict[str, Any] | None],
        submitter: str,
        time: str,
    ) -> Record | None:
        """Append the version that `build` makes of the newest one (None: there is none); None if nothing is new.

        `build` runs under the writer lock and returns the parts of `Record.make` (and `withdrawn`, if so), or None.
        Raise Locked, StoreError, RecordError.
        """
        log.path_of(self.records, model_id)
        with self.writing():
            newest, _ = self._known(model_id)
            parts = build(newest)
            if parts is None:
                return None
            record = next_version(newest, parts, submitter, time)
            if record.model.id != model_id:
                raise StoreError(f"{model_id}: the version that was built is of {record.model.id}")
            return record if self._append(newest, record) is Appended.APPENDED else None

    def _append(self, newest: Record | None, record: Record) -> Appended:
        data = record.model_dump(mode="json")
        line = canonical_bytes(data)
        Record.parse(line)
        if newest and content(newest) == content(record):
            return Appended.ALREADY_THERE
        _check_follows(newest, record)
        self.put(data, line)
        return Appended.APPENDED

    def put(self, version: dict[str, Any], line: bytes, *, is_there: bool = False) -> None:
        """Append the change of a version, then its line (unless that `is_there`); raise DamagedFeed, StoreError.

        The caller holds the writer lock and knows that the version is sound and follows.
        """
        entry = self._feed.append(version)
        path = log.path_of(self.records, entry.model_id)
        if not is_there:
            log.append(path, line, self.files)
        self._spelled.keep(path)
        self._feed.keep(entry)

    def _known(self, model_id: str) -> tuple[Record | None, set[str]]:
        """The newest version of a model that may be new, and the digests of all versions."""
        path = self._spelled.find(model_id) if log.is_folder(self.records) else None
        lines = self._lines(path) if path else []
        if path is None or not lines:
            return None, set()
        newest = parse(path, len(lines), lines[-1])
        if newest.model.id != model_id:
            raise StoreError(f"{model_id}: the index has {newest.model.id}, which differs only in case: use that id")
        return newest, {digest_in(path, line) for line in lines}

    def _not_locked(self) -> StoreError:
        try:
            self.lock_file.open("ab").close()
        except OSError as error:
            return StoreError(f"{self.lock_file}: cannot be locked: {os_reason(error)}")
        waited = f"waited {self._lock_timeout:g} s for {self.lock_file}"
        return Locked(f"another process writes to this index ({waited}); try again when it is done")


def content(record: Record) -> dict[str, Any]:
    """What a version says, without its place in the history: two versions with equal content say the same."""
    said = record.model_dump(mode="json", exclude={"provenance"})
    withdrawn = record.provenance.withdrawn
    return {**said, "withdrawn": withdrawn and withdrawn.model_dump(mode="json")}


def next_version(newest: Record | None, parts: dict[str, Any], submitter: str, time: str) -> Record:
    """The version of these parts (and `withdrawn`, if so) that follows `newest`; it is appended nowhere."""
    parts = dict(parts)
    provenance = {
        "version": newest.provenance.version + 1 if newest else 1,
        "previous": newest.provenance.digest if newest else None,
        "time": time,
        "submitter": submitter,
        "withdrawn": parts.pop("withdrawn", None),
    }
    return Record.make(**parts, provenance=provenance)


def _check_follows(newest: Record | None, record: Record) -> None:
    offered, model_id = record.provenance, record.model.id
    number, digest = (newest.provenance.version, newest.provenance.digest) if newest else (0, None)
    if (offered.version, offered.previous) != (number + 1, digest):
        raise StaleRecord(
            f"{model_id}: version {offered.version} follows {_short(offered.previous)}, but the newest in the index is "
            f"version {number} ({_short(digest)}): read it again and build on it"
        )
    if newest and is_newer(newest.provenance.schema_version):
        raise StoreError(
            f"{model_id}: version {number} has schema {newest.provenance.schema_version}, this program knows "
            f"{SCHEMA_VERSION} and would lose fields: update swindex"
        )


def is_newer(schema_version: object) -> bool:
    """Whether a schema version, as stated, has a higher minor number than the one this program knows."""
    parts = re.fullmatch(r"1\.(\d{1,9})", schema_version, re.ASCII) if isinstance(schema_version, str) else None
    return parts is not None and int(parts[1]) > int(SCHEMA_VERSION.split(".")[1])


def _short(digest: str | None) -> str:
    return digest[:12] if digest else "nothing"
