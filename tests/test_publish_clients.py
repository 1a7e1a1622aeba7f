"""A published release is read by clients that know nothing of swindex, unmodified, at a tag and at `main`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from huggingface_hub import HfApi

from swindex.api.publishing import Wish, publish
from swindex.index.tables import TABLES

from .hub import Hub
from .published import Releases, releases

REPO, TAG = "org/swindex", "v2026.11.21"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Releases:
    return releases(tmp_path_factory.mktemp("releases"))


@pytest.fixture(scope="module")
def hub(made: Releases) -> Iterator[Hub]:
    """A Hub that holds both releases, the older one at TAG."""
    with Hub() as hub:
        api = HfApi(endpoint=hub.url, token=hub.token)
        publish(made.first, REPO, Wish(create=True), api=api)
        publish(made.second, REPO, api=api)
        yield hub


def told(hub: Hub, tmp_path: Path, code: str) -> Any:
    """What a program prints as JSON that knows the Hub by HF_ENDPOINT."""
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_TELEMETRY": "1"}
    # Arrow's threads now and then abort a process that ends ("terminate called without an active exception").
    end = "\nimport os, sys\nsys.stdout.flush()\nos._exit(0)\n"
    program = f"import json\nREPO, TAG = {REPO!r}, {TAG!r}\n{code}{end}"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def counts(directory: Path) -> dict[str, int]:
    """Rows of each table of a release that has some, from its DuckDB file."""
    with duckdb.connect(str(directory / "index.duckdb"), read_only=True) as con:
        rows = {t.name: con.execute(f"SELECT count(*) FROM {t.name}").fetchall()[0][0] for t in TABLES}
    return {name: count for name, count in rows.items() if count}


# --- datasets ---


@pytest.mark.parametrize(("at", "which"), [("None", "second"), ("TAG", "first")], ids=["main", "tag"])
@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streaming"])
def test_load_dataset_knows_every_table_and_its_rows(
    hub: Hub, made: Releases, tmp_path: Path, at: str, which: str, streaming: bool
) -> None:
    found = told(
        hub,
        tmp_path,
        f"""
import datasets
def rows(name):
    return sum(1 for _ in datasets.load_dataset(REPO, name, split="train", revision={at}, streaming={streaming}))
print(json.dumps({{name: rows(name) for name in datasets.get_dataset_config_names(REPO, revision={at})}}))
""",
    )

    assert found == counts(getattr(made, which))


def test_load_dataset_without_a_name_gives_the_super_weights(hub: Hub, made: Releases, tmp_path: Path) -> None:
    found = told(
        hub,
        tmp_path,
        """
import datasets
rows = datasets.load_dataset(REPO, split="train")
print(json.dumps(sorted(zip(rows["model_id"], rows["weight_id"], rows["value"]))))
""",
    )

    assert found == [["org/one", "L1.R2.C3", -0.2734375], ["org/one", "L1.R7.C3", 1.0],
                     ["org/two", "L1.R2.C3", None], ["org/two", "L2.R4.C3", None]]  # fmt: skip


# --- DuckDB ---


def test_duckdb_reads_the_parquet_files_at_a_tag_and_by_a_pattern(hub: Hub, made: Releases, tmp_path: Path) -> None:
    found = told(
        hub,
        tmp_path,
        """
import duckdb
from huggingface_hub import HfFileSystem
con = duckdb.connect()
con.register_filesystem(HfFileSystem())
def models(at):
    path = f"hf://datasets/{REPO}{at}/parquet/models/00000.parquet"
    return con.execute(f"SELECT model_id FROM '{path}' ORDER BY 1").fetchall()
pattern = con.execute(f"SELECT count(*) FROM 'hf://datasets/{REPO}@{TAG}/parquet/super_weights/*.parquet'").fetchall()
print(json.dumps([models(""), models("@" + TAG), pattern]))
""",
    )

    assert found == [[["org/one"], ["org/three"], ["org/two"]], [["org/one"], ["org/two"]], [[4]]]


def test_duckdb_joins_tables_on_the_hub(hub: Hub, tmp_path: Path) -> None:
    found = told(
        hub,
        tmp_path,
        """
