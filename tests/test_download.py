"""A downloaded copy is the index, line for line; an update reads only what changed; any failure can be gone on from."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from swindex.api import origin
from swindex.api.download import Format, download
from swindex.api.remote.fetch import Folder
from swindex.api.remote.web import Http, HubDataset, Patience
from swindex.index import database, feed
from swindex.index.check import check
from swindex.index.errors import StoreError
from swindex.index.release import release
from swindex.index.store import Index

from .copies import FILES, LATER, content, filled, grow, held, published, with_files
from .hub import Hub

SOURCES = ("folder", "http", "hub")


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return filled(tmp_path / "index")


@pytest.fixture
def site(index: Index, tmp_path: Path) -> Path:
    return published(index, tmp_path / "site")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copy"


def errors(directory: Path) -> list[str]:
    return [f.message for f in check(Index(directory)) if f.severity == "error"]


# --- a first download ---


def test_a_first_download_is_the_index(index: Index, site: Path, copy: Path) -> None:
    report = download(str(site), copy)

    assert content(copy) == content(index.directory)
    assert (report.how, report.changes, report.seq) == ("changes", 6, 6)


def test_a_copy_is_a_sound_index(site: Path, copy: Path) -> None:
    download(str(site), copy)

    assert errors(copy) == []


def test_a_copy_says_where_it_came_from(index: Index, site: Path, copy: Path) -> None:
    download(str(site), copy)

    noted = origin.read(copy)
    newest = feed.newest(index.directory)
    assert noted is not None
    assert newest is not None
    assert (noted["source"], noted["seq"], noted["chain"]) == (str(site), newest.seq, newest.chain)
    assert noted["released"] == "2026-11-20T00:00:00Z"
    assert noted["checked"] >= noted["released"]


def test_nothing_is_left_but_the_copy(site: Path, copy: Path) -> None:
    download(str(site), copy)

    assert {p.name for p in copy.iterdir()} - {"index.lock"} == {"records", "changes", "origin.json", ".download"}
    assert [p.name for p in (copy / ".download").iterdir()] == ["lock"]


def test_an_empty_index_can_be_copied(tmp_path: Path, copy: Path) -> None:
    empty = Index(tmp_path / "empty")
    empty.ensure()
    site = published(empty, tmp_path / "site")

    report = download(str(site), copy)

    assert list(Index(copy).models()) == []
    assert (report.changes, report.seq) == (0, 0)


def test_a_copy_of_an_empty_index_grows(tmp_path: Path, copy: Path) -> None:
    empty = Index(tmp_path / "empty")
    empty.ensure()
    download(str(published(empty, tmp_path / "site")), copy)
    grown = filled(tmp_path / "empty")

    download(str(published(grown, tmp_path / "site", LATER)), copy)

    assert content(copy) == content(grown.directory)


# --- updates ---


def test_an_update_is_the_index(index: Index, site: Path, copy: Path) -> None:
    download(str(site), copy)
    for number in range(3):
        grow(index, number)
    grow(index, 0, "brand/new")

    report = download(str(published(index, site, LATER)), copy)

    assert content(copy) == content(index.directory)
    assert (report.changes, report.seq, report.newest) == (4, 10, "2026-11-20T12:00:00Z")
    assert errors(copy) == []


def test_an_update_reads_the_new_lines_and_one_change_more(index: Index, site: Path, copy: Path) -> None:
    download(str(site), copy)
    last = feed.newest(index.directory)
    grow(index, 0)
    report = download(str(published(index, site, LATER)), copy)

    newest = feed.newest(index.directory)
    assert last is not None
    assert newest is not None
    line = index.path("org/other").read_bytes().splitlines(keepends=True)[-1]
    changes = len(feed.line_of(last)) + len(feed.line_of(newest)) + 2
    assert report.bytes == (site / "root.json").stat().st_size + changes + len(line)
    assert report.requests == 3


def test_a_copy_that_is_up_to_date_reads_the_root_alone(site: Path, copy: Path) -> None:
    download(str(site), copy)
    before = content(copy)

    report = download(str(site), copy)

    assert (report.how, report.requests) == ("nothing", 1)
    assert report.bytes == (site / "root.json").stat().st_size
    assert content(copy) == before


def test_a_copy_may_change_its_source(index: Index, site: Path, copy: Path, tmp_path: Path) -> None:
    download(str(site), copy)
    grow(index, 0)
    mirror = published(index, tmp_path / "mirror", LATER)

    download(str(mirror), copy)

    noted = origin.read(copy)
    assert noted is not None
    assert noted["source"] == str(mirror)
    assert content(copy) == content(index.directory)


@pytest.mark.parametrize(("before", "after"), [(7, 13), (10, 11), (10, 20), (10, 25), (19, 21), (0, 30)])
def test_segments_are_gone_over(tmp_path: Path, before: int, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("feed", "site", "release.static"):
        monkeypatch.setattr(f"swindex.index.{module}.SEGMENT", 10)
    index = Index(tmp_path / "index")
    index.ensure()
    for number in range(before):
        grow(index, number, f"org/m{number % 4}")
    download(str(published(index, tmp_path / "site")), tmp_path / "copy")
    for number in range(before, after):
        grow(index, number, f"org/m{number % 7}")

    download(str(published(index, tmp_path / "site", LATER)), tmp_path / "copy")

    assert content(tmp_path / "copy") == content(index.directory)


# --- from everywhere ---


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with Hub() as running:
        yield running


@pytest.mark.parametrize("kind", Format)
@pytest.mark.parametrize("where", SOURCES)
def test_every_format_comes_from_every_source(
    where: str, kind: Format, hub: Hub, index: Index, site: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    name = f"org/{where}-{kind}"
    hub.add_folder(name, with_files(site, FILES), kind="datasets")
    patience = Patience(sleep=lambda _: None)
    source = {
        "folder": lambda: Folder(site),
        "http": lambda: Http(f"{hub.url}/datasets/{name}/resolve/main", patience),
        "hub": lambda: HubDataset(f"hf://datasets/{name}", patience),
    }[where]()

    download(source, copy, kind)

    lines, duckdb = kind is Format.JSONL, kind is Format.DUCKDB
    assert content(copy) == (content(index.directory) if lines else {})
    assert held(copy) == {p: d for p, d in FILES.items() if not lines and (p == "index.duckdb") == duckdb}


def test_a_release_of_all_forms_comes_in_every_format(index: Index, tmp_path: Path) -> None:
    site = tmp_path / "full"
    release(index, site)
    for kind in Format:
        download(str(site), tmp_path / kind, kind)
    grow(index, 0)
    made = release(index, site).root

    reports = {kind: download(str(site), tmp_path / kind, kind) for kind in Format}

    assert {kind: report.how for kind, report in reports.items()} == {
        Format.JSONL: "changes",
        Format.PARQUET: "files",
        Format.DUCKDB: "changes",
    }
    assert content(tmp_path / "jsonl") == content(index.directory)
    tables = {path for path in made.files if path.startswith("parquet/")}
    assert set(held(tmp_path / "parquet")) == tables
    assert held(tmp_path / "parquet") == {path: (site / path).read_bytes() for path in tables}
    shutil.copy(tmp_path / "duckdb" / "index.duckdb", index.database)
    assert database.verify(index) == []


def test_a_bad_line_to_the_hub_is_gone_on_with(
    hub: Hub, index: Index, site: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    hub.add_folder("org/flaky", site, kind="datasets")
    hub.fault("any", "org/flaky", probability=0.4, seed=3)
    try:
        for _ in range(20):
            with suppress(StoreError):
                source = HubDataset("hf://datasets/org/flaky", Patience(read=1, sleep=lambda _: None))
                download(source, copy)
                break
    finally:
        hub.clear()

    assert content(copy) == content(index.directory)


@pytest.mark.parametrize("kind", Format)
def test_progress_is_told_up_to_the_end(site: Path, copy: Path, kind: Format) -> None:
    told: list[tuple[str, int, int]] = []

    download(str(with_files(site, FILES)), copy, kind, step=lambda *step: told.append(step))

    whole = {
        Format.JSONL: ("versions", 6, 6),
        Format.PARQUET: ("bytes", 300, 300),
        Format.DUCKDB: ("bytes", 5000, 5000),
    }
    assert told[-1] == whole[kind]
    assert all(done <= of for _, done, of in told)
