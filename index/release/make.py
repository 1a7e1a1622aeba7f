"""Makes a release of an index: stages all its forms, and publishes them with `root.json` over them all."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ...schema.types import SCHEMA_VERSION
from .. import feed, heartbeat
from ..files import FILES, Files
from ..site import ROOT, Root
from ..store import Index
from .staging import Staging, staging
from .static import Static, write_static
from .steps import Steps, no_steps


@dataclass(frozen=True)
class Made:
    """A release that was made."""

    root: Root
    written: tuple[str, ...]
    """Paths of the files that were not there before."""


def release(
    index: Index, directory: Path, *, released: str | None = None, files: Files = FILES, steps: Steps = no_steps
) -> Made:
    """Make a release of an index in a directory; `released` is the UTC time it states, now if not given.

    Raise StoreError, Locked; what is published in the directory is then as it was.
    """
    index.require()
    with staging(directory, files) as stage:
        static = write_static(index.records, feed.read(index.directory), stage, steps)
        root = _root(index, stage, static, released or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        stage.put(ROOT, [root.to_bytes()])
        stage.publish()
        return Made(root, tuple(stage.written))


def _root(index: Index, stage: Staging, static: Static, released: str) -> Root:
    return Root(
        crawl=heartbeat.read(index.directory)["crawl"],
        files={},
        previous=None,
        released=released,
        schema=SCHEMA_VERSION,
        **static._asdict(),
    )
