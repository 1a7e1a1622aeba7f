"""A real release, served: every form of the dataset, downloads from the service, and its answers as files."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from swindex.api import Client
from swindex.api.reading import shipped
from swindex.api.service.settings import Settings
from swindex.index.store import Index

from . import records as make
from .served import Served, copy_of_shipped, serving, until


def swindex(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "swindex.api", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of a copy of the shipped index, its answers as files beside it."""
    folder = tmp_path_factory.mktemp("release")
    copy_of_shipped(folder / "index")
    swindex("index", "release", str(folder / "site"), "--index", str(folder / "index"), "--static")
    return folder / "site"


@pytest.fixture(scope="module")
def served(site: Path) -> Iterator[Served]:
    with serving(site) as found:
        yield found


def test_every_form_is_listed_and_every_file_is_what_its_digest_says(served: Served) -> None:
    forms = {each["format"]: each for each in served.get("/v1/dataset").json()["formats"]}
    files = [file for form in forms.values() for file in form["files"]]

    digests = {file["path"]: hashlib.sha256(served.get(file["url"]).content).hexdigest() for file in files}

    assert forms.keys() == {"jsonl", "parquet", "duckdb"}
    assert len(files) > 5
    assert digests == {file["path"]: file["sha256"] for file in files}


def test_the_database_is_a_file_with_ranges(served: Served, site: Path, tmp_path: Path) -> None:
    whole, part = served.get("/v1/dataset/duckdb"), served.get("/v1/dataset/duckdb", range="bytes=8-11")
    (tmp_path / "index.duckdb").write_bytes(whole.content)
    with duckdb.connect(str(tmp_path / "index.duckdb"), read_only=True) as con:
        count = con.execute("SELECT count(*) FROM models").fetchone()

    assert whole.content == (site / "index.duckdb").read_bytes()
    assert (part.status_code, part.content) == (206, b"DUCK")
    assert count == (70,)


def test_parquet_is_a_list_of_files(served: Served) -> None:
    found = served.get("/v1/dataset/parquet").json()

    assert {file["path"].split("/")[1] for file in found["files"]} >= {"models", "super_weights", "observations"}


def test_the_dataset_is_downloaded_from_the_service(served: Served, tmp_path: Path) -> None:
    swindex("download", "--from", served.url, "--to", str(tmp_path / "copy"))

    ours = sorted(p.relative_to(shipped()) for p in (shipped() / "records").rglob("*.jsonl"))
    copied = sorted(p.relative_to(tmp_path / "copy") for p in (tmp_path / "copy" / "records").rglob("*.jsonl"))
    assert copied == ours
    assert all((tmp_path / "copy" / path).read_bytes() == (shipped() / path).read_bytes() for path in ours)


def test_the_command_reads_from_the_service(served: Served) -> None:
    found = json.loads(swindex("lookup", "huggyllama/llama-7b", "--json", "--index", served.url).stdout)

    expected = Client(shipped()).lookup("huggyllama/llama-7b").model_dump(mode="json")
    assert {**found, "index": None} == {**expected, "index": None}
    assert found["index"]["source"] == served.url


def test_the_answers_as_files_are_those_of_the_service(served: Served, site: Path) -> None:
    models = list(Client(shipped()).models())

    files = {model: (site / "v1" / "models" / f"{model}.json").read_bytes() for model in models}

    assert files == {model: served.get(f"/v1/models/{model}").content for model in models}


def test_a_release_made_again_under_the_service_is_served(tmp_path: Path) -> None:
    index = Index(copy_of_shipped(tmp_path / "index"))
    release = ("index", "release", str(tmp_path / "site"), "--index", str(tmp_path / "index"))
    swindex(*release)
    with serving(tmp_path / "site", Settings(check_seconds=0.05)) as served:
        before = served.get("/index.duckdb").headers["etag"]
        index.append(make.found())
        swindex(*release, "--prune")
        until(lambda: served.get("/healthz").json()["seq"] == 71)
        after = served.get("/index.duckdb").headers["etag"]
        listed = served.get("/v1/models?query=org/tiny").json()["models"]
        log = served.log

    assert before != after
    assert [row["id"] for row in listed] == ["org/tiny"]
    assert [line for line in log if line["level"] == "error"] == []
