"""A DuckDB copy follows the changes: of its own lines, or of the lines beside it; else it is fetched whole."""

from __future__ import annotations

import os
import shutil
from itertools import count
from pathlib import Path

import duckdb
import pytest

from swindex.api.download import Format, download
from swindex.api.remote.fetch import Folder, Unreachable
from swindex.api.remote.seen import Forked, WentBack
from swindex.index import database
from swindex.index.errors import StoreError
from swindex.index.store import Index

from .copies import LATER, Broken, Lying, filled, grow, published, with_files
from .test_store_faults import Failing

NAME = "index.duckdb"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


def with_database(index: Index, site: Path, released: str) -> Path:
    published(index, site, released)
    return with_files(site, {NAME: database.build(index).read_bytes()})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index, a release of it, one three changes later, and what a copy of the first looks like."""
    home = tmp_path_factory.mktemp("home")
    index = filled(home / "index")
    with_database(index, home / "before", LATER)
    shutil.copytree(home / "before", home / "site")
    grow(index, 0)
    grow(index, 0, "brand/new")
    grow(index, 1)
    with_database(index, home / "site", LATER)
    download(str(home / "before"), home / "older", Format.DUCKDB)
    return home


@pytest.fixture
def site(home: Path) -> Path:
    return home / "site"


@pytest.fixture
def copy(home: Path, tmp_path: Path) -> Path:
    """A copy of the release before."""
    return shutil.copytree(home / "older", tmp_path / "copy")


def wrong(copy: Path, home: Path, tmp_path: Path) -> list[str]:
    """How the file differs from one that is made of the whole log."""
    judged = tmp_path / "judged"
    shutil.rmtree(judged, ignore_errors=True)
    shutil.copytree(home / "index", judged)
    shutil.copy(copy / NAME, judged / NAME)
    index = Index(judged)
    database.connect(index).close()
    return [str(d) for d in database.verify(index)]


def test_the_changes_are_enough(home: Path, site: Path, copy: Path, tmp_path: Path) -> None:
    report = download(str(site), copy, Format.DUCKDB)

    assert (report.how, report.changes, report.requests) == ("changes", 3, 3)
    assert wrong(copy, home, tmp_path) == []
    lines = (site / "versions" / "000000.9.jsonl").read_bytes().splitlines(keepends=True)
    changes = (site / "changes" / "000000.9.jsonl").stat().st_size
    assert report.bytes == (site / "root.json").stat().st_size + changes + sum(map(len, lines[6:]))


def test_a_file_that_followed_the_changes_is_up_to_date(site: Path, copy: Path) -> None:
    download(str(site), copy, Format.DUCKDB)

    report = download(str(site), copy, Format.DUCKDB)

    assert (report.how, report.requests) == ("nothing", 1)


def test_a_file_that_followed_the_changes_follows_the_next(home: Path, site: Path, copy: Path, tmp_path: Path) -> None:
    download(str(site), copy, Format.DUCKDB)
    later = shutil.copytree(home, tmp_path / "home")
    index = Index(later / "index")
    grow(index, 7, "org/two")
    with_database(index, later / "site", LATER)

    report = download(str(later / "site"), copy, Format.DUCKDB)

    assert (report.how, report.changes) == ("changes", 1)
    assert wrong(copy, later, tmp_path) == []


def damaged(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def of_another_layout(path: Path) -> None:
    with duckdb.connect(str(path)) as con:
        con.execute("UPDATE about SET value = 'old' WHERE key = 'layout'")


@pytest.mark.parametrize("spoil", [damaged, of_another_layout, Path.unlink, lambda path: path.write_bytes(b"no")])
def test_a_file_that_is_not_what_was_put_there_is_fetched_whole(site: Path, copy: Path, spoil: object) -> None:
    assert callable(spoil)
    spoil(copy / NAME)

    report = download(str(site), copy, Format.DUCKDB)

    assert report.how == "files"
    assert (copy / NAME).read_bytes() == (site / NAME).read_bytes()


def test_a_file_that_is_less_than_the_changes_is_fetched_whole(
    site: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swindex.api.download.database._CHANGE", 1 << 30)

    assert download(str(site), copy, Format.DUCKDB).how == "files"


def test_beside_lines_the_file_is_made_of_them(home: Path, site: Path, tmp_path: Path) -> None:
    both = tmp_path / "both"
    download(str(home / "before"), both)
    first = download(str(home / "before"), both, Format.DUCKDB)
    later = download(str(site), both, Format.DUCKDB)

    assert (first.how, first.requests, later.how, later.changes) == ("nothing", 1, "changes", 3)
    assert wrong(both, home, tmp_path) == []
    assert download(str(site), both).how == "nothing"
    assert database.verify(Index(both)) == []


def test_a_source_that_went_back_is_refused(home: Path, site: Path, copy: Path) -> None:
    download(str(site), copy, Format.DUCKDB)
    before = (copy / NAME).read_bytes()

    with pytest.raises(WentBack):
        download(str(home / "before"), copy, Format.DUCKDB)
    assert (copy / NAME).read_bytes() == before


def test_a_source_that_forked_is_refused(copy: Path, tmp_path: Path) -> None:
    other = Index(tmp_path / "other")
    for number in range(9):
        grow(other, number)
    before = (copy / NAME).read_bytes()

    with pytest.raises(Forked):
        download(str(with_database(other, tmp_path / "fork", LATER)), copy, Format.DUCKDB)
    assert (copy / NAME).read_bytes() == before


@pytest.mark.parametrize("folder", ["changes", "versions"])
@pytest.mark.parametrize("at", [-1, -2, -3])
def test_lines_that_were_tampered_with_are_refused(site: Path, copy: Path, folder: str, at: int) -> None:
    def lie(path: str, data: bytes) -> bytes:
        lines = data.splitlines(keepends=True)
        if path.startswith(folder):
            lines[at] = lines[at].replace(b"2026", b"2025")
        return b"".join(lines) if path.startswith(folder) else data

    before = (copy / NAME).read_bytes()
    with pytest.raises(StoreError, match=r"\A[^\n]*\Z"):
        download(Lying(Folder(site), lie), copy, Format.DUCKDB)
    assert (copy / NAME).read_bytes() == before


def test_a_line_that_dies_leaves_the_file(home: Path, site: Path, copy: Path, tmp_path: Path) -> None:
    before = (copy / NAME).read_bytes()
    for at in count(1):
        try:
            download(Broken(Folder(site), at), copy, Format.DUCKDB)
        except Unreachable:
            assert (copy / NAME).read_bytes() == before
        else:
            break
    assert at == 4
    assert wrong(copy, home, tmp_path) == []


def test_a_disk_that_fails_leaves_a_whole_file(home: Path, site: Path, copy: Path, tmp_path: Path) -> None:
    for at in count(1):
        here = shutil.copytree(copy, tmp_path / str(at))
        files = Failing(at, for_good=True)
        before = (here / NAME).read_bytes()
        try:
            download(str(site), here, Format.DUCKDB, files=files)
        except StoreError:
            assert (here / NAME).read_bytes() == before or wrong(here, home, tmp_path) == []
        if not files.failed:
            assert at > 5
            return
        download(str(site), here, Format.DUCKDB)
        assert wrong(here, home, tmp_path) == []
