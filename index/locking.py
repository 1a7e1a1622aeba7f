"""Lock files: one process does something at a time. Knows no index, and not who else holds a lock."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import StoreError, os_reason


@contextmanager
def locked(lock: FileLock, where: Path, busy: Callable[[], StoreError], timeout: float = 0.0) -> Iterator[None]:
    """Hold a lock meanwhile (again, if this thread holds it already), for which to wait `timeout` seconds.

    Raise what `busy` gives if another process keeps it, StoreError with `where` if there can be no lock.
    """
    try:
        lock.acquire(timeout=timeout)
    except Timeout:
        raise busy() from None
    except OSError as error:
        raise StoreError(f"{where}: cannot be locked: {os_reason(error)}") from None
    try:
        yield
    finally:
        lock.release()
