"""`swindex index check` on a release: what is wrong with it is found and named."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from swindex.api.main import main
from swindex.api.released import OF_A_FILE, check_released
from swindex.index import feed, site
from swindex.index.check import check
from swindex.index.release import make as making
from swindex.index.release import release
from swindex.index.release.staging import DONE, Staging
from swindex.index.store import Index
from swindex.schema.canonical import canonical_bytes

from . import records as make
from . import releases


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Index, Path]:
    """An index, and a release of it."""
    folder = tmp_path_factory.mktemp("whole")
    index = releases.varied(folder / "index")
    release(index, folder / "release", released="2026-11-22T00:00:00Z")
    return index, folder / "release"


@pytest.fixture
def planted(whole: tuple[Index, Path], tmp_path: Path) -> Path:
    """A copy of that release, to damage."""
    shutil.copytree(whole[1], tmp_path / "planted")
    return tmp_path / "planted"


def test_a_sound_release_is_told_of_as_its_index(whole: tuple[Index, Path]) -> None:
    index, made = whole
    checked = check_released(made)
    assert checked.models == len(list(index.models()))
    assert [f.code for f in checked.findings] == [f.code for f in check(index) if f.code not in OF_A_FILE]


def test_a_finding_in_a_release_names_no_temporary_place(whole: tuple[Index, Path]) -> None:
    found = check_released(whole[1]).findings
    assert found
    assert not any("swindex-check-" in f.where + f.message for f in found)


def edited(folder: Path, path: str) -> None:
    """Turn one bit of a file."""
    file = next(iter(sorted(folder.glob(path))))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


def restated(folder: Path) -> None:
    """Let the root name the tables that are there."""
    root = site.Root.parse((folder / "root.json").read_bytes())
    root = root._replace(files={path: Staging(folder).described(path) for path in root.files})
    (folder / "root.json").write_bytes(root.to_bytes())


def without_a_row(folder: Path) -> None:
    """Take a row out of a Parquet table, and let the root name what is left."""
    import pyarrow.parquet as pq

    path = next(iter(sorted((folder / "parquet" / "models").rglob("*.parquet"))))
    pq.write_table(pq.read_table(path).slice(1), path)
    restated(folder)


DAMAGE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "no root": ("release-root", lambda d: (d / "root.json").unlink()),
    "half a root": ("release-root", lambda d: (d / "root.json").write_bytes(b'{"seq":')),
    "not put in place to the end": ("release-root", lambda d: (d / DONE).mkdir()),
    "no card": ("release-file", lambda d: (d / "README.md").unlink()),
    "another table": ("release-file", lambda d: edited(d, "parquet/*/*.parquet")),
    "another database": ("release-file", lambda d: edited(d, "index.duckdb")),
    "another change": ("release-differs", lambda d: edited(d, "changes/*")),
    "another version": ("release-differs", lambda d: edited(d, "versions/*")),
    "another node": ("release-differs", lambda d: edited(d, "nodes/*/*")),
    "no changes": ("release-differs", lambda d: shutil.rmtree(d / "changes")),
    "a row less": ("release-differs", without_a_row),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_has_its_code(name: str, planted: Path) -> None:
    code, damage = DAMAGE[name]
    damage(planted)
    assert {f.code for f in check_released(planted).findings} == {code}


def test_versions_that_do_not_follow_each_other_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All forms agree that the second version names another one than the first as the one before."""
    index = Index(tmp_path / "index")
    first = make.failed("org/a", scan_id="scan-1")
    other = make.failed("org/a", scan_id="scan-other")
    versions = [r.model_dump(mode="json") for r in (first, make.found("org/a", previous=other, scan_id="scan-2"))]
    entries: list[feed.Entry] = []
    for version in versions:
        entries.append(feed.next_entry(entries[-1] if entries else None, version))
    write(index.records / "org" / "a.jsonl", map(canonical_bytes, versions))
    write(feed.segment(index.directory, 0), map(feed.line_of, entries))
    monkeypatch.setattr(making, "require_sound", lambda _: None)
    release(index, tmp_path / "release")

    assert {f.code for f in check_released(tmp_path / "release").findings} == {"release-unpacked"}


def write(path: Path, lines: Iterable[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def test_a_check_leaves_a_release_as_it_was(whole: tuple[Index, Path]) -> None:
    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in whole[1].rglob("*") if path.is_file()}

    before = files()
    check_released(whole[1])
    assert files() == before


def test_the_command_exits_1_on_damage(planted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edited(planted, "versions/*")
    assert main(["index", "check", "--index", str(planted)]) == 1
    assert "release-differs" in capsys.readouterr().out
