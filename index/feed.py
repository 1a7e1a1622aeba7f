"""The change feed of an index: `changes/`, a line for every version appended anywhere in it, in that order.

Segment n, `changes/NNNNNN.jsonl`, holds the changes n*1000+1 to (n+1)*1000; without segment 0 there is no feed. The
chain of a change is the sha256 over the chain before it and what it says: feeds of one chain are one up to there. A
writer puts the change before its version, so only the last change can lack its version, and readers leave it out.
Knows lines, not what a record says; who writes is `feeding`. Standard library only, as the lookup of one model is.
"""

import hashlib
import json
import os
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..schema.ids import is_model_id
from . import log
from .errors import DamagedFeed, StoreError, os_reason

SEGMENT = 1000
"""Changes in a segment."""
FOLDER = "changes"
START = "0" * 64
"""The chain before the first change."""
_MOST = 10**9
"""Segments there can be, to look for the last one; and bytes that a line can have, its model id the longest."""
_LONGEST = 1024
_NAME = re.compile(r"(\d{6}|[1-9]\d{6,11})\.jsonl", re.ASCII)
_TIME = rb"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-6]\dZ"
_LINE = re.compile(
    rb'\{"chain":"([0-9a-f]{64})","digest":"([0-9a-f]{64})","model_id":"([A-Za-z0-9._/-]{3,200})",'
    rb'"outcome":"([a-z][a-z0-9_]{0,63})","seq":([1-9]\d{0,14}),"time":"(' + _TIME + rb')",'
    rb'"version":([1-9]\d{0,8}),"withdrawn":(true|false)\}'
)


class Entry(NamedTuple):
    """A change: which version of which model was appended, and what it says in short."""

    chain: str
    digest: str
    """Of the version."""
    model_id: str
    outcome: str
    """What the version's status says: of its newest scan; else reported, inherited."""
    seq: int
    """From 1, by ones."""
    time: str
    version: int
    withdrawn: bool


# --- lines ---


def line_of(entry: Entry) -> bytes:
    """The canonical line of a change, without newline."""
    return f'{{"chain":"{entry.chain}",{_said(entry)}'.encode()


def parse_line(line: bytes) -> Entry:
    """A change from its line, which may come from anybody; raise DamagedFeed if it is not exactly one."""
    found = _LINE.fullmatch(line)
    texts = [part.decode("ascii") for part in found.groups()] if found else []
    if not texts or not is_model_id(texts[2]):
        raise DamagedFeed(f"not a change of an index: {line!r:.120}; ask for it again, or from another copy")
    chain, digest, model_id, outcome, seq, time, version, withdrawn = texts
    return Entry(chain, digest, model_id, outcome, int(seq), time, int(version), withdrawn == "true")


def next_entry(previous: Entry | None, record: dict[str, Any]) -> Entry:
    """The change that follows `previous` (None: the first) when this record (plain JSON data) is appended.

    Raise DamagedFeed if the record lacks what a change says.
    """
    return place(previous, entry_of(record))


def entry_of(record: dict[str, Any]) -> Entry:
    """What a change says of this record (plain JSON data), at no place in a feed yet: seq 1, chain START."""
    try:
        told = record["provenance"]
        names = (told["digest"], record["model"]["id"], record["status"]["outcome"])
        entry = Entry(START, *names, 1, told["time"], told["version"], told.get("withdrawn") is not None)
    except (KeyError, TypeError, AttributeError):
        raise DamagedFeed("not a record: it lacks what a change says of it") from None
    return parse_line(line_of(entry))


def place(previous: Entry | None, entry: Entry) -> Entry:
    """What this change says, as the one after `previous` (None: the first)."""
    seq, before = (previous.seq + 1, previous.chain) if previous else (1, START)
    placed = entry._replace(seq=seq)
    return placed._replace(chain=hashlib.sha256(f"{before}\n{{{_said(placed)}".encode()).hexdigest())


def follows(previous: Entry | None, entry: Entry) -> bool:
    """Whether number and chain are those of the change after `previous` (None: the first)."""
    return place(previous, entry) == entry


def entries_of(lines: Iterable[bytes], previous: Entry | None = None) -> Iterator[Entry]:
    """Yield the changes of these lines, which may come from anybody; each must follow the one before.

    The first must follow `previous`, if that is given; raise DamagedFeed.
    """
    for line in lines:
        entry = parse_line(line)
        if previous is not None and not follows(previous, entry):
            raise DamagedFeed(f"change {entry.seq} does not follow change {previous.seq}; ask for it from another copy")
        yield entry
        previous = entry


def _said(entry: Entry) -> str:
    """The end of the line, after the chain."""
    words = f'"digest":"{entry.digest}","model_id":"{entry.model_id}","outcome":"{entry.outcome}","seq":{entry.seq}'
    withdrawn = "true" if entry.withdrawn else "false"
    return f'{words},"time":"{entry.time}","version":{entry.version},"withdrawn":{withdrawn}}}'


# --- segments ---


def segment(directory: Path, number: int) -> Path:
    """Where a segment lies."""
    return Path(directory) / FOLDER / f"{number:06d}.jsonl"


