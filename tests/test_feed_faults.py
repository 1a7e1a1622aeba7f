"""What a failing disk, kills and other processes do to an index with its feed: what was acknowledged is there, once."""

from __future__ import annotations

import errno
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from swindex.index import database, feed
from swindex.index.check import check
from swindex.index.errors import StoreError
from swindex.index.store import Index
from swindex.index.versions import with_scan, withdraw
from swindex.schema import Record

from . import records as make
from .test_feed import drop, entries
from .test_store import STEPS, scan_parts
from .test_store_faults import CHILD, ROOT, Failing, PowerFailureError, Volatile

LATER = "2026-11-22T07:00:00Z"
FIRST, SECOND = make.failed("org/one"), make.failed("org/two")
THIRD = make.found("org/one", previous=FIRST, scan_id="scan-2")
FOURTH = make.failed("org/four")
ALL = (FIRST, SECOND, THIRD, FOURTH)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of two changes."""
    monkeypatch.setattr(feed, "SEGMENT", 2)


def told(directory: Path) -> list[str]:
    """The digests that the feed tells of, its chain and numbers checked."""
    return [entry.digest for entry in feed.read(directory)]


def held(directory: Path) -> set[str]:
    """The digests of all versions in the log."""
    index = Index(directory)
    models = index.models() if index.records.is_dir() else ()
    return {record.provenance.digest for model_id in models for record, _ in index.versions(model_id)}


def sound(directory: Path) -> bool:
    """Whether log and feed tell of the same, each version once, to a reader right now."""
    found = told(directory)
    return len(found) == len(set(found)) and set(found) == held(directory)


def errors(directory: Path) -> list[str]:
    return [f.code for f in check(Index(directory)) if f.severity == "error"]


def failures(tmp_path: Path, **how: Any) -> Iterator[tuple[Path, Failing]]:
    """Yield a directory with two versions and a disk that fails at operation 1, 2, ... until none is left to fail."""
    for at in count(1):
        directory = tmp_path / str(at)
        for record in ALL[:2]:
            Index(directory).append(record)
        files = Failing(at, **how)
        yield directory, files
        if not files.failed:
            return


@pytest.mark.parametrize("how", [{}, {"code": errno.EIO}, {"for_good": True}])
def test_a_failed_operation_leaves_log_and_feed_alike(tmp_path: Path, how: dict[str, Any]) -> None:
    names = set[str]()
    for directory, files in failures(tmp_path, **how):
        index, acknowledged = Index(directory, files=files), [*ALL[:2]]
        for record in ALL[2:]:
            try:
                index.append(record)
                acknowledged.append(record)
            except StoreError:
                assert sound(directory)
        assert {r.provenance.digest for r in acknowledged} <= held(directory)
        assert sound(directory)
        if not how.get("for_good"):
            assert held(directory) == {r.provenance.digest for r in acknowledged}
        for record in ALL:
            Index(directory).append(record)
        assert sorted(told(directory)) == sorted(r.provenance.digest for r in ALL)
        assert errors(directory) == []
        names |= set(files.failed)

    assert names >= {"open", "write", "fsync", "replace"}


def dying(directory: Path, at: int, volatile: Volatile | None = None) -> tuple[Volatile, list[Record]]:
    """Append what is missing with a disk that stops at its `at`-th operation from now; what was acknowledged."""
    files = volatile or Volatile(directory.parent, at)
    files.at = files.count + at
    index, done = Index(directory, files=files), []
    try:
        for record in ALL:
            index.append(record)
            done.append(record)
    except PowerFailureError:
        pass
    return files, done


@pytest.mark.parametrize("lost", [True, False], ids=["unsynced data lost", "unsynced data kept"])
def test_a_crash_at_any_operation_leaves_log_and_feed_alike(tmp_path: Path, lost: bool) -> None:
    for at in count(1):
        root = tmp_path / str(at)
        root.mkdir()
        files, acknowledged = dying(root / "index", at)
        if lost:
            files.power_failure()

        assert sound(root / "index")
        assert {r.provenance.digest for r in acknowledged} <= held(root / "index")
        for record in ALL:
            Index(root / "index").append(record)
        assert list(feed.read(root / "index")) == entries(*ALL)
        assert errors(root / "index") == []
        if len(acknowledged) == len(ALL):
            return


def test_a_kill_and_then_a_power_failure_leave_log_and_feed_alike(tmp_path: Path) -> None:
    """What a killed writer left in memory is made durable before anything is built on it."""
    draw = random.Random(5)
    for number in range(30):
        root = tmp_path / str(number)
        root.mkdir()
        files, _ = dying(root / "index", draw.randrange(8, 60))
        _, acknowledged = dying(root / "index", draw.randrange(1, 60), files)
        files.power_failure()

        found = told(root / "index") if (root / "index").is_dir() else []
        assert {r.provenance.digest for r in acknowledged} <= set(found)
        if found:
            assert sound(root / "index")
            Index(root / "index").append(make.failed("org/last"))
            assert errors(root / "index") == []


def test_a_feed_that_is_made_is_whole_or_not_there(tmp_path: Path) -> None:
    for at in count(1):
        directory = tmp_path / str(at)
        for record in ALL:
            Index(directory).append(record)
        drop(Index(directory))
        files = Failing(at, for_good=True)
        try:
            Index(directory, files=files).append(make.failed("org/last"))
        except StoreError:
            assert told(directory) == [] or sound(directory)
        Index(directory).append(make.failed("org/last"))
        assert len(told(directory)) == 5
        assert sound(directory)
        if not files.failed:
            return


# --- processes ---

WRITER = """
import itertools, random
from swindex.index import feed
feed.SEGMENT = 2
draw = random.Random(sys.argv[2])
class Slow(Files):
    def write(self, fd, data):
        return os.write(fd, data[:100])
