"""The store: logs, versions, the writer lock, checks and numbers. Faults of the disk are in test_store_faults."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from swindex.index import log
from swindex.index.check import check
from swindex.index.counts import stats
from swindex.index.errors import DamagedLog, Locked, NotInIndex, StaleRecord, StoreError
from swindex.index.findings import CODES, Finding
from swindex.index.store import Appended, Index
from swindex.index.versions import with_scan, withdraw
from swindex.schema import JsonError, Model, Outcome, Record, RecordError, SwindexError, UsageError
from swindex.schema.canonical import canonical_bytes, digest_of
from swindex.schema.ids import is_model_id
from swindex.schema.observation import Remark, Source, Stance
from swindex.schema.types import SCANNED
from swindex.schema.weight import Coordinates, GroupKind

from . import records as make

LATER = "2026-11-22T07:00:00Z"


def line_of(record: Record) -> bytes:
    return canonical_bytes(record.model_dump(mode="json"))


def write_log(index: Index, *lines: bytes, model_id: str = make.MODEL_ID) -> Path:
    """Put a log there by hand, whatever it says."""
    path = log.path_of(index.records, model_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def resealed(record: Record, **changes: Any) -> bytes:
    """The line of a record with other fields and the digest that goes with them."""
    data = record.model_dump(mode="json") | changes
    data["provenance"]["digest"] = digest_of(data)
    return canonical_bytes(data)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path / "index", lock_timeout=0.2)


# --- ids and paths ---


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "org",
        "org/",
        "/name",
        "org/name/more",
        "../name",
        "org/..",
        "./name",
        "org/.",
        "org/a..b",
        "/etc/passwd",
        "C:\\x/y",
        "org\\name",
        "org/na\x00me",
        "org/name\n",
        "org/na me",
        "org/name.git",
        "org/.name",
        "-org/name",
        "org/a--b",
        "օrg/name",  # Armenian letter o
        "org/nаme",  # Cyrillic letter a
        "org∕name",  # division slash
        "org/ｎame",  # fullwidth n
        "org/" + "x" * 97,
        "x" * 5000 + "/name",
        "org/name%2F..",
        "~/name",
    ],
)
def test_a_malformed_id_has_no_path(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"\Anot a model id: .*\Z"):
        log.path_of(tmp_path, text)


@pytest.mark.parametrize("text", [None, 3, b"org/name", ("org", "name")])
def test_an_id_is_text(tmp_path: Path, text: Any) -> None:
    with pytest.raises(UsageError):
        log.path_of(tmp_path, text)


@pytest.mark.parametrize("model_id", ["mistralai/Mistral-7B-v0.1", "a/b", "_a/b_", "o/" + "x" * 96, "org/a.jsonl"])
def test_a_path_gives_its_id_back(tmp_path: Path, model_id: str) -> None:
    path = log.path_of(tmp_path, model_id)

    assert (path.parent.parent, log.id_of(path)) == (tmp_path, model_id)


@given(st.text(alphabet="aZ0._-/\n é", max_size=12) | st.from_regex(r"[a-z.-]{1,6}/[a-z.-]{1,6}", fullmatch=True))
def test_an_id_is_accepted_where_the_schema_accepts_it(text: str) -> None:
    try:
        accepted = Model(id=text).id == text and "\n" not in text
    except ValueError:
        accepted = False

    assert is_model_id(text) == accepted


def test_a_log_is_found_in_any_case(index: Index) -> None:
    index.append(make.found("Org/Tiny-1"))

    assert log.find_path(index.records, "oRG/tINY-1") == index.records / "Org" / "Tiny-1.jsonl"


def test_the_exact_spelling_wins(index: Index) -> None:
    write_log(index, line_of(make.found("ORG/tiny")), model_id="ORG/tiny")
    exact = write_log(index, line_of(make.found("org/tiny")))

    assert log.find_path(index.records, "org/tiny") == exact


def test_a_look_alike_name_is_not_found(index: Index) -> None:
    index.append(make.found())
    (index.records / "org" / "\u212abc.jsonl").write_bytes(b"{}\n")  # the Kelvin sign lower-cases to k

    assert log.find_path(index.records, "org/kbc") is None


def test_an_absent_log_is_none(index: Index) -> None:
    index.append(make.found())
    (index.records / "file").touch()

    assert [log.find_path(index.records, model_id) for model_id in ("org/other", "file/x")] == [None, None]


def test_looking_in_no_index_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be listed"):
        log.find_path(tmp_path / "absent", "org/name")


# --- lines ---


def test_lines_of_a_log(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a":1}\n{"b":2}\n')

    assert log.read_lines(path) == ([b'{"a":1}', b'{"b":2}'], False)


@pytest.mark.parametrize(
    "torn", [b"{", b'{"b":2}', b"\x00\x00\x00", b"\xff\xfe", b"{\n", b"\x00\x00\n", b"\n", b"[" * 99999 + b"\n"]
)
def test_a_torn_last_line_is_dropped_and_reported(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a":1}\n' + torn)

    assert (log.read_lines(path), log.newest_line(path)) == (([b'{"a":1}'], True), (b'{"a":1}', True))


@pytest.mark.parametrize("content", [b"", b"{"])
def test_a_log_without_a_whole_line_has_no_version(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)

    assert (log.read_lines(path), log.newest_line(path)) == (([], bool(content)), (None, bool(content)))


def test_a_damaged_earlier_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a":1}\n{"b":\n{"c":3}\n')

    with pytest.raises(DamagedLog, match=r"x\.jsonl line 2: not JSON"):
        log.read_lines(path)


@pytest.mark.parametrize("tail", [b"", b"{"])
def test_damage_right_before_a_torn_end_is_named(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a":1}\n{"b":\n{"c"\n' + tail)

    with pytest.raises(DamagedLog, match=f"line {3 if tail else 2}: not JSON"):
        log.newest_line(path)


@given(
    sizes=st.lists(st.integers(0, 300_000), min_size=1, max_size=4),
    torn=st.sampled_from([b"", b'{"torn":', b'{"torn"\n']),
)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_newest_line_is_the_last_of_all_lines(tmp_path: Path, sizes: list[int], torn: bytes) -> None:
    path = tmp_path / "x.jsonl"
    lines = [json.dumps({"n": n, "fill": "x" * size}).encode() for n, size in enumerate(sizes)]
    path.write_bytes(b"".join(line + b"\n" for line in lines) + torn)

    assert log.newest_line(path) == (lines[-1], bool(torn))


def test_a_log_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    for read in (log.read_lines, log.newest_line):
        with pytest.raises(StoreError, match="cannot be read: No such file"):
            read(tmp_path / "x.jsonl")


def test_a_lookup_needs_the_standard_library_only() -> None:
    heavy = ("pydantic", "rfc8785", "duckdb", "filelock", "torch", "typer", "huggingface_hub")
    code = f"import sys; import swindex.index.log; print([n for n in {heavy!r} if n in sys.modules])"

    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_the_package_loads_names_when_they_are_asked_for() -> None:
    code = """