def segments(directory: Path) -> list[int]:
    """The numbers of all segments, sorted; none if there is no feed; raise DamagedFeed if some are missing."""
    numbers = numbers_there(directory)
    if numbers[:1] == [0] and numbers[-1] != len(numbers) - 1:
        raise DamagedFeed(f"{Path(directory) / FOLDER}: segments are missing; {_HEAL}")
    return numbers if numbers[:1] == [0] else []


def numbers_there(directory: Path) -> list[int]:
    """The numbers of the segments that are there, sorted, whether or not they make a feed; raise StoreError."""
    folder = Path(directory) / FOLDER
    try:
        found = [int(name.removesuffix(".jsonl")) for name in os.listdir(folder) if _NAME.fullmatch(name)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"{folder}: cannot be listed: {os_reason(error)}") from None
    return sorted(found)


def whole_lines(directory: Path, number: int, *, last: bool) -> list[bytes]:
    """The lines of a segment; of the last, without a torn end (no newline, or no change); raise StoreError."""
    path = segment(directory, number)
    try:
        *lines, _ = path.read_bytes().split(b"\n")
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {os_reason(error)}") from None
    return lines[:-1] if last and lines and not _LINE.fullmatch(lines[-1]) else lines


def entry_at(directory: Path, number: int, at: int, line: bytes) -> Entry:
    """The change on line `at` (from 0) of a segment; raise DamagedFeed with the place."""
    where = f"{segment(directory, number)} line {at + 1}"
    try:
        entry = parse_line(line)
    except DamagedFeed:
        raise DamagedFeed(f"{where}: not a change; {_HEAL}") from None
    if at >= SEGMENT:
        raise DamagedFeed(f"{where}: a segment has {SEGMENT} changes; {_HEAL}")
    if entry.seq != number * SEGMENT + at + 1:
        raise DamagedFeed(f"{where}: change {entry.seq}, should be {number * SEGMENT + at + 1}; {_HEAL}")
    return entry


_HEAL = "run `swindex index build`, which mends it from the log"


# --- reading ---


def read(directory: Path, since: int = 0) -> Iterator[Entry]:
    """Yield the changes after number `since`, oldest first; raise DamagedFeed, StoreError."""
    held: Entry | None = None
    for entry in written(directory, since):
        if held:
            yield held
        held = entry
    if held and is_recorded(directory, held):
        yield held


def written(directory: Path, since: int = 0) -> Iterator[Entry]:
    """Yield what `read` does and a last change whose version is not in the log yet; raise DamagedFeed, StoreError."""
    before: Entry | None = None
    for entry in _forwards(directory, segments(directory)[max(since - 1, 0) // SEGMENT :]):
        if (before or entry.seq == 1) and not follows(before, entry):
            raise _broken(directory, entry)
        if entry.seq > since:
            yield entry
        before = entry


def back(directory: Path) -> Iterator[Entry]:
    """Yield all changes, newest first; raise DamagedFeed, StoreError."""
    later: Entry | None = None
    for entry in _backwards(directory):
        if later and not follows(entry, later):
            raise _broken(directory, later)
        if later or is_recorded(directory, entry):
            yield entry
        later = entry


def newest(directory: Path) -> Entry | None:
    """The last change; None if there is none, or no feed; raise DamagedFeed, StoreError."""
    entry = _at_end(directory)
    return entry if entry and is_recorded(directory, entry) else next(back(directory), None)


def is_recorded(directory: Path, entry: Entry) -> bool:
    """Whether the log has the version that a change tells of; raise StoreError."""
    path = log.path_of(Path(directory) / "records", entry.model_id)
    if not log.is_file(path):
        return False
    newest_line, _ = log.newest_line(path)
    lines = log.read_lines(path)[0] if newest_line and _digest(newest_line) != entry.digest else [newest_line]
    return any(line is not None and _digest(line) == entry.digest for line in lines)


def _at_end(directory: Path) -> Entry | None:
    """The change on the last line, found in time that does not grow with the feed; None where that is not plain."""
    folder = os.path.join(directory, FOLDER)  # as text: a look-up asks this each time
    number = bisect_left(range(_MOST), True, key=lambda n: not os.path.exists(f"{folder}/{n:06d}.jsonl")) - 1
    try:
        with open(segment(directory, number), "rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - _LONGEST, 0))
            *lines, torn = file.read().split(b"\n")
    except OSError:
        return None
    found = parse_line(lines[-1]) if lines and not torn and _LINE.fullmatch(lines[-1]) else None
    return found if found and (found.seq - 1) // SEGMENT == number else None


def _digest(line: bytes) -> object:
    try:
        return json.loads(line)["provenance"]["digest"]
    except (KeyError, TypeError):
        return None


def _forwards(directory: Path, numbers: list[int]) -> Iterator[Entry]:
    for number in numbers:
        lines = whole_lines(directory, number, last=number == numbers[-1])
        yield from (entry_at(directory, number, at, line) for at, line in enumerate(lines))


def _backwards(directory: Path) -> Iterator[Entry]:
    numbers = segments(directory)
    for number in reversed(numbers):
        lines = whole_lines(directory, number, last=number == numbers[-1])
        yield from (entry_at(directory, number, at, lines[at]) for at in reversed(range(len(lines))))


def _broken(directory: Path, entry: Entry) -> DamagedFeed:
    number, at = divmod(entry.seq - 1, SEGMENT)
    return DamagedFeed(f"{segment(directory, number)} line {at + 1}: does not follow the change before; {_HEAL}")