index = Index(directory, lock_timeout=60, files=Slow())
for n in itertools.count() if len(sys.argv) < 4 else range(int(sys.argv[3])):
    model_id, scan = f"org/m{draw.randrange(4)}", make.scan(f"{sys.argv[2]}-{n}", Outcome.FAILED)
    made = index.add(model_id, lambda p: with_scan(p, model=make.model(model_id), scan=scan), "child", make.TIME)
    print(made.provenance.digest, flush=True)
"""
READER = """
import time
from swindex.index import feed
feed.SEGMENT = 2
index, seen, started = Index(directory), [], time.monotonic()
while time.monotonic() - started < float(sys.argv[2]):
    newest = feed.newest(directory)
    found = [e.chain for e in feed.read(directory)]
    assert found[:len(seen)] == seen, "a reader saw the feed change"
    assert newest is None or newest.chain in found
    if newest is not None:
        assert newest.digest in {r.provenance.digest for r in index.history(newest.model_id)}
        assert next(feed.back(directory)).seq >= newest.seq
    seen = found
print(len(seen))
"""
BEING_WRITTEN = ": the last line is torn (or being written) and was dropped"
"""What a reader is told whose read falls into a write: the version is not acknowledged yet."""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", f"{CHILD}\n{code}", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def test_kills_at_random_moments_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    draw, acknowledged = random.Random(3), set[str]()
    for number in range(8):
        with start(WRITER, tmp_path, f"w{number}") as child:
            assert child.stdout is not None
            acknowledged.add(child.stdout.readline().strip())
            time.sleep(draw.uniform(0, 0.2))
            child.kill()
            acknowledged |= {line.strip() for line in child.stdout if line.endswith("\n")}

        assert acknowledged <= held(tmp_path)
        assert sound(tmp_path)
    assert Index(tmp_path).append(make.failed("org/last")) == "appended"
    assert errors(tmp_path) == []
    assert sound(tmp_path)


def test_two_writers_and_twenty_readers_at_once(tmp_path: Path) -> None:
    Index(tmp_path).ensure()
    readers = [start(READER, tmp_path, 3) for _ in range(20)]
    writers = [start(WRITER, tmp_path, f"w{n}", 15) for n in range(2)]
    acknowledged = [child.communicate(timeout=240) for child in writers]
    said = [child.communicate(timeout=240) for child in readers]

    assert [error for _, error in acknowledged] == ["", ""]
    assert [line for _, error in said for line in error.splitlines() if not line.endswith(BEING_WRITTEN)] == []
    digests = [line for out, _ in acknowledged for line in out.split()]
    assert len(digests) == 30
    assert sorted(told(tmp_path)) == sorted(digests)
    assert errors(tmp_path) == []


# --- a state machine against plain Python ---


class Feeds(RuleBasedStateMachine):
    """Any order of versions, withdrawals, replays, builds and losses gives the feed and the file that a list gives."""

    folder: Path
    models = ("org/one", "Org2/Two")

    @initialize()
    def start(self) -> None:
        self.holder = tempfile.TemporaryDirectory(dir=self.folder)
        self.index = Index(Path(self.holder.name))
        self.expected: list[Record] = []
        self.is_filed, self.count = False, 0

    def teardown(self) -> None:
        if hasattr(self, "holder"):
            self.holder.cleanup()

    def newest(self, model_id: str) -> Record | None:
        return next((r for r in reversed(self.expected) if r.model.id == model_id), None)

    def keep(self, record: Record | None, expected: object) -> None:
        assert (record is None) == (expected is None)
        self.expected += [record] if record else []

    @rule(model_id=st.sampled_from(models), step=st.sampled_from(STEPS), hour=st.integers(0, 23))
    def scan(self, model_id: str, step: tuple[Any, str], hour: int) -> None:
        kind, revision = step
        self.count += 1
        arguments = scan_parts(kind(model_id, revision, f"s{self.count}"))
        time = f"2026-11-23T{hour:02d}:00:00Z"
        made = self.index.add(model_id, lambda previous: with_scan(previous, **arguments), "me", time)
        self.keep(made, with_scan(self.newest(model_id), **arguments))

    @rule(model_id=st.sampled_from(models), reason=st.sampled_from(["wrong", "gone"]))
    def withdraw(self, model_id: str, reason: str) -> None:
        before = self.newest(model_id)
        made = self.index.add(model_id, lambda p: p and withdraw(p, reason, LATER), "me", LATER)
        self.keep(made, before and withdraw(before, reason, LATER))

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def append_again(self, data: st.DataObject) -> None:
        self.index.append(data.draw(st.sampled_from(self.expected)))

    @precondition(lambda self: self.expected)
    @rule(how=st.sampled_from([database.build, database.update]))
    def publish(self, how: Callable[[Index], Path]) -> None:
        how(self.index)
        assert database.verify(self.index) == []
        database.connect(self.index).close()

    @precondition(lambda self: self.expected)
    @rule(restart=st.booleans())
    def lose_the_feed(self, restart: bool) -> None:
        drop(self.index)
        self.index = Index(self.index.directory) if restart else self.index
        with self.index.writing():
            self.expected = sorted(self.expected, key=self.place)

    def place(self, record: Record) -> tuple[str, str, int]:
        """Where a feed that is made anew has this version: by the latest time so far of its model, model, version."""
        told, model_id = record.provenance, record.model.id
        times = [r.provenance.time for r in self.expected if r.model.id == model_id]
        return max(times[: told.version]), model_id, told.version

    @rule(torn=st.sampled_from([b"{", b'{"chain":"0"}\n', b"\x00\x00\n"]))
    def crash(self, torn: bytes) -> None:
        if self.expected:
            path = feed.segment(self.index.directory, (len(self.expected) - 1) // feed.SEGMENT)
            path.write_bytes(path.read_bytes().removesuffix(b"\x00\x00\n").removesuffix(b'{"chain":"0"}\n') + torn)

    @invariant()
    def the_feed_is_as_expected(self) -> None:
        if self.expected:
            found = entries(*self.expected)
            assert list(feed.read(self.index.directory)) == found
            assert feed.newest(self.index.directory) == found[-1]

    @invariant()
    def a_check_finds_no_error(self) -> None:
        if self.expected:
            codes = {f.code for f in check(self.index)}
            assert codes <= {"database-missing", "database-stale", "feed-torn", "time-order", "gone-since"}


def test_feeds_are_what_a_list_gives(tmp_path: Path) -> None:
    Feeds.folder = tmp_path
    machine = Feeds.TestCase()
    machine.settings = settings(max_examples=12, stateful_step_count=12, deadline=None)
    machine.runTest()
