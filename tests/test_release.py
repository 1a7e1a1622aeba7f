"""A release: all forms answer alike for every model, equal input gives equal bytes, what is there is used again."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import swindex.index
from swindex.index import feed, heartbeat, site
from swindex.index.database import in_memory
from swindex.index.errors import Locked, StoreError
from swindex.index.release import release
from swindex.index.release.parquet import LEFT_OUT, write_parquet
from swindex.index.release.staging import Staging, staging
from swindex.index.store import Index
from swindex.index.tables import TABLES
from swindex.schema.types import Outcome

from . import records as make
from . import releases
from .releases import ODD

NOW = "2026-11-22T00:00:00Z"
SHIPPED = Path(swindex.index.__file__).parent


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return releases.varied(tmp_path_factory.mktemp("varied") / "index")


@pytest.fixture(scope="module")
def made(index: Index, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made") / "release"
    release(index, directory, released=NOW)
    return directory


def content(directory: Path) -> dict[str, bytes]:
    """All files but those that begin with a dot."""
    files = (path for path in directory.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}


def agree(index: Index, directory: Path) -> None:
    """Every form answers as the log does, and the root is right about every file."""
    wanted = releases.log(index.directory)

    assert releases.forms(directory) == dict.fromkeys(("jsonl", "tree", "parquet", "duckdb"), wanted)
    assert releases.damaged_files(directory) == []
    root = releases.root_of(directory)
    last = feed.newest(index.directory)
    assert (root["models"], root["seq"], root["chain"]) == (
        len(wanted),
        last.seq if last else 0,
        last.chain if last else site.NO_CHAIN,
    )


# --- all forms answer alike ---


def test_all_forms_answer_as_the_log_does(index: Index, made: Path) -> None:
    agree(index, made)
    assert set(ODD) < set(releases.jsonl(made))


def test_the_shipped_index_is_released(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED / "records", tmp_path / "index" / "records")
    shutil.copytree(SHIPPED / "changes", tmp_path / "index" / "changes")
    index = Index(tmp_path / "index")

    release(index, tmp_path / "release", released=NOW)

    agree(index, tmp_path / "release")
    assert len(releases.jsonl(tmp_path / "release")) >= 70


def test_the_claims_that_a_curator_took_out_are_told(index: Index, made: Path) -> None:
    [decision] = index.read("org/decided").decisions
    with duckdb.connect(str(made / "index.duckdb"), read_only=True) as con:
        rows = con.execute("SELECT model_id, part, origin, weights FROM decision_claims").fetchall()

    [claim] = decision.claims
    assert rows == [("org/decided", "taken_out", claim.source.origin, list(claim.weights))]


KINDS = ("reported", "found", "none_found", "failed", "withdraw", "restore")


def act(index: Index, model_id: str, kind: str, number: int) -> None:
    """Append a version of this kind, if that is one."""
    if kind == "withdraw":
        if model_id in set(index.models()):
            releases.withdrawn(index, model_id)
        return
    parts = getattr(make, f"{kind if kind != 'restore' else 'none_found'}_parts")(model_id)
    index.add(model_id, lambda _: parts | {"remarks": ()}, f"tester {number}", make.TIME)


@settings(max_examples=6, derandomize=True, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(("a/b", "a/c", "B/a", "z/z.z")), st.sampled_from(KINDS)), max_size=12), st.data()
)
def test_any_history_is_released_alike_and_goes_on(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str]], data: Any
) -> None:
    folder = tmp_path_factory.mktemp("any")
    index, cut = releases.index_of(folder / "index"), data.draw(st.integers(0, len(steps)))
    for number, (model_id, kind) in enumerate(steps[:cut]):
        act(index, model_id, kind, number)
    release(index, folder / "release", released=NOW, accept_mass_change=True)
    agree(index, folder / "release")
    first = content(folder / "release")
    for number, (model_id, kind) in enumerate(steps[cut:], cut):
        act(index, model_id, kind, number)
    release(index, folder / "release", released=NOW, accept_mass_change=True)
    agree(index, folder / "release")

    second = content(folder / "release")
    kept = {path: data for path, data in first.items() if path.startswith(("changes/", "versions/", "nodes/"))}
    assert {path: second[path] for path in kept} == kept


def test_an_empty_index_is_released(tmp_path: Path) -> None:
    index = releases.index_of(tmp_path / "index")

    release(index, tmp_path / "release", released=NOW)

    agree(index, tmp_path / "release")
    root = site.Root.parse((tmp_path / "release" / "root.json").read_bytes())
    assert (root.seq, root.newest, root.previous) == (0, None, None)
    assert (tmp_path / "release" / site.node_name(root.tree)).read_bytes() == b'{"models":{}}'


def test_more_models_than_a_leaf_holds_make_a_tree(tmp_path: Path) -> None:
    index = releases.index_of(tmp_path / "index", *(make.failed(f"org/m{n}") for n in range(site.LEAF + 1)))

    release(index, tmp_path / "release", released=NOW)

    root = releases.root_of(tmp_path / "release")
    assert json.loads((tmp_path / "release" / site.node_name(root["tree"])).read_bytes()).keys() == {"nodes"}
    agree(index, tmp_path / "release")


def test_a_second_segment(tmp_path: Path) -> None:
    index = releases.index_of(tmp_path / "index")
    with index.writing():
        for n in range(1003):
            index.append(make.failed(f"org/m{n}"))

    release(index, tmp_path / "release", released=NOW)

    names = sorted(path.name for path in (tmp_path / "release" / "versions").iterdir())
    assert names == ["000000.1000.jsonl", "000001.3.jsonl"]
    agree(index, tmp_path / "release")


# --- a release and the next one ---


def test_equal_input_gives_equal_bytes_but_for_duckdb(index: Index, made: Path, tmp_path: Path) -> None:
    release(index, tmp_path / "again", released=NOW)

    one, other = content(made), content(tmp_path / "again")
    unequal = {path for path in one.keys() | other.keys() if one.get(path) != other.get(path)}
    assert unequal <= {"index.duckdb", "croissant.json", "root.json"}  # these two state the digest of the first


def test_the_same_release_again_writes_nothing_but_the_root(index: Index, made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "release")

    again = release(index, tmp_path / "release", released=NOW)

    assert again.written == ("root.json",)
    assert content(tmp_path / "release") == content(made)


def test_the_next_release_names_the_last_and_prune_removes_what_only_that_names(tmp_path: Path) -> None:
    index = releases.varied(tmp_path / "index")
    first = release(index, tmp_path / "release", released=NOW).root
    index.append(make.none_found("org/new"))
    second = release(index, tmp_path / "release", released=NOW)

    assert second.root.previous == first.head
    assert (tmp_path / "release" / site.changes_name(0, first.seq)).exists()
    third = release(index, tmp_path / "release", released=NOW, prune=True)
    assert third.root == second.root
    assert set(third.pruned) == {
        site.changes_name(0, first.seq),
        site.versions_name(0, first.seq),
        site.node_name(first.tree),
    }
    agree(index, tmp_path / "release")


def test_what_is_appended_meanwhile_is_in_the_next_release(tmp_path: Path) -> None:
    index = releases.varied(tmp_path / "index")
    late = iter([make.none_found("org/late"), make.none_found(previous=make.found(previous=make.reported()))])

    def steps(what: str, done: int, of: int) -> None:
        if what == "segments":
            for record in late:
                index.append(record)

    first = release(index, tmp_path / "release", released=NOW, steps=steps)

    assert "org/late" not in releases.jsonl(tmp_path / "release")
    jsonl, *others = releases.forms(tmp_path / "release").values()
    assert others == [jsonl] * 3
    assert release(index, tmp_path / "release", released=NOW).root.seq == first.root.seq + 2
    agree(index, tmp_path / "release")


def test_a_release_never_goes_back(tmp_path: Path) -> None:
    index = releases.varied(tmp_path / "index")
    shutil.copytree(tmp_path / "index", tmp_path / "older")
    index.append(make.none_found("org/new"))
    release(index, tmp_path / "release", released=NOW)
    before = content(tmp_path / "release")

    with pytest.raises(StoreError, match="never goes back"):
        release(Index(tmp_path / "older"), tmp_path / "release", released=NOW)
    release(Index(tmp_path / "older"), tmp_path / "first", released=NOW)
    with pytest.raises(StoreError, match="never goes back"):
        release(Index(tmp_path / "older"), tmp_path / "release", since=tmp_path / "first", released=NOW)
    assert content(tmp_path / "release") == before


def test_another_index_does_not_go_on_from_a_release(tmp_path: Path) -> None:
    release(releases.index_of(tmp_path / "one", make.found("org/a")), tmp_path / "release", released=NOW)
    before = content(tmp_path / "release")

    with pytest.raises(StoreError, match="not the one that was released"):
        release(
            releases.index_of(tmp_path / "other", make.failed("org/a"), make.found("org/b")),
            tmp_path / "release",
            released=NOW,
        )
    assert content(tmp_path / "release") == before


def test_a_directory_of_something_else_is_left_alone(index: Index, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")

    with pytest.raises(StoreError, match=r"holds thesis\.tex and is no release"):
        release(index, tmp_path, released=NOW)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_two_at_once_are_refused(index: Index, tmp_path: Path) -> None:
    with staging(tmp_path / "release"), pytest.raises(Locked):
        release(index, tmp_path / "release", released=NOW)


def test_an_index_without_a_feed_is_refused(tmp_path: Path) -> None:
    index = releases.varied(tmp_path / "index")
    shutil.rmtree(tmp_path / "index" / "changes")

    with pytest.raises(StoreError, match="no change feed"):
        release(index, tmp_path / "release", released=NOW)


def test_an_index_with_errors_is_refused(tmp_path: Path) -> None:
    index = releases.varied(tmp_path / "index")
    index.path("org/none").write_bytes(b"{}\n")

    with pytest.raises(StoreError, match="errors, not released; the first is") as caught:
        release(index, tmp_path / "release", released=NOW)
    assert caught.value.exit_status == 1
    assert not (tmp_path / "release").exists()


# --- mass changes and the changelog ---


def many(directory: Path) -> Index:
    return releases.index_of(directory, *(make.found(f"org/m{n}") for n in range(10)))


def lose(index: Index, n: int, how: str) -> None:
    """Take the super weights of a model away."""
    model_id = f"org/m{n}"
    if how == "withdrawn":
        releases.withdrawn(index, model_id)
    else:
        index.add(model_id, lambda _: make.none_found_parts(model_id, scan_id="scan-2"), "me", make.TIME)


@pytest.mark.parametrize("how", ["withdrawn", "emptied"])
def test_a_mass_change_is_refused_until_it_is_accepted(tmp_path: Path, how: str) -> None:
    index = many(tmp_path / "index")
    release(index, tmp_path / "release", released=NOW)
    for n in range(5):
        lose(index, n, how)
    assert release(index, tmp_path / "release", released=NOW).lost == 5
    for n in range(4, 10):
        lose(index, n, "withdrawn")
    assert release(index, tmp_path / "release", released=NOW).lost == 5  # the fifth had none to lose
    before = content(tmp_path / "release")

    with pytest.raises(StoreError, match="10 of 10 models lost their super weights") as caught:
        release(index, tmp_path / "release", since=tmp_path / "first", released=NOW) if (
            release(many(tmp_path / "same"), tmp_path / "first", released=NOW)
        ) else None
    assert caught.value.exit_status == 1
    assert content(tmp_path / "release") == before
    made = release(index, tmp_path / "release", since=tmp_path / "first", released=NOW, accept_mass_change=True)
    assert made.lost == 10


def test_the_changelog_says_what_became_of_models(tmp_path: Path) -> None:
    first = make.reported("org/seen")
    index = releases.index_of(tmp_path / "index", first, make.found("org/gone"), make.none_found("org/same"))
    release(index, tmp_path / "release", released=NOW)
    index.append(make.found("org/seen", previous=first))
    index.append(make.none_found("org/new"))
    releases.withdrawn(index, "org/gone")
    index.add("org/same", lambda _: make.none_found_parts("org/same", make.OTHER_REVISION), "me", make.TIME)

    release(index, tmp_path / "release", released=NOW)

    text = (tmp_path / "release" / "CHANGELOG.md").read_text()
    assert "against the release that ended with change 3. It ends with change 7 and holds 4 models." in text
    for line in (
        "| New models | 1 |",
        "- `org/new`: none_found",
        "- `org/seen`: reported -> found",
        "- `org/gone`: was found",
        "- `org/same`: none_found",
        "| Of these, models that lost all their super weights | 1 |",
    ):
        assert f"\n{line}\n" in text


# --- the tables ---


def test_every_table_has_rows_in_this_index(made: Path) -> None:
    for table in TABLES:
        assert pq.ParquetDataset(made / "parquet" / table.name).read().num_rows > 0, table.name


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.name)
def test_every_reader_reads_the_same_rows(made: Path, table: Any) -> None:
    folder = made / "parquet" / table.name
    names = [c.name for c in table.columns if c.name not in LEFT_OUT.get(table.name, ())]
    arrow = ds.dataset(folder, format="parquet").to_table()
    polars = pl.read_parquet(folder / "*.parquet")
    pandas = pd.read_parquet(folder)
    sql = duckdb.sql(f"FROM '{folder}/*.parquet'").fetchall()
    with duckdb.connect(str(made / "index.duckdb"), read_only=True) as con:
        filed = con.execute("SELECT " + ", ".join(f'"{n}"' for n in names) + f" FROM {table.name}").fetchall()

    wanted = [tuple(row.values()) for row in arrow.to_pylist()]
    assert arrow.column_names == polars.columns == list(pandas.columns) == names
    assert polars.rows() == wanted
    assert sql == filed == wanted
    assert [tuple(map(_plain, row)) for row in pandas.itertuples(index=False)] == wanted


def _plain(value: Any) -> Any:
    """A cell of pandas as Python has it."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    return value.to_pydatetime() if isinstance(value, pd.Timestamp) else value


