"""The DuckDB file: what stands in it, that it equals the log, and that a crash between the two is healed."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from swindex.index import database
from swindex.index.check import check
from swindex.index.database import Difference
from swindex.index.errors import StaleDatabase, StoreError
from swindex.index.files import Files
from swindex.index.rows import TYPES
from swindex.index.store import Index
from swindex.index.tables import TABLES
from swindex.index.versions import with_scan, withdraw
from swindex.schema import Outcome, Record
from swindex.schema.canonical import canonical_bytes
from swindex.schema.observation import Metric, Remark, Stance

from . import records as make
from .test_store import STEPS, line_of, scan_parts

MOMENT = datetime(2026, 11, 21, 7)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """Three models: two versions of one, a scan that found nothing, one that could not be made."""
    index = Index(tmp_path / "index", lock_timeout=0.2)
    first = make.reported()
    for record in (first, make.found(previous=first), make.none_found("org/none"), make.failed("org/failed")):
        index.append(record)
    return index


def ask(index: Index, sql: str) -> list[tuple[Any, ...]]:
    with database.connect(index) as con:
        return con.execute(sql).fetchall()


def content(index: Index) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables, sorted."""
    with database.connect(index) as con:
        return {t.name: con.execute(f"FROM {t.name} ORDER BY ALL").fetchall() for t in TABLES}


def rewrite(index: Index, *statements: str) -> None:
    """Change the published file behind the log's back."""
    with duckdb.connect(str(index.database)) as con:
        for statement in statements:
            con.execute(statement)


# --- what stands in it ---


def test_the_models(index: Index) -> None:
    database.build(index)

    columns = (
        "model_id, revision, layers, outcome, super_weights, scans, observations, conflicts, versions, digest, time"
    )
    rows = ask(index, f"SELECT {columns} FROM models ORDER BY model_id")

    digests = index.digests()
    assert rows == [
        ("org/failed", make.REVISION, None, "gated", 0, 1, 0, 0, 1, digests["org/failed"], MOMENT),
        ("org/none", make.REVISION, 4, "none_found", 0, 1, 0, 0, 1, digests["org/none"], MOMENT),
        ("org/tiny", make.REVISION, 4, "found", 2, 1, 0, 0, 2, digests["org/tiny"], MOMENT),
    ]


def test_the_records_are_the_lines_of_the_log(index: Index) -> None:
    database.build(index)

    rows = ask(index, "SELECT version, outcome, line FROM records WHERE model_id = 'org/tiny' ORDER BY version")

    first = make.reported()
    assert rows == [
        (1, "reported", line_of(first).decode()),
        (2, "found", line_of(make.found(previous=first)).decode()),
    ]


def test_a_super_weight_stands_beside_its_status(index: Index) -> None:
    database.build(index)

    with database.connect(index) as con:
        found = con.execute("SELECT * FROM super_weights WHERE row = 2")
        row = dict(zip([c[0] for c in found.description], found.fetchall()[0], strict=True))

    assert row == {
        "model_id": "org/tiny",
        "revision": make.REVISION,
        "weight_id": "L1.R2.C3",
        "tensor": "model.layers.1.mlp.down_proj.weight",
        "layer": 1,
        "expert": None,
        "row": 2,
        "col": 3,
        "index": [2, 3],
        "shape": [16, 32],
        "dtype": "bfloat16",
        "value": -0.2734375,
        "bits": "be8c",
        "scale": None,
        "packed": None,
        "file": "model.safetensors",
        "byte_offset": 256 + 2 * (2 * 32 + 3),
        "role": "creator",
        "group_id": "neuron-1-3",
        "activation_in": 50.5,
        "activation_out": -400.25,
        "share": 0.875,
        "coherence": 0.75,
        "rank": 1,
        "round": 0,
        "token_position": 0,
        "token_id": 1,
        "token_text": "<s>",
        "token_kind": "bos",
        "scan_id": "scan-1",
        "location": "confirmed",
        "origins": [],
        "alone": "confirmed",
        "alone_basis": "measured",
        "grouped": "confirmed",
        "grouped_basis": "measured",
        "grouped_in": "neuron-1-3",
        "withdrawn_time": None,
    }


