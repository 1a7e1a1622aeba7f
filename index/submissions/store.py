"""The quarantine: a folder with a folder for each submission, its document, its states, and what our own scan gave.

A document is written once, whole, and never changed; a state is a line that is appended and on disk before anybody is
told. One process writes at a time. A submission is there from its first state on: a crash before leaves nothing, and
sending it again is the same submission. Knows no HTTP, no Hub and no index.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from filelock import FileLock

from .. import log
from ..errors import Locked, NotInIndex, StoreError, os_reason
from ..files import FILES, Files, create, extend, make_folder
from ..locking import locked
from .codes import Said
from .document import MOST, Submission, read
from .entry import Entry, Sender, Step, entry_of, head_of, id_of, line_of
from .limits import Limits, check
from .states import State, require

DOCUMENT, STATES, OWN = "document.json", "states.jsonl", "own-scan.json"
_ID = re.compile("[0-9a-f]{16}")
_START = re.compile("[0-9a-f]{4,16}")


class Store:
    """The submissions in a folder. `lock_timeout` is in seconds; `files` is what writes go through."""

    def __init__(
        self,
        folder: Path,
        *,
        limits: Limits = Limits(),  # noqa: B008
        files: Files = FILES,
        lock_timeout: float = 10.0,
    ) -> None:
        self.folder, self.limits, self.files = Path(folder), limits, files
        self._items = self.folder / "items"
        self._lock_file = self.folder / "submissions.lock"
        self._lock, self._lock_timeout = FileLock(self._lock_file), lock_timeout
        self._read: dict[str, tuple[tuple[int, int], Entry]] = {}

    def ensure(self) -> None:
        """Make the folder where there is none; raise StoreError."""
        make_folder(self._items, self.files)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the writer lock; raise Locked, StoreError."""
        self.ensure()
        with locked(self._lock, self._lock_file, self._busy, self._lock_timeout):
            yield

    # --- reading ---

    def entries(self) -> list[Entry]:
        """All submissions, newest first; raise StoreError."""
        try:
            names = sorted(p.name for p in self._items.iterdir()) if self._items.is_dir() else []
        except OSError as error:
            raise StoreError(f"{self._items}: cannot be read: {os_reason(error)}") from None
        found = [entry for name in names if _ID.fullmatch(name) and (entry := self.find(name))]
        return sorted(found, key=lambda e: (e.received, e.id), reverse=True)

    def find(self, entry_id: str) -> Entry | None:
        """The submission of this id; None if there is none; raise StoreError, DamagedLog."""
        path = self._path(entry_id, STATES)
        try:
            stat = path.stat()
            mark = (stat.st_size, stat.st_mtime_ns)
            known = self._read.get(entry_id)
            if known is not None and known[0] == mark:
                return known[1]
            lines, _ = log.split(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{path}: cannot be read: {os_reason(error)}") from None
        if not lines:
            return None
        entry = entry_of(entry_id, lines, str(path))
        self._read[entry_id] = (mark, entry)
        return entry

    def get(self, start: str) -> Entry:
        """The submission whose id begins so; raise NotInIndex if there is none, or more than one."""
        found = [e for e in self.entries() if _START.fullmatch(start) and e.id.startswith(start)]
        if len(found) != 1:
            what = f"{len(found)} submissions begin with" if found else "no submission"
            raise NotInIndex(f"{what} {start!r:.40} in {self.folder}; to see them: swindex review list")
        return found[0]

    def content(self, entry: Entry) -> bytes:
        """The document as it was sent; nothing of it is believed; raise StoreError if it is not what was kept."""
        data = self._bytes(entry.id, DOCUMENT)
        if data and hashlib.sha256(data).hexdigest() != entry.digest:
            raise StoreError(f"{self._path(entry.id, DOCUMENT)}: was changed since it was received")
        return data

    def document(self, entry: Entry) -> Submission:
        """The submission; raise UsageError if what was sent is none, StoreError."""
        return read(self.content(entry))

    def own(self, entry: Entry) -> bytes | None:
        """What our own scan for it gave, as `keep_own` was given it; None if there was none."""
        return self._bytes(entry.id, OWN) if self._path(entry.id, OWN).is_file() else None

    # --- writing ---

    def receive(self, data: bytes, sender: Sender, time: str, problem: Said | None = None) -> tuple[Entry, bool]:
        """Keep what was sent, and whether it is new; raise UsageError if it is no submission, TooMany, StoreError.

        With a `problem` it is kept without its content: what was sent is no submission, and why is its first state.
        """
        made = _received(data, sender, time, problem)
        with self.writing():
            known = self.find(made.id)
            if known is not None:
                return known, False
            check(self.limits, self.entries(), made, time)
            create(self._path(made.id, DOCUMENT), b"" if problem else canonical(data), self.files)
            create(self._path(made.id, STATES), line_of(made.last, None, head_of(made)) + b"\n", self.files)
        return made, True

    def step(self, entry: Entry, step: Step) -> Entry:
        """Append a state, on disk when this returns; raise WrongState if it does not follow, StoreError."""
        with self.writing():
            path = self._path(entry.id, STATES)
            lines, _ = log.split(self._bytes(entry.id, STATES))
            now = entry_of(entry.id, lines, str(path))
            require(entry.id, now.state, step.state)
            whole = sum(len(line) + 1 for line in lines)  # what is torn behind them is cut off
            extend(path, whole, line_of(step, lines[-1]) + b"\n", self.files)
        return replace(now, steps=(*now.steps, step))

    def keep_own(self, entry: Entry, data: bytes) -> None:
        """Keep what our own scan for a submission gave; raise StoreError."""
        with self.writing():
            create(self._path(entry.id, OWN), data, self.files)

    def _path(self, entry_id: str, name: str) -> Path:
        if not _ID.fullmatch(entry_id):
            raise NotInIndex(f"{entry_id!r:.40} is no id of a submission: 16 hex digits")
        return self._items / entry_id / name

    def _bytes(self, entry_id: str, name: str) -> bytes:
        path = self._path(entry_id, name)
        try:
            return path.read_bytes()
        except OSError as error:
            raise StoreError(f"{path}: cannot be read: {os_reason(error)}") from None

    def _busy(self) -> StoreError:
        return Locked(f"another process writes to {self.folder}; try again when it is done")


def canonical(data: bytes) -> bytes:
    """The canonical bytes of a document; raise UsageError if it is none."""
    return read(data).to_bytes()


def _received(data: bytes, sender: Sender, time: str, problem: Said | None) -> Entry:
    """The submission as it begins."""
    if problem is not None:
        digest = sender.pull.sha if sender.pull else hashlib.sha256(data[:MOST]).hexdigest()
        step = Step(State.RECEIVED, time, sender.name, said=(problem,))
        return Entry(id_of(digest, sender), digest, sender, None, None, None, (step,))
    told = read(data)
    step = Step(State.RECEIVED, time, sender.name)
    return Entry(id_of(told.digest, sender), told.digest, sender, told.model, told.revision, told.kind, (step,))
