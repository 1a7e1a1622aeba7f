"""Indexes, releases and sources for tests of downloads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from swindex.api.remote.fetch import Fresh, Source, Unreachable
from swindex.index import feed, heartbeat
from swindex.index.release.staging import staging
from swindex.index.release.static import write_static
from swindex.index.site import ROOT, File, Root
from swindex.index.store import Index
from swindex.index.versions import with_scan, withdraw
from swindex.schema import Outcome

from . import records as make

RELEASED = "2026-11-20T00:00:00Z"
LATER = "2026-11-21T00:00:00Z"
TIME = "2026-11-20T12:00:00Z"
FILES = {"index.duckdb": b"D" * 5000, "parquet/models/00000.parquet": b"P" * 300, "parquet/scans/00000.parquet": b""}
"""Files that a release may have, with what is not in them."""


def filled(directory: Path) -> Index:
    """An index of four models and six versions, one of them a withdrawal."""
    index = Index(directory)
    first = make.reported("org/two")
    index.append(first)
    index.append(make.failed("org/other"))
    index.append(make.found("org/two", previous=first))
    index.append(make.none_found("Mixed/Case.v1"))
    index.append(make.found("org/found"))
    index.add("org/other", lambda p: p and withdraw(p, "a mistake", TIME), "me", TIME)
    return index


def grow(index: Index, number: int, model_id: str = "org/other") -> None:
    """Append a version: a scan that failed."""
    scan = make.scan(f"more-{number}", Outcome.FAILED)
    index.add(model_id, lambda p: with_scan(p, model=make.model(model_id), scan=scan), "me", TIME)


def content(directory: Path) -> dict[str, bytes]:
    """Every line of records and changes, by file."""
    found = (p for part in ("records", "changes") for p in (directory / part).rglob("*.jsonl"))
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in found}


def held(directory: Path) -> dict[str, bytes]:
    """The files of tables, by path."""
    found = (*directory.glob("parquet/*/*"), *directory.glob("*.duckdb"))
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in found}


def published(index: Index, site: Path, released: str = RELEASED) -> Path:
    """A release of it that has no files of tables."""
    with staging(site) as stage:
        static = write_static(index.records, feed.read(index.directory), stage)
        said = {**static.head._asdict(), "tree": static.tree, "models": len(static.places)}
        newest, crawl = static.last and static.last.time, heartbeat.read(index.directory)["crawl"]
        root = Root(**said, newest=newest, crawl=crawl, files={}, previous=None, released=released, schema="1.1")
        stage.put(ROOT, [root.to_bytes()])
        stage.publish()
    return site


class Broken:
    """A source whose `at`-th request fails; counts them."""

    def __init__(self, source: Source, at: int = 0) -> None:
        self.source, self.name, self.at, self.count = source, source.name, at, 0

    def _step(self) -> None:
        self.count += 1
        if self.count == self.at:
            raise Unreachable(f"{self.name}: the line is dead")

    def read(self, path: str, **how: Any) -> bytes:
        """As `Source.read`."""
        self._step()
        return self.source.read(path, **how)

    def fresh(self, path: str, etag: str | None = None, *, most: int) -> Fresh:
        """As `Source.fresh`."""
        self._step()
        return self.source.fresh(path, etag, most=most)


class Lying(Broken):
    """A source that alters what it reads: `lie` is given path and whole content."""

    def __init__(self, source: Source, lie: Callable[[str, bytes], bytes]) -> None:
        super().__init__(source)
        self.lie = lie

    def read(self, path: str, *, start: int = 0, length: int | None = None, most: int) -> bytes:
        """As `Source.read`."""
        data = self.lie(path, self.source.read(path, most=1 << 30))[start:]
        return data if length is None else data[:length]

    def fresh(self, path: str, etag: str | None = None, *, most: int) -> Fresh:
        """As `Source.fresh`."""
        return Fresh(self.lie(path, self.source.fresh(path, etag, most=most).content or b""))


def with_files(site: Path, given: dict[str, bytes]) -> Path:
    """The release, with these files of tables instead of its own."""
    root = Root.parse((site / ROOT).read_bytes())
    files = {path: File(hashlib.sha256(data).hexdigest(), len(data)) for path, data in given.items()}
    for path, data in given.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_bytes(data)
    (site / ROOT).write_bytes(root._replace(files=files).to_bytes())
    return site
