"""What a dead line, a failing disk, another writer do to a copy: it is whole or not there, and can be gone on with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from swindex.api.download import Format, download
from swindex.api.download.target import Target
from swindex.api.remote.fetch import Folder, Unreachable
from swindex.index import feed
from swindex.index.check import check
from swindex.index.errors import Locked, StoreError
from swindex.index.store import Index

from .copies import LATER, Broken, content, filled, grow, held, published, with_files
from .test_store_faults import CHILD, ROOT, Failing, PowerFailureError, Volatile

FILES = {"index.duckdb": b"D" * 500, "parquet/models/00000.parquet": b"P" * 250, "parquet/scans/00000.parquet": b"S"}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments and pieces so small that there are several; and no waiting for a real disk."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    for module in ("feed", "site", "release.static"):
        monkeypatch.setattr(f"swindex.index.{module}.SEGMENT", 4)
    monkeypatch.setattr("swindex.api.download.files.CHUNK", 100)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return filled(tmp_path / "index")


@pytest.fixture
def before(index: Index, tmp_path: Path) -> Path:
    """A release."""
    return with_files(published(index, tmp_path / "before"), FILES)


@pytest.fixture
def site(index: Index, before: Path, tmp_path: Path) -> Path:
    """The one five changes later."""
    site = shutil.copytree(before, tmp_path / "site")
    for number in range(4):
        grow(index, number)
    grow(index, 0, "brand/new")
    newer = {**FILES, "index.duckdb": b"E" * 600, "parquet/models/00000.parquet": b"Q" * 260}
    return with_files(published(index, site, LATER), newer)


def faults(copy: Path, whole: Index) -> list[str]:
    """What is wrong with a copy that may be of an earlier moment of the index."""
    if not (copy / "records").is_dir():
        return []
    wrong = [f.message for f in check(Index(copy)) if f.severity == "error"]
    for path, data in content(copy).items():
        wrong += [] if (whole.directory / path).read_bytes().startswith(data) else [f"{path} differs"]
    newest = feed.newest(copy)
    versions = sum(len(Index(copy).versions(m)) for m in Index(copy).models())
    return wrong + ([] if versions == (newest.seq if newest else 0) else [f"{versions} versions, {newest}"])


def of(kind: Format, files: dict[str, bytes]) -> dict[str, bytes]:
    return {p: d for p, d in files.items() if kind is not Format.JSONL and (p[0] == "i") == (kind is Format.DUCKDB)}


Start = Callable[[Path, Format], None]
kinds = pytest.mark.parametrize("kind", Format)


@pytest.fixture(params=["nothing", "older"])
def start(request: pytest.FixtureRequest, before: Path, tmp_path: Path) -> Callable[[Path, Format], None]:
    """What makes a copy as it is before: none, or one of the release before."""

    def made(copy: Path, kind: Format) -> None:
        prepared = tmp_path / "prepared"
        if not prepared.exists():
            download(str(before), prepared, kind)
        if request.param == "older":
            shutil.copytree(prepared, copy)

    return made


# --- a line that dies ---


@kinds
def test_a_line_that_dies_at_any_read_is_gone_on_with(
    start: Start, kind: Format, index: Index, site: Path, tmp_path: Path
) -> None:
    wanted = of(kind, {p: (site / p).read_bytes() for p in FILES})
    for at in count(1):
        copy, source = tmp_path / str(at), Broken(Folder(site), at)
        start(copy, kind)
        try:
            download(source, copy, kind)
        except Unreachable:
            pass
        else:
            assert at > 2
            return
        assert faults(copy, index) == []
        for path, data in held(copy).items():
            assert data in (wanted[path], FILES[path])

        download(str(site), copy, kind)

        assert content(copy) == (content(index.directory) if kind is Format.JSONL else {})
        assert held(copy) == wanted


def test_what_was_fetched_is_not_fetched_again(index: Index, site: Path, tmp_path: Path) -> None:
    whole = download(str(site), tmp_path / "whole").bytes
    dying = Broken(Folder(site), 1 + 3 + 3)  # root, three segments of changes, the last of versions
    with pytest.raises(StoreError):
        download(dying, tmp_path / "copy")

    resumed = download(str(site), tmp_path / "copy")

    assert resumed.changes == 3
    assert resumed.bytes < whole / 2


# --- a disk that fails ---


@kinds
@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for good"])
def test_a_disk_that_fails_at_any_operation(
    start: Start, kind: Format, for_good: bool, index: Index, site: Path, tmp_path: Path
) -> None:
    wanted = of(kind, {p: (site / p).read_bytes() for p in FILES})
    for at in count(1):
        copy, files = tmp_path / str(at), Failing(at, for_good=for_good)
        start(copy, kind)
        with suppress(StoreError):
            download(str(site), copy, kind, files=files)
        assert faults(copy, index) == []
        if not files.failed:
            assert at > 10
            return

        download(str(site), copy, kind)

        assert content(copy) == (content(index.directory) if kind is Format.JSONL else {})
        assert held(copy) == wanted


# --- others ---


def test_two_downloads_at_once(site: Path, tmp_path: Path) -> None:
    with Target(tmp_path / "copy").claimed(), pytest.raises(Locked, match=r"another download is at work there"):
        download(str(site), tmp_path / "copy")


def test_a_writer_of_the_copy_is_waited_for_and_named(site: Path, index: Index, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    download(str(site), copy)
    grow(index, 9)
    published(index, site, LATER)
    code = f"{CHILD}\nwith Index(directory).writing():\n print('held', flush=True)\n sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(copy)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(Locked, match="another process writes"):
            download(str(site), copy, lock_timeout=0.1)
        child.kill()

    download(str(site), copy)
    assert content(copy) == content(index.directory)


# --- a first download that a crash left behind ---


def torn_line(private: Path) -> None:
    path = private / "records" / "org" / "two.jsonl"
    path.write_bytes(path.read_bytes() + b'{"model":{"id":')


def line_lost(private: Path) -> None:
    path = private / "records" / "org" / "two.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])


def zeros(private: Path) -> None:
    path = private / "records" / "org" / "found.jsonl"
    path.write_bytes(bytes(path.stat().st_size))


def edited(private: Path) -> None:
    path = private / "records" / "org" / "found.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"submitter":"', b'"submitter":"x'))


def log_lost(private: Path) -> None:
    (private / "records" / "org" / "other.jsonl").unlink()


def log_more(private: Path) -> None:
    shutil.copy(private / "records" / "org" / "other.jsonl", private / "records" / "org" / "more.jsonl")


def feed_lost(private: Path) -> None:
    shutil.rmtree(private / "changes")


def segment_lost(private: Path) -> None:
    (private / "changes" / "000000.jsonl").unlink()


def feed_zeros(private: Path) -> None:
    path = private / "changes" / "000000.jsonl"
    path.write_bytes(bytes(path.stat().st_size))


def records_lost(private: Path) -> None:
    shutil.rmtree(private / "records")


SPOILT = (torn_line, line_lost, zeros, edited, log_lost, log_more, feed_lost, segment_lost, feed_zeros, records_lost)


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__)
def test_what_a_crash_spoilt_is_not_gone_on_with(
    spoil: Callable[[Path], None], index: Index, before: Path, site: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    with pytest.raises(Unreachable):  # root, three segments of changes, the last of versions
        download(Broken(Folder(site), 1 + 3 + 3), copy)
    spoil(copy / ".download" / "index")

    download(str(site), copy)

    assert content(copy) == content(index.directory)
    assert faults(copy, index) == []


def test_an_update_survives_a_power_failure_at_any_operation(
    index: Index, before: Path, site: Path, tmp_path: Path
) -> None:
    older = tmp_path / "older"
    download(str(before), older)
    for at in count(1):
        copy = shutil.copytree(older, tmp_path / str(at))
        files = Volatile(copy, at)
        with suppress(PowerFailureError):
            download(str(site), copy, files=files)
            assert at > 30
            return
        files.power_failure()
        assert faults(copy, index) == []

        download(str(site), copy)

        assert content(copy) == content(index.directory)