def test_types_do_not_depend_on_what_is_in_the_tables(made: Path, tmp_path: Path) -> None:
    release(releases.index_of(tmp_path / "index"), tmp_path / "release", released=NOW)

    for table in TABLES:
        empty, full = (
            pq.read_schema(d / "parquet" / table.name / "00000.parquet") for d in (tmp_path / "release", made)
        )
        assert empty.equals(full, check_metadata=True)
        assert pl.read_parquet(tmp_path / "release" / "parquet" / table.name).height == 0


def test_parquet_has_page_indexes_and_is_flat(made: Path) -> None:
    for table in TABLES:
        with pq.ParquetFile(made / "parquet" / table.name / "00000.parquet") as file:
            column = file.metadata.row_group(0).column(0)
            assert column.has_column_index
            assert column.has_offset_index
            kinds = {str(field.type) for field in file.schema_arrow}
        assert kinds <= {
            "string",
            "int64",
            "double",
            "bool",
            "timestamp[us]",
            "list<element: string>",
            "list<element: int64>",
            "list<element: double>",
        }


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 7, 100])
def test_a_large_table_is_divided_over_files(tmp_path: Path, index: Index, rows: int) -> None:
    models = list(index.models())
    with in_memory(index) as con:
        write_parquet(con, Staging(tmp_path), file_rows=rows)

    files = sorted((tmp_path / ".release-new" / "parquet" / "models").iterdir())
    counts = [pq.read_metadata(path).num_rows for path in files]
    assert [path.name for path in files] == [f"{n:05d}.parquet" for n in range(math.ceil(len(models) / rows))]
    assert set(counts[:-1]) <= {rows}
    assert pa.concat_tables(map(pq.read_table, files))["model_id"].to_pylist() == models


