"""What a failing disk, a crash, a full disk and other writers do to a log: nothing acknowledged is ever lost."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from swindex.index import database, log
from swindex.index.check import check
from swindex.index.errors import Locked, StoreError
from swindex.index.files import Files, make_folder, publish
from swindex.index.store import Appended, Index
from swindex.schema import Record
from swindex.schema.canonical import canonical_bytes

from . import records as make

ROOT = Path(__file__).parent.parent
FIRST = make.reported()
SECOND = make.found(previous=FIRST)
THIRD = make.none_found(previous=SECOND, scan_id="scan-3")


def line_of(record: Record) -> bytes:
    return canonical_bytes(record.model_dump(mode="json"))


# --- a disk that fails at the k-th operation ---


class Failing(Files):
    """Files whose `at`-th operation fails (and with `for_good` all later ones); counts them."""

    def __init__(self, at: int, code: int = errno.ENOSPC, *, for_good: bool = False) -> None:
        self.at, self.code, self.for_good = at, code, for_good
        self.count = 0
        self.failed: list[str] = []

    def _step(self, name: str) -> None:
        self.count += 1
        if self.count == self.at or (self.for_good and self.count > self.at):
            self.failed.append(name)
            raise OSError(self.code, os.strerror(self.code))


def _failing(name: str) -> Callable[..., Any]:
    def operation(self: Failing, *arguments: Any) -> Any:
        self._step(name)
        return getattr(Files, name)(self, *arguments)

    return operation


OPERATIONS = ("open", "write", "fsync", "truncate", "close", "replace", "unlink", "mkdir")
for _name in OPERATIONS:
    setattr(Failing, _name, _failing(_name))


def nothing(_: Index) -> None:
    """A new index."""


def another_model(index: Index) -> None:
    index.append(make.failed("org/other"))


def one_version(index: Index) -> None:
    index.append(FIRST)


def torn_end(index: Index) -> None:
    index.append(FIRST)
    path = index.path(make.MODEL_ID)
    path.write_bytes(path.read_bytes() + b'{"model":{"id":')


def left_over(index: Index) -> None:
    """A crash left the temporary file of a new log."""
    index.append(make.failed("org/other"))
    (index.records / "org" / ".tiny.jsonl.tmp").write_bytes(b"{" * 9999)


STARTS: tuple[tuple[Callable[[Index], None], list[Record]], ...] = (
    (nothing, []),
    (another_model, []),
    (left_over, []),
    (one_version, [FIRST]),
    (torn_end, [FIRST]),
)
starts = pytest.mark.parametrize(("start", "before"), STARTS, ids=lambda s: getattr(s, "__name__", ""))


def failures(tmp_path: Path, start: Callable[[Index], None], **how: Any) -> Iterator[tuple[Index, Failing]]:
    """Yield an index in its starting state and a disk that fails at operation 1, 2, ... until none is left to fail."""
    for at in count(1):
        directory = tmp_path / str(at)
        start(Index(directory))
        files = Failing(at, **how)
        yield Index(directory, files=files), files
        if not files.failed:
            return


def refusal(operation: Callable[..., object], *arguments: object) -> StoreError | None:
    """How the store refuses; None if it does not."""
    try:
        operation(*arguments)
    except StoreError as error:
        return error
    return None


def history(index: Index) -> list[Record]:
    """The versions that a reader finds."""
    path = log.path_of(index.records, make.MODEL_ID)
    return [record for record, _ in index.versions(make.MODEL_ID)] if path.exists() else []


@starts
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_failed_append_leaves_the_log_as_it_was(
    tmp_path: Path, start: Callable[[Index], None], before: list[Record], code: int
) -> None:
    record = SECOND if before else FIRST
    failed: set[str] = set()
    for index, files in failures(tmp_path, start, code=code):
        error = refusal(index.append, record)
        if error:
            assert (error.exit_status, str(error).count("\n")) == (3, 0)
            assert os.strerror(code) in str(error)
            assert history(index) == before
        else:
            assert set(files.failed) <= {"close"}
        assert Index(index.directory).append(record) in Appended
        assert history(index) == [*before, record]
        failed |= set(files.failed)

    assert failed >= {"open", "write", "fsync"}


@starts
def test_what_was_acknowledged_survives_a_disk_that_fails_for_good(
    tmp_path: Path, start: Callable[[Index], None], before: list[Record]
) -> None:
    record = SECOND if before else FIRST
    undone = 0
    for index, _ in failures(tmp_path, start, for_good=True):
        error = refusal(index.append, record)
        assert history(index) in (before, [*before, record])
        undone += "undoing that failed too" in str(error)
        Index(index.directory).append(record)
        assert history(index) == [*before, record]

    assert undone >= 1


def test_an_interrupted_append_is_undone(tmp_path: Path) -> None:
    class Interrupted(Files):
        def fsync(self, fd: int) -> None:
            raise KeyboardInterrupt

    one_version(Index(tmp_path))

    with pytest.raises(KeyboardInterrupt):
        Index(tmp_path, files=Interrupted()).append(SECOND)

    assert history(Index(tmp_path)) == [FIRST]


class Short(Files):
    """Files that write a few bytes at a time, and after `most` bytes none."""

    def __init__(self, most: int) -> None:
        self.left = most

    def write(self, fd: int, data: bytes) -> int:
        written = os.write(fd, data[: min(self.left, 7)])
        self.left -= written
        return written


@pytest.mark.parametrize("before", [[], [FIRST]])
def test_short_writes_are_continued(tmp_path: Path, before: list[Record]) -> None:
    for record in before:
        Index(tmp_path).append(record)
    record = SECOND if before else FIRST

    Index(tmp_path, files=Short(1 << 30)).append(record)

    assert history(Index(tmp_path)) == [*before, record]


@pytest.mark.parametrize("before", [[], [FIRST]])
def test_a_write_that_stops_half_way_is_undone(tmp_path: Path, before: list[Record]) -> None:
    for record in before:
        Index(tmp_path).append(record)

    with pytest.raises(StoreError, match="nothing was written; it is as before"):
        Index(tmp_path, files=Short(500)).append(SECOND if before else FIRST)

    assert history(Index(tmp_path)) == before


def test_publishing_fails_without_harm(tmp_path: Path) -> None:
    for at in count(1):
        new, path = tmp_path / "new", tmp_path / "published"
        new.write_bytes(b"new")
        path.write_bytes(b"old")
        files = Failing(at)
        error = refusal(publish, new, path, files)
        if error:
            assert str(error) == f"{path}: not published: No space left on device"
            assert path.read_bytes() in (b"old", b"new")
        else:
            assert path.read_bytes() == b"new"
        if not files.failed:
            return


def test_a_folder_that_is_made_meanwhile_is_no_error(tmp_path: Path) -> None:
    class Raced(Files):
        def mkdir(self, path: Path) -> None:
            path.mkdir()
            path.mkdir()

    make_folder(tmp_path / "a" / "b", Raced())

    assert (tmp_path / "a" / "b").is_dir()


# --- a power failure: what was not fsynced is gone ---


class PowerFailureError(BaseException):
    """Not an Exception: nothing may clean up after it, as nothing would."""


@dataclass
class Inode:
    """A file as it would be after a power failure: what its last fsync saw."""

    durable: bytes = b""


@dataclass
class Volatile(Files):
    """A disk that keeps names and content in memory until they are fsynced, and stops at operation `at`."""

    root: Path
    at: int
    count: int = 0
    names: dict[Path, Inode | None] = field(default_factory=dict)
    """What is there now; None is a directory."""
    kept: dict[Path, Inode | None] = field(default_factory=dict)
    """What would be there after a power failure."""
    opened: dict[int, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        there = (self.root, *self.root.rglob("*"))
        self.names = {p: None if p.is_dir() else Inode(p.read_bytes()) for p in there}
        self.kept = dict(self.names)

    def _step(self) -> None:
        self.count += 1
        if self.count >= self.at:
            raise PowerFailureError

    def open(self, path: Path, flags: int) -> int:
        self._step()
        fd = super().open(path, flags)
        self.opened[fd] = path
        self.names.setdefault(path, None if path.is_dir() else Inode())
        return fd

    def write(self, fd: int, data: bytes) -> int:
        self._step()
        return super().write(fd, data)

    def truncate(self, fd: int, length: int) -> None:
        self._step()
        super().truncate(fd, length)

    def close(self, fd: int) -> None:
        del self.opened[fd]
        super().close(fd)

    def fsync(self, fd: int) -> None:
        self._step()
        path = self.opened[fd]
        inode = self.names[path]
        if inode is None:
            self.kept = {p: i for p, i in self.kept.items() if p.parent != path}
            self.kept |= {p: i for p, i in self.names.items() if p.parent == path}
        else:
            inode.durable = path.read_bytes()

    def replace(self, source: Path, target: Path) -> None:
        self._step()
        super().replace(source, target)
        self.names[target] = self.names.pop(source)

    def unlink(self, path: Path) -> None:
        self._step()
        super().unlink(path)
        del self.names[path]

    def mkdir(self, path: Path) -> None:
        self._step()
        super().mkdir(path)
        self.names[path] = None

    def power_failure(self) -> None:
        """Leave on the real disk what survives."""
        shutil.rmtree(self.root)
        self.root.mkdir()
        for path, inode in sorted(self.kept.items()):
            if path != self.root and path.parent.is_dir():
                path.mkdir() if inode is None else path.write_bytes(inode.durable)


@starts
@pytest.mark.parametrize("lost", [True, False], ids=["unsynced data lost", "unsynced data kept"])
def test_what_was_acknowledged_survives_a_crash_at_any_operation(
    tmp_path: Path, start: Callable[[Index], None], before: list[Record], lost: bool
) -> None:
    todo = [r for r in (FIRST, SECOND, THIRD) if r not in before]
    for at in count(1):
        root = tmp_path / str(at)
        root.mkdir()
        start(Index(root / "index"))
        files = Volatile(root, at)
        acknowledged = list(before)
        try:
            for record in todo:
                Index(root / "index", files=files).append(record)
                acknowledged.append(record)
        except PowerFailureError:
            pass
        if lost:
            files.power_failure()

        found = history(Index(root / "index"))
        assert found in (acknowledged, [FIRST, SECOND, THIRD][: len(acknowledged) + 1])
        for record in (FIRST, SECOND, THIRD):
            Index(root / "index").append(record)
        assert history(Index(root / "index")) == [FIRST, SECOND, THIRD]
        if len(acknowledged) == 3:
            return


# --- real limits and permissions ---


def run_child(code: str, *arguments: object, **how: Any) -> subprocess.CompletedProcess[str]:
    """Run Python code that can import the tests' records; PATH is its first argument."""
    command = [sys.executable, "-c", f"{CHILD}\n{code}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, **how)


CHILD = '''
import os, resource, sys
from pathlib import Path
from swindex.index import database
from swindex.index.check import check
from swindex.index.errors import StoreError
from swindex.index.files import Files
from swindex.index.store import Index
from swindex.index.versions import with_scan
from swindex.schema import Outcome
from tests import records as make
directory = Path(sys.argv[1])
def drop_rights():
    """Become a user that permissions bind, in a directory that it may enter."""
    make.failed()  # imports what making a record needs, while that may be read
    os.chdir(directory)
    if os.geteuid() == 0:
        os.setuid(65534)
def grow(index, scan_id):
    scan = make.scan(scan_id, Outcome.FAILED)
    return index.add(make.MODEL_ID, lambda p: with_scan(p, model=make.model(), scan=scan), "child", make.TIME)
'''


def test_a_full_disk_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    one_version(Index(tmp_path))
    size = Index(tmp_path).path(make.MODEL_ID).stat().st_size

    done = run_child(
        """
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    grow(Index(directory), "scan-1")
except StoreError as error:
    print(error)
""",
        tmp_path,
        size + 100,
    )

    expected = f"{tmp_path}/records/org/tiny.jsonl: not written: File too large; it is as before\n"
    assert (done.stdout, done.stderr) == (expected, "")
    assert Index(tmp_path).path(make.MODEL_ID).read_bytes() == line_of(FIRST) + b"\n"


def test_a_full_disk_leaves_the_published_database(tmp_path: Path) -> None:
    done = run_child(
        """
index = Index(directory)
index.append(make.reported())
database.build(index)
grow(index, "scan-1")
before = index.database.read_bytes()
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
for make_file in (database.build, database.update):
    try:
        make_file(index)
    except StoreError as error:
        print(str(error).count("\\n"), index.database.read_bytes() == before)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
database.update(index)
print(database.verify(index))
print(sorted(p.name for p in directory.iterdir()))
""",
        tmp_path,
    )

    assert (done.stdout, done.stderr) == (
        "0 True\n0 True\n[]\n['changes', 'index.duckdb', 'index.lock', 'records']\n",
        "",
    )


def test_an_index_that_may_not_be_written_says_so(tmp_path: Path) -> None:
    one_version(Index(tmp_path / "index"))
    tmp_path.chmod(0o755)
    for path in (tmp_path / "index", *(tmp_path / "index").rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)

    done = run_child(
        """
drop_rights()
index = Index(Path("index"))
for what in (lambda: grow(index, "scan-1"), lambda: database.build(index)):
    try:
        what()
    except StoreError as error:
        print(error)
print(index.read(make.MODEL_ID) == make.reported())
""",
        tmp_path,
    )

    refused = "index: not writable; choose another index with --index DIR\n"
    assert (done.stdout, done.stderr) == (f"{refused}{refused}True\n", "")


def test_a_log_that_may_not_be_read_is_an_error(tmp_path: Path) -> None:
    one_version(Index(tmp_path))
    Index(tmp_path).append(make.failed("locked/away"))
    database.build(Index(tmp_path))
    Index(tmp_path).path(make.MODEL_ID).chmod(0)
    (tmp_path / "records" / "locked").chmod(0)
    tmp_path.chmod(0o755)

    done = run_child(
        """
drop_rights()
index = Index(Path("."))
for model_id in (make.MODEL_ID, "locked/away"):
    try:
        index.read(model_id)
    except StoreError as error:
        print(error.exit_status, error)
print([(f.code, f.where, f.message) for f in check(index)])
""",
        tmp_path,
    )

    assert (done.stdout, done.stderr) == (
        "3 records/org/tiny.jsonl: cannot be read: Permission denied\n"
        "3 records/locked/away.jsonl: cannot be read: Permission denied\n"
        "[('unreadable', 'records/locked', 'Permission denied'), "
        "('unreadable', 'records/org/tiny.jsonl', 'Permission denied'), "
        "('feed-unchecked', 'changes', 'not compared: mend the log first'), "
        "('database-unchecked', 'index.duckdb', 'not compared: mend the log first')]\n",
        "",
    )


@pytest.mark.parametrize("place", ["/proc/swindex/index", "/proc", "FILE", "FILE/index"])
def test_an_index_that_cannot_be_made_says_so(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    directory = Path(place.replace("FILE", str(tmp_path / "file")))

    with pytest.raises(StoreError, match=r"\A[^\n]*(cannot be made|not writable|cannot be locked)[^\n]*\Z"):
        Index(directory, lock_timeout=0.1).append(FIRST)


def test_a_lock_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    index = Index(tmp_path, lock_timeout=0.1)
    index.lock_file.mkdir()

    with pytest.raises(StoreError, match=rf"\A{index.lock_file}: cannot be locked: Is a directory\Z"):
        index.append(FIRST)


def test_a_folder_in_place_of_a_log_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "records" / "org" / "tiny.jsonl").mkdir(parents=True)

    with pytest.raises(StoreError, match=r"tiny\.jsonl: cannot be read: Is a directory"):
        Index(tmp_path).append(FIRST)


# --- other processes ---


def test_another_process_that_writes_is_waited_for_and_named(tmp_path: Path) -> None:
    code = f"{CHILD}\nwith Index(directory).writing():\n print('held', flush=True)\n sys.stdin.read()"
    holder = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"

        with pytest.raises(Locked, match=rf"another process writes .*{tmp_path}/index\.lock"):
            Index(tmp_path, lock_timeout=0.1).append(FIRST)
        child.kill()

    assert Index(tmp_path).append(FIRST) is Appended.APPENDED


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    writers, each = 4, 5
    code = f"{CHILD}\nfor n in range({each}): grow(Index(directory, lock_timeout=60), f'{{sys.argv[2]}}-{{n}}')"
    children = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(w)], cwd=ROOT) for w in range(writers)]

    assert [child.wait(timeout=120) for child in children] == [0] * writers
    index = Index(tmp_path)
    expected = {f"{w}-{n}" for w in range(writers) for n in range(each)}
    assert {s.id for s in index.read(make.MODEL_ID).scans} == expected
    assert len(index.history(make.MODEL_ID)) == writers * each
    assert {f.code for f in check(index)} == {"database-missing"}


