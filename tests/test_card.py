"""The block for a model's card: the Hub's own client reads it, it is honest, and strangers' words stay words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.repocard import metadata_load

from swindex.api import Client
from swindex.api.main import main
from swindex.api.model_card import block, markdown, metadata
from swindex.api.view import view
from swindex.index.store import Index
from swindex.schema.observation import Granularity, Stance
from swindex.schema.record import Record, Withdrawn

from . import records as make

SHIPPED = Path(__file__).parent.parent / "index"


def document(record: Record) -> dict[str, Any]:
    """What `lookup --json` says of a record."""
    return view(record.model_dump(mode="json"))


def front(record: Record) -> dict[str, Any]:
    """The metadata as YAML reads it."""
    loaded: dict[str, Any] = yaml.safe_load(metadata(document(record)).strip("-\n"))
    return loaded


def rows(record: Record) -> list[list[str]]:
    """The cells of the table's rows."""
    lines = [line for line in markdown(document(record)).splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


# --- metadata ---


def test_the_hub_s_client_reads_the_metadata(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(block(document(make.found())), encoding="utf-8")

    assert metadata_load(path) == {
        "tags": ["super-weights"],
        "base_model": "org/base",
        "base_model_relation": "finetune",
        "super_weights": {
            "outcome": "found",
            "revision": make.REVISION,
            "inherited_from": None,
            "record": {"version": 1, "digest": make.found().provenance.digest},
            "coordinates": [
                coordinates([2, 3], -0.2734375, "confirmed"),
                coordinates([7, 3], 1.0, "inert"),
            ],
        },
    }


def coordinates(index: list[int], value: float, verdict: str) -> dict[str, Any]:
    """A weight of `make.found` as the metadata has it."""
    how = {"verdict": verdict, "grouped": "confirmed", "basis": "measured", "grouped_basis": "measured"}
    return {"tensor": make.tensor(1), "index": index, "value": value, "location": "confirmed", **how}


def test_the_hub_s_card_data_keeps_all_of_it() -> None:
    card = ModelCard(block(document(make.found())))
    data = ModelCardData(**card.data.to_dict())

    assert yaml.safe_load(data.to_yaml()) == front(make.found())


def test_a_model_with_nothing_to_keep_gets_no_tag() -> None:
    assert "tags" not in front(make.none_found())
    assert front(make.none_found())["super_weights"]["coordinates"] == []


# --- the table ---


def test_a_row_has_coordinates_value_verdicts_whose_figures_and_source() -> None:
    first = rows(make.found())[0]

    place = [f"`{make.tensor(1)}`", "`[2, 3]`", "-0.2734375"]
    assert first == [*place, "confirmed", "confirmed", "measured", "swindex"]


def test_a_reported_row_names_its_sources_with_links() -> None:
    first = rows(make.reported())[0]

    assert first[2:6] == ["not given", "untested", "confirmed", "reported"]
    assert first[6] == "[sun-2025](https://example.org/sun-2025), [yu-2024](https://example.org/yu-2024)"


def test_what_does_nothing_is_told_below_the_table() -> None:
    parts = make.found_parts()
    idle = make.weight(2, 7, 3, bits="3f80")
    parts["super_weights"] = (parts["super_weights"][0].model_copy(update={"group": None}), idle)
    parts["effects"] = (make.effect("a", parts["super_weights"][0].id), make.effect("b", idle.id, delta=0.001))
    record = make.make({**parts, "groups": ()})

    assert len(rows(record)) == 1
    assert r"Claimed as well, and removing it does nothing: L2\[7,3\]." in markdown(document(record))


# --- honest words ---

WORDS: tuple[tuple[Callable[[], Record], str], ...] = (
    (make.found, "**Scanned by swindex: super weights found.** Verdicts marked measured are swindex's own"),
    (make.found, f"Coordinates are those of commit `{make.REVISION}`."),
    (make.reported, "**Reported by outside sources; not scanned by swindex.** All verdicts are the sources' own"),
    (make.reported, "The coordinates are not pinned to a commit."),
    (make.none_found, r"**None known: a scan of swindex found no super weight.**"),
    (make.failed, "No scalar is on record, which does not mean that there is none."),
)


@pytest.mark.parametrize(("made", "words"), WORDS)
def test_the_words_say_what_is_known(made: Callable[[], Record], words: str) -> None:
    assert words in markdown(document(made()))


def test_a_negative_does_not_ask_to_keep_anything() -> None:
    assert "Keep them at full precision" not in markdown(document(make.none_found()))
    assert "| Tensor |" not in markdown(document(make.none_found()))


def test_an_expert_that_a_source_claims_as_a_whole_is_told() -> None:
    at = make.observation((1, 2, 3)).targets[0].model_copy(update={"row": None, "col": None, "expert": 5})
    claim = make.observation().model_copy(
        update={"granularity": Granularity.EXPERT, "stance": Stance.CLAIMS, "targets": (at,)}
    )
    record = make.make({"model": make.model(), "observations": (claim,)})

    assert "Claimed as a whole row or expert, not as a scalar: L1.E5 (yu-2024)." in markdown(document(record))


def test_it_says_how_to_verify_and_what_to_cite() -> None:
    text = markdown(document(make.found()))

    assert "`swindex verify org/tiny`" in text
    assert f"version 1, sha256 `{make.found().provenance.digest}`" in text
    assert "https://arxiv.org/abs/2411.07191" in text


# --- hostile words ---

EVIL = 'x` | <script>alert(1)</script>\n\n---\nlicense: mit\n# h\u2028\x1b[2J ![i](http://e/x) \u0085 \U0001f600 "'


def hostile() -> Record:
    """A record in which everything that a stranger can write is hostile."""
    parts = make.found_parts()
    weights = tuple(w.model_copy(update={"tensor": EVIL}) for w in parts["super_weights"])
    source = make.observation((1, 2, 3)).source.model_copy(
        update={"title": EVIL, "url": "https://e.example/)](javascript:alert(1))"}
    )
    seen = make.observation((1, 2, 3)).model_copy(update={"source": source})
    withdrawn = Withdrawn(time=make.TIME, reason=EVIL)
    return make.make({**parts, "super_weights": weights, "observations": (seen,), "withdrawn": withdrawn})


def test_hostile_words_add_no_key_to_the_metadata(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(block(document(hostile())), encoding="utf-8")

    loaded = metadata_load(path)

    assert loaded is not None
    assert sorted(loaded) == ["base_model", "base_model_relation", "super_weights", "tags"]
    assert "<script>" in loaded["super_weights"]["coordinates"][0]["tensor"]


def test_hostile_words_make_no_markup() -> None:
    text = markdown(document(hostile()))
    bare = text.replace("<!-- swindex: begin -->", "").replace("<!-- swindex: end -->", "")

    assert "<script" not in bare.replace("\\<script", "")
    assert "](javascript" not in bare
    assert "![" not in bare.replace("!\\[", "").replace("\\!\\[", "")
    assert not any(not c.isprintable() and c != "\n" for c in bare)
    assert [line for line in bare.splitlines() if line.startswith(("---", "# ", "license"))] == []


def test_a_hostile_name_stays_in_its_cell() -> None:
    lines = markdown(document(hostile())).splitlines()
    table = [line for line in lines if line.startswith("| ")]

    assert all(line.replace("\\|", "").count("|") == 8 for line in table)


# --- the command ---


def test_every_shipped_record_gives_a_block_that_the_hub_s_client_reads(tmp_path: Path) -> None:
    client, path = Client(SHIPPED), tmp_path / "README.md"
    for model in client.models():
        path.write_text(block(client.lookup(model).model_dump(mode="json")), encoding="utf-8")
        assert "super_weights" in (metadata_load(path) or {}), model


def test_the_command_prints_the_block(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Index(tmp_path / "index").append(make.found())

    status = main(["card", "org/tiny", "--index", str(tmp_path / "index")])

    assert (status, capsys.readouterr().out) == (0, block(document(make.found())))


def test_the_command_writes_a_file_and_not_over_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Index(tmp_path / "index").append(make.found())
    arguments = ["card", "org/tiny", "--index", str(tmp_path / "index"), "--out", str(tmp_path / "card.md")]

    assert [main(arguments), main(arguments), main([*arguments, "--force"])] == [0, 3, 0]
    assert (tmp_path / "card.md").read_text() == block(document(make.found()))
    assert "--force writes over it" in capsys.readouterr().err


def test_json_has_both_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Index(tmp_path / "index").append(make.found())

    main(["card", "org/tiny", "--index", str(tmp_path / "index"), "--json"])

    told = json.loads(capsys.readouterr().out)
    assert f"{told['metadata']}\n\n{told['markdown']}" == block(document(make.found()))


def test_an_unknown_model_is_no_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Index(tmp_path / "index").append(make.found())

    assert main(["card", "org/unknown", "--index", str(tmp_path / "index")]) == 1
    assert "is not in the index" in capsys.readouterr().err
