"""The snapshot that is served now, and how the next one takes its place.

A look at the directory costs a few system calls. What it holds newly must continue what was served, and every model
that changed must be readable; else the old snapshot stays and the trouble is told. Blocking: for threads.
"""

import asyncio
import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...index.feed import Entry
from ...schema.errors import SwindexError
from .catalogue import Catalogue
from .cataloguing import changed_rows, read_catalogue
from .held import Held, mark, must_continue, open_held
from .offered import Offered, offered_index, offered_release
from .settings import Settings
from .snapshot import Snapshot

Log = Callable[..., None]


class Current:
    """What is served. `snapshot` is replaced at once and never changed; read it once for a request."""

    def __init__(self, directory: Path, name: str, settings: Settings, log: Log) -> None:
        self._directory, self._name, self._settings, self._log = directory, name, settings, log
        self._folder = tempfile.TemporaryDirectory(prefix="swindex-serve-")
        self._lock = threading.Lock()
        self.trouble: str | None = None
        """What is wrong with the index that should be served now; None if nothing is."""
        self.making: dict[Any, asyncio.Task[Any]] = {}
        """Answers being made, by snapshot and address; for the loop alone."""
        self.checked = _now()
        self.swaps = self.failures = 0
        self._mark = mark(directory)
        held = open_held(directory)
        self._size = held.root.models if held.root else held.head.seq
        catalogue = read_catalogue(directory, held) if self._size <= settings.eager else None
        self.snapshot = self._made(held, catalogue)
        self._log("serving", **self._told())

    def close(self) -> None:
        """Remove what was written."""
        self._folder.cleanup()

    def fill(self) -> None:
        """Read the catalogue, if that was left for later; raise StoreError."""
        before = self.snapshot
        if before.catalogue is not None:
            return
        catalogue = read_catalogue(self._directory, before.held)
        with self._lock:
            now = self.snapshot.held
            rows = changed_rows(now, _ids(must_continue(before.held, now)))
            self.snapshot = self._made(now, catalogue.changed(rows))
        self._log("catalogue", models=self.snapshot.models)

    def refresh(self) -> None:
        """Look whether the directory holds something new, and serve that."""
        with self._lock:
            self.checked = _now()
            try:
                self._refresh()
                self.trouble = None
            except (SwindexError, OSError) as error:
                self._note(error)

    def _refresh(self) -> None:
        found = mark(self._directory)
        if found == self._mark:
            return
        old, held = self.snapshot, open_held(self._directory)
        rows = changed_rows(held, _ids(must_continue(old.held, held)))
        self.snapshot = self._made(held, old.catalogue.changed(rows) if old.catalogue is not None else None)
        self._mark = found
        self.swaps += 1
        self._log("replaced", **self._told())

    def _note(self, error: Exception) -> None:
        kind = type(error).__name__
        if self.trouble != kind:
            self.failures += 1
            self._log("kept the old index", level="error", error=kind, detail=str(error))
        self.trouble = kind

    def _made(self, held: Held, catalogue: Catalogue | None) -> Snapshot:
        return Snapshot(held, catalogue, self._name, self._offered(held), self._settings.cache)

    def _offered(self, held: Held) -> Offered | None:
        if held.root is not None:
            return offered_release(self._directory, held)
        if held.head.seq > self._settings.site:
            return None
        return offered_index(held, self._directory / "records", Path(self._folder.name))

    def _told(self) -> dict[str, Any]:
        return {"seq": self.snapshot.head.seq, "chain": self.snapshot.head.chain, "models": self.snapshot.models}


def _ids(entries: list[Entry]) -> list[str]:
    return [entry.model_id for entry in entries]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