KILLED = """
class Slow(Files):
    def write(self, fd, data):
        return os.write(fd, data[:40])
index = Index(directory, files=Slow())
n = len(index.read(make.MODEL_ID).scans)
while True:
    n += 1
    print(grow(index, f"scan-{n}").provenance.version, flush=True)
"""


def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    chance = random.Random(7)
    index = Index(tmp_path)
    index.append(make.failed(scan_id="scan-0"))
    for _ in range(6):
        command = [sys.executable, "-c", CHILD + KILLED, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as child:
            assert child.stdout is not None
            acknowledged = [int(child.stdout.readline()) for _ in range(chance.randrange(1, 6))]
            while index.path(make.MODEL_ID).read_bytes().endswith(b"\n") and chance.random() < 0.99:
                pass  # mostly kill it within a line
            child.kill()
            acknowledged += [int(line) for line in child.stdout if line.endswith(b"\n")]

        versions = [record.provenance.version for record in index.history(make.MODEL_ID)]
        assert versions == list(range(1, len(versions) + 1))
        assert len(versions) >= acknowledged[-1]
        assert {f.code for f in check(index)} <= {"torn-line", "feed-torn", "database-missing"}
        index.append(make.failed(previous=index.read(make.MODEL_ID), scan_id=f"scan-{len(versions)}"))
        assert {f.code for f in check(index)} == {"database-missing"}
        assert len(index.history(make.MODEL_ID)) == len(versions) + 1
