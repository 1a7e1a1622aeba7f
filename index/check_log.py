"""Checks the logs of some models in one reading: their lines, chains and records, and what others are to be told.

Each line is parsed once. Reports findings and never raises for bad content. Knows one model at a time; what takes all
of them is in `check_across`, what takes the feed in `check_feed`.
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..schema.canonical import canonical_bytes, digest_in, digest_of, read_canonical
from ..schema.errors import RecordError
from ..schema.record import Record
from . import comparing, fill, log
from .check_across import Across
from .comparing import Difference, Span
from .errors import StoreError, os_reason
from .findings import ERROR, OF_VALID, Finding, worth_a_look
from .gathered import History, history_of
from .references import References
from .rows import Versions
from .store import is_newer


@dataclass
class Seen:
    """What was seen in the logs of some models."""

    findings: list[Finding] = field(default_factory=list)
    references: list[Finding] = field(default_factory=list)
    """What records name in other models and the index has not."""
    across: Across = field(default_factory=Across)
    histories: list[History] = field(default_factory=list)
    differences: list[Difference] | str = field(default_factory=list)
    """From the DuckDB file; a text says why it was not compared."""


def is_damage(findings: Iterable[Finding]) -> bool:
    """Whether a log cannot be read, or compared with anything."""
    return any(f.severity == ERROR and f.code not in OF_VALID for f in findings)


def see(directory: Path, models: Sequence[str], database: Path | None, span: Span) -> Seen:
    """Check these models; compare their rows with those of the file, if there is one."""
    seen = Seen()
    sound = _sound(directory, models, seen)
    with tempfile.TemporaryDirectory(prefix="swindex-") as folder:
        longest = fill.write(Path(folder), sound if database else _none_of(sound))
        if database and not is_damage(seen.findings):
            try:
                seen.differences = comparing.differences(database, Path(folder), longest, span)
            except StoreError as error:
                seen.differences = str(error)
    return seen


def _none_of(sound: Iterable[Versions]) -> Iterator[Versions]:
    """Go through all, as what is seen on the way is wanted."""
    yield from (versions for versions in sound if not versions)


def _sound(directory: Path, models: Sequence[str], seen: Seen) -> Iterator[Versions]:
    """The versions of these models, as long as nothing is damaged: later they help nobody."""
    references, is_damaged = References(directory), False
    for model_id in models:
        path = log.path_of(directory / "records", model_id)
        versions: list[tuple[Record, bytes]] = []
        found = [*_check_log(path, model_id, versions)]
        seen.findings += found
        is_damaged = is_damaged or is_damage(found)
        if versions and not is_damaged:
            seen.histories.append(history_of(path, versions))
            seen.across.note([record for record, _ in versions])
            seen.references += references.unresolved(versions[-1][0])
            yield versions


# --- one log ---


@dataclass(frozen=True)
class _Line:
    """A line that is a JSON object: where it stands, what it says, its own digest."""

    where: str
    text: bytes
    data: dict[str, Any]
    digest: str
    is_canonical: bool

    def provenance(self, name: str) -> Any:
        held = self.data["provenance"]
        return held.get(name) if isinstance(held, dict) else None


def _check_log(path: Path, model_id: str, versions: list[tuple[Record, bytes]]) -> Iterator[Finding]:
    """Yield what is wrong; the versions that are valid records go to `versions`."""
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
            yield from _check_line(line, model_id, versions, newest=number == len(texts))
            yield from _check_chain(line, before, number)
            before = line


def _read(where: str, text: bytes) -> "_Line | Finding":
    try:
        data, is_canonical = read_canonical(text)
        if not isinstance(data, dict) or not isinstance(data.get("provenance"), dict):
            return Finding("damaged-line", where, "not an object with a provenance")
        digest = digest_in(text, data) if is_canonical else digest_of(data)
        return _Line(where, text, data, digest, is_canonical)
    except RecordError as error:
        return Finding("damaged-line", where, str(error))


def _check_line(line: _Line, model_id: str, versions: list[tuple[Record, bytes]], *, newest: bool) -> Iterator[Finding]:
    if not line.is_canonical:
        yield Finding("not-canonical", line.where, "not the canonical form of what it says")
    if line.provenance("digest") != line.digest:
        yield Finding("digest", line.where, f"says {line.provenance('digest')}, its content has {line.digest}")
    model = line.data.get("model")
    stated = model.get("id") if isinstance(model, dict) else None
    if stated != model_id:
        yield Finding("wrong-model", line.where, f"a record of {stated}")
    tolerant = is_newer(line.provenance("schema_version"))
    if tolerant:
        yield Finding("newer-schema", line.where, f"schema {line.provenance('schema_version')}")
    yield from _check_record(line, versions, tolerant, newest)


def _check_record(line: _Line, versions: list[tuple[Record, bytes]], tolerant: bool, newest: bool) -> Iterator[Finding]:
    try:
        record = Record.validated(_with_own_digest(line), line.data, tolerant=tolerant)
    except RecordError as error:
        code = "status" if ": status" in str(error) else "schema"
        yield Finding(code, line.where, str(error))
        return
    versions.append((record, line.text))
    if newest:
        yield from worth_a_look(record, line.where)


def _with_own_digest(line: _Line) -> bytes:
    """The text with the digest that its content has: a wrong one is a finding of its own."""
    if line.is_canonical and line.provenance("digest") == line.digest:
        return line.text
    return canonical_bytes({**line.data, "provenance": {**line.data["provenance"], "digest": line.digest}})


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