QUESTIONS: dict[str, list[tuple[Any, ...]]] = {
    "SELECT group_id, kind, reported, members, verdict, basis FROM groups": [
        ("neuron-1-3", "neuron", False, ["L1.R2.C3", "L1.R7.C3"], "confirmed", "measured")
    ],
    "SELECT group_id, weight_id FROM group_members ORDER BY ALL": [
        ("neuron-1-3", "L1.R2.C3"),
        ("neuron-1-3", "L1.R7.C3"),
    ],
    "SELECT effect_id, weights, delta_nll, control_worst_delta_nll, verdict FROM effects ORDER BY effect_id": [
        ("scan-1-alone-1", ["L1.R2.C3"], 3.0, 0.01, "confirmed"),
        ("scan-1-alone-2", ["L1.R7.C3"], 2.001 - 2.0, 0.01, "inert"),
        ("scan-1-group", ["L1.R2.C3", "L1.R7.C3"], 3.5, 0.01, "confirmed"),
    ],
    "SELECT effect_id, count(*) FROM effect_weights GROUP BY ALL ORDER BY ALL": [
        ("scan-1-alone-1", 1),
        ("scan-1-alone-2", 1),
        ("scan-1-group", 2),
    ],
    "SELECT model_id, outcome, layers_covered, constants, reason FROM scans ORDER BY model_id": [
        ("org/failed", "gated", [], '{"k": 3, "tau": 0.5}', "gated: cannot be read; try again later"),
        ("org/none", "none_found", [0, 1, 2, 3], '{"k": 3, "tau": 0.5}', None),
        ("org/tiny", "found", [0, 1, 2, 3], '{"k": 3, "tau": 0.5}', None),
    ],
    "SELECT layer, residual FROM layer_profiles WHERE model_id = 'org/tiny' ORDER BY layer": [
        (n, 3.5) for n in range(4)
    ],
    "SELECT scan_id, layer, channel, after, weights FROM events": [("scan-1", 1, 2, -400.25, ["L1.R2.C3"])],
    "SELECT model_id, path, integrity FROM files ORDER BY ALL": [
        ("org/none", "model.safetensors", "range"),
        ("org/tiny", "model.safetensors", "range"),
    ],
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_questions_of_scans(index: Index, question: str) -> None:
    database.build(index)

    assert ask(index, question) == QUESTIONS[question]


CLAIMS: dict[str, list[tuple[Any, ...]]] = {
    "SELECT observation, origin, stance, ppl_before, ppl_after FROM observations ORDER BY observation": [
        (1, "yu-2024", "claims", None, None),
        (2, "sun-2025", "denies", 10.0, 10.0),
    ],
    "SELECT observation, layer, row, col, weight_id FROM observation_targets ORDER BY observation": [
        (1, 1, 2, 3, "L1.R2.C3"),
        (2, 1, 2, 3, "L1.R2.C3"),
    ],
    "SELECT observation, name, value, text FROM observation_metrics": [(1, "accuracy", 0.25, None)],
    "SELECT remark, about, text FROM remarks": [(1, ["L1.R2.C3"], "It's disputed.")],
    "SELECT conflict, kind, weights, sides FROM conflicts": [
        (1, "location", ["L1.R2.C3"], ["claimed by yu-2024", "denied by sun-2025"])
    ],
    "SELECT location, origins, alone, alone_basis FROM super_weights": [("refuted", ["yu-2024"], "inert", "reported")],
}


@pytest.mark.parametrize("question", CLAIMS)
def test_questions_of_claims(tmp_path: Path, question: str) -> None:
    index = Index(tmp_path)
    parts = {
        "model": make.model(),
        "super_weights": (make.weight(scan=None),),
        "observations": (
            make.observation((1, 2, 3), metrics=(Metric(name="accuracy", value=0.25),)),
            make.observation((1, 2, 3), origin="sun-2025", stance=Stance.DENIES, ppl=(10.0, 10.0)),
        ),
        "remarks": (Remark(about=("L1.R2.C3",), text="It's disputed."),),
    }
    index.append(make.make(parts))
    database.build(index)

    assert ask(index, question) == CLAIMS[question]


def test_a_withdrawal_is_seen_in_sql(index: Index) -> None:
    index.add("org/tiny", lambda p: p and withdraw(p, "a wrong checkpoint", make.TIME), "me", make.TIME)
    database.build(index)

    assert ask(index, "SELECT model_id, withdrawn_reason FROM models WHERE withdrawn_time IS NOT NULL") == [
        ("org/tiny", "a wrong checkpoint")
    ]
    assert ask(index, "SELECT DISTINCT withdrawn_time FROM super_weights") == [(MOMENT,)]


def test_every_table_and_column_says_what_it_is(index: Index) -> None:
    database.build(index)

    tables = ask(index, "SELECT table_name, comment FROM duckdb_tables() WHERE table_name <> 'about'")
    columns = ask(
        index,
        "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal AND table_name <> 'about'",
    )

    assert dict(tables) == {t.name: t.meaning for t in TABLES}
    assert set(columns) == {(t.name, c.name, c.meaning) for t in TABLES for c in t.columns}
    assert all(c.meaning and c.type in TYPES.values() for t in TABLES for c in t.columns)


def test_no_column_needs_quotes(index: Index) -> None:
    database.build(index)

    for table in TABLES:
        columns = ", ".join(column.name for column in table.columns)
        assert len(ask(index, f"SELECT {columns} FROM {table.name} LIMIT 0")) == 0


def test_an_older_duckdb_can_open_the_file(index: Index) -> None:
    database.build(index)
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{index.database}' AS d (READ_ONLY)")
        tags = con.execute("SELECT tags FROM duckdb_databases() WHERE database_name = 'd'").fetchone()

    assert tags == ({"storage_version": "v1.2.0+"},)


def test_the_file_has_no_log_beside_it(index: Index) -> None:
    database.build(index)
    database.update(index, ["org/tiny"])

    assert sorted(p.name for p in index.directory.iterdir()) == ["changes", "index.duckdb", "index.lock", "records"]


FIGURES = st.tuples(st.text(min_size=1, max_size=30), st.floats(-1e15, 1e15))


@given(st.lists(FIGURES, min_size=10, max_size=200))
@settings(max_examples=6, deadline=None)
def test_text_and_numbers_arrive_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, figures: list[tuple[str, float]]
) -> None:
    index = Index(tmp_path_factory.mktemp("index"))
    said = tuple(make.observation((1, 2, 3), statement=text, value=number) for text, number in figures)
    index.append(make.make({"model": make.model(), "observations": said}))

    with database.in_memory(index) as con:
        rows = con.execute("SELECT statement, value FROM observations ORDER BY observation").fetchall()
    assert rows == figures


