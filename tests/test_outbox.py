"""The outbox and the one writer: what is in there reaches the index once, whenever a process dies."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swindex.crawler.crawling.bucket import Bucket
from swindex.crawler.crawling.collect import Collector, collect
from swindex.crawler.crawling.jobs import Job
from swindex.crawler.crawling.outbox import Box, Outbox, key_of, to_bytes
from swindex.index import database
from swindex.index.store import Index

from .kills import COMMIT, done, found, versions

ROOT = Path(__file__).parent.parent


@pytest.fixture(params=["folder", "bucket"])
def box(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Box]:
    """An outbox of each kind; fsspec's memory stands for the object store."""
    if request.param == "folder":
        yield Outbox(tmp_path / "outbox")
        return
    bucket = Bucket(f"memory://{tmp_path.name}/outbox")
    yield bucket
    bucket._fs.rm(bucket._root, recursive=True) if bucket._fs.exists(bucket._root) else None


def foreign(box: Box, name: str, data: bytes) -> None:
    """Put something there that no worker wrote."""
    if isinstance(box, Outbox):
        box.folder.mkdir(exist_ok=True)
        (box.folder / name).write_bytes(data)
    else:
        assert isinstance(box, Bucket)
        box._fs.pipe_file(f"{box._root}/{name}", data)


def test_what_is_put_is_waiting_until_it_is_dropped(box: Box) -> None:
    one, two = done("a/one"), found("a/two")
    box.put(one)
    box.put(two)
    box.put(two)
    before = list(box.waiting())
    box.drop(one.job)

    assert sorted(before, key=lambda d: d.job.model_id) == [one, two]
    assert (list(box.waiting()), box.has(one.job), box.has(two.job)) == ([two], False, True)


def test_an_outbox_that_is_not_there_yet_is_empty(box: Box) -> None:
    assert (list(box.waiting()), box.has(Job("a/one"))) == ([], False)


def test_dropping_what_is_not_there_is_no_error(box: Box) -> None:
    box.put(done("a/one"))
    box.drop(Job("a/other"))

    assert len(list(box.waiting())) == 1


def test_two_revisions_of_a_model_are_two_jobs(box: Box) -> None:
    box.put(done("a/one"))
    box.put(done("a/one", "b" * 40))

    assert {d.job.revision for d in box.waiting()} == {COMMIT, "b" * 40}


WHOLE = to_bytes(done("a/one"))
NAME = key_of(Job("a/one", COMMIT)) + ".json"


FOREIGN = {
    "cut": (NAME, WHOLE[:-1]),
    "empty": (NAME, b""),
    "a list": (NAME, b"[]"),
    "not UTF-8": (NAME, b"\xff\xfe"),
    "a newline more": (NAME, WHOLE + b"\n"),
    "a key twice": (NAME, WHOLE.replace(b'"how":"scan"', b'"how":"scan","how":"scan"')),
    "a key more": (NAME, WHOLE.replace(b'"how":"scan"', b'"how":"scan","more":1')),
    "a key more of the model": (NAME, WHOLE.replace(b'"model":{"', b'"model":{"unheard":1,"')),
    "another model": (NAME, WHOLE.replace(b'"id":"a/one"', b'"id":"a/two"')),
    "another name": ("0" * 64 + ".json", WHOLE),
    "notes": ("notes.txt", b"hello"),
}


@pytest.mark.parametrize(("name", "data"), FOREIGN.values(), ids=FOREIGN)
def test_what_no_worker_wrote_is_moved_aside_and_reported(box: Box, name: str, data: bytes) -> None:
    foreign(box, name, data)
    box.put(done("a/two"))
    said: list[str] = []

    waiting = [d.job.model_id for d in box.waiting(said.append)]

    assert (waiting, len(said), name in said[0], "/bad/" in said[0]) == (["a/two"], 1, True, True)
    assert [d.job.model_id for d in box.waiting(said.append)] == ["a/two"]
    assert len(said) == 1


def test_every_torn_length_of_a_file_is_moved_aside(tmp_path: Path) -> None:
    box = Outbox(tmp_path)
    said: list[str] = []
    for length in range(0, len(WHOLE), 97):
        (tmp_path / NAME).write_bytes(WHOLE[:length])
        assert list(box.waiting(said.append)) == []

    kept = sorted(p.stat().st_size for p in (tmp_path / "bad").iterdir())
    assert kept == list(range(0, len(WHOLE), 97))


