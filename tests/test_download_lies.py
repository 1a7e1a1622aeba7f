"""A source that was tampered with is refused in one line; nothing wrong is taken, the old copy answers as before."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swindex.api.download import Format, download
from swindex.api.remote.fetch import Folder
from swindex.api.remote.seen import Forked, WentBack
from swindex.index import feed
from swindex.index.check import check
from swindex.index.errors import StoreError
from swindex.index.site import ROOT, Root
from swindex.index.store import Index
from swindex.schema.canonical import canonical_bytes, digest_of

from .copies import LATER, Lying, content, filled, grow, published, with_files

Lie = Callable[[bytes], bytes]
FILES = {"index.duckdb": b"D" * 500, "parquet/models/00000.parquet": b"P" * 250}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index, a release of it, and one three changes later. Nobody changes them."""
    home = tmp_path_factory.mktemp("home")
    index = filled(home / "index")
    with_files(published(index, home / "before"), FILES)
    shutil.copytree(home / "before", home / "site")
    shutil.copytree(home / "index", home / "earlier")
    for number in range(3):
        grow(index, number)
    with_files(published(index, home / "site", LATER), {p: d.lower() for p, d in FILES.items()})
    return home


@pytest.fixture
def index(home: Path) -> Index:
    return Index(home / "index")


@pytest.fixture
def before(home: Path) -> Path:
    return home / "before"


@pytest.fixture
def site(home: Path) -> Path:
    return home / "site"


@pytest.fixture(params=["first", "update"])
def copy(request: pytest.FixtureRequest, before: Path, tmp_path: Path) -> Path:
    """Where nothing is, or a copy of the release before."""
    if request.param == "update":
        for kind in Format:
            download(str(before), tmp_path / "copy", kind)
    return tmp_path / "copy"


def everything(copy: Path) -> dict[str, bytes]:
    """All that a reader of the copy sees."""
    if not copy.exists():
        return {}
    paths = (p for p in copy.rglob("*") if p.is_file() and ".download" not in p.parts and p.name != "index.lock")
    return {p.relative_to(copy).as_posix(): p.read_bytes() for p in paths}


def refused(source: Any, copy: Path, kind: Format = Format.JSONL) -> str:
    """The one line it is refused with; what is seen of the copy is as it was."""
    before = everything(copy)
    with pytest.raises(StoreError) as raised:
        download(source, copy, kind)
    assert everything(copy) == before
    assert "\n" not in str(raised.value)
    return str(raised.value)


def in_last_line(change: Callable[[dict[str, Any]], object]) -> Lie:
    """Change what the last line says."""

    def lie(data: bytes) -> bytes:
        *lines, last = data.splitlines()
        said = json.loads(last)
        change(said)
        return b"".join(line + b"\n" for line in (*lines, canonical_bytes(said)))

    return lie


def edited(said: dict[str, Any]) -> None:
    said["provenance"]["submitter"] = "mallory"


def edited_and_signed(said: dict[str, Any]) -> None:
    """Edit a version and give it the digest that fits."""
    edited(said)
    said["provenance"]["digest"] = digest_of(said)


def swapped(data: bytes) -> bytes:
    *lines, one, other = data.splitlines(keepends=True)
    return b"".join((*lines, other, one))


def spaced(data: bytes) -> bytes:
    """The same JSON, in other bytes."""
    return data[:-2] + b" }\n"


def garbage(data: bytes) -> bytes:
    *lines, last = data.splitlines(keepends=True)
    return b"".join(lines) + b"x" * (len(last) - 1) + b"\n"