def test_a_path_may_hold_odd_characters(tmp_path: Path) -> None:
    index = Index(tmp_path / "it's [odd] {1,2} * é")
    index.append(make.found())
    database.build(index)

    assert database.verify(index) == []


def test_a_path_that_duckdb_cannot_write_is_refused(tmp_path: Path) -> None:
    index = Index(tmp_path / "what?")
    index.append(make.found())

    with pytest.raises(StoreError, match=r"cannot write a file to a path with '\?' in it"):
        database.build(index)


def test_an_empty_index_gives_empty_tables(tmp_path: Path) -> None:
    index = Index(tmp_path)
    index.records.mkdir()
    database.build(index)

    assert set(map(len, content(index).values())) == {0}


def test_a_log_without_a_whole_line_gives_no_row(index: Index) -> None:
    (index.records / "org" / "torn.jsonl").write_bytes(b"{")
    database.build(index)

    assert ask(index, "SELECT count(*) FROM models") == [(3,)]


# --- equal to the log ---


def test_a_build_equals_the_log(index: Index) -> None:
    assert database.build(index) == index.database
    assert database.verify(index) == []


def test_tables_in_memory_equal_the_file(index: Index) -> None:
    database.build(index)
    with database.in_memory(index) as con:
        held = {t.name: con.execute(f"FROM {t.name} ORDER BY ALL").fetchall() for t in TABLES}

    assert held == content(index)


def test_an_update_equals_a_rebuild(index: Index) -> None:
    database.build(index)
    index.append(make.found("org/new"))
    index.append(make.none_found(previous=index.read("org/tiny"), scan_id="scan-2"))

    database.update(index, ["org/new", "org/tiny"])
    updated = content(index)
    database.build(index)

    assert updated == content(index)


def test_an_update_without_a_file_builds_it(index: Index) -> None:
    database.update(index, ["org/tiny"])

    assert database.verify(index) == []


def test_an_update_of_nothing_new_leaves_the_file(index: Index) -> None:
    database.build(index)
    before = index.database.stat().st_ino

    assert database.update(index) == index.database
    assert index.database.stat().st_ino == before


def test_an_update_heals_what_other_updates_missed(index: Index) -> None:
    database.build(index)
    index.append(make.found("org/missed"))
    index.append(make.found("org/new"))

    database.update(index, ["org/new"])

    assert database.verify(index) == []


@pytest.mark.parametrize("how", [database.build, lambda index: database.update(index, ["org/tiny"])])
def test_what_the_log_has_not_is_removed_by_a_build_and_where_it_is_named(index: Index, how: Any) -> None:
    database.build(index)
    (index.records / "org" / "tiny.jsonl").unlink()

    how(index)

    assert ask(index, "SELECT model_id FROM models ORDER BY ALL") == [("org/failed",), ("org/none",)]
    assert database.verify(index) == []