import sys, swindex.index as index
before = [n for n in ("pydantic", "duckdb") if n in sys.modules]
print(before, [getattr(index, name).__name__ == name for name in index.__all__].count(False))
try:
    index.nothing
except AttributeError as error:
    print(error)
"""
    expected = "[] 0\nmodule 'swindex.index' has no attribute 'nothing'\n"

    assert subprocess.check_output([sys.executable, "-c", code], text=True) == expected


# --- reading an index ---


def test_models_are_sorted(index: Index) -> None:
    for model_id in ("b/x", "a/y", "a/B", "a-b/z"):
        index.append(make.none_found(model_id))

    assert list(index.models()) == ["a-b/z", "a/B", "a/y", "b/x"]


def test_other_files_are_no_models(index: Index) -> None:
    index.append(make.found())
    for name in ("README.md", "org/.tiny.jsonl.tmp", "org/notes.txt"):
        (index.records / name).touch()
    (index.records / "org" / "folder.jsonl").mkdir()

    assert list(index.models()) == [make.MODEL_ID]


@pytest.mark.parametrize("ask", [lambda i: list(i.models()), lambda i: i.read("a/b"), check, stats])
def test_a_directory_without_records_is_no_index(tmp_path: Path, ask: Callable[[Index], Any]) -> None:
    with pytest.raises(StoreError, match=r"not an index: it holds no directory records/") as error:
        ask(Index(tmp_path))

    assert error.value.exit_status == 3


def test_what_is_not_in_the_index_is_said_so(index: Index) -> None:
    index.append(make.found())

    for ask in (index.read, index.history, index.path, index.versions):
        with pytest.raises(NotInIndex, match="org/other is not in the index at") as error:
            ask("org/other")
        assert error.value.exit_status == 1


def test_a_malformed_id_is_wrong_usage(index: Index) -> None:
    index.append(make.found())

    with pytest.raises(UsageError) as error:
        index.read("gpt2")

    assert error.value.exit_status == 2


def test_the_newest_version_is_read_in_any_case(index: Index) -> None:
    first = make.reported()
    second = make.found(previous=first)
    index.append(first)
    index.append(second)

    assert index.read("ORG/TINY") == second


def test_a_revision_gives_its_newest_version(index: Index) -> None:
    history = [make.found()]
    history.append(make.found(previous=history[-1], scan_id="scan-2"))
    history.append(make.found(revision=make.OTHER_REVISION, previous=history[-1], scan_id="scan-3"))
    for record in history:
        index.append(record)

    assert [index.read(make.MODEL_ID, r) for r in (make.REVISION, make.OTHER_REVISION)] == history[1:]


def test_an_unknown_revision_is_not_in_the_index(index: Index) -> None:
    index.append(make.reported())
    index.append(make.found(previous=index.read(make.MODEL_ID)))

    with pytest.raises(NotInIndex, match=f"not at revision {'c' * 40}; known: {make.REVISION}, none"):
        index.read(make.MODEL_ID, "c" * 40)


def test_a_log_with_only_a_torn_line_is_not_in_the_index(index: Index) -> None:
    write_log(index).write_bytes(b"{")

    for ask in (index.read, index.history):
        with pytest.raises(NotInIndex):
            ask(make.MODEL_ID)


def test_a_torn_line_is_reported_when_read(index: Index, caplog: pytest.LogCaptureFixture) -> None:
    path = write_log(index, line_of(make.found()))
    path.write_bytes(path.read_bytes() + b"{")

    with caplog.at_level(logging.WARNING):
        record = index.read(make.MODEL_ID)

    assert record == make.found()
    assert caplog.messages == [f"{path}: the last line is torn (or being written) and was dropped"]


def test_unknown_fields_of_a_newer_minor_schema_are_ignored(index: Index) -> None:
    data = make.found().model_dump(mode="json")
    data["provenance"]["schema_version"] = "1.7"
    data["super_weights"][0]["new_field"] = [1]
    data["novelty"] = {}
    data["provenance"]["digest"] = digest_of(data)
    write_log(index, canonical_bytes(data))

    assert index.read(make.MODEL_ID).super_weights == make.found().super_weights


@pytest.mark.parametrize("spoil", [b'{"model":1}', b"[]", b'{"a":NaN}', b'{"a":1,"a":2}'])
def test_a_line_that_is_no_record_is_named(index: Index, spoil: bytes) -> None:
    path = write_log(index, line_of(make.found()), spoil)

    for ask in (index.read, index.history):
        with pytest.raises(DamagedLog, match=rf"\A{path} line 2: [^\n]*\Z"):
            ask(make.MODEL_ID)


def test_a_changed_record_is_refused(index: Index) -> None:
    path = write_log(index, line_of(make.found()).replace(b'"tester"', b'"intruder"'))

    with pytest.raises(DamagedLog, match="digest does not match"):
        index.read(make.MODEL_ID)

    assert path.exists()


def test_a_record_of_another_model_is_refused(index: Index) -> None:
    write_log(index, line_of(make.found("org/other")))

    with pytest.raises(DamagedLog, match="line 1: a record of org/other"):
        index.read(make.MODEL_ID)


def test_digests_are_those_of_the_newest_versions(index: Index) -> None:
    first = make.reported()
    second, other = make.found(previous=first), make.failed("org/other")
    for record in (first, second, other):
        index.append(record)
    write_log(index, model_id="org/empty")

    assert index.digests() == {
        make.MODEL_ID: second.provenance.digest,
        "org/other": other.provenance.digest,
    }


def test_a_line_without_a_digest_is_named(index: Index) -> None:
    write_log(index, line_of(make.found()), b"{}")

    with pytest.raises(DamagedLog, match=r"line 2: no provenance\.digest"):
        index.digests()


# --- appending ---


def test_an_append_is_a_canonical_line(index: Index) -> None:
    first = make.reported()
    second = make.found(previous=first)

    assert [index.append(first), index.append(second)] == [Appended.APPENDED, Appended.APPENDED]
    assert index.path(make.MODEL_ID).read_bytes() == line_of(first) + b"\n" + line_of(second) + b"\n"


def test_the_identical_record_is_already_there(index: Index) -> None:
    first = make.reported()
    second = make.found(previous=first)
    index.append(first)
    index.append(second)

    assert [index.append(first), index.append(second)] == [Appended.ALREADY_THERE] * 2
    assert index.history(make.MODEL_ID) == [first, second]


def test_equal_content_is_not_appended_again(index: Index) -> None:
    first = make.found()
    index.append(first)

    again = make.make(make.found_parts(), first, time=LATER, submitter="somebody else")

    assert index.append(again) is Appended.ALREADY_THERE
    assert index.history(make.MODEL_ID) == [first]


@pytest.mark.parametrize(
    "record",
    [
        make.none_found(),
        make.none_found(previous=make.reported()),
        make.make(make.none_found_parts(), make.found(), version=3),
    ],
)
def test_a_version_that_does_not_follow_the_newest_is_refused(index: Index, record: Record) -> None:
    index.append(make.found())

    with pytest.raises(StaleRecord, match=r"the newest in the index is version 1 \([0-9a-f]{12}\)"):
        index.append(record)

    assert index.history(make.MODEL_ID) == [make.found()]


def test_a_first_version_that_follows_something_is_refused(index: Index) -> None:
    with pytest.raises(StaleRecord, match=r"the newest in the index is version 0 \(nothing\)"):
        index.append(make.found(previous=make.reported()))

    assert list(index.directory.iterdir()) == [index.lock_file]


def test_a_record_that_lost_fields_is_not_written(index: Index) -> None:
    data = make.found().model_dump(mode="json") | {"novelty": 1}
    data["provenance"]["digest"] = digest_of(data)
    read = Record.parse(canonical_bytes(data), tolerant=True)

    with pytest.raises(RecordError, match="digest does not match"):
        index.append(read)


def test_nothing_is_built_on_a_newer_schema(index: Index) -> None:
    newer = make.make(make.reported_parts(), schema_version="1.9")
    write_log(index, line_of(newer))

    with pytest.raises(StoreError, match=r"has schema 1\.9, this program knows 1\.\d+ and would lose fields"):
        index.append(make.found(previous=newer))


def test_an_id_in_another_case_is_not_a_new_model(index: Index) -> None:
    index.append(make.found("Org/Tiny"))

    with pytest.raises(StoreError, match="the index has Org/Tiny, which differs only in case"):
        index.append(make.found("org/tiny"))
    with pytest.raises(StoreError, match="the index has Org/Tiny"):
        index.add("org/tiny", lambda _: make.found_parts("org/tiny"), "me", LATER)


def test_a_torn_end_is_cut_off_before_the_next_append(index: Index) -> None:
    first = make.reported()
    second = make.found(previous=first)
    path = write_log(index, line_of(first))
    path.write_bytes(path.read_bytes() + line_of(second)[:100])

    index.append(second)

    assert path.read_bytes() == line_of(first) + b"\n" + line_of(second) + b"\n"


def test_damage_stops_an_append(index: Index) -> None:
    path = write_log(index, b"{", line_of(make.found()))
    before = path.read_bytes()

    with pytest.raises(DamagedLog, match="line 1"):
        index.append(make.none_found(previous=make.found()))

    assert path.read_bytes() == before


def test_a_line_cut_at_any_byte_costs_only_itself(index: Index) -> None:
    first = make.failed()
    second = make.none_found(previous=first, scan_id="scan-2")
    whole, last = line_of(first) + b"\n", line_of(second) + b"\n"
    path = write_log(index)
    for length in range(len(last)):
        path.write_bytes(whole + last[:length])
        assert log.read_lines(path) == ([line_of(first)], length > 0)
        assert log.newest_line(path) == (line_of(first), length > 0)
    for length in range(0, len(last), 97):
        path.write_bytes(whole + last[:length])
        assert index.append(second) is Appended.APPENDED
        assert path.read_bytes() == whole + last


# --- add ---


def test_add_builds_on_the_newest(index: Index) -> None:
    seen: list[Record | None] = []

    def build(previous: Record | None) -> dict[str, Any]:
        seen.append(previous)
        return make.reported_parts() if previous is None else make.found_parts()

    first = index.add(make.MODEL_ID, build, "me", make.TIME)
    second = index.add(make.MODEL_ID, build, "you", LATER)

    assert seen == [None, first]
    assert (first, second) == (
        make.make(make.reported_parts(), submitter="me"),
        make.make(make.found_parts(), first, submitter="you", time=LATER),
    )
    assert index.history(make.MODEL_ID) == [first, second]


def test_add_of_nothing_appends_nothing(index: Index) -> None:
    assert index.add(make.MODEL_ID, lambda _: None, "me", make.TIME) is None
    assert not index.records.exists()


def test_add_of_equal_content_appends_nothing(index: Index) -> None:
    index.append(make.found())

    assert index.add(make.MODEL_ID, lambda _: make.found_parts(), "me", LATER) is None
    assert index.history(make.MODEL_ID) == [make.found()]


def test_add_of_another_model_is_refused(index: Index) -> None:
    with pytest.raises(StoreError, match="org/tiny: the version that was built is of org/other"):
        index.add(make.MODEL_ID, lambda _: make.found_parts("org/other"), "me", LATER)


def test_add_of_an_impossible_version_says_why(index: Index) -> None:
    with pytest.raises(RecordError, match="nothing is known"):
        index.add(make.MODEL_ID, lambda _: {"model": make.model()}, "me", LATER)


def test_add_checks_the_id_first(index: Index) -> None:
    with pytest.raises(UsageError):
        index.add("../x", lambda _: make.found_parts(), "me", LATER)

    assert not index.directory.exists()


def test_a_failed_build_leaves_the_lock_free(index: Index) -> None:
    def build(_: Record | None) -> dict[str, Any]:
        raise SwindexError("no")

    with pytest.raises(SwindexError, match="no"):
        index.add(make.MODEL_ID, build, "me", LATER)

    assert index.append(make.found()) is Appended.APPENDED


def test_the_lock_is_held_while_building(index: Index) -> None:
    other = Index(index.directory, lock_timeout=0.01)

    def build(_: Record | None) -> dict[str, Any]:
        with pytest.raises(Locked, match=rf"waited 0\.01 s for {index.lock_file}"):
            other.append(make.none_found())
        return make.found_parts()

    assert index.add(make.MODEL_ID, build, "tester", make.TIME) == make.found()


def test_the_lock_may_be_taken_again_by_its_holder(index: Index) -> None:
    with index.writing():
        assert index.append(make.found()) is Appended.APPENDED

    with Index(index.directory, lock_timeout=0.1).writing():
        assert index.read(make.MODEL_ID) == make.found()


def test_threads_wait_for_each_other(index: Index) -> None:
    index = Index(index.directory)

    def work(n: int) -> None:
        index.add(make.MODEL_ID, lambda p: with_scan(p, model=make.model(), scan=failed_scan(f"scan-{n}")), "me", LATER)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(s.id for s in index.read(make.MODEL_ID).scans) == [f"scan-{n}" for n in range(4)]


def failed_scan(scan_id: str) -> Any:
    return make.scan(scan_id, Outcome.FAILED)


# --- next versions: with_scan ---


def scan_parts(parts: dict[str, Any]) -> dict[str, Any]:
    """The arguments of with_scan for parts that `records` makes."""
    found = {name: parts[name] for name in ("model", "super_weights", "groups", "effects") if name in parts}
    return {**found, "scan": parts["scans"][0]}


def test_the_first_scan_of_a_model() -> None:
    parts = with_scan(None, **scan_parts(make.found_parts()))

    assert parts is not None
    assert make.make(parts) == make.found()


def test_a_scan_is_added_to_claims() -> None:
    previous, ours = make.reported(), make.found_parts()

    parts = with_scan(previous, **scan_parts(ours))

    assert parts == {
        **ours,
        "super_weights": (*ours["super_weights"], previous.super_weights[1]),
        "groups": (*ours["groups"], *previous.groups),
        "observations": previous.observations,
        "remarks": previous.remarks,
        "survivals": (),
    }


def test_the_group_of_a_claim_stays_where_we_name_none() -> None:
    ours = make.none_found_parts()
    parts = with_scan(make.reported(), **scan_parts(ours), super_weights=(make.weight(1, 2, 3),))

    assert parts is not None
    assert [(w.id, w.group, w.scan) for w in parts["super_weights"]] == [
        ("L1.R2.C3", "reported-1", "scan-1"),
        ("L2.R4.C3", "reported-1", None),
    ]


def test_a_find_of_ours_in_no_known_group_is_an_error() -> None:
    parts = with_scan(
        make.reported(),
        model=make.model(),
        scan=make.scan(outcome=Outcome.NONE_FOUND),
        super_weights=(make.weight(group="typo"),),
    )

    assert parts is not None
    with pytest.raises(RecordError, match="no group typo"):
        make.make(parts, make.reported())


def test_the_same_scan_again_adds_nothing() -> None:
    assert with_scan(make.found(), **scan_parts(make.found_parts())) is None


def test_a_new_scan_at_the_revision_keeps_what_the_older_found() -> None:
    previous = make.found()
    two = make.weight(2, 4, 3, scan="scan-2", group="neuron-2-3")
    three = make.weight(2, 5, 3, scan="scan-2", group="neuron-2-3")
    group = make.group("neuron-2-3", two.id, three.id)
    effect = make.effect("scan-2-alone", two.id, scan="scan-2")

    parts = with_scan(
        previous,
        model=make.model(),
        scan=make.scan("scan-2"),
        super_weights=(two, three),
        groups=(group,),
        effects=(effect,),
    )

    assert parts == {
        "model": make.model(),
        "super_weights": (two, three, *(w.model_copy(update={"group": None}) for w in previous.super_weights)),
        "groups": (group,),
        "effects": (*previous.effects, effect),
        "scans": (*previous.scans, make.scan("scan-2")),
        "observations": (),
        "remarks": (),
        "survivals": (),
    }


def test_an_older_find_stays_in_a_group_that_is_found_again() -> None:
    previous = make.found()
    one, two = previous.super_weights
    again = one.model_copy(update={"scan": "scan-2"})

    parts = with_scan(
        previous,
        model=make.model(),
        scan=make.scan("scan-2"),
        super_weights=(again,),
        groups=previous.groups,
        effects=(make.effect("scan-2-alone", one.id, scan="scan-2"),),
    )

    assert parts is not None
    assert parts["super_weights"] == (again, two)


def test_a_scan_at_another_revision_leaves_the_old_finds_in_the_history() -> None:
    remark = Remark(about=("L1.R2.C3", "L1.R7.C3"), text="Both in one neuron.")
    previous = make.make({**make.found_parts(), "remarks": (remark,)})
    ours = make.none_found_parts(revision=make.OTHER_REVISION, scan_id="scan-2")

    parts = with_scan(previous, **scan_parts(ours))

    assert parts == {
        "model": make.model(revision=make.OTHER_REVISION),
        "super_weights": (),
        "groups": (),
        "effects": (),
        "scans": (*previous.scans, *ours["scans"]),
        "observations": (),
        "remarks": (remark.model_copy(update={"about": ()}),),
        "survivals": (),
    }


def test_a_claim_outlives_our_find_at_another_revision() -> None:
    claims = make.reported_parts()
    both = with_scan(make.reported(), **scan_parts(make.found_parts()))
    assert both is not None
    ours = make.none_found_parts(revision=make.OTHER_REVISION, scan_id="scan-2")

    parts = with_scan(make.make(both, make.reported()), **scan_parts(ours))

    assert parts is not None
    assert parts["super_weights"] == (
        make.weight(1, 2, 3, scan=None, group=None),
        claims["super_weights"][1],
    )
    assert (parts["groups"], parts["observations"]) == (claims["groups"], claims["observations"])


def test_a_member_of_a_reported_group_outlives_our_find() -> None:
    found = make.found_parts()
    set_of_all = make.group("set", "L1.R2.C3", "L1.R7.C3", kind=GroupKind.JOINT, reported=True)
    weights = tuple(w.model_copy(update={"group": "set"}) for w in found["super_weights"])
    previous = make.make({**found, "super_weights": weights, "groups": (set_of_all,)})
    ours = make.none_found_parts(revision=make.OTHER_REVISION, scan_id="scan-2")

    parts = with_scan(previous, **scan_parts(ours))

    assert parts is not None
    assert parts["super_weights"] == tuple(make.weight(1, r, 3, scan=None, group="set") for r in (2, 7))


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - SCANNED))
def test_a_scan_that_could_not_be_made_changes_nothing_else(outcome: Outcome) -> None:
    previous = make.found()
    tried = make.failed_parts(revision=make.OTHER_REVISION, scan_id="scan-2", outcome=outcome)

    parts = with_scan(previous, **scan_parts(tried))

    assert parts == {
        **make.found_parts(),
        "scans": (*previous.scans, *tried["scans"]),
        "observations": (),
        "remarks": (),
        "survivals": (),
        "withdrawn": None,
    }


def test_a_second_failure_says_more_of_the_model() -> None:
    tried = make.failed_parts(revision=make.OTHER_REVISION, scan_id="scan-2", outcome=Outcome.TOO_LARGE)

    parts = with_scan(make.failed(), **scan_parts(tried))

    assert parts is not None
    assert parts["model"] == tried["model"]


def test_a_scan_that_is_made_at_last_takes_the_place_of_its_failure() -> None:
    parts = with_scan(make.failed(), **scan_parts(make.found_parts()))

    assert parts is not None
    assert parts["scans"] == make.found_parts()["scans"]


def test_a_scan_that_was_made_is_not_undone_by_a_failure() -> None:
    assert with_scan(make.found(), **scan_parts(make.failed_parts())) is None


def test_the_same_failure_again_adds_nothing() -> None:
    assert with_scan(make.failed(), **scan_parts(make.failed_parts())) is None


def test_the_base_model_is_kept_where_a_scan_does_not_know_it() -> None:
    bare = make.model(base_model=None, relation=None)

    parts = with_scan(make.reported(), model=bare, scan=make.scan(outcome=Outcome.NONE_FOUND))

    assert parts is not None
    assert parts["model"] == make.model()


# --- next versions: withdraw ---


def test_a_withdrawal_keeps_everything_and_says_why(index: Index) -> None:
    index.append(make.found())

    record = index.add(make.MODEL_ID, lambda p: p and withdraw(p, "a wrong checkpoint", LATER), "me", LATER)

    assert record is not None
    assert record.provenance.withdrawn is not None
    assert (record.provenance.withdrawn.reason, record.provenance.withdrawn.time) == ("a wrong checkpoint", LATER)
    assert record.super_weights == make.found().super_weights
    assert index.read(make.MODEL_ID) == record


def withdrawn(previous: Record) -> Record:
    parts = withdraw(previous, "wrong", LATER)
    assert parts is not None
    return make.make(parts, previous)


def test_the_same_withdrawal_again_adds_nothing() -> None:
    assert withdraw(withdrawn(make.found()), "wrong", LATER) is None


def test_a_withdrawal_needs_a_reason() -> None:
    with pytest.raises(SwindexError, match=r"withdrawal of org/tiny: reason: [^\n]*\Z"):
        withdraw(make.found(), "", LATER)


def test_a_failed_scan_does_not_undo_a_withdrawal() -> None:
    record = withdrawn(make.found())

    parts = with_scan(record, **scan_parts(make.failed_parts(scan_id="scan-2")))

    assert parts is not None
    assert parts["withdrawn"] == record.provenance.withdrawn


def test_a_new_scan_counts_again() -> None:
    parts = with_scan(withdrawn(make.found()), **scan_parts(make.found_parts(scan_id="scan-2")))

    assert parts is not None
    assert make.make(parts, withdrawn(make.found())).provenance.withdrawn is None


# --- every combination is a valid record ---

KINDS = (make.found_parts, make.none_found_parts, make.failed_parts)
REVISIONS = (make.REVISION, make.OTHER_REVISION)
STEPS = tuple(product(KINDS, REVISIONS))


@pytest.mark.parametrize("start", [None, make.reported(), make.reported(revision=make.REVISION)])
def test_scans_in_any_order_make_valid_records(start: Record | None) -> None:
    for steps in product(STEPS, repeat=3):
        record = start
        for n, (kind, revision) in enumerate(steps):
            parts = with_scan(record, **scan_parts(kind(revision=revision, scan_id=f"s{n}")))
            assert parts is not None
            record = make.make(parts, record)
        assert record is not None
        assert Record.parse(line_of(record)) == record


@pytest.mark.parametrize("claim", [Stance.CLAIMS, Stance.DENIES])
def test_no_figure_of_ours_outlives_its_revision(claim: Stance) -> None:
    place = Coordinates(layer=1, row=2, col=3)
    said = make.observation((1, 2, 3), stance=claim)
    previous = make.make({**make.found_parts(), "observations": (said,)})

    parts = with_scan(previous, **scan_parts(make.none_found_parts(revision=make.OTHER_REVISION, scan_id="scan-2")))

    assert parts is not None
    status = make.make(parts, previous).status
    assert [(w.weight, w.alone, w.alone_basis) for w in status.weights] == [(place.weight_id, "untested", None)]


# --- a state machine against plain Python ---


class Histories(RuleBasedStateMachine):
    """Any order of scans, withdrawals, replays and crashes gives the history that a list gives."""

    folder: Path
    models = ("org/one", "Org2/Two")

    @initialize()
    def start(self) -> None:
        self.holder = tempfile.TemporaryDirectory(dir=self.folder)
        self.index = Index(Path(self.holder.name))
        self.expected: dict[str, list[Record]] = {}
        self.count = 0

    def teardown(self) -> None:
        if hasattr(self, "holder"):
            self.holder.cleanup()

    @rule(model_id=st.sampled_from(models), step=st.sampled_from(STEPS), repeat=st.booleans())
    def scan(self, model_id: str, step: tuple[Any, str], repeat: bool) -> None:
        kind, revision = step
        self.count += not repeat
        arguments = scan_parts(kind(model_id, revision, f"s{self.count}"))
        known = self.expected.get(model_id, [])
        expected = with_scan(known[-1] if known else None, **arguments)

        record = self.index.add(model_id, lambda previous: with_scan(previous, **arguments), "me", LATER)

        assert (record is None) == (expected is None)
        if record is not None:
            self.expected.setdefault(model_id, []).append(record)

    @precondition(lambda self: self.expected)
    @rule(data=st.data(), reason=st.sampled_from(["wrong", "gone"]))
    def withdraw(self, data: st.DataObject, reason: str) -> None:
        model_id = data.draw(st.sampled_from(sorted(self.expected)))
        record = self.index.add(model_id, lambda p: p and withdraw(p, reason, LATER), "me", LATER)
        newest = self.expected[model_id][-1].provenance.withdrawn
        assert (record is None) == (newest is not None and newest.reason == reason)
        if record is not None:
            self.expected[model_id].append(record)

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def append_again(self, data: st.DataObject) -> None:
        model_id = data.draw(st.sampled_from(sorted(self.expected)))
        record = data.draw(st.sampled_from(self.expected[model_id]))
        assert self.index.append(record) is Appended.ALREADY_THERE

    @precondition(lambda self: self.expected)
    @rule(data=st.data(), torn=st.sampled_from([b"{", b'{"a":1}', b"\x00\x00\n"]))
    def crash(self, data: st.DataObject, torn: bytes) -> None:
        path = self.index.path(data.draw(st.sampled_from(sorted(self.expected))))
        path.write_bytes(path.read_bytes().removesuffix(b"\x00\x00\n") + torn)

    @invariant()
    def the_history_is_as_expected(self) -> None:
        if self.expected:
            assert {m: self.index.history(m) for m in self.index.models()} == self.expected

    @invariant()
    def a_check_finds_at_most_torn_lines(self) -> None:
        if self.expected:
            assert {f.code for f in check(self.index)} <= {"torn-line", "database-missing"}


def test_histories_are_what_a_list_gives(tmp_path: Path) -> None:
    Histories.folder = tmp_path
    machine = Histories.TestCase()
    machine.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
    machine.runTest()


# --- check ---


def codes(index: Index) -> list[tuple[str, str]]:
    """What a check finds, with the place relative to the records; what is missing beside them is left out."""
    found = [(f.code, f.where.removeprefix(f"{index.records}/")) for f in check(index)]
    return [each for each in found if each[0] not in ("database-missing", "feed-missing", "feed-unchecked")]


TINY = "org/tiny.jsonl line 1"


def test_a_sound_index_has_no_finding(index: Index) -> None:
    first = make.reported()
    for record in (first, make.found(previous=first), make.none_found("org/none"), make.failed("org/failed")):
        index.append(record)

    assert codes(index) == []


def test_every_finding_has_a_severity() -> None:
    assert {Finding(code, "", "").severity for code in CODES} == {"error", "warning"}


CASES: dict[str, tuple[list[bytes], list[tuple[str, str]]]] = {
    "not JSON": (
        [b"{", line_of(make.found())],
        [("damaged-line", TINY), ("chain-version", "org/tiny.jsonl line 2")],
    ),
    "not an object": ([b"[]"], [("damaged-line", TINY)]),
    "no provenance": ([b"{}"], [("damaged-line", TINY)]),
    "duplicate key": ([line_of(make.found()).replace(b"{", b'{"model":1,', 1)], [("damaged-line", TINY)]),
    "NaN": ([b'{"provenance":{},"a":NaN}'], [("damaged-line", TINY)]),
    "integer too large": ([b'{"provenance":{},"a":%d}' % 2**60], [("damaged-line", TINY)]),
    "no newline": ([line_of(make.found()), b""], [("torn-line", "org/tiny.jsonl line 2")]),
    "nothing": ([], [("empty-log", "org/tiny.jsonl")]),
    "spaces": ([json.dumps(json.loads(line_of(make.found()))).encode()], [("not-canonical", TINY)]),
    "field missing": ([resealed(make.found(), scans=None)], [("schema", TINY)]),
    "field unknown": ([resealed(make.found(), novelty=1)], [("schema", TINY)]),
    "model no object": ([resealed(make.found(), model=7)], [("wrong-model", TINY), ("schema", TINY)]),
    "typed-in status": (
        [resealed(make.found(), status={**make.found().status.model_dump(mode="json"), "outcome": "none_found"})],
        [("status", TINY)],
    ),
    "digest": ([line_of(make.found()).replace(b'"tester"', b'"intruder"')], [("digest", TINY)]),
    "newer schema": ([line_of(make.make(make.found_parts(), schema_version="1.9"))], [("newer-schema", TINY)]),
    "other model": ([line_of(make.found("org/other"))], [("wrong-model", TINY)]),
    "begins late": (
        [line_of(make.found(previous=make.reported()))],
        [("chain-version", TINY), ("chain-previous", TINY)],
    ),
    "fork": (
        [line_of(make.reported()), line_of(make.found(previous=make.none_found()))],
        [("chain-previous", "org/tiny.jsonl line 2")],
    ),
    "line lost": (
        [b"{", line_of(make.found(previous=make.reported()))],
        [("damaged-line", TINY)],
    ),
    "back in time": (
        [
            line_of(make.reported()),
            line_of(make.make(make.found_parts(), make.reported(), time="2026-11-20T00:00:00Z")),
        ],
        [("time-order", "org/tiny.jsonl line 2")],
    ),
    "unpinned": ([line_of(make.none_found(revision=None))], [("unpinned", TINY)]),
    "coverage": (
        [
            line_of(
                make.make(
                    {"model": make.model(), "scans": (make.scan(outcome=Outcome.NONE_FOUND, layers=5, experts=8),)}
                )
            )
        ],
        [("coverage", TINY), ("coverage", TINY)],
    ),
    "uncontrolled": (
        [
            line_of(
                make.make(
                    {**make.found_parts(), "effects": (make.effect("e", "L1.R2.C3", controlled=False),)},
                )
            )
        ],
        [("uncontrolled", TINY)],
    ),
    "unfounded": (
        [line_of(make.make({**make.none_found_parts(), "super_weights": (make.weight(scan=None),)}))],
        [("unfounded", TINY)],
    ),
    "unsourced": (
        [
            line_of(
                make.make(
                    {
                        "model": make.model(),
                        "observations": (make.observation(source=Source(origin="someone", title="A talk")),),
                    }
                )
            )
        ],
        [("unsourced", TINY)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_check_finds(index: Index, name: str) -> None:
    lines, expected = CASES[name]
    write_log(index, *lines)

    assert codes(index) == expected


def test_a_check_looks_at_paths(index: Index) -> None:
    index.append(make.found())
    write_log(index, line_of(make.found("Org/Tiny")), model_id="Org/Tiny")
    for name in ("README", "org/tiny.json", "org/a--b.jsonl"):
        (index.records / name).touch()
    (index.records / "org" / "deep").mkdir()

    assert codes(index) == [
        ("stray-file", "README"),
        ("stray-file", "org/a--b.jsonl"),
        ("stray-file", "org/deep"),
        ("stray-file", "org/tiny.json"),
        ("case", make.MODEL_ID),
    ]


# --- numbers ---


def test_the_numbers_of_an_index(index: Index) -> None:
    first = make.reported()
    disputed = make.make(
        {
            "model": make.model("org/d"),
            "super_weights": (make.weight(1, 2, 3, scan=None),),
            "observations": (
                make.observation((1, 2, 3)),
                make.observation((1, 2, 3), origin="b", stance=Stance.DENIES),
            ),
        },
        time=LATER,
    )
    gone = make.found("org/gone")
    everything = [first, make.found(previous=first), disputed, make.none_found("org/n"), gone, withdrawn(gone)]
    for record in everything:
        index.append(record)

    got = stats(index)

    zero = dict.fromkeys(Outcome, 0)
    assert got == {
        "models": 4,
        "versions": 6,
        "withdrawn": 1,
        "outcomes": {**zero, "found": 1, "none_found": 1, "reported": 1, "inherited": 0},
        "scans": {**zero, "found": 1, "none_found": 1},
        "scans_shared": 0,
        "survivals": {"models": 0, "scalars": {"same": 0, "drifted": 0, "gone": 0}},
        "super_weights": {
            "total": 3,
            "location": {"reported": 0, "confirmed": 2, "disputed": 1, "refuted": 0},
            "alone": {"confirmed": 1, "partial": 0, "inert": 1, "non_finite": 0, "untested": 1},
            "grouped": {"confirmed": 2, "partial": 0, "inert": 0, "non_finite": 0, "untested": 1},
        },
        "observations": 2,
        "origins": 2,
        "models_with_conflicts": 1,
        "conflicts": {"layer": 0, "location": 1, "effect": 0, "value": 0, "set": 0},
        "newest": LATER,
        "crawl": None,
    }


def test_an_empty_index_has_zeros(index: Index) -> None:
    index.records.mkdir(parents=True)

    got = stats(index)

    assert (got["models"], got["versions"], got["super_weights"]["total"], got["newest"]) == (0, 0, 0, None)


def test_numbers_json_cannot_hold_are_refused(index: Index) -> None:
    big = make.scan().settings.model_copy(update={"constants": {"seed": 2**60}})
    scan = make.scan(outcome=Outcome.NONE_FOUND).model_copy(update={"settings": big})

    with pytest.raises(JsonError):
        index.add(make.MODEL_ID, lambda _: {"model": make.model(), "scans": (scan,)}, "me", LATER)
