"""What a download counts, and how it tells of it. Knows no format."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ..remote.fetch import Fresh, Source

Steps = Callable[[str, int, int], None]
"""Called with what is done, how much of it, and of how much."""


class Format(StrEnum):
    """What is downloaded."""

    JSONL = "jsonl"
    PARQUET = "parquet"
    DUCKDB = "duckdb"


class Counted:
    """A source whose reads are counted: bytes that came, and requests."""

    def __init__(self, source: Source) -> None:
        self._source, self.name = source, source.name
        self.bytes = self.requests = 0

    def read(self, path: str, *, start: int = 0, length: int | None = None, most: int) -> bytes:
        """As `Source.read`."""
        self.requests += 1
        found = self._source.read(path, start=start, length=length, most=most)
        self.bytes += len(found)
        return found

    def fresh(self, path: str, etag: str | None = None, *, most: int) -> Fresh:
        """As `Source.fresh`."""
        self.requests += 1
        found = self._source.fresh(path, etag, most=most)
        self.bytes += len(found.content or b"")
        return found


@dataclass(frozen=True)
class Done:
    """What one format's download did."""

    how: str
    """`nothing` (all was there), `changes` (by the change feed), or `files`."""
    changes: int = 0
    """Versions that were added."""
    files: int = 0
    """Files that were put in place."""


@dataclass(frozen=True)
class Report:
    """What a download did, and what the copy is at now."""

    source: str
    target: Path
    format: str
    how: str
    changes: int
    files: int
    bytes: int
    requests: int
    seconds: float
    seq: int
    chain: str
    newest: str | None
    """UTC time of the last change."""
    released: str

    def as_json(self) -> dict[str, Any]:
        """As plain JSON data."""
        return {**asdict(self), "target": str(self.target), "seconds": round(self.seconds, 3)}
