"""An outbox in an object store that all machines reach: what fsspec opens (`s3://`, `gs://`, `hf://buckets/`).

An object is there whole or not at all; that is the store's promise, and its durability too. Knows no files.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ...index.errors import StoreError
from ...schema.errors import UsageError
from ..refusal import one_line
from .jobs import Done, Job
from .outbox import BAD, ENDING, MAX_BYTES, Report, from_bytes, key_of, to_bytes

_LOG = logging.getLogger(__name__)


class Bucket:
    """An outbox under an address."""

    def __init__(self, address: str) -> None:
        from fsspec.core import url_to_fs

        try:
            self._fs, self._root = url_to_fs(address)
        except (ImportError, ValueError) as error:
            raise UsageError(f"{address}: no outbox: {' '.join(str(error).split())}") from None
        self._root = self._root.rstrip("/")

    def put(self, done: Done) -> str:
        """Keep it; its key. Once more is the same as once; raise StoreError."""
        key = key_of(done.job)
        with self._translated():
            self._fs.pipe_file(self._path(key), to_bytes(done))
        return key

    def has(self, job: Job) -> bool:
        """Whether what became of the job is here; raise StoreError."""
        self._fs.invalidate_cache()
        with self._translated():
            return bool(self._fs.exists(self._path(key_of(job))))

    def waiting(self, report: Report | None = None) -> Iterator[Done]:
        """What is here, by key; what is no such object is moved aside; raise StoreError."""
        for path, size in self._objects():
            name = path.rpartition("/")[2]
            try:
                if not name.endswith(ENDING) or size > MAX_BYTES:
                    raise ValueError("it is no file of a worker")
                done = from_bytes(name.removesuffix(ENDING), self._get(path))
            except FileNotFoundError:
                continue
            except ValueError as error:
                self._move(path, str(error), report)
                continue
            yield done

    def drop(self, job: Job) -> None:
        """Forget it, once it is in the index; raise StoreError."""
        with suppress(FileNotFoundError), self._translated():
            self._fs.rm_file(self._path(key_of(job)))

    def set_aside(self, job: Job, reason: str, report: Report | None = None) -> None:
        """Move it to `bad/`: it cannot be appended; raise StoreError."""
        self._move(self._path(key_of(job)), reason, report)

    def _get(self, path: str) -> bytes:
        with self._translated():
            data: bytes = self._fs.cat_file(path)
        return data

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """An error of the object store, but for a missing object, as one of ours."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StoreError(f"{self._root}: the outbox cannot be used: {one_line(str(error))[:200]}") from None

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}{ENDING}"

    def _objects(self) -> list[tuple[str, int]]:
        self._fs.invalidate_cache()
        found: list[dict[str, Any]] = []
        with suppress(FileNotFoundError), self._translated():
            found = self._fs.ls(self._root, detail=True)
        return sorted((f["name"], f.get("size") or 0) for f in found if f["type"] == "file")

    def _move(self, path: str, reason: str, report: Report | None) -> None:
        name = path.rpartition("/")[2]
        target = f"{self._root}/{BAD}/{name}"
        with self._translated():
            self._fs.makedirs(f"{self._root}/{BAD}", exist_ok=True)
            self._fs.mv(path, target)
        (report or _LOG.warning)(f"{name}: not taken, moved to {target}: {reason}")
