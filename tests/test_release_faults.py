"""What a full disk, a failing one or a kill leaves of a release directory: the old release whole, or the new one."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from swindex.index import site
from swindex.index.errors import StoreError
from swindex.index.release import release
from swindex.index.release.staging import settle
from swindex.index.store import Index

from . import records as make
from . import releases
from .test_store_faults import Failing

NOW = "2026-11-22T00:00:00Z"
ROOT = Path(__file__).parent.parent


class Two:
    """An index, a release of its first version, and what its forms answer before and after."""

    def __init__(self, folder: Path) -> None:
        self.index = releases.index_of(folder / "index", make.found("org/a"))
        self.old = folder / "old"
        first = release(self.index, self.old, released=NOW).root
        self.before = releases.log(self.index.directory)
        self.index.append(make.none_found("org/b"))
        self.after = releases.log(self.index.directory)
        self.heads = {first.seq: self.before, first.seq + 1: self.after}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Two:
    return Two(tmp_path_factory.mktemp("two"))


def is_whole(directory: Path, two: Two) -> int:
    """Require that a release is whole in every form; the seq it ends with."""
    root = releases.root_of(directory)
    assert releases.damaged_files(directory) == []
    for name, answers in releases.forms(directory).items():
        assert answers == two.heads[root["seq"]], name
    return int(root["seq"])


def served(directory: Path, two: Two) -> None:
    """Require that whoever looks models up finds them, at every moment."""
    root = releases.root_of(directory)
    assert releases.jsonl(directory) == releases.tree(directory) == two.heads[root["seq"]]


def operations(two: Two, tmp_path: Path) -> int:
    """How many operations the second release takes."""
    files = Failing(at=0)
    shutil.copytree(two.old, tmp_path / "count")
    release(two.index, tmp_path / "count", released=NOW, files=files)
    return files.count


@pytest.mark.parametrize("for_good", [False, True])
def test_a_disk_that_fails_at_any_operation_leaves_a_whole_release(two: Two, tmp_path: Path, for_good: bool) -> None:
    total = operations(two, tmp_path)
    publishing = total - 60
    tried = [*range(1, publishing, 83), *range(publishing, total + 1, 3 if for_good else 7)]
    ends: set[int] = set()
    said: list[str] = []
    for at in tried:
        directory = tmp_path / str(at)
        shutil.copytree(two.old, directory)
        failed = Failing(at, for_good=for_good)
        try:
            release(two.index, directory, released=NOW, files=failed)
        except StoreError as error:
            said.append(str(error))
        served(directory, two)
        settle(directory)
        ends.add(is_whole(directory, two))
        shutil.rmtree(directory)
    assert ends == {1, 2}
    assert said
    assert not any("\n" in each for each in said)


def test_after_a_failure_the_next_release_goes_through(two: Two, tmp_path: Path) -> None:
    total = operations(two, tmp_path)
    for at in (1, total // 2, total - 30, total - 10, total - 2, total):
        directory = tmp_path / str(at)
        shutil.copytree(two.old, directory)
        with suppress(StoreError):
            release(two.index, directory, released=NOW, files=Failing(at, for_good=True))
        release(two.index, directory, released=NOW)
        assert is_whole(directory, two) == 2
        assert sorted(path.name for path in directory.iterdir() if path.name.startswith(".")) == [".release.lock"]


def test_a_first_release_that_fails_leaves_no_release(two: Two, tmp_path: Path) -> None:
    for at in count(1, 53):
        files = Failing(at, for_good=True)
        try:
            release(two.index, tmp_path / str(at), released=NOW, files=files)
        except StoreError:
            if (tmp_path / str(at)).exists():
                settle(tmp_path / str(at))
                if (tmp_path / str(at) / site.ROOT).exists():
                    assert is_whole(tmp_path / str(at), two) == 2
                release(two.index, tmp_path / str(at), released=NOW)
                assert is_whole(tmp_path / str(at), two) == 2
        if not files.failed:
            break


class Stopping(Failing):
    """Files of which nothing works any more once a release counts: all is staged, and nothing is moved yet."""

    def __init__(self) -> None:
        super().__init__(0, for_good=True)
        self.at = sys.maxsize

    def replace(self, source: Path, target: Path) -> None:
        """Rename, and fail from then on, if that was the moment."""
        super().replace(source, target)
        if target.name == ".release-done":
            self.at = self.count + 1


def test_settling_can_fail_anywhere_and_be_done_again(two: Two, tmp_path: Path) -> None:
    stopped = tmp_path / "stopped"
    shutil.copytree(two.old, stopped)
    with pytest.raises(StoreError):
        release(two.index, stopped, released=NOW, files=Stopping())
    assert (stopped / ".release-done" / "root.json").exists()

    for step in count(1, 3):
        directory = tmp_path / f"settle{step}"
        shutil.copytree(stopped, directory)
        files = Failing(step, for_good=True)
        try:
            settle(directory, files)
        except StoreError:
            served(directory, two)
        if not files.failed:
            break
        settle(directory)
        assert is_whole(directory, two) == 2
    assert step > 20


KILLED = """
import sys
from pathlib import Path
from swindex.index.release import release
from swindex.index.store import Index
from tests.kills import Killing
release(Index(Path(sys.argv[1])), Path(sys.argv[2]), released=sys.argv[3], files=Killing(int(sys.argv[4])))
"""


def test_a_killed_process_leaves_a_whole_release(two: Two, tmp_path: Path) -> None:
    total = operations(two, tmp_path)
    ends = set()
    for at in (5, total // 2, total - 60, total - 45, total - 25, total - 12, total - 4, total - 1):
        directory = tmp_path / str(at)
        shutil.copytree(two.old, directory)
        arguments = [str(two.index.directory), str(directory), NOW, str(at)]
        done = subprocess.run(
            [sys.executable, "-c", KILLED, *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        served(directory, two)
        settle(directory)
        ends.add(is_whole(directory, two))
        release(Index(two.index.directory), directory, released=NOW)
        assert is_whole(directory, two) == 2
        assert not (directory / ".release-new").exists()
    assert ends == {1, 2}
