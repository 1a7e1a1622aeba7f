"""The change feed: its lines, its segments, and that it tells of every version once, in the order appended."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swindex.index import feed
from swindex.index.errors import DamagedFeed
from swindex.index.feed import Entry
from swindex.index.store import Index
from swindex.index.versions import withdraw
from swindex.schema import Record
from swindex.schema.canonical import canonical_bytes

from . import records as make

LATER = "2026-11-22T07:00:00Z"


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path / "index", lock_timeout=0.2)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of three changes."""
    monkeypatch.setattr(feed, "SEGMENT", 3)


def data_of(record: Record) -> dict[str, Any]:
    return record.model_dump(mode="json")


def entries(*records: Record) -> list[Entry]:
    """The changes that these records make, by the definition and without the code under test."""
    found: list[Entry] = []
    for seq, record in enumerate(records, 1):
        told = record.provenance
        said = {
            "digest": told.digest,
            "model_id": record.model.id,
            "outcome": str(record.status.outcome),
            "seq": seq,
            "time": told.time,
            "version": told.version,
            "withdrawn": told.withdrawn is not None,
        }
        before = found[-1].chain if found else "0" * 64
        chain = hashlib.sha256((before + "\n").encode() + canonical_bytes(said)).hexdigest()
        found.append(Entry(**{"chain": chain, **said}))
    return found


def history() -> list[Record]:
    """Five versions of three models in the order they are appended."""
    first, other = make.reported(), make.failed("org/other")
    second = make.found(previous=first)
    parts = withdraw(second, "wrong", LATER)
    assert parts is not None
    return [first, other, second, make.none_found("Org2/Three"), make.make(parts, second, time=LATER)]


# --- lines ---

TEXTS = {
    "chain": st.text("0123456789abcdef", min_size=64, max_size=64),
    "model_id": st.from_regex(r"[A-Za-z0-9_]{1,9}/[A-Za-z0-9_](?:[.-]?[A-Za-z0-9_]){0,9}", fullmatch=True).filter(
        lambda text: not text.endswith(".git")
    ),
}
ENTRIES = st.builds(
    Entry,
    TEXTS["chain"],
    TEXTS["chain"],
    TEXTS["model_id"],
    st.sampled_from(["found", "none_found", "reported"]),
    st.integers(1, 10**15 - 1),
    st.just(LATER),
    st.integers(1, 10**9 - 1),
    st.booleans(),
)


@given(ENTRIES)
def test_a_line_is_canonical_json_and_gives_its_change_back(entry: Entry) -> None:
    line = feed.line_of(entry)

    assert (line, feed.parse_line(line)) == (canonical_bytes(entry._asdict()), entry)


GOOD = feed.line_of(entries(make.found())[0])


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"null",
        GOOD + b"\n",
        b" " + GOOD,
        GOOD[:-1],
        GOOD.replace(b'"seq":1', b'"seq":0'),
        GOOD.replace(b'"seq":1', b'"seq":01'),
        GOOD.replace(b'"seq":1', b'"seq":1.0'),
        GOOD.replace(b'"seq":1', b'"seq":-1'),
        GOOD.replace(b'"seq":1', b'"seq":1' + b"0" * 15),
        GOOD.replace(b'"seq":1', b'"seq":1,"seq":1'),
        GOOD.replace(b'"version":1', b'"version":true'),
        GOOD.replace(b"false", b"0"),
        GOOD.replace(b"org/tiny", b"../tiny"),
        GOOD.replace(b"org/tiny", b"org/ti..ny"),
        GOOD.replace(b"org/tiny", b"org"),
        GOOD.replace(b"org/tiny", b"org/" + b"x" * 97),
        GOOD.replace(b"org/tiny", "org/tíny".encode()),
        GOOD.replace(b"org/tiny", b"org/t\\u0069ny"),
        GOOD.replace(b'"found"', b'"Found"'),
        GOOD.replace(b'"found"', b'"' + b"f" * 65 + b'"'),
        GOOD.replace(b"2026-", "２026-".encode()),
        GOOD.replace(b'"time":"2026-11-21T07:00:00Z"', b'"time":"now"'),
        GOOD.replace(b"2026-11", b"2026-13"),
        GOOD.replace(b"T07", b"T24"),
        GOOD.replace(b'"chain":"', b'"chain":"A'),
        GOOD.replace(b",", b", "),
        GOOD.replace(b"{", b'{"a":1,'),
        b"\xff" * 400,
        b"[" * 99999,
    ],
)
def test_what_is_not_exactly_a_change_is_refused_in_one_line(line: bytes) -> None:
    with pytest.raises(DamagedFeed, match=r"\Anot a change of an index: [^\n]{2,200}\Z"):
        feed.parse_line(line)


@given(at=st.integers(0, len(GOOD) - 1), byte=st.integers(0, 255))
def test_a_line_with_another_byte_is_refused_or_no_change_of_the_chain(at: int, byte: int) -> None:
    line = GOOD[:at] + bytes([byte]) + GOOD[at + 1 :]
    try:
        entry = feed.parse_line(line)
    except DamagedFeed:
        return
    assert feed.line_of(entry) == line
    assert feed.follows(None, entry) == (line == GOOD)


