"""What an index says of its last crawl: the file, `index stats`, and the warning of `lookup`."""

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from swindex.api.main import main
from swindex.api.report import stale
from swindex.index import heartbeat
from swindex.index.errors import StoreError
from swindex.index.files import Files
from swindex.index.store import Index

from . import records as make

CRAWL: dict[str, Any] = {
    "started": "2026-11-20T00:00:00Z",
    "ended": "2026-11-21T00:00:00Z",
    "complete": True,
    "stopped": None,
    "listed": 9,
    "eligible": 4,
    "indexed": 3,
}


@pytest.fixture
def index(tmp_path: Path) -> Index:
    made = Index(tmp_path / "index")
    made.append(make.found("org/a"))
    return made


def test_what_is_written_is_read(index: Index) -> None:
    heartbeat.write(index.directory, "2026-11-21T00:00:00Z", CRAWL)
    assert heartbeat.read(index.directory) == {"newest": "2026-11-21T00:00:00Z", "crawl": CRAWL}


def test_without_one_nothing_is_known(index: Index) -> None:
    assert heartbeat.read(index.directory) == {"newest": None, "crawl": None}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"newest": 3}', '{"crawl": {"ended": "x"}}', "[" * 9999])
def test_a_damaged_one_is_an_error_that_names_it(index: Index, text: str) -> None:
    (index.directory / heartbeat.NAME).write_text(text)
    with pytest.raises(StoreError, match=r"heartbeat\.json: damaged; delete it"):
        heartbeat.read(index.directory)


class _Failing(Files):
    def __init__(self, at: int) -> None:
        self.left = at

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise OSError(28, "No space left on device")

    def open(self, path: Path, flags: int) -> int:
        self._count()
        return super().open(path, flags)

    def write(self, fd: int, data: bytes) -> int:
        self._count()
        return super().write(fd, data)

    def fsync(self, fd: int) -> None:
        self._count()
        super().fsync(fd)

    def replace(self, source: Path, target: Path) -> None:
        self._count()
        super().replace(source, target)


def test_a_write_that_fails_at_any_step_leaves_the_old_one_or_the_new_one(index: Index) -> None:
    later = {**CRAWL, "indexed": 4}
    heartbeat.write(index.directory, None, CRAWL)
    for at in range(1, 99):
        try:
            heartbeat.write(index.directory, None, later, _Failing(at))
            break
        except StoreError:
            assert heartbeat.read(index.directory)["crawl"] in (CRAWL, later)
    assert at > 5  # open, write, open, fsync, replace, ... each failed once


@pytest.mark.parametrize(("with_feed", "time"), [(True, make.TIME), (False, "2027-01-01T00:00:00Z")])
def test_lookup_takes_the_time_from_the_feed_or_the_heartbeat(
    index: Index, capsys: pytest.CaptureFixture[str], with_feed: bool, time: str
) -> None:
    heartbeat.write(index.directory, "2027-01-01T00:00:00Z", CRAWL)
    if not with_feed:
        shutil.rmtree(index.directory / "changes")
    main(["lookup", "org/a", "--json", "--index", str(index.directory)])
    told = json.loads(capsys.readouterr().out)["index"]

    assert (told["time"], told["crawl"]) == (time, CRAWL)


@pytest.mark.parametrize(
    ("crawl", "time", "today", "warned"),
    [
        (CRAWL, "2026-11-01T00:00:00Z", date(2026, 12, 21), False),
        (CRAWL, "2026-11-01T00:00:00Z", date(2026, 12, 22), True),
        (None, "2026-11-01T00:00:00Z", date(2027, 4, 30), False),
        (None, "2026-11-01T00:00:00Z", date(2027, 5, 1), True),
        (None, None, date(2027, 5, 1), False),
        ({**CRAWL, "complete": False, "stopped": "the budget is spent"}, None, date(2026, 11, 22), True),
    ],
)
def test_lookup_warns_when_the_index_is_old(crawl: Any, time: str | None, today: date, warned: bool) -> None:
    assert bool(stale({"time": time, "crawl": crawl, "torn": False}, today)) is warned


def test_stats_say_how_much_of_the_listing_is_covered(index: Index, capsys: pytest.CaptureFixture[str]) -> None:
    heartbeat.write(index.directory, None, CRAWL)
    main(["index", "stats", "--index", str(index.directory)])
    assert "Covers 3 of 4 eligible models as of 2026-11-20" in capsys.readouterr().out


def test_stats_of_an_index_that_nobody_crawled_say_so(index: Index, capsys: pytest.CaptureFixture[str]) -> None:
    main(["index", "stats", "--index", str(index.directory)])
    assert "Never crawled" in capsys.readouterr().out