LIES: dict[str, Lie] = {
    "edited": in_last_line(edited),
    "edited and signed": in_last_line(edited_and_signed),
    "a field more": in_last_line(lambda said: said.update(more=1)),
    "swapped": swapped,
    "spaced": spaced,
    "garbage": garbage,
    "a line less": lambda data: b"".join(data.splitlines(keepends=True)[:-1]),
    "a line more": lambda data: data + data.splitlines(keepends=True)[-1],
    "cut": lambda data: data[:-10],
    "without newline": lambda data: data[:-1],
    "empty": lambda data: b"",
    "one line twice": lambda data: b"".join((s := data.splitlines(keepends=True))[:-2]) + s[-1] * 2,
    "an empty line": lambda data: b"".join(data.splitlines(keepends=True)[:-1]) + b"\n",
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("folder", ["versions", "changes"])
def test_segments_that_were_tampered_with(site: Path, copy: Path, folder: str, lie: str) -> None:
    tell = LIES[lie] if lie[:6] != "edited" or folder == "versions" else in_last_line(lambda s: s.update(version=9))
    source = Lying(Folder(site), lambda path, data: tell(data) if path.startswith(folder) else data)
    first, before = not copy.exists(), content(copy)
    if folder == "versions" and not first:  # what came before the lie was right, and stays
        with pytest.raises(StoreError):
            download(source, copy)
        after = content(copy)
        assert all(after[path].startswith(data) for path, data in before.items())
        assert all((site.parent / "index" / path).read_bytes().startswith(data) for path, data in after.items())
    else:
        refused(source, copy)
    assert not first or not (copy / "records").exists()

    download(str(site), copy)

    assert content(copy) == content(site.parent / "index")
    assert [f for f in check(Index(copy)) if f.severity == "error" and not f.code.startswith("database")] == []


@pytest.mark.parametrize("lie", ["edited", "edited and signed", "garbage", "cut", "empty"])
@pytest.mark.parametrize("start", ["first", "update"])
def test_files_that_were_tampered_with(before: Path, site: Path, tmp_path: Path, start: str, lie: str) -> None:
    copy = tmp_path / "copy"  # without lines: beside those the DuckDB file is made of them
    for kind in (Format.PARQUET, Format.DUCKDB) if start == "update" else ():
        download(str(before), copy, kind)
    tell: dict[str, Lie] = {
        "edited": lambda data: b"X" + data[1:],
        "edited and signed": lambda data: data[:-1] + b"X",
        "garbage": lambda data: bytes(len(data)),
        "cut": lambda data: data[:-1],
        "empty": lambda data: b"",
    }
    for kind, name in ((Format.PARQUET, "parquet"), (Format.DUCKDB, "index.duckdb")):
        source = Lying(Folder(site), lambda path, data, name=name: tell[lie](data) if path.startswith(name) else data)

        refused(source, copy, kind)
        download(str(site), copy, kind)


def root_says(**fields: Any) -> Callable[[str, bytes], bytes]:
    """What root.json says otherwise."""
    return lambda path, data: Root.parse(data)._replace(**fields).to_bytes() if path == ROOT else data


@pytest.mark.parametrize("fields", [{"chain": "a" * 64}, {"seq": 8}, {"seq": 10}, {"seq": 10**9}, {"newest": LATER}])
def test_a_root_that_the_changes_do_not_lead_to(site: Path, copy: Path, fields: dict[str, Any]) -> None:
    refused(Lying(Folder(site), root_says(**fields)), copy)


@pytest.mark.parametrize("fields", [{"tree": "a" * 64}, {"tree": "a" * 64, "models": 3}])
def test_a_tree_that_is_not_of_the_changes(site: Path, tmp_path: Path, fields: dict[str, Any]) -> None:
    source = Lying(Folder(site), root_says(**fields))

    assert "its tree of models is not what its changes make" in refused(source, tmp_path / "copy")
    download(str(site), tmp_path / "copy")
    assert "its tree of models is not what its changes make" in refused(source, tmp_path / "copy")


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b"{" * 10_000, b'{"format":2}'])
def test_a_root_that_is_none(site: Path, copy: Path, data: bytes) -> None:
    for kind in Format:
        assert ROOT in refused(Lying(Folder(site), lambda path, was: data if path == ROOT else was), copy, kind)