@pytest.mark.parametrize("spoil", [{}, {"provenance": None}, {"status": {}}, {"model": {"id": "../x"}}])
def test_what_is_no_record_makes_no_change(spoil: dict[str, Any]) -> None:
    with pytest.raises(DamagedFeed):
        feed.next_entry(None, {**data_of(make.found()), **spoil} if spoil else {})


def test_changes_follow_each_other_by_number_and_chain() -> None:
    one, two, three = entries(*history()[:3])

    assert [feed.follows(None, one), feed.follows(one, two), feed.follows(two, three)] == [True] * 3
    assert [feed.follows(None, two), feed.follows(one, three), feed.follows(two, one)] == [False] * 3
    assert not feed.follows(one, two._replace(withdrawn=True))


def test_the_next_change_is_as_defined() -> None:
    made: list[Entry] = []
    for record in history():
        made.append(feed.next_entry(made[-1] if made else None, data_of(record)))

    assert made == entries(*history())


def test_lines_from_elsewhere_must_follow_each_other() -> None:
    lines = [feed.line_of(e) for e in entries(*history())]

    assert list(feed.entries_of(lines[2:])) == entries(*history())[2:]
    with pytest.raises(DamagedFeed, match="change 4 does not follow change 2"):
        list(feed.entries_of([lines[1], lines[3]]))
    with pytest.raises(DamagedFeed, match="change 3 does not follow change 1"):
        list(feed.entries_of(lines[2:], entries(*history())[0]))


# --- an index has a feed ---


@pytest.mark.usefixtures("short")
def test_every_append_is_a_change(index: Index) -> None:
    for number, record in enumerate(history(), 1):
        index.append(record)
        assert list(feed.read(index.directory)) == entries(*history())[:number]


@pytest.mark.usefixtures("short")
def test_segments_hold_their_changes(index: Index) -> None:
    for record in history():
        index.append(record)

    lines = [feed.line_of(e) + b"\n" for e in entries(*history())]
    there = {p.name: p.read_bytes() for p in (index.directory / "changes").iterdir()}
    assert there == {"000000.jsonl": b"".join(lines[:3]), "000001.jsonl": b"".join(lines[3:])}


def test_a_segment_holds_a_thousand() -> None:
    assert [feed.segment(Path("i"), n).name for n in (0, 999_999, 1_000_000)] == [
        "000000.jsonl",
        "999999.jsonl",
        "1000000.jsonl",
    ]
    assert feed.SEGMENT == 1000


@pytest.mark.usefixtures("short")
def test_a_feed_is_read_from_any_change_and_from_its_end(index: Index) -> None:
    for record in history():
        index.append(record)

    expected = entries(*history())
    assert [list(feed.read(index.directory, since)) for since in range(7)] == [expected[since:] for since in range(7)]
    assert list(feed.back(index.directory)) == expected[::-1]
    assert feed.newest(index.directory) == expected[-1]


def test_what_is_appended_twice_is_one_change(index: Index) -> None:
    index.append(make.found())
    index.append(make.found())
    index.add(make.MODEL_ID, lambda _: None, "me", LATER)

    assert list(feed.read(index.directory)) == entries(make.found())


def test_no_feed_has_no_changes(index: Index) -> None:
    assert (list(feed.read(index.directory)), list(feed.back(index.directory))) == ([], [])
    assert feed.newest(index.directory) is None


def test_reading_needs_the_standard_library_only() -> None:
    heavy = ("pydantic", "rfc8785", "duckdb", "filelock", "sqlite3", "typer", "huggingface_hub")
    code = f"import sys; import swindex.index.feed; print([n for n in {heavy!r} if n in sys.modules])"

    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


# --- an index without a feed gets one ---


def drop(index: Index) -> None:
    """Leave the index as one that was made before there were feeds."""
    for path in (index.directory / "changes").iterdir():
        path.unlink()
    (index.directory / "changes").rmdir()


@pytest.mark.usefixtures("short")
def test_a_feed_is_made_by_the_next_write_in_the_order_of_time_and_model(index: Index) -> None:
    first = make.make(make.reported_parts("b/x"), time="2026-01-03T00:00:00Z")
    records = [
        make.make(make.none_found_parts("c/z"), time="2026-01-02T00:00:00Z"),
        first,
        make.make(make.found_parts("b/x"), first, time="2026-01-01T00:00:00Z"),  # dated before the one it follows
        make.make(make.none_found_parts("a/y"), time="2026-01-03T00:00:00Z"),
    ]
    for record in records:
        index.append(record)
    drop(index)

    index.append(make.failed("d/new"))

    a, b, c = records[3], records[1:3], records[0]
    assert list(feed.read(index.directory)) == entries(c, a, *b, make.failed("d/new"))


def test_a_feed_of_the_shipped_order_is_json(index: Index) -> None:
    index.append(make.found())

    (line,) = feed.segment(index.directory, 0).read_bytes().splitlines()
    assert json.loads(line) == entries(make.found())[0]._asdict()
