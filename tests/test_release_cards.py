"""What comes with a release for people and machines: README.md, croissant.json, the command's own report."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import shutil
from pathlib import Path
from typing import Any

import datasets
import mlcroissant
import pytest
import yaml

from swindex.api.main import main
from swindex.index.errors import StoreError
from swindex.index.release import release
from swindex.index.release.card import text
from swindex.index.store import Index
from swindex.index.tables import TABLES

from . import records as make
from . import releases

NOW = "2026-11-22T00:00:00Z"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return releases.varied(tmp_path_factory.mktemp("varied") / "index")


@pytest.fixture(scope="module")
def made(index: Index, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made") / "release"
    release(index, directory, released=NOW)
    return directory


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty")
    release(releases.index_of(folder / "index"), folder / "release", released=NOW)
    return folder / "release"


def front(directory: Path) -> dict[str, Any]:
    """The YAML of a card."""
    _, head, _ = (directory / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(head)


# --- the dataset card ---


@pytest.mark.parametrize("which", ["made", "empty"])
def test_the_card_s_yaml_is_what_the_hub_reads(which: str, request: pytest.FixtureRequest) -> None:
    said = front(request.getfixturevalue(which))

    assert (said["license"], said["size_categories"]) == ("cc0-1.0", ["n<1K"])
    assert isinstance(said["pretty_name"], str)
    assert all(re.fullmatch(r"[a-z-]+", tag) for tag in said["tags"])
    configs = said.get("configs", [])
    assert sorted(c["config_name"] for c in configs) == sorted(t.name for t in TABLES if which == "made")
    assert [c["config_name"] for c in configs if c.get("default")] == ["super_weights"] * (which == "made")
    for config in configs:
        assert config["data_files"] == [{"split": "train", "path": f"parquet/{config['config_name']}/*.parquet"}]


@pytest.mark.parametrize("name", ["super_weights", "models", "effects"])
def test_load_dataset_reads_the_configurations(made: Path, name: str, tmp_path: Path) -> None:
    loaded = datasets.load_dataset(str(made), name, split="train", cache_dir=str(tmp_path))

    wanted = releases.database(made)
    count = {"super_weights": sum(len(a[4]) for a in wanted.values()), "models": len(wanted)}
    assert len(loaded) == count.get(name, sum(len(a[5]) for a in wanted.values()))
    assert set(loaded["model_id"]) <= set(wanted)


def test_the_default_configuration_is_that_of_super_weights(made: Path, tmp_path: Path) -> None:
    assert "weight_id" in datasets.load_dataset(str(made), split="train", cache_dir=str(tmp_path)).column_names


def test_the_card_counts_what_is_there(made: Path) -> None:
    said, answers = (made / "README.md").read_text(), releases.jsonl(made)

    gone = sum(answer[2] for answer in answers.values())
    assert gone == 1
    for line in (
        f"| Models | {len(answers)} |",
        f"| of them withdrawn | {gone} |",
        f"| Versions of records | {sum(answer[3] for answer in answers.values())} |",
        f"| Models with outcome found | {sum(a[1] == 'found' and not a[2] for a in answers.values())} |",
        f"| Observations of outside sources | {sum(answer[6] for answer in answers.values())} |",
    ):
        assert f"\n{line}\n" in said


def test_the_card_explains_every_column(made: Path) -> None:
    said = (made / "README.md").read_text()

    for table in TABLES:
        part = said.partition(f"\n### {table.name}\n")[2].partition("\n#")[0]
        assert table.meaning in part
        named = re.findall(r"^\| `(\w+)` \|", part, re.M)
        assert named == [c.name for c in table.columns if (table.name, c.name) != ("records", "line")]


def test_what_sources_call_themselves_stays_text(made: Path) -> None:
    [line] = [line for line in (made / "README.md").read_text().splitlines() if line.startswith("- odd-2026: ")]

    assert line == (
        r"- odd-2026: \<b\>\"o'dd\"\</b\> \| \`x\` \[a\](b) \# é, https://x.y/\|a (1 observations)".replace('\\"', '"')
    )


@pytest.mark.parametrize("hostile", ["a\x1b[31mb", "a\u202eb", "a\r\nb", "a\x00b"])
def test_control_characters_do_not_reach_the_card(hostile: str) -> None:
    assert not re.search(r"[^ -~]", text(hostile))


# --- croissant ---


def loaded(directory: Path) -> tuple[mlcroissant.Dataset, str]:
    """The description as mlcroissant reads it, and all that it has to say against it."""
    heard = io.StringIO()
    handler = logging.StreamHandler(heard)
    logging.getLogger("absl").addHandler(handler)
    with contextlib.redirect_stderr(heard):
        dataset = mlcroissant.Dataset(jsonld=str(directory / "croissant.json"))
    logging.getLogger("absl").removeHandler(handler)
    return dataset, heard.getvalue() + str(dataset.metadata.ctx.issues.report())


@pytest.mark.parametrize("which", ["made", "empty"])
def test_croissant_is_valid(which: str, request: pytest.FixtureRequest) -> None:
    dataset, issues = loaded(request.getfixturevalue(which))

    assert issues == ""
    assert [r.id for r in dataset.metadata.record_sets] == [t.name for t in TABLES]


def test_croissant_states_the_digests_of_the_root(made: Path) -> None:
    said = json.loads((made / "croissant.json").read_text())["distribution"]

    files = {f["contentUrl"]: f["sha256"] for f in said if f["@type"] == "cr:FileObject"}
    root = releases.root_of(made)["files"]
    assert files == {p: f["sha256"] for p, f in root.items() if p.endswith((".parquet", ".duckdb"))}


def test_mlcroissant_reads_the_rows(made: Path) -> None:
    rows = list(loaded(made)[0].records("super_weights"))

    wanted = [(model_id, w) for model_id, answer in releases.parquet(made).items() for w in answer[4]]
    found = [
        (
            row["super_weights/model_id"].decode(),
            row["super_weights/weight_id"].decode(),
            list(row["super_weights/index"]),
        )
        for row in rows
    ]
    assert sorted(found) == sorted((model_id, w[0], list(w[4])) for model_id, w in wanted)


# --- the command ---


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(["index", "release", *arguments])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_the_command_says_what_it_made(index: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, str(tmp_path / "r"), "--index", str(index.directory), "--json")

    said, root = json.loads(out), releases.root_of(tmp_path / "r")
    assert status == 0
    assert {k: said[k] for k in ("seq", "chain", "tree", "models", "released")} == {
        k: root[k] for k in ("seq", "chain", "tree", "models", "released")
    }
    files = {p.relative_to(tmp_path / "r").as_posix() for p in (tmp_path / "r").rglob("*") if p.is_file()}
    assert set(said["written"]) == files - {".release.lock"}
    assert (said["new"], said["withdrawn"], said["previous"]) == (root["models"] - 1, 1, None)


def test_the_command_prints_a_table(index: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, str(tmp_path / "r"), "--index", str(index.directory), "--prune")

    assert (status, err) == (0, "")
    tables = sum(path.is_file() for path in (tmp_path / "r" / "parquet").rglob("*"))
    assert re.search(rf"^parquet +{tables} +\d+$", out, re.M)


def test_errors_of_the_index_are_answer_no(index: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(index.directory, tmp_path / "index")
    Index(tmp_path / "index").path("org/none").write_bytes(b"{}\n")

    status, out, err = run(capsys, str(tmp_path / "r"), "--index", str(tmp_path / "index"))

    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "run `swindex index check`" in err


def test_a_directory_of_something_else_could_not_be_done(index: Index, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, str(index.directory), "--index", str(index.directory))

    assert (status, err.count("\n")) == (3, 1)
    assert not (index.directory / "root.json").exists()


@pytest.mark.parametrize("name", ["with space", "it's", "a#b%20", "[x]*", "-dash", "ünï", '"q"', "a;b"])
def test_a_directory_may_be_called_anything(tmp_path: Path, name: str) -> None:
    index = releases.index_of(tmp_path / "index", make.found("org/a"))

    release(index, tmp_path / name, released=NOW)

    assert releases.forms(tmp_path / name)["duckdb"] == releases.log(index.directory)


def test_a_directory_that_duckdb_cannot_write_to_is_said(tmp_path: Path) -> None:
    index = releases.index_of(tmp_path / "index", make.found("org/a"))

    with pytest.raises(StoreError, match=r"cannot write a file to a path with '\?'"):
        release(index, tmp_path / "wh?t", released=NOW)
    assert not (tmp_path / "wh?t").exists()
