"""`swindex lookup`: which record answers, what stands in for an unknown model, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swindex.api.answer import answer
from swindex.api.cli import run
from swindex.api.main import Lookup, main, plain_lookup
from swindex.api.names import nearest, parse_asked
from swindex.api.reading import Local, _newest_time
from swindex.api.report import warnings
from swindex.index import feed
from swindex.index.errors import DamagedLog, NotInIndex, StoreError
from swindex.index.store import Index
from swindex.schema.errors import UsageError
from swindex.schema.observation import Stance
from swindex.schema.record import Record
from swindex.schema.types import Outcome

from . import records as make
from .documents import Json


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path)


@pytest.fixture
def ask(index: Index) -> Callable[..., Json]:
    def asked(text: str, base: str | None = None) -> Json:
        return answer(parse_asked(text), Local(index.records), base)

    return asked


def child(model_id: str = "org/child", base: str | None = "org/found", outcome: Outcome = Outcome.GATED) -> Record:
    parts = make.failed_parts(model_id, outcome=outcome)
    return make.make({**parts, "model": make.model(model_id, base_model=base, files=())})


# --- which record answers ---


def test_an_unknown_model_is_not_an_empty_result(index: Index, ask: Callable[..., Json]) -> None:
    index.append(make.found("org/found"))

    with pytest.raises(NotInIndex) as raised:
        ask("org/fond")

    assert str(raised.value) == (
        "org/fond is not in the index, which does not mean that it has no super weight; near names: org/found; "
        "to scan it: swindex scan org/fond"
    )


def test_no_near_name_is_no_hint(index: Index, ask: Callable[..., Json]) -> None:
    index.append(make.found("org/found"))

    with pytest.raises(NotInIndex, match=r"no super weight; to scan it: swindex scan zz/qqqqqqqq$"):
        ask("zz/qqqqqqqq")


@pytest.mark.parametrize(
    ("asked", "known", "expected"),
    [
        ("org/Tiny", ["org/tiny", "org/large"], ["org/tiny"]),
        ("other/tiny-model", ["org/tiny-model"], ["org/tiny-model"]),
        ("a/bcdefgh", ["x/yzyzyzy"], []),
    ],
)
def test_nearest_names(asked: str, known: list[str], expected: list[str]) -> None:
    assert nearest(asked, known) == expected


def test_another_case_is_the_same_model(index: Index, ask: Callable[..., Json]) -> None:
    index.append(make.found("Org/Found"))

    assert ask("org/found")["model"]["id"] == "Org/Found"


def test_the_newest_version_answers(index: Index, ask: Callable[..., Json]) -> None:
    first = make.reported("org/m")
    index.append(first)
    index.append(make.found("org/m", previous=first))

    assert (ask("org/m")["outcome"], ask("org/m")["record"]["version"]) == ("found", 2)


def two_revisions(index: Index, other: str = make.OTHER_REVISION) -> None:
    first = make.found("org/m", make.REVISION)
    index.append(first)
    index.append(make.none_found("org/m", other, first))


def test_a_short_commit_names_its_version(index: Index, ask: Callable[..., Json]) -> None:
    two_revisions(index)

    assert ask("org/m@aaaaaaa")["outcome"] == "found"


def test_a_commit_may_be_in_upper_case(index: Index, ask: Callable[..., Json]) -> None:
    two_revisions(index)

    assert ask("org/m@BBBBBBBB")["outcome"] == "none_found"


def test_a_commit_that_is_not_there_names_those_that_are(index: Index, ask: Callable[..., Json]) -> None:
    two_revisions(index)

    with pytest.raises(NotInIndex) as raised:
        ask("org/m@ccccccc")

    assert str(raised.value) == (
        f"org/m is in the index, but not at ccccccc; known commits: {make.REVISION}, {make.OTHER_REVISION}"
    )


def test_a_commit_of_a_model_that_is_not_pinned(index: Index, ask: Callable[..., Json]) -> None:
    index.append(make.reported("org/m"))

    with pytest.raises(NotInIndex, match="no version of it is pinned to a commit"):
        ask("org/m@ccccccc")


def test_an_ambiguous_commit_is_wrong_usage(index: Index, ask: Callable[..., Json]) -> None:
    two_revisions(index, "a" * 39 + "b")

    with pytest.raises(UsageError, match=r"aaaaaaa is short for several commits of org/m: a{40}, a{39}b"):
        ask("org/m@aaaaaaa")


def test_a_model_without_weights_inherits_those_of_its_base(index: Index, ask: Callable[..., Json]) -> None:
    index.append(make.found("org/found"))
    index.append(child())
    document, base = ask("org/child"), ask("org/found")

    assert document["super_weights"] == base["super_weights"]
    assert (document["model"]["id"], document["outcome"]) == ("org/child", "gated")
    assert document["inherited_from"] == {
        "id": "org/found",
        "revision": make.REVISION,
        "relation": "finetune",
        "outcome": "found",
        "version": 1,
        "time": "2026-11-21T07:00:00Z",
    }


def test_a_base_that_is_not_in_the_index_leaves_the_model_as_it_is(index: Index, ask: Callable[..., Json]) -> None:
    index.append(child())

    assert (ask("org/child")["inherited_from"], ask("org/child")["super_weights"]) == (None, [])


def test_nothing_found_in_the_model_itself_is_an_answer(index: Index, ask: Callable[..., Json]) -> None:
    index.append(make.found("org/base"))
    index.append(make.none_found("org/m"))

    assert (ask("org/m")["inherited_from"], ask("org/m")["super_weights"]) == (None, [])


def test_a_source_that_denies_is_an_answer(index: Index, ask: Callable[..., Json]) -> None:
    index.append(make.found("org/base"))
    denial = make.observation(stance=Stance.DENIES, statement="None.")
    index.append(make.make({"model": make.model("org/m", None, files=()), "observations": (denial,)}))

    assert ask("org/m")["inherited_from"] is None


def test_an_unknown_model_inherits_from_a_named_base_only(index: Index, ask: Callable[..., Json]) -> None:
    index.append(make.found("org/found"))
    document = ask("org/child", "org/found")

    assert (document["model"]["id"], document["outcome"], document["record"]) == ("org/child", "unknown", None)
    assert [w["id"] for w in document["super_weights"]] == ["L1.R2.C3", "L1.R7.C3"]


def test_a_named_base_that_is_unknown_is_no_answer(index: Index, ask: Callable[..., Json]) -> None:
    index.append(child(base=None))

    with pytest.raises(NotInIndex, match=r"^org/nobase is not in the index"):
        ask("org/child", "org/nobase")


def test_a_model_is_not_its_own_base(index: Index, ask: Callable[..., Json]) -> None:
    index.append(child(base="org/child"))

    assert ask("org/child")["inherited_from"] is None


def test_what_is_told_of_the_index(index: Index, ask: Callable[..., Json]) -> None:
    index.append(make.found("org/b"))
    index.append(make.make(make.found_parts("org/a"), time="2026-11-22T00:00:00Z"))

    assert ask("org/b")["index"] == {
        "time": "2026-11-22T00:00:00Z",
        "torn": False,
        "crawl": None,
        "source": str(index.directory),
        "released": None,
        "checked": None,
        "as_of": None,
    }


@pytest.mark.parametrize("has_feed", [True, False])
def test_the_index_is_as_old_as_its_last_change(index: Index, ask: Callable[..., Json], has_feed: bool) -> None:
    index.append(make.found("org/b"))
    index.append(make.make(make.found_parts("org/a"), time="2026-11-22T00:00:00Z"))
    if not has_feed:
        feed.segment(index.directory, 0).unlink()

    assert ask("org/b")["index"]["time"] == "2026-11-22T00:00:00Z"


def test_a_line_that_is_not_canonical_has_no_time_for_the_index(index: Index, ask: Callable[..., Json]) -> None:
    index.append(make.found("org/b"))
    (index.records / "org" / "empty.jsonl").write_bytes(b"")

    assert ask("org/b")["index"]["time"] == make.TIME


def test_a_log_that_cannot_be_read_has_no_say_in_the_age(tmp_path: Path) -> None:
    assert _newest_time(tmp_path) is None


# --- damaged logs ---


def log_of(index: Index, model_id: str = "org/m") -> Path:
    index.append(make.found(model_id))
    return index.path(model_id)


def test_a_torn_end_is_left_out_and_said(index: Index, ask: Callable[..., Json]) -> None:
    path = log_of(index)
    path.write_bytes(path.read_bytes() + b'{"model":{"id"')
    document = ask("org/m")

    assert (document["outcome"], document["index"]["torn"]) == ("found", True)
    assert "The log of this model ends in a half-written version, which is left out." in warnings(document)


def test_a_log_without_a_version_is_not_in_the_index(index: Index, ask: Callable[..., Json]) -> None:
    log_of(index).write_bytes(b"")

    with pytest.raises(NotInIndex):
        ask("org/m")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"model":{"id":"org/m"},"model":{}}', "duplicate key 'model'"),
        (b'{"x":NaN}', "NaN is not JSON"),
        (b"[]", "not a record"),
        (b'{"model":{"id":"org/m"}}', "not a record"),
        (b'{"model":{"id":"org/x"},"status":{},"provenance":{}}', "a record of 'org/x'"),
    ],
)
def test_a_damaged_last_line_is_an_error_with_file_and_line(
    index: Index, ask: Callable[..., Json], line: bytes, why: str
) -> None:
    path = log_of(index)
    path.write_bytes(path.read_bytes() + line + b"\n")

    with pytest.raises(DamagedLog) as raised:
        ask("org/m")

    assert str(raised.value).startswith(f"{path} line 2: {why};")


def test_a_damaged_earlier_line_is_an_error_where_it_is_read(index: Index, ask: Callable[..., Json]) -> None:
    path = log_of(index)
    path.write_bytes(b"[]\n" + path.read_bytes())

    with pytest.raises(DamagedLog, match=r"org/m.jsonl line 1: not a record"):
        ask("org/m@aaaaaaa")


def test_a_record_without_its_parts_is_an_error(index: Index, ask: Callable[..., Json]) -> None:
    path = log_of(index)
    path.write_bytes(b'{"model":{"id":"org/m"},"status":{},"provenance":{}}\n')

    with pytest.raises(StoreError, match=r"^org/m: its record is damaged \(KeyError: 'outcome'\)"):
        ask("org/m")


# --- names ---


@pytest.mark.parametrize(
    "text", ["gpt2", "../etc/passwd", "a b/c", "a/b/c", "org/naïve", "org/$(x)", "", "org/", "a/..b"]
)
def test_malformed_ids_are_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="is not a model id: write ORG/NAME"):
        parse_asked(text)


def test_a_name_without_its_org_can_be_searched() -> None:
    with pytest.raises(UsageError, match=r"to find its ORG: swindex search gpt2$"):
        parse_asked("gpt2")


def test_a_long_malformed_id_is_cut() -> None:
    with pytest.raises(UsageError) as raised:
        parse_asked("x" * 5000)

    assert len(str(raised.value)) < 140


@pytest.mark.parametrize("revision", ["main", "", "abcdef", "g" * 7, "a" * 41])
def test_a_revision_is_a_commit(revision: str) -> None:
    with pytest.raises(UsageError, match="is not a commit"):
        parse_asked(f"org/m@{revision}")


_OPENED: list[str] = []
_WATCHING: list[bool] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _WATCHING and event in ("open", "os.listdir", "os.scandir", "os.mkdir", "os.rename"):
        _OPENED.append(str(arguments[0]))


@pytest.fixture
def watched() -> Iterator[list[str]]:
    """The paths that are opened or listed while the test runs (an audit hook cannot be taken away, only told so)."""
    sys.addaudithook(_watch)
    _OPENED.clear()
    _WATCHING.append(True)
    yield _OPENED
    _WATCHING.clear()


hostile = st.text(st.sampled_from("ab/._-~ $\\\0\n%é@:"), max_size=12).filter(lambda t: not t.startswith("-"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=hostile)
def test_no_id_reaches_outside_the_records(text: str, tmp_path: Path, watched: list[str]) -> None:
    (tmp_path / "records").mkdir(exist_ok=True)
    watched.clear()
    status = main(["lookup", text, "--index", str(tmp_path)])
    opened = [p for p in watched if p.endswith(".jsonl") or p.startswith(str(tmp_path))]

    assert status in (1, 2)
    assert all(Path(p).resolve().is_relative_to(tmp_path / "records") for p in opened)
    assert status == 1 or not opened


# --- arguments ---

PLAIN = [
    (["lookup", "org/m"], Lookup("org/m")),
    (["lookup", "--json", "org/m"], Lookup("org/m", as_json=True)),
    (["lookup", "org/m", "--index", "d", "--base=a/b"], Lookup("org/m", directory="d", base="a/b")),
    (["lookup", "org/m", "--index", "c", "--index=d"], Lookup("org/m", directory="d")),
    (["lookup", "org/m", "--as-of=2026-11-21", "--offline"], Lookup("org/m", as_of="2026-11-21", offline=True)),
]
LEFT_TO_TYPER: list[list[str]] = [
    [],
    ["search", "x"],
    ["lookup"],
    ["lookup", "--help"],
    ["lookup", "a/b", "c/d"],
    ["lookup", "a/b", "--nope"],
    ["lookup", "a/b", "--index"],
    ["lookup", "a/b", "--index="],
]


@pytest.mark.parametrize(("arguments", "expected"), PLAIN)
def test_plain_lookups_are_read_without_typer(arguments: list[str], expected: Lookup) -> None:
    assert plain_lookup(arguments) == expected


@pytest.mark.parametrize("arguments", LEFT_TO_TYPER)
def test_everything_else_is_left_to_typer(arguments: list[str]) -> None:
    assert plain_lookup(arguments) is None


@pytest.mark.parametrize(
    "extra",
    [[], ["--json"], ["--base", "org/found"], ["--json", "--base=org/found"], ["--as-of=2026-11-21", "--offline"]],
)
def test_typer_gives_the_answer_of_the_fast_path(
    index: Index, capsys: pytest.CaptureFixture[str], extra: list[str]
) -> None:
    index.append(make.found("org/found"))
    arguments = ["lookup", "org/found", "--index", str(index.directory), *extra]
    fast = main(arguments), capsys.readouterr()
    slow = run(arguments), capsys.readouterr()

    assert fast == slow


def test_json_is_one_document(index: Index, capsys: pytest.CaptureFixture[str], ask: Callable[..., Json]) -> None:
    index.append(make.found("org/found"))
    main(["lookup", "org/found", "--json", "--index", str(index.directory)])
    out, err = capsys.readouterr()

    assert (json.loads(out), err) == (ask("org/found"), "")
