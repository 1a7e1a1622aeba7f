"""A full disk, missing permissions, other folders, other processes, kills: what a download does then."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from swindex.api.download import Format, download
from swindex.index.errors import StoreError
from swindex.index.store import Index

from .copies import LATER, content, filled, grow, published
from .test_store_faults import CHILD, ROOT, run_child


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return filled(tmp_path / "index")


@pytest.fixture
def before(index: Index, tmp_path: Path) -> Path:
    return published(index, tmp_path / "before")


@pytest.fixture
def site(index: Index, before: Path, tmp_path: Path) -> Path:
    """The release four changes later, one of them of a new model."""
    site = shutil.copytree(before, tmp_path / "site")
    for number in range(3):
        grow(index, number)
    grow(index, 0, "brand/new")
    return published(index, site, LATER)


# --- what is no place for a copy, or no source ---


@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "parquet"])
def test_another_folder_is_refused(site: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / name).mkdir()

    with pytest.raises(StoreError, match=r"copy: holds other files; choose another directory with --to DIR"):
        download(str(site), copy)
    assert [p.name for p in copy.iterdir()] == [name]


def test_an_index_of_somebody_is_refused(index: Index, site: Path) -> None:
    before = content(index.directory)

    with pytest.raises(StoreError, match="holds an index that was not downloaded; choose another directory"):
        download(str(site), index.directory)
    assert content(index.directory) == before


def test_a_file_is_no_target(site: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StoreError, match=r"file: cannot be looked into: Not a directory"):
        download(str(site), tmp_path / "file")


@pytest.mark.parametrize("kind", Format)
def test_a_source_that_is_no_release_makes_nothing(tmp_path: Path, kind: Format) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(StoreError, match=r"root\.json: not there"):
        download(str(tmp_path / "empty"), tmp_path / "copy", kind)
    assert not (tmp_path / "copy").exists()


# --- in processes of their own ---

CODE = """
from swindex.api.download import download
def attempt(*arguments):
    try:
        print(download(*arguments).changes)
    except StoreError as error:
        print(error)
"""


@pytest.mark.parametrize("start", ["nothing", "older"])
def test_a_full_disk_says_so_and_leaves_the_copy(
    start: str, index: Index, before: Path, site: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    if start == "older":
        download(str(before), copy)
    was = content(copy)

    done = run_child(
        f"""{CODE}
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
attempt(sys.argv[2], directory)
""",
        copy,
        site,
    )

    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    assert "not written: File too large" in done.stdout
    assert all(content(copy)[path].startswith(data) for path, data in was.items())
    download(str(site), copy)
    assert content(copy) == content(index.directory)


def test_a_directory_that_may_not_be_written_says_so(before: Path, site: Path, tmp_path: Path) -> None:
    copy = tmp_path / "home" / "copy"
    download(str(before), copy)
    for path in (tmp_path, site, *site.rglob("*"), tmp_path / "home", copy, *copy.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)

    done = run_child(
        f"""{CODE}
import swindex.api.download.run
drop_rights()
attempt("site", Path("home/copy"))
attempt("site", Path("home/new"))
""",
        tmp_path,
    )

    assert done.stderr == ""
    first, second = done.stdout.splitlines()
    assert first == "home/copy: not writable; choose another directory with --to DIR"
    assert second == "home/new/.download: the directory cannot be made: Permission denied"


def test_two_processes_at_once_make_one_copy(index: Index, site: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    code = f"{CHILD}{CODE}\nattempt(sys.argv[2], directory)"
    command = [sys.executable, "-c", code, str(copy), str(site)]
    children = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]

    said = [child.communicate(timeout=120)[0].strip() for child in children]

    assert all(s in ("10", "0") or "another download is at work there" in s for s in said)
    assert said.count("10") == 1
    assert content(copy) == content(index.directory)


def test_kills_at_every_operation_leave_nothing_wrong(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.kill_downloads", "operations", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=280)

    found = json.loads(done.stdout)
    assert found["wrong"] == []
    assert min(found["kills"].values()) > 50