def test_an_update_may_name_models_that_are_not_there(index: Index) -> None:
    database.build(index)

    database.update(index, ["org/absent"])

    assert database.verify(index) == []


def test_a_difference_is_told_by_table_and_model(index: Index) -> None:
    database.build(index)
    rewrite(
        index,
        "UPDATE super_weights SET value = 0 WHERE row = 2",
        "DELETE FROM effect_weights WHERE effect_id = 'scan-1-group'",
        "INSERT INTO remarks SELECT 'org/none', 1, [], 'made up'",
    )

    assert database.verify(index) == [
        Difference("super_weights", "org/tiny", 1, 1),
        Difference("effect_weights", "org/tiny", 2, 0),
        Difference("remarks", "org/none", 0, 1),
    ]
    assert [f.message for f in check(index)] == [
        "super_weights: org/tiny: 1 rows only in the log, 1 only in the file",
        "effect_weights: org/tiny: 2 rows only in the log, 0 only in the file",
        "remarks: org/none: 0 rows only in the log, 1 only in the file",
    ]


class Updates(RuleBasedStateMachine):
    """Any order of appends, updates and builds leaves a file that equals the log after each update."""

    folder: Path

    @initialize()
    def start(self) -> None:
        self.index = Index(Path(self.folder) / str(len(list(self.folder.iterdir()))))
        self.index.append(make.failed("org/one", scan_id="s"))
        self.count = 0

    @rule(model_id=st.sampled_from(["org/one", "org/two"]), step=st.sampled_from(STEPS))
    def scan(self, model_id: str, step: tuple[Any, str]) -> None:
        kind, revision = step
        self.count += 1
        arguments = scan_parts(kind(model_id, revision, f"s{self.count}"))
        self.index.add(model_id, lambda previous: with_scan(previous, **arguments), "me", make.TIME)

    @rule()
    def drop(self) -> None:
        (self.index.records / "org" / "two.jsonl").unlink(missing_ok=True)
        database.build(self.index)  # an update looks at changes, and this is none

    @rule(how=st.sampled_from([database.build, database.update]))
    def publish(self, how: Any) -> None:
        how(self.index)
        assert database.verify(self.index) == []


def test_updates_in_any_order_equal_the_log(tmp_path: Path) -> None:
    Updates.folder = tmp_path
    machine = Updates.TestCase()
    machine.settings = settings(max_examples=8, stateful_step_count=8, deadline=None)
    machine.runTest()


# --- missing, stale, foreign, broken files ---


def test_a_missing_file_is_reported(index: Index) -> None:
    with pytest.raises(
        StaleDatabase, match=rf"index\.duckdb: missing; run `swindex index build --index {index.directory}`"
    ):
        database.connect(index)

    assert [(f.code, f.severity) for f in check(index)] == [("database-missing", "warning")]


def test_a_file_behind_the_log_is_reported(index: Index) -> None:
    database.build(index)
    index.append(make.found("org/new"))

    with pytest.raises(StaleDatabase, match=r"behind the log \(models: 1; the first is org/new\)"):
        database.connect(index)

    assert [f.code for f in check(index)] == ["database-stale"]


def empty_file(path: Path) -> None:
    path.write_bytes(b"")


def no_database(path: Path) -> None:
    path.write_bytes(b"not a database" * 1000)


def cut_short(path: Path) -> None:
    os.truncate(path, 20_000)


def foreign(path: Path) -> None:
    path.unlink()
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE TABLE t (x INTEGER)")


def another_layout(path: Path) -> None:
    with duckdb.connect(str(path)) as con:
        con.execute("UPDATE about SET value = 'older'")


@pytest.mark.parametrize("spoil", [empty_file, no_database, cut_short, foreign, another_layout])
def test_a_file_that_cannot_be_used_is_reported_and_rebuilt(index: Index, spoil: Any) -> None:
    database.build(index)
    spoil(index.database)

    for reader in (database.connect, database.verify):
        with pytest.raises(
            StaleDatabase, match=r"\A[^\n]*(unreadable|another version)[^\n]*swindex index build[^\n]*\Z"
        ):
            reader(index)
    assert [f.code for f in check(index)] == ["database-stale"]
    database.update(index)
    assert database.verify(index) == []