def test_a_file_that_a_smaller_table_has_no_use_for_is_removed(tmp_path: Path) -> None:
    index = releases.varied(tmp_path / "index")
    release(index, tmp_path / "release", released=NOW)
    extra = tmp_path / "release" / "parquet" / "models" / "00001.parquet"
    shutil.copyfile(extra.with_name("00000.parquet"), extra)

    release(index, tmp_path / "release", released=NOW)

    assert not extra.exists()
    agree(index, tmp_path / "release")


def test_the_database_opens_as_of_its_storage_version(made: Path) -> None:
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{made / 'index.duckdb'}' AS d (READ_ONLY)")
        [tags] = con.execute("SELECT tags FROM duckdb_databases() WHERE database_name = 'd'").fetchall()
    assert "v1.2.0" in str(tags)


# --- what comes with it ---


def test_the_heartbeat_is_in_the_root(tmp_path: Path) -> None:
    index = releases.index_of(tmp_path / "index", make.found("org/a"))
    crawl = dict(zip(heartbeat.CRAWL, (make.TIME, make.TIME, True, None, 5, 3, 1), strict=True))
    heartbeat.write(index.directory, make.TIME, crawl)

    assert release(index, tmp_path / "release", released=NOW).root.crawl == crawl


def test_without_pyarrow_it_is_said_in_one_line(index: Index, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['pyarrow'] = None; from swindex.api.main import main; "
        f"sys.exit(main(['index', 'release', {str(tmp_path / 'release')!r}, '--index', {str(index.directory)!r}]))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "swindex: pyarrow is not installed; a release needs more: pip install 'swindex[release]'\n"


def test_outcomes_are_those_of_the_schema(made: Path) -> None:
    assert set(pl.read_parquet(made / "parquet" / "models")["outcome"]) <= {*Outcome, "reported", "inherited"}
