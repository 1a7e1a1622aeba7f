"""Whatever differs between two forms of a release is found, whatever digest the root states for it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swindex.index import feed, site
from swindex.index.errors import StoreError
from swindex.index.release import agree_tables, release
from swindex.index.release import make as making
from swindex.index.release.agree import require_agreement
from swindex.index.release.parquet import LEFT_OUT
from swindex.index.release.staging import Staging
from swindex.index.store import Index
from swindex.index.tables import TABLES

from . import records as make
from . import releases

NOW = "2026-11-22T00:00:00Z"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Index, Path]:
    """An index, and a release of it."""
    folder = tmp_path_factory.mktemp("whole")
    index = releases.varied(folder / "index")
    release(index, folder / "release", released=NOW)
    return index, folder / "release"


@pytest.fixture
def planted(whole: tuple[Index, Path], tmp_path: Path) -> Path:
    """A copy of that release, to damage."""
    shutil.copytree(whole[1], tmp_path / "planted")
    return tmp_path / "planted"


def is_found(index: Index, planted: Path, root: site.Root | None = None) -> bool:
    """Whether the comparison refuses this, with a root that states the digests of what is there."""
    root = root or site.Root.parse((planted / "root.json").read_bytes())
    staging = Staging(planted)
    root = root._replace(files={path: staging.described(path) for path in root.files})
    try:
        require_agreement(index, staging, root)
    except StoreError:
        return True
    return False


def test_what_was_released_agrees(whole: tuple[Index, Path]) -> None:
    assert not is_found(*whole)


# --- a byte ---


def static_files(directory: Path) -> list[Path]:
    return sorted(path for form in ("changes", "versions", "nodes") for path in (directory / form).rglob("*.json*"))


@settings(max_examples=30, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2), st.integers(0, 10**9), st.integers(1, 255))
def test_any_flipped_byte_of_segments_and_nodes_is_found(
    whole: tuple[Index, Path], which: int, place: int, bits: int
) -> None:
    path = static_files(whole[1])[which]
    data = path.read_bytes()
    at = place % len(data)
    try:
        path.write_bytes(data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :])
        assert is_found(*whole)
    finally:
        path.write_bytes(data)


@pytest.mark.parametrize("form", ["index.duckdb", "parquet/models/00000.parquet", "README.md", "croissant.json"])
def test_a_flipped_byte_is_not_what_the_root_states(whole: tuple[Index, Path], planted: Path, form: str) -> None:
    data = bytearray((planted / form).read_bytes())
    data[len(data) // 2] ^= 1
    (planted / form).write_bytes(data)

    with pytest.raises(StoreError, match=form):
        require_agreement(whole[0], Staging(planted), site.Root.parse((planted / "root.json").read_bytes()))


# --- a cell of a table ---


def other(value: Any, kind: str) -> Any:
    """Another value of this type."""
    if kind.endswith("[]"):
        return [*(value or []), other(None, kind.removesuffix("[]"))]
    others = {
        "VARCHAR": lambda: f"{value or ''}x",
        "BIGINT": lambda: (value or 0) + 1,
        "DOUBLE": lambda: (value or 0.0) + 2.0**-40,
        "BOOLEAN": lambda: not value,
        "TIMESTAMP": lambda: None if value else __import__("datetime").datetime(2026, 1, 1),
    }
    return others[kind]()


CELLS = [(t, c) for t in TABLES for c in t.columns]


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.name)
def test_any_other_cell_in_parquet_is_found(
    whole: tuple[Index, Path], planted: Path, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agree_tables, "TABLES", (table,))  # the other tables are sound, and compared in other tests
    path = planted / "parquet" / table.name / "00000.parquet"
    sound = path.read_bytes()
    rows = pq.read_table(path)
    for column in (c for c in table.columns if c.name not in LEFT_OUT.get(table.name, ())):
        cells = rows[column.name].to_pylist()
        cells[-1] = other(cells[-1], column.type)
        at = rows.column_names.index(column.name)
        changed = rows.set_column(at, rows.schema.field(at), pa.array(cells, rows.schema.field(at).type))
        pq.write_table(changed, path)
        assert is_found(whole[0], planted), column.name
    path.write_bytes(sound)
    assert not is_found(whole[0], planted)


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.name)
def test_another_cell_in_duckdb_is_found(
    whole: tuple[Index, Path], planted: Path, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agree_tables, "TABLES", (table,))
    path = planted / "index.duckdb"
    sound = path.read_bytes()
    for column in table.columns[:: max(1, len(table.columns) // 5)]:  # of a Parquet file every one is tried, above
        path.write_bytes(sound)
        with duckdb.connect(str(path)) as con:
            [last] = con.execute(f"SELECT max(rowid) FROM {table.name}").fetchone()
            [value] = con.execute(f'SELECT "{column.name}" FROM {table.name} WHERE rowid = ?', [last]).fetchone()
            con.execute(
                f'UPDATE {table.name} SET "{column.name}" = ? WHERE rowid = ?', [other(value, column.type), last]
            )
        assert is_found(whole[0], planted), column.name


PLANTS: dict[str, Callable[[pa.Table], pa.Table]] = {
    "a row too few": lambda rows: rows.slice(0, len(rows) - 1),
    "none at all": lambda rows: rows.slice(0, 0),
    "a row twice": lambda rows: pa.concat_tables([rows, rows.slice(len(rows) - 1)]),
    "a model too many": lambda rows: pa.concat_tables(
        [rows, rows.slice(0, 1).set_column(0, rows.schema.field(0), pa.array(["zz/zz"]))]
    ),
    "another type": lambda rows: rows.cast(
        pa.schema([pa.field(f.name, pa.large_string() if f.type == pa.string() else f.type) for f in rows.schema])
    ),
    "a column less": lambda rows: rows.drop_columns(rows.column_names[-1]),
}


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("table", ["models", "super_weights", "scans", "conflicts"])
def test_other_rows_in_parquet_are_found(whole: tuple[Index, Path], planted: Path, table: str, plant: str) -> None:
    path = planted / "parquet" / table / "00000.parquet"
    pq.write_table(PLANTS[plant](pq.read_table(path)), path)

    assert is_found(whole[0], planted)


STATEMENTS = {
    "a row less": "DELETE FROM {0} WHERE rowid = (SELECT max(rowid) FROM {0})",
    "none at all": "DELETE FROM {0}",
    "a row twice": "INSERT INTO {0} FROM {0} ORDER BY rowid DESC LIMIT 1",
    "a model too many": "INSERT INTO {0} SELECT * REPLACE ('zz/zz' AS model_id) FROM {0} LIMIT 1",
    "no table": "DROP TABLE {0}",
}


@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize("table", ["models", "records", "super_weights", "scans", "conflicts"])
def test_other_rows_in_duckdb_are_found(whole: tuple[Index, Path], planted: Path, table: str, statement: str) -> None:
    with duckdb.connect(str(planted / "index.duckdb")) as con:
        con.execute(STATEMENTS[statement].format(table))

    assert is_found(whole[0], planted)


# --- whole forms that are sound in themselves ---


def rewritten(
    directory: Path, root: site.Root, edit: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
) -> site.Root:
    """Put other changes in, with a chain of their own, and a root that ends with it."""
    path = directory / site.changes_name(0, root.seq)
    entries = edit([json.loads(line) for line in path.read_bytes().splitlines()])
    placed: list[feed.Entry] = []
    for entry in entries:
        placed.append(feed.place(placed[-1] if placed else None, feed.Entry(**entry)))
    path.write_bytes(b"".join(feed.line_of(entry) + b"\n" for entry in placed))
    return root._replace(chain=placed[-1].chain, newest=placed[-1].time)


EDITS: dict[str, Callable[[list[dict[str, Any]]], list[dict[str, Any]]]] = {
    "digest": lambda e: [*e[:-1], {**e[-1], "digest": "0" * 64}],
    "outcome": lambda e: [*e[:-1], {**e[-1], "outcome": "none_found"}],
    "time": lambda e: [*e[:-1], {**e[-1], "time": "2026-11-21T07:00:01Z"}],
    "version": lambda e: [*e[:-1], {**e[-1], "version": 9}],
    "withdrawn": lambda e: [*e[:-1], {**e[-1], "withdrawn": not e[-1]["withdrawn"]}],
    "model": lambda e: [*e[:-1], {**e[-1], "model_id": "org/none"}],
    "order": lambda e: [e[1], e[0], *e[2:]],
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_sound_chain_of_other_changes_is_found(whole: tuple[Index, Path], planted: Path, edit: str) -> None:
    root = site.Root.parse((planted / "root.json").read_bytes())

    assert is_found(whole[0], planted, rewritten(planted, root, EDITS[edit]))


def put_leaf(directory: Path, root: site.Root, models: dict[str, Any]) -> site.Root:
    """A tree of one leaf that says this."""
    data = json.dumps({"models": models}, separators=(",", ":"), sort_keys=True).encode()
    digest = hashlib.sha256(data).hexdigest()
    path = directory / site.node_name(digest)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return root._replace(tree=digest)


LEAVES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "a model less": lambda m: {k: v for k, v in m.items() if k != "org/none"},
    "a model more": lambda m: {**m, "org/more": m["org/none"]},
    "another digest": lambda m: {**m, "org/none": ["0" * 64, m["org/none"][1]]},
    "an older version": lambda m: {**m, "org/tiny": [m["org/tiny"][0], m["org/tiny"][1][:1]]},
    "another model's version": lambda m: {**m, "org/none": m["org/failed"]},
    "a byte less": lambda m: {**m, "org/none": [m["org/none"][0], [[s, a, n - 1] for s, a, n in m["org/none"][1]]]},
}


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_sound_tree_of_other_places_is_found(whole: tuple[Index, Path], planted: Path, leaf: str) -> None:
    root = site.Root.parse((planted / "root.json").read_bytes())
    models = json.loads((planted / site.node_name(root.tree)).read_bytes())["models"]

    assert is_found(whole[0], planted, put_leaf(planted, root, LEAVES[leaf](models)))


def test_a_log_that_lost_a_version_is_found(whole: tuple[Index, Path], tmp_path: Path) -> None:
    shutil.copytree(whole[0].directory, tmp_path / "index")
    index = Index(tmp_path / "index")
    path = index.path("org/tiny")
    path.write_bytes(path.read_bytes().split(b"\n")[0] + b"\n")

    assert is_found(index, whole[1])


def test_a_log_beside_the_feed_is_found(whole: tuple[Index, Path], tmp_path: Path) -> None:
    shutil.copytree(whole[0].directory, tmp_path / "index")
    aside = releases.index_of(tmp_path / "aside", make.none_found("org/aside"))
    shutil.copyfile(aside.path("org/aside"), tmp_path / "index" / "records" / "org" / "aside.jsonl")

    assert is_found(Index(tmp_path / "index"), whole[1])


# --- in a release ---


@pytest.mark.parametrize(
    "form",
    ["changes/000000.16.jsonl", "versions/000000.16.jsonl", "parquet/super_weights/00000.parquet", "index.duckdb"],
)
def test_a_disagreement_leaves_the_last_release_as_it_was(
    whole: tuple[Index, Path], planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    shutil.copytree(whole[0].directory, tmp_path / "index")
    index = Index(tmp_path / "index")
    index.append(make.found("org/more"))
    assert feed.newest(index.directory).seq == 16 + 1 == len(list(feed.read(index.directory)))
    form = form.replace("16", "17")
    before = {path: path.read_bytes() for path in planted.rglob("*") if path.is_file()}

    def damaged(index: Index, staging: Staging, root: site.Root, steps: Any) -> None:
        data = bytearray((staging.folder / form).read_bytes())
        data[len(data) // 2] ^= 1
        (staging.folder / form).write_bytes(data)
        require_agreement(index, staging, root, steps)

    monkeypatch.setattr(making, "require_agreement", damaged)
    with pytest.raises(StoreError):
        release(index, planted, released=NOW)

    assert {path: path.read_bytes() for path in planted.rglob("*") if path.is_file()} == before


@pytest.fixture(autouse=True)
def sound_again(whole: tuple[Index, Path]) -> Iterator[None]:
    """No test leaves the shared release damaged."""
    yield
    assert releases.damaged_files(whole[1]) == []