import duckdb
from huggingface_hub import HfFileSystem
con = duckdb.connect()
con.register_filesystem(HfFileSystem())
at = f"hf://datasets/{REPO}@{TAG}/parquet"
print(json.dumps(con.execute(f'''
    SELECT m.model_id, m.outcome, count(*) FROM '{at}/models/00000.parquet' m
    JOIN '{at}/super_weights/00000.parquet' w USING (model_id) GROUP BY ALL ORDER BY ALL''').fetchall()))
""",
    )

    assert found == [["org/one", "found", 2], ["org/two", "reported", 2]]


def test_the_duckdb_file_of_a_tag_is_downloaded_and_opened(hub: Hub, made: Releases, tmp_path: Path) -> None:
    found = told(
        hub,
        tmp_path,
        """
import duckdb
from huggingface_hub import hf_hub_download
path = hf_hub_download(REPO, "index.duckdb", repo_type="dataset", revision=TAG)
with duckdb.connect(path, read_only=True) as con:
    print(json.dumps(con.execute("SELECT model_id, digest FROM models ORDER BY 1").fetchall()))
""",
    )

    lines = (made.first / "changes" / "000000.2.jsonl").read_text().splitlines()
    assert found == [[line["model_id"], line["digest"]] for line in map(json.loads, lines)]


# --- data frames ---


@pytest.mark.parametrize(
    "read",
    [
        "import pandas; ids = lambda path: pandas.read_parquet(path).model_id.tolist()",
        "import pandas\nfrom huggingface_hub import HfFileSystem\n"
        "ids = lambda path: pandas.read_parquet(HfFileSystem().open(path)).model_id.tolist()",
        "import polars\nfrom huggingface_hub import HfFileSystem\n"
        "ids = lambda path: polars.read_parquet(HfFileSystem().open(path, 'rb'))['model_id'].to_list()",
        "import pyarrow.parquet as pq\nfrom huggingface_hub import HfFileSystem\n"
        "ids = lambda path: pq.read_table(path[len('hf://'):], filesystem=HfFileSystem())['model_id'].to_pylist()",
    ],
    ids=["pandas", "pandas file", "polars file", "pyarrow"],
)
def test_data_frames_read_hf_paths(hub: Hub, tmp_path: Path, read: str) -> None:
    found = told(
        hub,
        tmp_path,
        read
        + """
path = "hf://datasets/{}{}/parquet/models/00000.parquet"
print(json.dumps([sorted(ids(path.format(REPO, at))) for at in ("", "@" + TAG)]))
""",
    )

    assert found == [["org/one", "org/three", "org/two"], ["org/one", "org/two"]]


def test_pandas_reads_the_versions_themselves(hub: Hub, tmp_path: Path) -> None:
    found = told(
        hub,
        tmp_path,
        """
import pandas
frame = pandas.read_json(f"hf://datasets/{REPO}@{TAG}/versions/000000.2.jsonl", lines=True)
print(json.dumps([m["id"] for m in frame.model]))
""",
    )

    assert found == ["org/one", "org/two"]


# --- the Hub's own client ---


def test_a_snapshot_of_a_tag_is_the_release(hub: Hub, made: Releases, tmp_path: Path) -> None:
    found = told(
        hub,
        tmp_path,
        """
import hashlib, pathlib
from huggingface_hub import snapshot_download
folder = pathlib.Path(snapshot_download(REPO, repo_type="dataset", revision=TAG))
paths = [p for p in folder.rglob("*") if p.is_file()]
print(json.dumps({p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}))
""",
    )

    stated = json.loads((made.first / "root.json").read_bytes())["files"]
    assert {path: found[path] for path in stated} == {path: file["sha256"] for path, file in stated.items()}