def test_damage_in_the_log_stops_a_build(index: Index) -> None:
    database.build(index)
    path = index.path("org/tiny")
    path.write_bytes(b"{\n" + path.read_bytes())

    for operation in (database.build, database.in_memory, database.verify):
        with pytest.raises(StoreError, match=r"tiny\.jsonl line 1: not JSON"):
            operation(index)
    assert [f.code for f in check(index)][-1] == "database-unchecked"


def test_damage_anywhere_in_the_file_is_found_and_healed(index: Index) -> None:
    database.build(index)
    whole = index.database.read_bytes()
    found = 0
    for at in (0, 4096, *range(3 * 4096, len(whole), 1 << 18)):  # the headers and each block
        spoiled = whole[:at] + bytes(255 - b for b in whole[at : at + 64]) + whole[at + 64 :]
        index.database.write_bytes(spoiled)
        findings = [f.code for f in check(index)]
        assert set(findings) <= {"database-stale", "database-differs"}
        found += bool(findings)
        database.update(index, list(index.models()))
        assert database.verify(index) == []

    assert found >= 2


def test_a_reader_keeps_its_snapshot(index: Index) -> None:
    database.build(index)
    question = "SELECT count(*) FROM models"
    with database.connect(index) as old:
        assert old.execute(question).fetchall() == [(3,)]
        index.append(make.found("org/new"))
        database.update(index, ["org/new"])

        assert (old.execute(question).fetchall(), ask(index, question)) == ([(3,)], [(4,)])


def test_a_reader_cannot_write(index: Index) -> None:
    database.build(index)

    with database.connect(index) as con, pytest.raises(duckdb.Error, match="read-only"):
        con.execute("DELETE FROM models")


# --- faults ---


class Failing(Files):
    """Files whose `at`-th fsync or rename fails."""

    def __init__(self, at: int) -> None:
        self.left = at

    def _step(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def fsync(self, fd: int) -> None:
        self._step()
        super().fsync(fd)

    def replace(self, source: Path, target: Path) -> None:
        self._step()
        super().replace(source, target)


@pytest.mark.parametrize("how", [database.build, database.update])
def test_a_failed_publication_leaves_a_whole_file(index: Index, how: Any) -> None:
    database.build(index)
    index.append(make.found("org/new"))
    for at in count(1):
        try:
            how(Index(index.directory, files=Failing(at)))
        except StoreError:
            assert ask_file(index, "SELECT count(*) FROM models") in ([(3,)], [(4,)])
        else:
            break
    assert at > 2
    assert database.verify(index) == []
    assert list(index.directory.glob(".build-*")) == []


def ask_file(index: Index, sql: str) -> list[tuple[Any, ...]]:
    """Ask the published file, fresh or not."""
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{index.database}' AS d (READ_ONLY); USE d")
        return con.execute(sql).fetchall()


def test_what_a_crash_left_is_removed(index: Index) -> None:
    left = index.directory / ".build-crashed"
    left.mkdir()
    (left / "index.duckdb").write_bytes(b"half")

    database.build(index)

    assert not left.exists()


KILLED = """
import sys
from pathlib import Path
from swindex.index import database
from swindex.index.store import Index
from tests import records as make
index = Index(Path(sys.argv[1]))
for n in range(1000):
    index.append(make.found(f"org/m{n}"))
    print(n, flush=True)
    database.update(index, [f"org/m{n}"])
"""


def test_a_killed_writer_is_healed_by_the_next(tmp_path: Path) -> None:
    index = Index(tmp_path)
    root = Path(__file__).parent.parent
    with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, cwd=root) as child:
        assert child.stdout is not None
        appended = [child.stdout.readline() for _ in range(3)]
        child.kill()

    assert appended == [b"0\n", b"1\n", b"2\n"]
    database.update(index)
    assert database.verify(index) == []
    assert {f"org/m{n}" for n in range(3)} <= {row[0] for row in ask(index, "SELECT model_id FROM models")}


def test_a_reader_without_a_file_reads_the_log(index: Index) -> None:
    with database.in_memory(index) as con:
        assert con.execute("SELECT count(*) FROM super_weights").fetchall() == [(2,)]
    assert not index.database.exists()


def test_a_large_record_fits(tmp_path: Path) -> None:
    index = Index(tmp_path)
    remarks = tuple(Remark(text="x" * 8000) for _ in range(2200))
    record = make.make({"model": make.model(), "scans": (make.scan(outcome=Outcome.NONE_FOUND),), "remarks": remarks})
    index.append(record)

    with database.in_memory(index) as con:
        (line,) = con.execute("SELECT line FROM records").fetchall()[0]
    assert Record.parse(line) == record
    assert len(canonical_bytes(record.model_dump(mode="json"))) > 1 << 24
