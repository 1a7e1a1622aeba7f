"""Records as plain JSON data, read from the log: one model's newest version, its history, the ids of all.

Standard library, `index.log` and `schema.canonical` only: never DuckDB, never pydantic, never the network.
"""

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from .. import index
from ..index import feed, heartbeat, log
from ..index.errors import DamagedLog, NotInIndex, StoreError
from ..schema.canonical import strict_loads
from ..schema.errors import JsonError, UsageError
from .names import Asked

Json = dict[str, Any]
ENVIRONMENT = "SWINDEX_INDEX"
_TIME = re.compile(rb'"provenance":\{.*?"time":"([0-9TZ:-]+)"')
_PARTS = {"model": dict, "status": dict, "provenance": dict}
"""What every version has."""


class Found(NamedTuple):
    """A version, and whether its log ends in a half-written one that was left out."""

    record: Json
    torn: bool


def records_dir(directory: str | Path | None = None) -> Path:
    """The folder of records: of `directory`, else of $SWINDEX_INDEX, else of the shipped index; raise StoreError."""
    named = directory or os.environ.get(ENVIRONMENT)
    home = Path(named) if named else Path(index.__file__).parent
    if not (home / "records").is_dir():
        raise StoreError(f"{home}: no index here; name a directory that holds records/")
    return home / "records"


# --- one model ---


def find(records: Path, asked: Asked) -> Found | None:
    """The newest version of a model, at the revision if one is asked for; None if the index has none of it.

    Raise NotInIndex if it has others but none at that revision, UsageError if the revision is ambiguous, DamagedLog.
    """
    path = log.find_path(records, asked.model_id)
    if path is None:
        return None
    if asked.revision is not None:
        history, torn = versions(path)
        return Found(_at_revision(history, asked.model_id, asked.revision), torn)
    line, torn = log.newest_line(path)
    return None if line is None else Found(_parsed(line, path, None), torn)


def versions(path: Path) -> tuple[list[Json], bool]:
    """All versions in a log, oldest first, and whether its end is torn; raise DamagedLog with file and line."""
    lines, torn = log.read_lines(path)
    return [_parsed(line, path, number) for number, line in enumerate(lines, 1)], torn


def _parsed(line: bytes, path: Path, number: int | None) -> Json:
    """A line as plain data that has the parts of a record; `number` None is the last line."""
    try:
        record = strict_loads(line)
    except JsonError as error:
        raise _damaged(path, number, str(error)) from None
    if not isinstance(record, dict) or any(not isinstance(record.get(k), t) for k, t in _PARTS.items()):
        raise _damaged(path, number, "not a record")
    if str(record["model"].get("id")).lower() != str(log.id_of(path)).lower():
        raise _damaged(path, number, f"a record of {record['model'].get('id')!r}")
    return record


def _damaged(path: Path, number: int | None, why: str) -> DamagedLog:
    return log.damaged(path, len(log.read_lines(path)[0]) if number is None else number, why)


def _at_revision(history: list[Json], model_id: str, wanted: str) -> Json:
    known = list(dict.fromkeys(r for h in history if (r := h["model"].get("revision"))))
    matching = [r for r in known if r.startswith(wanted)]
    if len(matching) > 1:
        raise UsageError(f"{wanted} is short for several commits of {model_id}: {', '.join(matching)}")
    if not matching:
        there = f"known commits: {', '.join(known)}" if known else "no version of it is pinned to a commit"
        raise NotInIndex(f"{model_id} is in the index, but not at {wanted}; {there}")
    return [h for h in history if h["model"].get("revision") == matching[0]][-1]


# --- the index as a whole ---


def model_ids(records: Path) -> list[str]:
    """The ids of all models in the index."""
    return [model_id for path in log.log_paths(records) if (model_id := log.id_of(path))]


def index_facts(records: Path) -> Json:
    """`time` of the newest version in the index (None for an empty one) and its last `crawl` (None if there was none).

    The heartbeat says both; without one the last change says the time.
    """
    beat = heartbeat.read(records.parent)
    return {"time": beat["newest"] or _newest(records), "crawl": beat["crawl"]}


def _newest(records: Path) -> str | None:
    """When the last change was; of an index that has no feed yet every log is read, and parsed nowhere."""
    change = feed.newest(records.parent)
    if change is not None:
        return change.time
    return max((t for path in log.log_paths(records) if (t := _newest_time(path))), default=None)


def _newest_time(path: Path) -> str | None:
    try:
        whole, _, _torn = path.read_bytes().rpartition(b"\n")
    except OSError:
        return None
    found = _TIME.search(whole, whole.rfind(b"\n") + 1)
    return found[1].decode() if found else None
