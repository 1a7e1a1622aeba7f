"""Lookup takes the downloaded copy where it is as new as the shipped index, and says how fresh it is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from swindex.api import Client, origin
from swindex.api.download import Format, download
from swindex.api.main import main
from swindex.api.reading import shipped
from swindex.index.errors import NotInIndex, StoreError
from swindex.index.store import Index

from .copies import LATER, RELEASED, content, filled, grow, published

Capture = pytest.CaptureFixture[str]
PLACE = "swindex"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default place."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path / PLACE


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """One that goes on where the shipped one ends."""
    for part in ("records", "changes"):
        shutil.copytree(shipped() / part, tmp_path / "index" / part)
    index = Index(tmp_path / "index")
    grow(index, 0, "brand/new")
    return index


def told(capsys: Capture) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_copy_answers_and_says_where_it_is_from(index: Index, tmp_path: Path, capsys: Capture) -> None:
    site = published(index, tmp_path / "site")
    download(str(site))
    noted = origin.read(tmp_path / PLACE)
    assert noted is not None

    assert main(["lookup", "brand/new", "--json"]) == 0

    said = told(capsys)["index"]
    assert (said["source"], said["released"], said["checked"]) == (str(site), RELEASED, noted["checked"])


def test_the_page_says_that_nobody_was_asked_now(index: Index, tmp_path: Path, capsys: Capture) -> None:
    site = published(index, tmp_path / "site")
    download(str(site))
    main(["lookup", "brand/new"])

    page = " ".join(capsys.readouterr().out.split())
    assert f"NOT ASKED now: this is what {site} held when it was last asked, on" in page
    assert f"From {site}, released 2026-11-20" in page


def test_client_takes_the_copy_too(index: Index, tmp_path: Path) -> None:
    download(str(published(index, tmp_path / "site")))

    assert Client().directory == tmp_path / PLACE
    assert "brand/new" in list(Client().models())


def test_a_copy_behind_the_shipped_index_is_left_alone(tmp_path: Path) -> None:
    download(str(published(filled(tmp_path / "small"), tmp_path / "site")))

    assert Client().directory == shipped()


def test_a_copy_of_the_shipped_index_is_taken(tmp_path: Path) -> None:
    download(str(published(Index(shipped()), tmp_path / "site")))

    assert Client().directory == tmp_path / PLACE


@pytest.mark.parametrize("kind", ["none", "files", "empty"])
def test_without_a_copy_the_shipped_index_answers(tmp_path: Path, kind: str) -> None:
    if kind == "files":
        (tmp_path / PLACE / "parquet").mkdir(parents=True)
        origin.write(tmp_path / PLACE, {"source": "x", "checked": LATER})
    if kind == "empty":
        (tmp_path / PLACE).mkdir()

    assert Client().directory == shipped()


def test_what_is_named_comes_before_the_copy(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    download(str(published(index, tmp_path / "site")))
    small = filled(tmp_path / "small")
    monkeypatch.setenv("SWINDEX_INDEX", str(small.directory))
    assert Client().directory == small.directory
    monkeypatch.delenv("SWINDEX_INDEX")

    assert main(["lookup", "brand/new", "--index", str(small.directory)]) == 1
    assert "brand/new is not in the index" in capsys.readouterr().err


def test_a_note_that_is_damaged_is_an_error(index: Index, tmp_path: Path) -> None:
    download(str(published(index, tmp_path / "site")))
    (tmp_path / PLACE / "origin.json").write_text("{")

    with pytest.raises(StoreError, match=r"origin\.json: damaged; delete it and run `swindex download --to"):
        Client().lookup("brand/new")


def test_a_lookup_in_the_copy_loads_no_more_than_one_in_the_shipped_index(index: Index, tmp_path: Path) -> None:
    download(str(published(index, tmp_path / "site")))
    code = """
import sys
from swindex.api.main import main
assert main(["lookup", "brand/new", "--json"]) == 0
heavy = {"typer", "pydantic", "duckdb", "huggingface_hub", "filelock", "httpx", "swindex.api.download"}
print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stderr == "[]\n"


# --- the copy answers as the index does ---


def test_a_copy_answers_as_the_index_does(tmp_path: Path) -> None:
    index = filled(tmp_path / "index")
    site = published(index, tmp_path / "site")
    download(str(site), tmp_path / "copy")
    for number in range(3):
        grow(index, number)
    download(str(published(index, site, LATER)), tmp_path / "copy")
    ours, theirs = Client(tmp_path / "copy"), Client(index.directory)

    assert list(ours.models()) == list(theirs.models())
    for model_id in theirs.models():
        mine, other = ours.lookup(model_id), theirs.lookup(model_id)
        named = {"source": "", "released": None, "checked": None}
        assert mine.index.model_copy(update=named) == other.index.model_copy(update=named)
        assert mine.model_copy(update={"index": other.index}) == other
        assert ours.record(model_id) == theirs.record(model_id)
        assert ours.history(model_id) == theirs.history(model_id)
    assert ours.search("o") == theirs.search("o")
    assert ours.changes() == theirs.changes()
    with pytest.raises(NotInIndex):
        ours.lookup("not/there")


def test_a_copy_of_the_shipped_index_is_the_shipped_index(tmp_path: Path) -> None:
    download(str(published(Index(shipped()), tmp_path / "site")), tmp_path / "copy")

    assert content(tmp_path / "copy") == content(shipped())


# --- the command ---


def test_the_command_says_what_it_did(index: Index, tmp_path: Path, capsys: Capture) -> None:
    site = published(filled(tmp_path / "small"), tmp_path / "site")

    assert main(["download", "--from", str(site), "--to", str(tmp_path / "copy")]) == 0
    first = capsys.readouterr()
    assert main(["download", "--from", str(site), "--to", str(tmp_path / "copy")]) == 0
    second = capsys.readouterr()

    assert first.out.startswith(f"6 changes fetched from {site}: ")
    assert f"; now at change 6 of 2026-11-20T12:00:00Z, in {tmp_path}/copy\n" in first.out
    assert second.out.startswith(f"Nothing is new from {site}: ")
    assert (first.err, second.err) == ("", "")


def test_the_command_prints_one_document(tmp_path: Path, capsys: Capture) -> None:
    site = published(filled(tmp_path / "small"), tmp_path / "site")

    assert main(["download", "--json", "--from", str(site)]) == 0

    said = told(capsys)
    assert said.keys() == {
        *("source", "target", "format", "how", "changes", "files", "bytes", "requests", "seconds"),
        *("seq", "chain", "newest", "released"),
    }
    assert (said["target"], said["format"], said["how"]) == (str(tmp_path / PLACE), "jsonl", "changes")


def test_the_source_may_be_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    site = published(filled(tmp_path / "small"), tmp_path / "site")
    monkeypatch.setenv("SWINDEX_SOURCE", str(site))

    assert main(["download"]) == 0
    assert str(site) in capsys.readouterr().out


def test_the_public_dataset_that_cannot_be_read_names_another_way(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    assert main(["download"]) == 3

    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("swindex: hf://datasets/swindex/super-weights: ")
    assert "name another place of the index with --from SOURCE" in err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--format", "csv"], 2, "'csv' is not one of"),
        (["--from", "gopher://x"], 2, "gopher://x"),
        (["--from", "/nowhere"], 3, "root.json: not there"),
    ],
)
def test_errors_have_their_status(arguments: list[str], status: int, message: str, capsys: Capture) -> None:
    assert main(["download", *arguments]) == status

    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_formats_are_those_of_the_library() -> None:
    assert [f.value for f in Format] == ["jsonl", "parquet", "duckdb"]
