"""An index: a directory that holds `records/` (the truth, a log per model) and `index.duckdb` (made from it).

Reads and appends versions. One process writes at a time, readers never wait. Strict on write; on read the unknown
fields of newer minor schema versions are ignored. Knows nothing of DuckDB, models' files or the Hub.
"""

import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..schema.canonical import canonical_bytes
from ..schema.errors import RecordError
from ..schema.record import Record
from ..schema.types import SCHEMA_VERSION
from . import log
from .errors import Locked, NotInIndex, StaleRecord, StoreError, os_reason
from .files import FILES, Files, make_folder

_LOG = logging.getLogger(__name__)


class Appended(StrEnum):
    """What became of a version that was offered."""

    APPENDED = "appended"
    ALREADY_THERE = "already_there"


class Index:
    """The index in a directory. `lock_timeout` is in seconds; `files` is what writes go through."""

    def __init__(self, directory: Path, *, files: Files = FILES, lock_timeout: float = 10.0) -> None:
        self.directory = Path(directory)
        self.records = self.directory / "records"
        self.database = self.directory / "index.duckdb"
        self.lock_file = self.directory / "index.lock"
        self.files = files
        self._lock_timeout = lock_timeout
        self._lock = FileLock(self.lock_file)

    # --- reading ---

    def require(self) -> None:
        """Raise StoreError if the directory is no index."""
        if not log.is_folder(self.records):
            raise StoreError(f"{self.directory}: not an index: it holds no directory records/")

    @property
    def vacant(self) -> bool:
        """Whether there is nothing yet where the index is to be: no directory, or an empty one."""
        return not log.is_folder(self.directory) or not any(self.directory.iterdir())

    def ensure(self) -> None:
        """Make an empty index where there is nothing yet; raise StoreError if something else is there."""
        if self.vacant:
            make_folder(self.records, self.files)
        self.require()

    def models(self) -> Iterator[str]:
        """Yield the ids of all models with a log, sorted; raise StoreError if this is no index."""
        self.require()
        found = (log.id_of(path) for path in log.log_paths(self.records))
        yield from sorted(model_id for model_id in found if model_id)

    def path(self, model_id: str) -> Path:
        """The log of a model, in whatever case its id is written; raise NotInIndex, UsageError, StoreError."""
        self.require()
        path = log.find_path(self.records, model_id)
        if path is None:
            raise self._absent(model_id)
        return path

    def read(self, model_id: str, revision: str | None = None) -> Record:
        """The newest version (at that revision, if given); raise NotInIndex, UsageError, StoreError."""
        if revision is None:
            newest = self._newest(self.path(model_id))
            if newest is None:
                raise self._absent(model_id)
            return newest
        history = self.history(model_id)
        for record in reversed(history):
            if record.model.revision == revision:
                return record
        known = ", ".join(sorted({r.model.revision or "none" for r in history}))
        raise NotInIndex(f"{model_id} is in the index, but not at revision {revision}; known: {known}")

    def history(self, model_id: str) -> list[Record]:
        """All versions, oldest first; raise NotInIndex, UsageError, StoreError."""
        records = [record for record, _ in self.versions(model_id)]
        if not records:
            raise self._absent(model_id)
        return records

    def versions(self, model_id: str) -> list[tuple[Record, bytes]]:
        """All versions with the lines they were read from, oldest first; raise NotInIndex, UsageError, StoreError."""
        path = self.path(model_id)
        return [(_parse(path, number, line), line) for number, line in enumerate(self._lines(path), 1)]

    def digests(self) -> dict[str, str]:
        """The digest of each model's newest version, as its line states it; raise StoreError."""
        self.require()
        found = ((path, self._newest_line(path)) for path in log.log_paths(self.records))
        return {log.id_of(path) or "": _digest(path, line) for path, line in found if line}

    # --- writing ---

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the writer lock (again, if this thread holds it already); raise Locked, StoreError."""
        make_folder(self.directory, self.files)
        if not os.access(self.directory, os.W_OK):
            raise StoreError(f"{self.directory}: not writable; choose another index with --index DIR")
        try:
            self._lock.acquire(timeout=self._lock_timeout)
        except Timeout:
            raise self._not_locked() from None
        except OSError as error:
            raise StoreError(f"{self.lock_file}: cannot be locked: {os_reason(error)}") from None
        try:
            yield
        finally:
            self._lock.release()

    def append(self, record: Record) -> Appended:
        """Append a version that follows the newest one; on disk when this returns.

        Raise StaleRecord if it does not follow, Locked, StoreError, RecordError (its parts do not fit its digest).
        """
        line = canonical_bytes(record.model_dump(mode="json"))
        with self.writing():
            newest, digests = self._known(record.model.id)
            if record.provenance.digest in digests:
                return Appended.ALREADY_THERE
            return self._append(newest, record, line)

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
            record = _next(newest, parts, submitter, time)
            if record.model.id != model_id:
                raise StoreError(f"{model_id}: the version that was built is of {record.model.id}")
            line = canonical_bytes(record.model_dump(mode="json"))
            return record if self._append(newest, record, line) is Appended.APPENDED else None

    def _append(self, newest: Record | None, record: Record, line: bytes) -> Appended:
        Record.parse(line)
        if newest and content(newest) == content(record):
            return Appended.ALREADY_THERE
        _check_follows(newest, record)
        log.append(log.path_of(self.records, record.model.id), line, self.files)
        return Appended.APPENDED

    def _known(self, model_id: str) -> tuple[Record | None, set[str]]:
        """The newest version of a model that may be new, and the digests of all versions."""
        path = log.find_path(self.records, model_id) if log.is_folder(self.records) else None
        lines = self._lines(path) if path else []
        if path is None or not lines:
            return None, set()
        newest = _parse(path, len(lines), lines[-1])
        if newest.model.id != model_id:
            raise StoreError(f"{model_id}: the index has {newest.model.id}, which differs only in case: use that id")
        return newest, {_digest(path, line) for line in lines}

    # --- helpers ---

    def _absent(self, model_id: str) -> NotInIndex:
        return NotInIndex(f"{model_id} is not in the index at {self.directory}; that says nothing about the model")

    def _lines(self, path: Path) -> list[bytes]:
        lines, torn = log.read_lines(path)
        _report(path, torn)
        return lines

    def _newest_line(self, path: Path) -> bytes | None:
        line, torn = log.newest_line(path)
        _report(path, torn)
        return line

    def _newest(self, path: Path) -> Record | None:
        line = self._newest_line(path)
        if line is None:
            return None
        try:
            return _parse(path, 0, line)
        except StoreError:
            lines, _ = log.read_lines(path)  # once more, for the number of the line
            return _parse(path, len(lines), lines[-1])

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


def _next(newest: Record | None, parts: dict[str, Any], submitter: str, time: str) -> Record:
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


def _report(path: Path, torn: bool) -> None:
    if torn:
        _LOG.warning("%s: the last line is torn (or being written) and was dropped", path)


def _parse(path: Path, number: int, line: bytes) -> Record:
    try:
        record = Record.parse(line, tolerant=True)
    except RecordError as error:
        raise log.damaged(path, number, str(error)) from None
    if record.model.id.lower() != (log.id_of(path) or "").lower():
        raise log.damaged(path, number, f"a record of {record.model.id}")
    return record


def _digest(path: Path, line: bytes) -> str:
    try:
        return str(json.loads(line)["provenance"]["digest"])
    except (KeyError, TypeError):
        raise log.damaged(path, 1 + log.read_lines(path)[0].index(line), "no provenance.digest") from None