def test_a_folder_or_a_link_among_the_files_is_moved_aside(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "outbox")
    box.put(done("a/one"))
    (box.folder / ("1" * 64 + ".json")).mkdir()
    (box.folder / ("2" * 64 + ".json")).symlink_to("/etc/passwd")
    said: list[str] = []

    assert ([d.job.model_id for d in box.waiting(said.append)], len(said)) == (["a/one"], 2)


def test_what_a_killed_writer_left_unfinished_is_removed_and_what_another_writes_is_not(tmp_path: Path) -> None:
    box = Outbox(tmp_path)
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    host = os.uname().nodename
    theirs = [f".{'a' * 64}.{host}-{os.getpid()}.tmp", f".{'b' * 64}.elsewhere-1.tmp"]
    for name in [f".{'a' * 64}.{host}-{child}.tmp", *theirs]:
        (tmp_path / name).write_bytes(b"{")

    assert list(box.waiting()) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(theirs)


# --- the writer ---


def outcomes(index: Index) -> dict[str, list[str]]:
    """Each model with the outcomes of its scans, which are listed once for each version."""
    return {m: [s.outcome.value for s in index.read(m).scans] for m in index.models()}


def test_what_waits_is_appended_once_and_dropped(box: Box, tmp_path: Path) -> None:
    box.put(found("a/one"))
    box.put(done("a/two"))
    index = Index(tmp_path / "index")

    collect(box, index)
    again = [collect(box, index)]
    box.put(found("a/one"))
    again.append(collect(box, index))

    assert (outcomes(index), list(box.waiting()), again) == (
        {"a/one": ["found"], "a/two": ["unsupported_architecture"]},
        [],
        [[], []],
    )
    assert (versions(index), database.verify(index)) == ({"a/one": 1, "a/two": 1}, [])


def test_the_writer_says_what_it_took_and_whether_it_was_new(tmp_path: Path) -> None:
    box, index = Outbox(tmp_path / "outbox"), Index(tmp_path / "index")
    told: list[tuple[str, bool]] = []
    for _ in range(2):
        box.put(found("a/one"))
        collect(box, index, told=lambda d, new: told.append((d.job.model_id, new)))

    assert told == [("a/one", True), ("a/one", False)]


def test_what_is_not_wanted_is_told_and_not_appended(tmp_path: Path) -> None:
    box, index = Outbox(tmp_path / "outbox"), Index(tmp_path / "index")
    box.put(done("a/one", lasting=False))
    told: list[tuple[str, bool]] = []

    with Collector(box, index, told=lambda d, new: told.append((d.job.model_id, new)), wanted=lambda d: d.lasting) as c:
        c.take()

    assert (told, outcomes(index), list(box.waiting())) == ([("a/one", False)], {}, [])


def test_what_the_index_cannot_hold_is_set_aside_and_the_rest_appended(tmp_path: Path) -> None:
    box, index = Outbox(tmp_path / "outbox"), Index(tmp_path / "index")
    box.put(done("a/one"))
    collect(box, index)
    box.put(done("A/ONE"))
    box.put(done("a/two"))
    said: list[str] = []

    collect(box, index, report=said.append)

    assert (sorted(outcomes(index)), list(box.waiting())) == (["a/one", "a/two"], [])
    assert "differs only in case" in said[0]


def test_the_database_that_a_kill_left_behind_is_healed_though_nothing_new_waits(tmp_path: Path) -> None:
    box, index = Outbox(tmp_path / "outbox"), Index(tmp_path / "index")
    box.put(done("a/one"))
    collect(box, index)
    box.put(done("a/two"))
    Collector(box, index).take()

    collect(box, index)

    assert database.verify(index) == []


# --- killed ---


def killed(*arguments: str) -> dict[str, Any]:
    """What `tests.kills` saw, in a process that can fork (this one has threads)."""
    command = [sys.executable, "-m", "tests.kills", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_a_kill_at_any_operation_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    told = killed("operations", str(tmp_path))

    assert (told["wrong"], told["kills"] > 40) == ([], True)


def test_what_was_acknowledged_stays_whenever_the_process_is_killed(tmp_path: Path) -> None:
    told = killed("moments", str(tmp_path), "10")

    assert (told["wrong"], told["kills"]) == ([], 10)
