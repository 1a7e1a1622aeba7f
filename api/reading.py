"""An index in a directory, read from its logs: one model's newest version, its history, the ids of all.

Standard library, `index.log`, `index.feed`, `schema.canonical`: never DuckDB, never pydantic, never the network.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from .. import __version__, index
from ..index import feed, heartbeat, log
from ..index.errors import DamagedFeed, DamagedLog, StoreError
from ..schema.errors import RecordError, UsageError
from . import origin
from .names import is_address
from .reader import FACTS, Found, parsed

Json = dict[str, Any]
ENVIRONMENT = "SWINDEX_INDEX"
_ROOT = "root.json"
_TIME = re.compile(rb'"provenance":\{.*?"time":"([0-9TZ:-]+)"')


# --- where it is ---


def named_source(source: str | Path | None = None) -> str | Path | None:
    """What was named: `source`, else $SWINDEX_INDEX; None if neither was."""
    return source or os.environ.get(ENVIRONMENT) or None


def is_release(source: str | Path) -> bool:
    """Whether a name is that of a release: an address, or a directory with `root.json` that is no index itself."""
    return is_address(source) or (not (Path(source) / "records").is_dir() and (Path(source) / _ROOT).is_file())


def records_dir(directory: str | Path | None = None) -> Path:
    """The folder of records: of `directory`, else of $SWINDEX_INDEX, else of what `origin.freshest` says.

    Raise StoreError if there is none, UsageError for a release.
    """
    named = home(directory)
    if is_release(named):
        raise UsageError(f"{named}: a release, which this command cannot work on; see: swindex download --help")
    if not (named / "records").is_dir():
        raise StoreError(f"{named}: no index here; name a directory that holds records/")
    return named / "records"


def home(directory: str | Path | None = None) -> Path:
    """The directory that is meant: the one named, else $SWINDEX_INDEX, else what `origin.freshest` says.

    Raise UsageError for an address.
    """
    named = named_source(directory)
    if named and is_address(named):
        raise UsageError(f"{named}: a release, which this command cannot work on; see: swindex download --help")
    return Path(named) if named else origin.freshest(shipped())


def shipped() -> Path:
    """The index that comes with swindex."""
    return Path(index.__file__).parent


# --- the reader ---


class Local:
    """The index whose records lie in a folder; see `Reader` for what the methods give."""

    def __init__(self, records: Path) -> None:
        self.records = records
        self.directory: Path | None = records.parent
        self._home = records.parent
        self.name = str(self._home)

    def newest(self, model_id: str) -> Found | None:
        """As `Reader.newest`; raise DamagedLog with file and line."""
        path = log.find_path(self.records, model_id)
        if path is None:
            return None
        line, torn = log.newest_line(path)
        return None if line is None else Found(_parsed(line, path, None), line, torn)

    def history(self, model_id: str) -> list[Found]:
        """As `Reader.history`; raise DamagedLog with file and line."""
        path = log.find_path(self.records, model_id)
        lines, torn = log.read_lines(path) if path else ([], False)
        return [Found(_parsed(line, path, n), line, torn) for n, line in enumerate(lines, 1) if path]

    def model_ids(self) -> list[str]:
        """As `Reader.model_ids`."""
        return sorted(model_id for path in log.log_paths(self.records) if (model_id := log.id_of(path)))

    near_ids = model_ids

    def everything(self) -> Iterator[Found]:
        """As `Reader.everything`."""
        return (found for model_id in self.model_ids() if (found := self.newest(model_id)))

    def back(self) -> Iterator[feed.Entry]:
        """As `Reader.back`; raise StoreError if the index was made before there were feeds."""
        if not feed.segments(self._home) and any(log.log_paths(self.records)):
            raise StoreError(f"{self._home}: it has no change feed yet; `swindex index build` makes it")
        return feed.back(self._home)

    def facts(self) -> Json:
        """As `Reader.facts`: from the last change and the heartbeat.

        An index without both is read, every log of it, and parsed nowhere.
        """
        beat = heartbeat.read(self._home)
        name = f"the index shipped with swindex {__version__}" if self._home == shipped() else self.name
        told = {"source": name, **origin.told(self._home)}
        return {**FACTS, "time": self._newest_time(beat["newest"]), "crawl": beat["crawl"], **told}

    def _newest_time(self, noted: str | None) -> str | None:
        with suppress(DamagedFeed):  # which is no reason to answer nothing
            newest = feed.newest(self._home)
            if newest is not None:
                return newest.time
        times = (t for path in log.log_paths(self.records) if (t := _newest_time(path)))
        return noted or max(times, default=None)


def _parsed(line: bytes, path: Path, number: int | None) -> Json:
    """A line as plain data that has the parts of a record; `number` None is the last line."""
    try:
        return parsed(line, log.id_of(path))
    except RecordError as error:
        raise _damaged(path, number, str(error)) from None


def _damaged(path: Path, number: int | None, why: str) -> DamagedLog:
    return log.damaged(path, len(log.read_lines(path)[0]) if number is None else number, why)


def _newest_time(path: Path) -> str | None:
    try:
        whole, _, _torn = path.read_bytes().rpartition(b"\n")
    except OSError:
        return None
    found = _TIME.search(whole, whole.rfind(b"\n") + 1)
    return found[1].decode() if found else None
