"""Work divided over processes: the same results as in one, errors and warnings as if nothing had been divided."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

import pytest

from swindex.index import comparing, database, shards
from swindex.index.check import check
from swindex.index.comparing import Span
from swindex.index.counts import stats
from swindex.index.errors import DamagedLog, StoreError
from swindex.index.release import release
from swindex.index.store import Index
from swindex.index.tables import TABLES

from . import records as make

NOW = "2026-11-21T12:00:00Z"


@pytest.fixture
def divided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two models a shard, two processes."""
    monkeypatch.setattr(shards, "SIZE", 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """Five models, one with two versions."""
    index = Index(tmp_path / "index")
    first = make.reported()
    others = [make.none_found("a/none"), make.failed("a-b/failed"), make.found("z/found"), make.reported("m/reported")]
    for record in (first, make.found(previous=first), *others):
        index.append(record)
    return index


def content(index: Index) -> dict[str, list[object]]:
    with database.connect(index) as con:
        return {t.name: con.execute(f"FROM {t.name}").fetchall() for t in TABLES}


def test_a_divided_build_gives_the_same_rows_in_the_same_order(index: Index, request: pytest.FixtureRequest) -> None:
    database.build(index)
    whole, told, counted = content(index), check(index), stats(index)

    request.getfixturevalue("divided")
    database.build(index)

    assert (content(index), check(index), stats(index)) == (whole, told, counted)
    assert database.verify(index) == []


@pytest.mark.usefixtures("divided")
def test_rows_that_belong_to_no_model_or_to_none_of_a_shard_are_found(index: Index) -> None:
    database.build(index)
    with database.duckdb.connect(str(index.database)) as con:
        con.execute("INSERT INTO models (model_id) VALUES (NULL), ('a'), ('mm/between'), ('zz/last')")
        con.execute("DELETE FROM models WHERE model_id = 'z/found'")

    found = {(d.table, d.model_id, d.only_log, d.only_file) for d in database.verify(index)}

    assert found == {
        ("models", None, 0, 1),
        ("models", "a", 0, 1),
        ("models", "mm/between", 0, 1),
        ("models", "zz/last", 0, 1),
        ("models", "z/found", 1, 0),
    }


def test_spans_divide_all_ids() -> None:
    assert comparing.spans([["a/b", "a/c"], ["b/a"], ["c/a"]]) == [
        Span(None, "b/a"),
        Span("b/a", "c/a"),
        Span("c/a", None),
    ]
    assert comparing.spans([[]]) == [Span(None, None)]


@pytest.mark.usefixtures("divided")
def test_a_divided_release_agrees(index: Index, tmp_path: Path) -> None:
    made = release(index, tmp_path / "release", released=NOW)

    assert (made.root.models, made.root.seq) == (5, 6)


@pytest.mark.usefixtures("divided")
def test_damage_is_told_as_if_nothing_were_divided(index: Index) -> None:
    path = index.path("z/found")
    path.write_bytes(b"{\n" + path.read_bytes())

    with pytest.raises(DamagedLog, match=r"found\.jsonl line 1: not JSON"):
        database.build(index)


@pytest.mark.usefixtures("divided")
def test_a_torn_line_is_reported_by_the_process_that_asked(index: Index, caplog: pytest.LogCaptureFixture) -> None:
    with index.path("z/found").open("ab") as file:
        file.write(b"{")

    with caplog.at_level(logging.WARNING):
        database.build(index)

    assert [r.getMessage().partition(": ")[2] for r in caplog.records] == [
        "the last line is torn (or being written) and was dropped"
    ]


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.usefixtures("divided")
def test_a_process_that_ends_before_its_time_is_an_error() -> None:
    with pytest.raises(StoreError, match="ended"):
        list(shards.each(killed, [(), ()]))


def test_a_model_of_another_case_is_seen_whoever_wrote_it(tmp_path: Path) -> None:
    one, other = Index(tmp_path), Index(tmp_path)
    one.append(make.found("org/tiny"))
    other.append(make.found("Corp/First"))
    one.append(make.found("corp2/second"))
    other.append(make.found("Corp2/Third"))

    for model_id in ("corp/first", "CORP/FIRST", "corp2/Second", "corp2/third", "Org/tiny"):
        for index in (one, other, Index(tmp_path)):
            with pytest.raises(StoreError, match="differs only in case"):
                index.append(make.found(model_id))
    assert sorted(one.models()) == ["Corp/First", "Corp2/Third", "corp2/second", "org/tiny"]


def test_a_log_that_was_removed_by_hand_is_begun_anew(tmp_path: Path) -> None:
    index = Index(tmp_path)
    for name in ("org/one", "org/two"):
        index.append(make.found(name))
    index.path("org/two").unlink()

    index.append(make.found("org/two"))

    assert len(index.history("org/two")) == 1
