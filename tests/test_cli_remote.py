"""The commands on an index that lies elsewhere: what they print, what they refuse, exit statuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from swindex.api.main import main
from swindex.api.report import report, warnings
from swindex.api.view import view
from swindex.crawler.detection.run import Options
from swindex.crawler.scanning import scan
from swindex.index.store import Index
from swindex.schema.record import Withdrawn

from . import records as make
from . import released
from .documents import plain
from .hub.server import HOST, Server

PAIR = Path(__file__).parent / "checkpoints" / "stories260k-pair"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    made = Index(tmp_path_factory.mktemp("index"))
    first = make.found("org/m")
    gone = Withdrawn(time="2026-11-23T00:00:00Z", reason="wrong file")
    for record in (
        make.reported("org/reported"),
        first,
        make.make(make.found_parts("org/m"), first, time="2026-11-23T00:00:00Z", withdrawn=gone),
    ):
        made.append(record)
    return made


@pytest.fixture(scope="module")
def folder(index: Index, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("release")
    released.write(index.directory, target)
    return target


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    running = Server(Starlette(routes=[Mount("/", StaticFiles(directory=folder))]))
    running.start()
    yield f"http://{HOST}:{running.ports[0]}"
    running.stop()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("SWINDEX_INDEX", raising=False)


def printed(capsys: Capture, *arguments: str, status: int = 0) -> str:
    assert main(list(arguments)) == status
    out, err = capsys.readouterr()
    return out if status == 0 else err


# --- the same commands, other sources ---

READERS = [
    ["lookup", "org/m"],
    ["lookup", "org/m@aaaaaaa", "--as-of", "2026-11-22"],
    ["history", "org/m"],
    ["search", "org"],
    ["changes"],
]


@pytest.mark.parametrize("command", READERS)
def test_readers_take_an_address(command: list[str], index: Index, server: str, capsys: Capture) -> None:
    near = printed(capsys, *command, "--index", str(index.directory)).replace(str(index.directory), "X")
    far = printed(capsys, *command, "--index", server).replace(server, "X").replace(", released 2026-11-21", "")

    assert [line for line in far.splitlines() if "From X" not in line] == [
        line for line in near.splitlines() if "From X" not in line
    ]


@pytest.mark.parametrize("command", READERS)
def test_readers_take_an_address_from_the_environment(
    command: list[str], server: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = printed(capsys, *command, "--index", server)
    monkeypatch.setenv("SWINDEX_INDEX", server)

    assert printed(capsys, *command) == named


@pytest.mark.parametrize(
    "command",
    [
        ["index", "build"],
        ["index", "check", "--full"],
        ["index", "stats"],
        ["crawl"],
        ["scan", "org/m", "--add"],
    ],
)
def test_those_that_need_the_index_itself_refuse_in_one_line(
    command: list[str], folder: Path, server: str, capsys: Capture
) -> None:
    for source in (str(folder), server, "hf://datasets/org/name"):
        error = printed(capsys, *command, "--index", source, status=2)
        assert (error.count("\n"), "release" in error or "No such option" in error) == (1, True)


# --- lookup ---


def test_the_page_says_which_index_it_is_and_how_fresh(server: str, capsys: Capture) -> None:
    page = printed(capsys, "lookup", "org/m", "--index", server)

    assert f"From {server}, released 2026-11-21 (" in page
    assert "Newest record of this index: 2026-11-23 (" in page


def told(**index: Any) -> dict[str, Any]:
    facts = {"source": "https://x.org", "released": "2026-11-21T00:00:00Z", "time": "2026-11-20T00:00:00Z"}
    return view(plain(make.found("org/m")), {**facts, **index})


def test_an_answer_that_nobody_was_asked_for_says_so() -> None:
    page = report(told(checked="2026-11-21T00:00:00Z"), today=date(2026, 11, 24))
    said = "! NOT ASKED now: this is what https://x.org held when it was last asked, on 2026-11-21 (3 days ago)."

    assert said in " ".join(page.split())


def test_an_answer_as_of_a_time_says_so() -> None:
    assert "AS OF 2026-11-21T00:00:00Z: what the index said then; it may say more now." in warnings(
        told(as_of="2026-11-21T00:00:00Z")
    )


def test_an_old_index_elsewhere_warns() -> None:
    crawl = {"ended": "2026-10-01T00:00:00Z", "stopped": None}

    assert "! OLD: the last crawl into this index is of 2026-10-01 (54 days ago)" in report(
        told(crawl=crawl), today=date(2026, 11, 24)
    )


@pytest.mark.parametrize("time", ["9999-99-99T00:00:00Z", "soon"])
def test_a_time_that_is_none_is_shown_as_it_is(time: str) -> None:
    assert f"released {time}" in report(told(released=time))


def test_offline_answers_from_what_was_read(server: str, capsys: Capture) -> None:
    printed(capsys, "lookup", "org/m", "--index", server)

    assert "NOT ASKED now" in printed(capsys, "lookup", "org/m", "--index", server, "--offline")


def test_offline_without_anything_read_is_exit_status_3(capsys: Capture) -> None:
    source = "http://127.0.0.1:9/x"

    assert printed(capsys, "lookup", "org/m", "--index", source, "--offline", status=3) == (
        f"swindex: {source}: with --offline nobody is asked, and nothing of it was read on this machine before\n"
    )


def test_an_unknown_model_is_exit_status_1(server: str, capsys: Capture) -> None:
    assert "near names: org/m;" in printed(capsys, "lookup", "org/mm", "--index", server, status=1)


# --- verify ---


def test_verify_takes_an_address(tmp_path: Path, capsys: Capture) -> None:
    index = Index(tmp_path / "index")
    index.append(scan(str(PAIR), options=Options(effects=False)))
    released.write(index.directory, tmp_path / "release")
    [model] = index.models()
    command = ["verify", model, "--checkpoint", str(PAIR), "--json", "--index"]

    assert printed(capsys, *command, str(tmp_path / "release")) == printed(capsys, *command, str(index.directory))


# --- changes ---


def test_changes_are_a_table(index: Index, capsys: Capture) -> None:
    assert printed(capsys, "changes", "--index", str(index.directory)) == (
        "SEQ  TIME                  MODEL         VERSION  OUTCOME   WITHDRAWN\n"
        "  3  2026-11-23T00:00:00Z  org/m               2  found     withdrawn\n"
        "  2  2026-11-21T07:00:00Z  org/m               1  found\n"
        "  1  2026-11-21T07:00:00Z  org/reported        1  reported\n"
        "3 shown; the last change is 3.\n"
    )


def test_changes_as_json_have_a_cursor(index: Index, capsys: Capture) -> None:
    command = ["changes", "--json", "--index", str(index.directory), "--limit", "2"]
    first = json.loads(printed(capsys, *command, "--since", "0"))
    rest = json.loads(printed(capsys, *command, "--since", str(first["next"])))

    assert [[c["seq"] for c in page["changes"]] for page in (first, rest)] == [[2, 1], [3]]
    assert (first["next"], first["newest"], rest["next"]) == (2, 3, 3)


def test_changes_that_were_left_out_are_counted(index: Index, capsys: Capture) -> None:
    shown = printed(capsys, "changes", "--since", "0", "--limit", "1", "--index", str(index.directory))

    assert shown.endswith("1 shown; the last change is 3. 2 more: --since 1.\n")


def test_nothing_new_is_said(index: Index, capsys: Capture) -> None:
    shown = printed(capsys, "changes", "--since", "3", "--index", str(index.directory))

    assert shown == "0 shown; the last change is 3.\n"


def test_an_index_without_a_feed_says_how_to_get_one(tmp_path: Path, capsys: Capture) -> None:
    index = Index(tmp_path / "index")
    index.append(make.found("org/m"))
    for path in (index.directory / "changes").iterdir():
        path.unlink()

    assert "it has no change feed yet; `swindex index build` makes it" in printed(
        capsys, "changes", "--index", str(index.directory), status=3
    )
