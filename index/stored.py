"""What an index holds, read from its logs. Readers never wait.

Unknown fields of newer minor schema versions are ignored. Knows records, logs and paths; who writes is `store`.
"""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

from ..schema.errors import RecordError
from ..schema.record import Record
from . import log
from .errors import NotInIndex, StoreError

_LOG = logging.getLogger(__name__)


class Stored:
    """The records in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)
        self.records = self.directory / "records"

    def require(self) -> None:
        """Raise StoreError if the directory is no index."""
        if not log.is_folder(self.records):
            raise StoreError(f"{self.directory}: not an index: it holds no directory records/")

    @property
    def vacant(self) -> bool:
        """Whether there is nothing yet where the index is to be: no directory, or an empty one."""
        return not log.is_folder(self.directory) or not any(self.directory.iterdir())

    def models(self) -> Iterator[str]:
        """Yield the ids of all models with a log, sorted; raise StoreError if this is no index."""
        self.require()
        yield from sorted(log.model_ids(self.records))

    def path(self, model_id: str) -> Path:
        """The log of a model, in whatever case its id is written; raise NotInIndex, UsageError, StoreError."""
        self.require()
        path = log.find_path(self.records, model_id)
        if path is None:
            raise self._absent(model_id)
        return path

    def has(self, model_id: str) -> bool:
        """Whether there is a log of this very id; raise UsageError, StoreError."""
        return log.is_file(log.path_of(self.records, model_id))

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
        return _versions(self.path(model_id))

    def versions_of(self, model_id: str) -> list[tuple[Record, bytes]]:
        """All versions of a model of this very id, which may have none, as `versions`; raise UsageError, StoreError."""
        return _versions(log.path_of(self.records, model_id))

    def digests(self) -> dict[str, str]:
        """The digest of each model's newest version, as its line states it; raise StoreError."""
        self.require()
        found = ((path, self._newest_line(path)) for path in log.log_paths(self.records))
        return {log.id_of(path) or "": digest_in(path, line) for path, line in found if line}

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
            return parse(path, 0, line)
        except StoreError:
            lines, _ = log.read_lines(path)  # once more, for the number of the line
            return parse(path, len(lines), lines[-1])


def _versions(path: Path) -> list[tuple[Record, bytes]]:
    lines, torn = log.split(log.read(path))
    _report(path, torn)
    return [(parse(path, number, line), line) for number, line in enumerate(lines, 1)]


def parse(path: Path, number: int, line: bytes) -> Record:
    """The version on line `number` of a log (0: the last, which is not counted yet); raise DamagedLog."""
    try:
        record = Record.parse(line, tolerant=True)
    except RecordError as error:
        raise log.damaged(path, number, *([str(error)] if log.is_json(line) else [])) from None
    if record.model.id.lower() != (log.id_of(path) or "").lower():
        raise log.damaged(path, number, f"a record of {record.model.id}")
    return record


def digest_in(path: Path, line: bytes) -> str:
    """The digest that a line of a log states; raise DamagedLog."""
    try:
        return str(json.loads(line)["provenance"]["digest"])
    except (KeyError, TypeError):
        raise log.damaged(path, 1 + log.read_lines(path)[0].index(line), "no provenance.digest") from None


def _report(path: Path, torn: bool) -> None:
    if torn:
        _LOG.warning("%s: the last line is torn (or being written) and was dropped", path)
