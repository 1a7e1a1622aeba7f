"""The DuckDB file amended in place: killed anywhere it is whole, and nobody who reads it sees half of an amendment."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from swindex.api.download.files import place
from swindex.index import database, feed, opening
from swindex.index.check import check
from swindex.index.errors import StoreError
from swindex.index.files import FILES, log_of
from swindex.index.opening import open_file
from swindex.index.store import Index

from .amend import add

KILLS = 12


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """Three models, built."""
    made = Index(tmp_path / "index")
    for name in ("org/one", "org/two", "other/three"):
        add(made, name)
    database.build(made)
    return made


@contextmanager
def program(what: str, index: Index, name: str) -> Iterator[subprocess.Popen[str]]:
    """A process of `amend` from when it is ready."""
    command = [sys.executable, "-m", "tests.amend", what, str(index.directory), name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent) as process:
        require_said(process, "ready")
        yield process
        process.kill()


def require_said(process: subprocess.Popen[str], line: str) -> None:
    """Wait for what a process says next."""
    assert process.stdout is not None
    assert process.stdout.readline() == f"{line}\n"


def ask(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with open_file(path) as con:
        return con.execute(sql).fetchall()


def require_sound(index: Index) -> None:
    """The file holds what the log does, and there is nothing else beside it."""
    assert database.verify(index) == []
    assert [f for f in check(index) if f.severity == "error" or f.code.startswith("database")] == []
    assert not log_of(index.database).exists()


def test_killed_at_any_moment_the_file_is_as_before_or_after_and_the_next_update_goes_on(index: Index) -> None:
    draw = random.Random(5)
    for number in range(KILLS):
        with program("forever", index, f"k{number}"):
            time.sleep(draw.uniform(0.0, 0.4))

        [(rows, seq)] = ask(index.database, "SELECT count(*), (SELECT value FROM about WHERE key = 'seq') FROM records")
        [(models,)] = ask(index.database, "SELECT count(*) FROM models")
        assert (rows, models) == (int(seq), int(seq))  # every change is one version of one model
        chains = {entry.seq: entry.chain for entry in feed.read(index.directory)}
        assert ask(index.database, "SELECT value FROM about WHERE key = 'chain'") == [(chains[int(seq)],)]

        database.update(index)
        require_sound(index)


def test_a_crash_after_the_commit_loses_nothing(index: Index) -> None:
    with program("half", index, "late") as process:
        process.wait()

    assert log_of(index.database).exists()
    assert ask(index.database, "SELECT count(*) FROM models") == [(4,)]
    add(index, "org/more")
    database.update(index)
    require_sound(index)


def test_a_new_file_is_not_read_with_what_a_crash_left_of_the_old_one(index: Index) -> None:
    with program("half", index, "late") as process:
        process.wait()
    assert log_of(index.database).exists()

    database.build(index)

    require_sound(index)


def test_a_downloaded_file_is_not_read_with_what_a_crash_left_of_the_old_one(index: Index, tmp_path: Path) -> None:
    shutil.copyfile(index.database, tmp_path / "part")
    with program("half", index, "late") as process:
        process.wait()

    place(tmp_path / "part", index.database, FILES)

    assert ask(index.database, "SELECT count(*) FROM models") == [(3,)]


def test_what_a_crash_left_is_copied_too(index: Index) -> None:
    with program("half", index, "late") as process:
        process.wait()
    add(index, "org/more")

    with open_file(index.database) as reader:
        database.update(index)
        assert reader.execute("SELECT count(*) FROM models").fetchall() == [(4,)]

    assert ask(index.database, "SELECT count(*) FROM models") == [(5,)]
    require_sound(index)


def test_an_update_changes_the_file_in_place(index: Index) -> None:
    before = index.database.stat().st_ino
    add(index, "org/more")

    database.update(index)

    assert index.database.stat().st_ino == before
    require_sound(index)


def test_an_update_of_many_models_does_not_keep_readers_out(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "IN_PLACE", 1)
    before = index.database.stat().st_ino
    add(index, "org/four")
    add(index, "org/five")

    database.update(index)

    assert index.database.stat().st_ino != before
    require_sound(index)


def test_who_reads_in_this_process_keeps_what_was_opened(index: Index) -> None:
    with open_file(index.database) as reader:
        add(index, "org/more")
        database.update(index)

        assert reader.execute("SELECT count(*) FROM models").fetchall() == [(3,)]
    assert ask(index.database, "SELECT count(*) FROM models") == [(4,)]


def test_who_reads_in_another_process_keeps_what_was_opened(index: Index) -> None:
    read = "import sys; from pathlib import Path; from swindex.index.opening import open_file; "
    read += "con = open_file(Path(sys.argv[1])); print('open', flush=True); input(); "
    read += "print(con.execute('SELECT count(*) FROM models').fetchall(), flush=True)"
    command = [sys.executable, "-c", read, str(index.database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        require_said(reader, "open")
        add(index, "org/more")
        database.update(index)
        told, _ = reader.communicate("\n")

    assert told == "[(3,)]\n"
    require_sound(index)


def test_a_reader_waits_for_an_amendment(index: Index) -> None:
    with program("hold", index, "held") as process:
        require_said(process, "held")
        assert ask(index.database, "SELECT count(*) FROM models") == [(3,)]


def test_a_file_that_stays_in_use_is_an_error_of_one_line(index: Index) -> None:
    with program("hold", index, "held") as process:
        require_said(process, "held")
        with pytest.raises(StoreError, match=r"index\.duckdb: DuckDB: .*lock") as caught:
            opening.open_file(index.database, patience=0.0)

    assert "\n" not in str(caught.value)


def test_an_update_that_fails_leaves_the_file_as_it_was(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise StoreError("full")

    monkeypatch.setattr(database.fill, "note", fails)
    add(index, "org/more")
    with pytest.raises(StoreError, match="full"):
        database.update(index)
    monkeypatch.undo()

    assert ask(index.database, "SELECT count(*) FROM models") == [(3,)]
    database.update(index)
    require_sound(index)
