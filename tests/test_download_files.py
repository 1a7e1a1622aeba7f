"""Parquet and DuckDB files: fetched by digest, checked whole, gone on with where an earlier try stopped."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from swindex.api import origin
from swindex.api.download import Format, download
from swindex.api.download import files as by_digest
from swindex.api.remote.fetch import Folder, Unreachable
from swindex.index.errors import StoreError
from swindex.index.store import Index

from .copies import FILES, Broken, content, filled, held, published, with_files

PARQUET = {path: data for path, data in FILES.items() if path.startswith("parquet")}


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return filled(tmp_path / "index")


@pytest.fixture
def site(index: Index, tmp_path: Path) -> Path:
    return published(index, tmp_path / "site")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copy"


def test_parquet_is_the_files_of_the_release(site: Path, copy: Path) -> None:
    report = download(str(with_files(site, FILES)), copy, Format.PARQUET)

    assert held(copy) == PARQUET
    assert (report.how, report.files, report.changes) == ("files", 2, 0)


def test_a_file_larger_than_a_piece(site: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_digest, "CHUNK", 100)

    report = download(str(with_files(site, FILES)), copy, Format.PARQUET)

    assert held(copy) == PARQUET
    assert report.requests == 1 + 3


def test_only_files_whose_content_changed_are_fetched(site: Path, copy: Path) -> None:
    download(str(with_files(site, FILES)), copy, Format.PARQUET)
    changed = {**FILES, "parquet/models/00000.parquet": b"Q" * 301, "parquet/new/00000.parquet": b"N"}

    report = download(str(with_files(site, changed)), copy, Format.PARQUET)

    assert held(copy) == {p: d for p, d in changed.items() if p.startswith("parquet")}
    assert report.bytes == (site / "root.json").stat().st_size + 301 + 1
    assert report.files == 2


def test_a_table_that_is_gone_goes(site: Path, copy: Path) -> None:
    download(str(with_files(site, FILES)), copy, Format.PARQUET)
    fewer = {p: d for p, d in FILES.items() if "models" in p}

    download(str(with_files(site, fewer)), copy, Format.PARQUET)

    assert held(copy) == fewer


def test_a_file_that_was_damaged_here_is_fetched_again(site: Path, copy: Path) -> None:
    download(str(with_files(site, FILES)), copy, Format.PARQUET)
    (copy / "parquet" / "models" / "00000.parquet").write_bytes(b"X" * 300)

    download(str(site), copy, Format.PARQUET)

    assert held(copy) == PARQUET


@pytest.mark.parametrize("left", [b"P" * 200, b"X" * 200, b"P" * 300, b"X" * 300, b"P" * 400])
def test_what_is_left_of_an_earlier_try_is_gone_on_with_or_not(site: Path, copy: Path, left: bytes) -> None:
    with_files(site, {"parquet/models/00000.parquet": b"P" * 300})
    part = copy / ".download" / f"{hashlib.sha256(b'P' * 300).hexdigest()}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(left)

    report = download(str(site), copy, Format.PARQUET)

    assert held(copy) == {"parquet/models/00000.parquet": b"P" * 300}
    reads = {b"P" * 200: 100, b"X" * 200: 100 + 300, b"P" * 300: 0, b"X" * 300: 300, b"P" * 400: 300}
    assert report.bytes - (site / "root.json").stat().st_size == reads[left]


def test_forms_lie_side_by_side(index: Index, site: Path, copy: Path) -> None:
    for kind in (Format.PARQUET, Format.DUCKDB, Format.JSONL):
        download(str(with_files(site, FILES)), copy, kind)

    noted = origin.read(copy)
    assert held(copy) == FILES
    assert content(copy) == content(index.directory)
    assert noted is not None
    assert noted["seq"] == noted["files"]["parquet"]["seq"] == noted["files"]["duckdb"]["seq"] == 6


@pytest.mark.parametrize(("kind", "what"), [(Format.PARQUET, "Parquet"), (Format.DUCKDB, "DuckDB")])
def test_a_release_without_these_files_says_so(site: Path, copy: Path, kind: Format, what: str) -> None:
    with pytest.raises(StoreError, match=f"has no {what} files; choose another --format"):
        download(str(with_files(site, {})), copy, kind)


def test_what_was_fetched_of_another_form_is_kept(site: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_digest, "CHUNK", 1000)
    with pytest.raises(Unreachable):
        download(Broken(Folder(with_files(site, FILES)), 4), copy, Format.DUCKDB)
    download(str(site), copy)
    download(str(site), copy, Format.PARQUET)
    lines = [copy / name for name in ("records", "changes")]
    for each in lines:
        shutil.rmtree(each)

    assert download(str(site), copy, Format.DUCKDB).requests == 1 + 3
    assert [p.name for p in (copy / ".download").iterdir()] == ["lock"]
