"""Checks everything in an index: files, lines, chains, records, the change feed and the DuckDB file against the log.

Reports findings by stable code (`findings.CODES`) and never raises for bad content. Knows what can be seen in the index
alone: it does not ask the Hub and reads no checkpoint.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..schema.canonical import canonical_bytes, digest_of, strict_loads
from ..schema.errors import RecordError
from ..schema.record import Record
from . import database, log
from .check_feed import check_feed
from .errors import StoreError, os_reason
from .findings import ERROR, Finding, worth_a_look
from .references import unresolved
from .store import Index, is_newer


def check(index: Index) -> list[Finding]:
    """Check every log, the feed and the DuckDB file: what is wrong, by path; raise StoreError if no index."""
    index.require()
    logs, findings = _walk(index.records)
    findings += _same_but_case(sorted(model_id for path in logs if (model_id := log.id_of(path))))
    for path in logs:
        findings += _check_log(path)
    damaged = any(f.severity == ERROR for f in findings)
    findings += () if damaged else unresolved(index)
    told = [*check_feed(index.directory, log_has_errors=damaged)]
    return [*findings, *told, *_check_database(index, damaged, is_told=not any(f.severity == ERROR for f in told))]


# --- files ---


def _walk(records: Path) -> tuple[list[Path], list[Finding]]:
    """The logs, and findings for what else is there or cannot be looked into."""
    logs: list[Path] = []
    findings: list[Finding] = []
    for org in sorted(records.iterdir()):
        try:
            entries = {path: path.is_file() for path in sorted(org.iterdir())} if org.is_dir() else {org: False}
        except OSError as error:
            findings.append(Finding("unreadable", str(org), os_reason(error)))
            continue
        logs += (path for path, is_file in entries.items() if is_file and log.id_of(path))
        strays = (path for path, is_file in entries.items() if not (is_file and log.id_of(path)))
        findings += (Finding("stray-file", str(path), "not a log: a log is at ORG/NAME.jsonl") for path in strays)
    return logs, findings


def _same_but_case(models: Sequence[str]) -> Iterator[Finding]:
    spelled: dict[str, str] = {}
    for model_id in models:
        other = spelled.setdefault(model_id.lower(), model_id)
        if other != model_id:
            yield Finding("case", model_id, f"differs from {other} only in case")


def _check_database(index: Index, log_has_errors: bool, *, is_told: bool) -> Iterator[Finding]:
    where = str(index.database)
    if not index.database.is_file():
        yield Finding("database-missing", where, "make it with `swindex index build`")
    elif log_has_errors:
        yield Finding("database-unchecked", where, "not compared: mend the log first")
    else:
        yield from _compare(index, where, is_told)


def _compare(index: Index, where: str, is_told: bool) -> Iterator[Finding]:
    try:
        if is_told:  # else the feed cannot say whether the file is behind
            database.connect(index).close()
        for each in database.verify(index):
            rows = f"{each.only_log} rows only in the log, {each.only_file} only in the file"
            yield Finding("database-differs", where, f"{each.table}: {each.model_id}: {rows}")
    except StoreError as error:
        yield Finding("database-stale", where, str(error))


# --- one log ---


@dataclass(frozen=True)
class _Line:
    """A line that is a JSON object: where it stands, what it says, its own digest."""

    where: str
    text: bytes
    data: dict[str, Any]
    digest: str

    def provenance(self, name: str) -> Any:
        held = self.data["provenance"]
        return held.get(name) if isinstance(held, dict) else None


def _check_log(path: Path) -> Iterator[Finding]:
    try:
        texts, torn = log.split(path.read_bytes())
    except OSError as error:
        yield Finding("unreadable", str(path), os_reason(error))
        return
    if torn:
        yield Finding("torn-line", f"{path} line {len(texts) + 1}", "torn, or being written")
    if not texts:
        yield Finding("empty-log", str(path), "no version in it")
    before: _Line | None = None
    for number, text in enumerate(texts, 1):
        line = _read(f"{path} line {number}", text)
        if isinstance(line, Finding):
            yield line
            before = None
        else:
            yield from _check_line(path, line, newest=number == len(texts))
            yield from _check_chain(line, before, number)
            before = line


def _read(where: str, text: bytes) -> "_Line | Finding":
    try:
        data = strict_loads(text)
        if not isinstance(data, dict) or not isinstance(data.get("provenance"), dict):
            return Finding("damaged-line", where, "not an object with a provenance")
        return _Line(where, text, data, digest_of(data))
    except RecordError as error:
        return Finding("damaged-line", where, str(error))


def _check_line(path: Path, line: _Line, *, newest: bool) -> Iterator[Finding]:
    if canonical_bytes(line.data) != line.text:
        yield Finding("not-canonical", line.where, "not the canonical form of what it says")
    if line.provenance("digest") != line.digest:
        yield Finding("digest", line.where, f"says {line.provenance('digest')}, its content has {line.digest}")
    model = line.data.get("model")
    model_id = model.get("id") if isinstance(model, dict) else None
    if model_id != log.id_of(path):
        yield Finding("wrong-model", line.where, f"a record of {model_id}")
    tolerant = is_newer(line.provenance("schema_version"))
    if tolerant:
        yield Finding("newer-schema", line.where, f"schema {line.provenance('schema_version')}")
    yield from _check_record(line, tolerant, newest)


def _check_record(line: _Line, tolerant: bool, newest: bool) -> Iterator[Finding]:
    try:
        stated = {**line.data["provenance"], "digest": line.digest}  # a wrong digest is a finding of its own
        record = Record.parse(canonical_bytes({**line.data, "provenance": stated}), tolerant=tolerant)
    except RecordError as error:
        code = "status" if ": status" in str(error) else "schema"
        yield Finding(code, line.where, str(error))
        return
    if newest:
        yield from worth_a_look(record, line.where)


def _check_chain(line: _Line, before: _Line | None, number: int) -> Iterator[Finding]:
    if line.provenance("version") != number:
        yield Finding("chain-version", line.where, f"version {line.provenance('version')}, should be {number}")
    if before is None and number > 1:
        return  # the line before is damaged: that is said already
    expected = before.provenance("digest") if before else None
    if line.provenance("previous") != expected:
        yield Finding("chain-previous", line.where, f"follows {line.provenance('previous')}, should be {expected}")
    earlier, time = before.provenance("time") if before else None, line.provenance("time")
    if isinstance(earlier, str) and isinstance(time, str) and time < earlier:
        yield Finding("time-order", line.where, f"{time} is before {earlier}")