def test_a_crawl_that_is_too_long_to_note(site: Path, copy: Path) -> None:
    crawl = {"started": "x" * 100_000, "ended": "", "complete": True, "stopped": None}
    crawl |= dict.fromkeys(("listed", "eligible", "indexed"), 0)

    assert "crawl is too long" in refused(Lying(Folder(site), root_says(crawl=crawl)), copy)


def test_a_source_that_went_back(before: Path, site: Path, tmp_path: Path) -> None:
    copy = tmp_path / "new"
    download(str(site), copy)

    with pytest.raises(WentBack, match=r"went back: it ends with change 6, .*/new has 9; .*delete .*/new and download"):
        download(str(before), copy)


def forked(tmp_path: Path, more: int) -> Path:
    """A release of an index that parted from the other after its fourth change."""
    index = Index(tmp_path / "other")
    for number in range(4):
        grow(index, number, f"org/m{number}")
    for number in range(more):
        grow(index, number, "parted/here")
    return published(index, tmp_path / "fork")


@pytest.mark.parametrize("more", [2, 3, 9])
def test_a_source_that_forked(before: Path, tmp_path: Path, more: int) -> None:
    copy = tmp_path / "copy"
    download(str(before), copy)
    before_ = everything(copy)

    with pytest.raises(Forked, match=r"forked: its change 6 is not that of .*copy; .*--to DIR\) and compare"):
        download(str(forked(tmp_path, more)), copy)
    assert everything(copy) == before_


@pytest.mark.parametrize("size", [4, 6, 8])
def test_a_fork_is_seen_at_the_end_of_a_segment_too(
    home: Path, tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("feed", "site", "release.static"):
        monkeypatch.setattr(f"swindex.index.{module}.SEGMENT", size)
    copy = tmp_path / "copy"
    shutil.copytree(home / "earlier" / "records", tmp_path / "index" / "records")  # its feed is made in such segments
    index = Index(tmp_path / "index")
    with index.writing():
        pass
    download(str(published(index, tmp_path / "before")), copy)

    with pytest.raises(Forked):
        download(str(forked(tmp_path, 9)), copy)


def test_a_copy_that_was_written_to_has_forked(index: Index, before: Path, site: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    download(str(before), copy)
    grow(Index(copy), 99, "my/own")

    with pytest.raises(Forked):
        download(str(site), copy)


def test_a_segment_without_end_is_not_read(site: Path, copy: Path) -> None:
    class Endless(Lying):
        def read(self, path: str, *, start: int = 0, length: int | None = None, most: int) -> bytes:
            if path.startswith("versions"):
                assert most <= 9 * ((1 << 26) + 1)
                raise StoreError(f"{path}: {most} at most are read here")
            return super().read(path, start=start, length=length, most=most)

    assert "at most are read" in refused(Endless(Folder(site), lambda _, data: data), copy)


def test_a_wrong_version_of_a_chain_is_refused_though_all_digests_fit(index: Index, tmp_path: Path) -> None:
    """A whole index, forged with fitting digests and chain, in which a version skips the one before it."""
    lines = [path.read_bytes().splitlines() for path in sorted(index.records.rglob("*.jsonl"))]
    said = [json.loads(line) for each in lines for line in each]
    said = [s for s in said if s["model"]["id"] != "org/two" or s["provenance"]["version"] == 2]
    entry, entries = None, []
    for each in said:
        entries.append(entry := feed.next_entry(entry, each))
    site = tmp_path / "forged"
    (site / "changes").mkdir(parents=True)
    (site / "versions").mkdir()
    (site / f"changes/000000.{len(said)}.jsonl").write_bytes(b"".join(feed.line_of(e) + b"\n" for e in entries))
    (site / f"versions/000000.{len(said)}.jsonl").write_bytes(b"".join(canonical_bytes(s) + b"\n" for s in said))
    root = Root.parse((published(index, tmp_path / "fair") / ROOT).read_bytes())
    (site / ROOT).write_bytes(root._replace(seq=len(said), chain=entries[-1].chain, newest=entries[-1].time).to_bytes())

    assert "does not follow the 0 versions that are here" in refused(str(site), tmp_path / "copy")
