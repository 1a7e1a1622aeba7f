"""Checks everything in an index: files, lines, chains, records, the change feed and the DuckDB file against the log.

Reports findings by stable code (`findings.CODES`) and never raises for bad content. Every log is read once, some models
at a time (`check_log`), in as many processes as there are cores. Knows what can be seen in the index alone: it does not
ask the Hub and reads no checkpoint.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Self

from . import comparing, database, feed, log, shards
from .check_across import Together
from .check_feed import check_feed
from .check_log import Seen, is_damage, see
from .comparing import Difference
from .errors import StoreError, os_reason
from .feed import Entry
from .findings import ERROR, Finding
from .store import Index
from .untold import Untold


def check(index: Index) -> list[Finding]:
    """Check every log, the feed and the DuckDB file: what is wrong, by path; raise StoreError if no index."""
    index.require()
    newest = _newest(index.directory)  # before the log is read: what comes later is no fault
    models, strays = _walk(index.records)
    with _All() as seen:
        seen.note([*strays, *_same_but_case(models)])
        for each in _seen(index, models):
            seen.add(each)
        together = [] if seen.is_damaged else [*seen.references, *seen.together.findings()]
        told = [*check_feed(index.directory, newest, None if seen.is_damaged else seen.untold)]
    in_file = _check_database(index, seen, is_told=not any(f.severity == ERROR for f in told))
    return [*seen.findings, *together, *told, *in_file]


def _newest(directory: Path) -> Entry | None:
    with suppress(StoreError):  # that is found again
        return feed.newest(directory)
    return None


def _seen(index: Index, models: Sequence[str]) -> Iterator[Seen]:
    """What there is to see in the logs, some models at a time."""
    divided = shards.divided(models)
    parts = zip(divided, comparing.spans(divided), strict=True)
    database = index.database if index.database.is_file() else None
    return shards.each(see, [(index.directory, part, database, span) for part, span in parts])


@dataclass
class _All:
    """What was seen in all logs; leave the `with` block when that was told."""

    findings: list[Finding] = field(default_factory=list)
    references: list[Finding] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    uncompared: str | None = None
    """Why the DuckDB file could not be compared."""
    is_damaged: bool = False
    together: Together = field(default_factory=Together)
    untold: Untold = field(default_factory=Untold)

    def note(self, findings: Sequence[Finding]) -> None:
        """Add findings about the logs."""
        self.findings += findings
        self.is_damaged |= is_damage(findings)

    def add(self, seen: Seen) -> None:
        """Add some models."""
        self.note(seen.findings)
        self.references += seen.references
        if isinstance(seen.differences, str):
            self.uncompared = self.uncompared or seen.differences
        else:
            self.differences += seen.differences
        if not self.is_damaged:
            self.together.add(seen.across)
            self.untold.add(seen.histories)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.together.__exit__()
        self.untold.__exit__()


# --- files ---


def _walk(records: Path) -> tuple[list[str], list[Finding]]:
    """The models with a log, sorted, and findings for what else is there or cannot be looked into."""
    models: list[str] = []
    findings: list[Finding] = []
    for org in sorted(records.iterdir()):
        try:
            entries = {path: path.is_file() for path in sorted(org.iterdir())} if org.is_dir() else {org: False}
        except OSError as error:
            findings.append(Finding("unreadable", str(org), os_reason(error)))
            continue
        logs = {path: log.id_of(path) for path, is_file in entries.items() if is_file}
        models += (model_id for model_id in logs.values() if model_id)
        strays = (path for path in entries if not logs.get(path))
        findings += (Finding("stray-file", str(path), "not a log: a log is at ORG/NAME.jsonl") for path in strays)
    return sorted(models), findings


def _same_but_case(models: Sequence[str]) -> Iterator[Finding]:
    """Models whose ids differ only in case from one that comes before them."""
    for _, (first, *others) in groupby(sorted(models, key=str.lower), key=str.lower):
        yield from (Finding("case", other, f"differs from {first} only in case") for other in others)


# --- the DuckDB file ---


def _check_database(index: Index, seen: _All, *, is_told: bool) -> Iterator[Finding]:
    where = str(index.database)
    if not index.database.is_file():
        yield Finding("database-missing", where, "make it with `swindex index build`")
    elif seen.is_damaged:
        yield Finding("database-unchecked", where, "not compared: mend the log first")
    else:
        yield from _compared(index, where, seen, is_told)


def _compared(index: Index, where: str, seen: _All, is_told: bool) -> Iterator[Finding]:
    try:
        if is_told:  # else the feed cannot say whether the file is behind
            database.connect(index).close()
        database.filed(index)
    except StoreError as error:
        yield Finding("database-stale", where, str(error))
        return
    if seen.uncompared:
        yield Finding("database-stale", where, seen.uncompared)
    for each in sorted(seen.differences, key=database.order):
        rows = f"{each.only_log} rows only in the log, {each.only_file} only in the file"
        yield Finding("database-differs", where, f"{each.table}: {each.model_id}: {rows}")
