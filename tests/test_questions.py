"""QUESTIONS.md says what the code and the shipped index give; some answers are counted again from the records."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from swindex.index.questions import HERE, page, questions
from swindex.index.sql import Answered, answer, opened
from swindex.index.tables import TABLES

RECORDS = [json.loads(path.read_bytes().splitlines()[-1]) for path in sorted((HERE / "records").rglob("*.jsonl"))]
ASKED = questions()


@pytest.fixture(scope="module")
def answers() -> dict[str, Answered]:
    """The answer to each question."""
    with opened(HERE) as con:
        return {q.ask: answer(con, q.sql) for q in ASKED}


def rows(answers: dict[str, Answered], word: str) -> list[tuple[Any, ...]]:
    """The rows of the one question with this word in it."""
    [found] = [a.rows for ask, a in answers.items() if word in ask]
    return found


def weights() -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Model, scalar and status of every scalar in the records."""
    pairs = [(r, w, s) for r in RECORDS for w, s in zip(r["super_weights"], r["status"]["weights"], strict=True)]
    assert pairs
    return [(r["model"]["id"], w, s) for r, w, s in pairs]


def test_the_committed_page_is_what_the_code_gives() -> None:
    assert (HERE / "QUESTIONS.md").read_text(encoding="utf-8") == page()


def test_there_are_ten_questions_at_least_and_no_two_alike() -> None:
    assert len({q.ask for q in ASKED}) == len(ASKED) >= 10


def test_each_query_is_short() -> None:
    assert [q.ask for q in ASKED if len(q.sql.splitlines()) > 6 or max(map(len, q.sql.splitlines())) > 120] == []


def test_each_reading_is_there() -> None:
    assert [q.ask for q in ASKED if not q.reads] == []


def test_each_query_has_an_answer_but_that_on_comparisons(answers: dict[str, Answered]) -> None:
    assert [ask for ask, found in answers.items() if not found.rows] == [
        "How many compared weights survived in models made from a base?"
    ]


def test_an_answer_is_the_same_when_asked_again(answers: dict[str, Answered]) -> None:
    with opened(HERE) as con:
        again = {q.ask: answer(con, q.sql) for q in ASKED}

    assert again == answers


def test_the_page_has_every_table_and_column() -> None:
    text = (HERE / "QUESTIONS.md").read_text(encoding="utf-8")

    assert [t.name for t in TABLES if f"### `{t.name}`\n\n{t.meaning}" not in text] == []
    lines = [f"| `{c.name}` | {c.type} | {c.meaning.replace('<', '&lt;')} |" for t in TABLES for c in t.columns]
    assert [line for line in lines if line not in text] == []


# --- counted again, from the records ---


def test_how_much_is_in_the_index(answers: dict[str, Answered]) -> None:
    outcomes, scalars = Counter[str](), Counter[str]()
    for record in RECORDS:
        outcomes[record["status"]["outcome"]] += 1
        scalars[record["status"]["outcome"]] += len(record["super_weights"])

    assert rows(answers, "whose word") == [(o, outcomes[o], scalars[o], 0) for o in sorted(outcomes)]


def test_layers(answers: dict[str, Answered]) -> None:
    stands = [(m, w["layer"]) for m, w, s in weights() if s["location"] != "refuted"]

    assert rows(answers, "layers") == [
        (layer, sum(each == layer for _, each in stands), len({m for m, each in stands if each == layer}))
        for layer in sorted({each for _, each in stands})
    ]


def test_families(answers: dict[str, Answered]) -> None:
    assert {row[0]: row[2] for row in rows(answers, "families")} == Counter(m.split("/")[0] for m, _, _ in weights())


def test_verdicts(answers: dict[str, Answered]) -> None:
    found = Counter(
        (s["alone"], s["alone_basis"], s["grouped"], s["grouped_basis"])
        for _, _, s in weights()
        if s["location"] != "refuted"
    )

    assert {row[:4]: row[4] for row in rows(answers, "verdicts")} == found


def test_refuted_claims(answers: dict[str, Answered]) -> None:
    assert [row[:2] for row in rows(answers, "refuted")] == sorted(
        (m, w["id"]) for m, w, s in weights() if s["location"] == "refuted"
    )


def test_who_denies_a_refuted_claim(answers: dict[str, Answered]) -> None:
    def denies(model_id: str, weight_id: str) -> str:
        [record] = [r for r in RECORDS if r["model"]["id"] == model_id]
        [weight] = [w for w in record["super_weights"] if w["id"] == weight_id]
        place = [weight[k] for k in ("tensor", "row", "col")]
        said = [o for o in record["observations"] if o["stance"] == "denies"]
        here = [o for o in said if any([t[k] for k in ("tensor", "row", "col")] == place for t in o["targets"])]
        return ", ".join(sorted({o["source"]["origin"] for o in here}))

    found = rows(answers, "refuted")

    assert [row[2] for row in found] == [denies(row[0], row[1]) for row in found]


def test_single_weights_that_destroy(answers: dict[str, Answered]) -> None:
    assert [row[:2] for row in rows(answers, "removed alone")] == sorted(
        (m, w["id"]) for m, w, s in weights() if s["alone"] == "confirmed"
    )


def test_contradictions(answers: dict[str, Answered]) -> None:
    found = [(r["model"]["id"], c["kind"]) for r in RECORDS for c in r["status"]["conflicts"]]

    assert sorted(row[:2] for row in rows(answers, "contradict")) == sorted(found)


def test_shared_places(answers: dict[str, Answered]) -> None:
    places: dict[tuple[str, str], set[str]] = {}
    for model_id, weight, status in weights():
        if status["location"] != "refuted":
            places.setdefault((weight["id"], weight["tensor"]), set()).add(model_id)

    assert sorted((row[1], set(row[0])) for row in rows(answers, "instruct")) == sorted(
        (place[0], models) for place, models in places.items() if len(models) > 1
    )


def test_pinned_models(answers: dict[str, Answered]) -> None:
    pinned = Counter(r["model"]["revision"] is not None for r in RECORDS)

    assert [row[:2] for row in rows(answers, "pinned")] == [(False, pinned[False]), (True, pinned[True])]


def test_make_writes_the_page() -> None:
    assert "\nquestions: setup\n" in (Path(HERE).parent / "Makefile").read_text()
