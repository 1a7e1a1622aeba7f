"""`swindex index sql`: one SELECT is answered; nothing is written and nothing else is reached."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import duckdb
import pytest

from swindex.api.main import main
from swindex.index.database import build
from swindex.index.sql import ask
from swindex.index.store import Index
from swindex.schema.errors import UsageError

from . import records as make

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def index(tmp_path: Path) -> Index:
    made = Index(tmp_path / "index")
    made.append(make.found("org/found"))
    made.append(make.reported("org/reported"))
    return made


def run(index: Index, query: str, *options: str) -> int:
    return main(["index", "sql", query, "--index", str(index.directory), *options])


# --- answers ---


def test_the_log_answers_where_there_is_no_file(index: Index) -> None:
    assert ask(index.directory, "SELECT model_id FROM models ORDER BY 1").rows == [("org/found",), ("org/reported",)]


def test_the_published_file_answers_where_there_is_one(index: Index) -> None:
    build(index)

    assert ask(index.directory, "SELECT count(*) FROM records").rows == [(2,)]


def test_a_published_file_alone_answers(index: Index, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    build(index).rename(alone / "index.duckdb")

    assert ask(alone, "SELECT count(*) FROM models").rows == [(2,)]


def test_a_file_behind_the_log_is_an_error(index: Index, capsys: Capture) -> None:
    build(index)
    index.append(make.found("org/later"))

    assert run(index, "FROM models") == 3
    assert "behind the log" in capsys.readouterr().err


def test_json_has_columns_types_and_rows(index: Index, capsys: Capture) -> None:
    query = "SELECT model_id, super_weights, time, ['a'] AS l, 'nan'::DOUBLE AS x, NULL AS n FROM models ORDER BY 1"

    assert run(index, query, "--json") == 0
    shown = json.loads(capsys.readouterr().out)

    time = index.read("org/found").provenance.time
    assert shown["columns"] == ["model_id", "super_weights", "time", "l", "x", "n"]
    assert shown["types"][:4] == ["VARCHAR", "BIGINT", "TIMESTAMP", "VARCHAR[]"]
    row = shown["rows"][0]
    assert row[0] == "org/found"
    assert row[2] + "Z" == time
    assert row[3:] == [["a"], "nan", None]


def test_csv_has_a_line_of_names_and_quotes_what_needs_it(index: Index, capsys: Capture) -> None:
    assert run(index, "SELECT 'a,\"b\"' AS x, ['c', 'd'] AS y, NULL AS z", "--csv") == 0

    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [["x", "y", "z"], ['a,"b"', '["c", "d"]', ""]]


def test_words_count_the_rows_and_show_null(index: Index, capsys: Capture) -> None:
    run(index, "SELECT model_id, NULL AS nothing FROM models ORDER BY 1")

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["model_id", "nothing"]
    assert lines[1].split() == ["org/found", "NULL"]
    assert lines[-1] == "2 rows"


def test_no_row_is_said(index: Index, capsys: Capture) -> None:
    assert run(index, "FROM models WHERE false") == 0
    assert capsys.readouterr().out == "0 rows\n"


def test_control_characters_do_not_reach_the_terminal(index: Index, capsys: Capture) -> None:
    run(index, "SELECT chr(27) || '[2J' AS \"a\x1bb\"")

    assert "\x1b" not in capsys.readouterr().out


# --- what is refused ---


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM models",
        "SELECT 1; SELECT 2",
        "COPY models TO 'x.csv'",
        "ATTACH 'x.duckdb'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "CREATE TABLE t (i INT)",
        "CREATE MACRO f() AS 1",
        "PRAGMA database_list",
        "EXPORT DATABASE 'x'",
        "",
        "-- nothing",
    ],
)
def test_anything_but_one_select_is_wrong_usage(index: Index, query: str) -> None:
    with pytest.raises(UsageError, match="one SELECT"):
        ask(index.directory, query)


@pytest.mark.parametrize("on_file", [False, True], ids=["log", "file"])
@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('{}')",
        "SELECT * FROM read_text('{}')",
        "SELECT * FROM '{}'",
        "SELECT * FROM glob('{}*')",
        "SELECT * FROM 'http://127.0.0.1:9/x.parquet'",
        "SELECT * FROM read_duckdb('{}')",
    ],
)
def test_no_other_file_and_no_network_is_reached(index: Index, tmp_path: Path, query: str, on_file: bool) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("word\nhunter2\n")
    if on_file:
        build(index)

    with pytest.raises(UsageError) as raised:
        ask(index.directory, query.format(secret))

    assert "hunter2" not in str(raised.value)


def test_variables_of_this_process_are_not_tables(index: Index) -> None:
    hidden = duckdb.sql("SELECT 'hunter2' AS word")

    with pytest.raises(UsageError, match="hidden"):
        ask(index.directory, "SELECT * FROM hidden")
    assert hidden.fetchall() == [("hunter2",)]


def test_a_view_in_a_strange_file_reaches_nothing(tmp_path: Path) -> None:
    secret, home = tmp_path / "secret.csv", tmp_path / "home"
    secret.write_text("word\nhunter2\n")
    home.mkdir()
    with duckdb.connect(str(home / "index.duckdb")) as con:
        con.execute(f"CREATE VIEW models AS SELECT * FROM read_csv('{secret}')")

    with pytest.raises(UsageError, match="Permission"):
        ask(home, "FROM models")


@pytest.mark.parametrize("query", ["SELEC", "FROM nowhere", "SELECT no_such FROM models", "SELECT error('a\nb')"])
def test_an_error_of_the_query_is_one_line(index: Index, capsys: Capture, query: str) -> None:
    assert run(index, query) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_directory_without_an_index_is_exit_status_3(tmp_path: Path, capsys: Capture) -> None:
    assert main(["index", "sql", "SELECT 1", "--index", str(tmp_path)]) == 3
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "index.duckdb").write_bytes(b"nonsense")

    assert main(["index", "sql", "SELECT 1", "--index", str(tmp_path)]) == 3
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_json_and_csv_exclude_each_other(index: Index) -> None:
    assert run(index, "SELECT 1", "--json", "--csv") == 2
