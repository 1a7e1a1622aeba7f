"""A copy of an index: downloaded from wherever a release lies, and brought up to date. See `copying` for the order.

Knows the formats and what they have in common: one source, one root, one target, one note of where it came from.
"""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from time import monotonic
from typing import Any

from ...index.errors import StoreError
from ...index.files import FILES, Files
from ...index.site import ROOT, ROOT_MOST, Root
from ...schema.errors import UsageError
from .. import origin
from ..remote.fetch import Source, open_source
from . import database, files, lines
from .counted import Counted, Done, Report, Steps
from .target import Target

__all__ = ["Format", "Report", "download"]


class Format(StrEnum):
    """What is downloaded."""

    JSONL = "jsonl"
    PARQUET = "parquet"
    DUCKDB = "duckdb"


def download(
    source: str | Source | None = None,
    to: Path | None = None,
    kind: Format = Format.JSONL,
    *,
    files: Files = FILES,
    step: Steps | None = None,
) -> Report:
    """Make a copy of an index, or bring one up to date; raise StoreError (also Locked), UsageError.

    Without `source` it is that of the environment or the public dataset, without `to` the place where `lookup` looks.
    Killed at any moment, it is run again and goes on; whatever is wrong at the source, the copy stays as it was.
    """
    began = monotonic()
    counted = Counted(source if source is not None and not isinstance(source, str) else _opened(source))
    target = Target(to or origin.default_target(), files)
    root = _root(counted, is_default=source is None)
    with target.claimed():
        done = _FETCH[kind](counted, root, target, step)
        at = _note(counted.name, root, target, kind)
        target.tidy()
    return Report(...)
