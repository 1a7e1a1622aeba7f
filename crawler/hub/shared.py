"""A few numbers that all worker processes of one machine read and change in turn, kept in one small file.

A dead process blocks nobody: the system drops its lock, and the file is replaced whole or not at all. Who stands still
while it holds the lock is waited for LOCK_WAIT seconds. What the file says is checked by those who read it.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any

from ...schema.errors import SwindexError

FOLDER = "SWINDEX_SHARED"
"""Environment variable: the folder in which the workers of this machine share what they know."""
LOCK_WAIT = 5.0
POLL = 0.002
MAX_FILE = 1 << 20

Data = dict[str, Any]


class Shared:
    """A JSON object in a file of that folder; of this process alone where there is no folder."""

    def __init__(self, name: str, folder: Path | None = None) -> None:
        chosen = folder or (Path(os.environ[FOLDER]) if os.environ.get(FOLDER) else None)
        self.path = chosen / name if chosen else None
        self._data: Data = {}
        self._lock = Lock()
        if chosen:
            _writable(chosen)

    @contextmanager
    def held(self) -> Iterator[Data]:
        """The object, nobody else's meanwhile; what is changed in it is kept."""
        if self.path is None:
            with self._lock:
                yield self._data
            return
        with _locked(self.path.with_suffix(".lock")):
            data = self._read(self.path)
            before = json.dumps(data)
            yield data
            if (after := json.dumps(data)) != before:
                self._write(self.path, after)

    def _read(self, path: Path) -> Data:
        """What the file holds; what this process knew last where it cannot be read, {} where it is no object."""
        try:
            with path.open("rb") as file:
                data = json.loads(file.read(MAX_FILE))
        except FileNotFoundError:
            return {}
        except OSError:
            return dict(self._data)
        except (ValueError, RecursionError):
            return {}
        return data if isinstance(data, dict) else {}

    def _write(self, path: Path, text: str) -> None:
        self._data = json.loads(text)
        with suppress(OSError):  # a full disk ends no scan: this process goes by what it knows
            temporary = path.with_suffix(f".{os.getpid()}")
            temporary.write_text(text, encoding="utf-8")
            os.replace(temporary, path)


def number(value: Any, default: float = 0.0) -> float:
    """A number of a file that anybody may have written."""
    return float(value) if isinstance(value, int | float) and abs(value) < 1e18 else default


def _writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / "writable.lock"):
            pass
    except OSError as error:
        raise SwindexError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process; go on without it if its holder stands still."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        until = time.monotonic() + LOCK_WAIT
        while not _taken(descriptor) and time.monotonic() < until:
            time.sleep(POLL)
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
