"""`swindex index withdraw`: a record is taken back and put back by new versions; nothing is removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from swindex.api.main import main
from swindex.index import database
from swindex.index.check import check
from swindex.index.counts import stats
from swindex.index.store import Index

from . import records as make

WHY, WHO = ("--reason", "scanned the wrong file"), ("--by", "ann")


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """An index with one record of ours."""
    index = Index(tmp_path / "index")
    index.append(make.found("org/a"))
    return index


def run(index: Index, *arguments: str, status: int = 0) -> None:
    assert main(["index", "withdraw", "org/a", *arguments, "--index", str(index.directory)]) == status


def test_a_withdrawn_record_says_why_and_counts_for_nothing(index: Index) -> None:
    run(index, *WHY, *WHO, "--yes")
    said = index.read("org/a").provenance
    assert said.withdrawn is not None
    assert (said.withdrawn.reason, said.submitter, said.version) == ("scanned the wrong file", "ann", 2)
    assert stats(index)["withdrawn"] == 1


def test_what_was_withdrawn_is_still_in_the_history(index: Index) -> None:
    before = index.read("org/a")
    run(index, *WHY, *WHO, "--yes")
    assert index.history("org/a")[0] == before


def test_a_restored_record_says_what_it_said(index: Index) -> None:
    before = index.read("org/a")
    run(index, *WHY, *WHO, "--yes")
    run(index, "--restore", *WHO, "--yes")
    after = index.read("org/a")
    assert after.provenance.withdrawn is None
    assert after.model_dump(exclude={"provenance"}) == before.model_dump(exclude={"provenance"})


def test_both_leave_a_sound_index_and_a_fresh_database(index: Index) -> None:
    database.build(index)
    run(index, *WHY, *WHO, "--yes")
    run(index, "--restore", *WHO, "--yes")
    assert not {f.code for f in check(index)} & {"database-stale", "database-differs", "feed-lacks", "chain-previous"}


def test_a_dry_run_writes_nothing(index: Index) -> None:
    run(index, *WHY, *WHO, "--dry-run")
    assert len(index.history("org/a")) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (WHO, "needs --reason TEXT and --by NAME"),
        (WHY, "needs --reason TEXT and --by NAME"),
        (("--restore", *WHO), "org/a: not withdrawn"),
        (("--restore", *WHY, *WHO), "--restore takes no --reason"),
        ((*WHY, *WHO), "nobody to ask"),
    ],
)
def test_what_cannot_be_done_is_said(
    index: Index, arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(index, *arguments, status=2)
    assert said in capsys.readouterr().err
    assert len(index.history("org/a")) == 1


def test_a_record_is_not_withdrawn_twice_for_one_reason(index: Index, capsys: pytest.CaptureFixture[str]) -> None:
    run(index, *WHY, *WHO, "--yes")
    run(index, *WHY, *WHO, "--yes", status=2)
    assert "withdrawn for that reason already" in capsys.readouterr().err
