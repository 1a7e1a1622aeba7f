"""What a check says of a change feed that was edited, cut, forked or reordered, and that a build mends it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from swindex.index import database, feed
from swindex.index.check import check
from swindex.index.errors import DamagedFeed
from swindex.index.feed import Entry
from swindex.index.store import Index

from . import records as make
from .test_feed import drop, entries, history

EXPECTED = entries(*history())
LINES = [feed.line_of(e) for e in EXPECTED]
DANGLING = feed.place(EXPECTED[-1], feed.entry_of(make.found("org/absent").model_dump(mode="json")))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    """Five changes, in segments of three and two."""
    monkeypatch.setattr(feed, "SEGMENT", 3)
    index = Index(tmp_path / "index", lock_timeout=0.2)
    for record in history():
        index.append(record)
    return index


def codes(index: Index) -> list[tuple[str, str]]:
    """What a check finds, with the place relative to the index; the DuckDB file is left out."""
    found = [(f.code, f.where.removeprefix(f"{index.directory}/")) for f in check(index)]
    return [each for each in found if not each[0].startswith("database")]


def put(index: Index, *segments: Iterable[bytes]) -> None:
    """Write segments by hand."""
    for number, lines in enumerate(segments):
        feed.segment(index.directory, number).write_bytes(b"".join(line + b"\n" for line in lines))


def rechained(*said: Entry) -> list[bytes]:
    """The lines of a feed that says this, number and chain in order."""
    made: list[Entry] = []
    for entry in said:
        made.append(feed.place(made[-1] if made else None, entry))
    return [feed.line_of(e) for e in made]


def halves(lines: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    return lines[:3], lines[3:]


def add_bytes(tail: bytes) -> Callable[[Index], None]:
    def spoil(index: Index) -> None:
        path = feed.segment(index.directory, 1)
        path.write_bytes(path.read_bytes() + tail)

    return spoil


def cut(number: int, by: int) -> Callable[[Index], None]:
    def spoil(index: Index) -> None:
        path = feed.segment(index.directory, number)
        path.write_bytes(path.read_bytes()[:-by])

    return spoil


def lines(*wanted: bytes) -> Callable[[Index], None]:
    return lambda index: put(index, *halves(list(wanted)))


def edited(at: int, old: bytes, new: bytes) -> Callable[[Index], None]:
    assert old in LINES[at]
    return lines(*LINES[:at], LINES[at].replace(old, new), *LINES[at + 1 :])


def unlink(name: str) -> Callable[[Index], None]:
    return lambda index: (index.directory / name).unlink()


def another_log(index: Index) -> None:
    other = Index(index.directory.parent / "other")
    other.append(make.found("org/copied"))
    shutil.copy(other.path("org/copied"), index.records / "org")


def three_segments_without_the_middle(index: Index) -> None:
    for n in range(2):
        index.append(make.failed(f"org/more-{n}"))
    feed.segment(index.directory, 1).unlink()


A, B, C, D, E = EXPECTED
LIE = B._replace(digest="0" * 64)
Case = tuple[Callable[[Index], object], list[tuple[str, str]]]
CASES: dict[str, Case] = {
    "sound": (lambda _: None, []),
    "none": (drop, [("feed-missing", "changes")]),
    "first segment gone": (unlink("changes/000000.jsonl"), [("feed-missing", "changes")]),
    "torn end": (add_bytes(b'{"chain":"'), [("feed-torn", "changes/000001.jsonl line 3")]),
    "torn end with a newline": (add_bytes(b"\0\0\0\n"), [("feed-torn", "changes/000001.jsonl line 3")]),
    "version never written": (
        add_bytes(feed.line_of(DANGLING) + b"\n"),
        [("feed-torn", "changes/000001.jsonl line 3")],
    ),
    "last change gone": (cut(1, len(LINES[-1]) + 1), [("feed-lacks", "org/tiny")]),
    "last change cut": (cut(1, 9), [("feed-torn", "changes/000001.jsonl line 2"), ("feed-lacks", "org/tiny")]),
    "last segment gone": (unlink("changes/000001.jsonl"), [("feed-lacks", "Org2/Three"), ("feed-lacks", "org/tiny")]),
    "middle segment gone": (three_segments_without_the_middle, [("feed-damaged", "changes")]),
    "earlier segment short": (cut(0, len(LINES[2]) + 1), [("feed-damaged", "changes/000000.jsonl")]),
    "earlier segment cut": (cut(0, 1), [("feed-damaged", "changes/000000.jsonl")]),
    "segment long": (lambda index: put(index, LINES), [("feed-damaged", "changes/000000.jsonl")]),
    "two feeds in one": (
        lines(*LINES[:3], *rechained(A, LIE, C, D, E)[3:]),
        [("feed-chain", "changes/000001.jsonl line 1")],
    ),
    "digest edited": (
        edited(1, B.digest.encode(), b"0" * 64),
        [("feed-chain", "changes/000000.jsonl line 2")],
    ),
    "first model edited": (edited(0, b"org/tiny", b"org/mini"), [("feed-chain", "changes/000000.jsonl line 1")]),
    "chain edited": (
        edited(1, B.chain.encode(), b"0" * 64),
        [("feed-chain", "changes/000000.jsonl line 2"), ("feed-chain", "changes/000000.jsonl line 3")],
    ),
    "number edited": (edited(4, b'"seq":5', b'"seq":6'), [("feed-chain", "changes/000001.jsonl line 2")]),
    "two swapped": (
        lines(LINES[1], LINES[0], *LINES[2:]),
        [("feed-chain", f"changes/000000.jsonl line {n}") for n in (1, 2, 3)],
    ),
    "not a change": (edited(1, b"{", b"["), [("feed-damaged", "changes/000000.jsonl line 2")]),
    "not canonical": (edited(3, b",", b", "), [("feed-damaged", "changes/000001.jsonl line 1")]),
    "forked": (lines(*rechained(A, LIE, C, D, E)), [("feed-unknown", "changes/000000.jsonl line 2")]),
    "says otherwise": (
        lines(*rechained(A, B._replace(outcome="found"), C, D, E)),
        [("feed-unknown", "changes/000000.jsonl line 2")],
    ),
    "left out": (lines(*rechained(A, C, D, E)), [("feed-lacks", "org/other")]),
    "left out, with a later one": (
        lines(*rechained(B, C, D, E)),
        [
            ("feed-order", "changes/000000.jsonl line 2"),
            ("feed-order", "changes/000001.jsonl line 1"),
            ("feed-lacks", "org/tiny"),
        ],
    ),
    "versions swapped": (lines(*rechained(C, B, A, D, E)), [("feed-order", "changes/000000.jsonl line 1")]),
    "told twice": (lines(*rechained(A, B, B, C, D, E)), [("feed-order", "changes/000000.jsonl line 3")]),
    "log gone": (unlink("records/org/other.jsonl"), [("feed-unknown", "changes/000000.jsonl line 2")]),
    "log copied in": (another_log, [("feed-lacks", "org/copied")]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_check_finds_and_a_build_mends(index: Index, name: str) -> None:
    spoil, expected = CASES[name]
    database.build(index)
    spoil(index)

    assert codes(index) == expected
    database.build(index)
    assert check(index) == []
    assert {e.digest for e in feed.read(index.directory)} == {
        r.provenance.digest for m in index.models() for r in index.history(m)
    }


@pytest.mark.parametrize("name", ["none", "torn end", "middle segment gone", "forked"])
def test_an_update_with_a_feed_that_was_changed_equals_a_build(index: Index, name: str) -> None:
    database.build(index)
    index.append(make.failed("org/next"))
    CASES[name][0](index)

    database.update(index)

    assert database.verify(index) == []


def test_the_feed_is_not_compared_where_the_log_is_damaged(index: Index) -> None:
    path = index.path("org/other")
    path.write_bytes(b"{\n" + path.read_bytes())

    assert ("feed-unchecked", "changes") in codes(index)


def test_what_is_mended_keeps_the_changes_up_to_the_first_wrong_one(index: Index) -> None:
    lines(*rechained(A, B, C, D._replace(digest="0" * 64), E))(index)
    another_log(index)

    database.build(index)

    copied = make.found("org/copied")
    first, other, second, three, withdrawn = history()
    assert list(feed.read(index.directory)) == entries(first, other, second, three, copied, withdrawn)


def test_a_feed_that_is_whole_is_left_alone(index: Index) -> None:
    before = [p.stat().st_mtime_ns for p in (index.directory / "changes").iterdir()]

    database.build(index)

    assert [p.stat().st_mtime_ns for p in (index.directory / "changes").iterdir()] == before


@pytest.mark.parametrize("name", ["two feeds in one", "not canonical", "middle segment gone"])
def test_readers_name_the_damage_and_what_mends_it(index: Index, name: str) -> None:
    CASES[name][0](index)

    with pytest.raises(DamagedFeed, match=r"\A[^\n]*changes[^\n]*run `swindex index build`[^\n]*\Z"):
        list(feed.read(index.directory))
    with pytest.raises(DamagedFeed):
        list(feed.back(index.directory))


def test_nothing_is_appended_to_a_feed_with_a_damaged_end(index: Index) -> None:
    put(index, LINES[:3], [b"{}", b"{}"])

    with pytest.raises(DamagedFeed, match="line 2: not a change; run `swindex index build`"):
        index.append(make.failed("org/next"))

    assert not (index.records / "org" / "next.jsonl").exists()


def test_a_forked_feed_makes_the_file_stale(index: Index) -> None:
    database.build(index)
    lines(*rechained(A._replace(time="2026-11-20T00:00:00Z"), B, C, D, E))(index)

    with pytest.raises(database.StaleDatabase, match=r"made up to change 5, which the feed does not have; run"):
        database.connect(index)
    database.update(index)
    assert check(index) == []
