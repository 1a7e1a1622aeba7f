"""The service says what the client says, of every model; and its pages, cursors and changes hold together."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import swindex
from swindex.api import Client
from swindex.api.reading import shipped
from swindex.api.service.export import export
from swindex.index.store import Index

from . import records as make
from . import released
from .served import Served, copy_of_shipped, serving

MODELS = list(Client(shipped()).models())


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving() as found:
        yield found


def test_every_model_is_answered_as_by_lookup(served: Served) -> None:
    local = Client(shipped())

    answers = {model: served.get(f"/v1/models/{model}").json() for model in MODELS}

    assert answers == {model: local.lookup(model).model_dump(mode="json") for model in MODELS}


def test_the_document_is_what_the_command_prints(served: Served) -> None:
    command = [sys.executable, "-m", "swindex.api", "lookup", MODELS[0], "--json"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert served.get(f"/v1/models/{MODELS[0]}").json() == json.loads(printed)


def test_every_model_is_read_alike_by_a_client_of_the_service(served: Served) -> None:
    here, there = Client(shipped()), Client(served.url)
    differs = {"index": {"source", "released"}}

    ours = {model: here.lookup(model).model_dump(exclude=differs) for model in MODELS}

    assert {model: there.lookup(model).model_dump(exclude=differs) for model in MODELS} == ours
    assert {m: there.record(m) for m in MODELS} == {m: here.record(m) for m in MODELS}


def test_histories_changes_and_search_are_read_alike(served: Served) -> None:
    here, there = Client(shipped()), Client(served.url)

    assert [there.history(model) for model in MODELS] == [here.history(model) for model in MODELS]
    assert there.changes(limit=None) == here.changes(limit=None)
    assert there.search("qwen") == here.search("qwen") != []


def test_a_history_is_what_the_command_prints(served: Served) -> None:
    command = [sys.executable, "-m", "swindex.api", "history", MODELS[3], "--json"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert served.get(f"/v1/models/{MODELS[3]}/history").json() == json.loads(printed)


def test_a_model_is_found_in_any_case(served: Served) -> None:
    assert served.get("/v1/models/HUGGYLLAMA/Llama-7B").json()["model"]["id"] == "huggyllama/llama-7b"


def test_a_model_at_a_commit(served: Served) -> None:
    commit = Client(shipped()).lookup("huggyllama/llama-7b").model.revision
    assert commit is not None

    at = served.get(f"/v1/models/huggyllama/llama-7b@{commit[:9]}")

    assert at.json() == served.get("/v1/models/huggyllama/llama-7b").json()


def test_another_commit_is_not_in_the_index(served: Served) -> None:
    found = served.get("/v1/models/huggyllama/llama-7b@0000000")

    assert (found.status_code, found.json()["type"]) == (404, "/problems/not-in-index")


def test_an_unknown_model_is_a_problem_that_names_near_ones(served: Served) -> None:
    found = served.get("/v1/models/huggyllama/llama-7c")

    assert (found.status_code, found.headers["content-type"]) == (404, "application/problem+json")
    assert "does not mean that it has no super weight" in found.json()["detail"]
    assert "huggyllama/llama-7b" in found.json()["detail"]


def test_a_base_model_stands_in(served: Served) -> None:
    found = served.get("/v1/models/nobody/new?base=huggyllama/llama-7b").json()

    assert (found["outcome"], found["inherited_from"]["id"]) == ("unknown", "huggyllama/llama-7b")


def test_as_of_before_the_first_version_is_not_in_the_index(served: Served) -> None:
    assert served.get("/v1/models/huggyllama/llama-7b?as_of=2001-01-01").status_code == 404


def test_pages_together_are_all_models_in_their_order(served: Served) -> None:
    found, cursor = [], ""
    while cursor is not None:
        page = served.get(f"/v1/models?limit=7{cursor and f'&cursor={cursor}'}").json()
        found += [each["id"] for each in page["models"]]
        cursor = page["cursor"]

    assert found == sorted(MODELS, key=str.lower)


def test_a_query_finds_what_search_finds(served: Served) -> None:
    hits = {hit.id: hit.model_dump(mode="json") for hit in Client(shipped()).search("Llama")}

    found = served.get("/v1/models?query=Llama&limit=500").json()["models"]

    assert {each["id"]: {n: v for n, v in each.items() if n != "family"} for each in found} == hits


def test_a_verdict_narrows_the_list(served: Served) -> None:
    found = served.get("/v1/models?verdict=confirmed&limit=500").json()["models"]
    expected = {hit.id for hit in Client(shipped()).search("") if hit.verdict == "confirmed"}

    assert {each["id"] for each in found} == expected != set()


def test_an_unknown_family_has_no_models(served: Served) -> None:
    assert served.get("/v1/models?family=nonesuch").json()["models"] == []


def test_a_forged_cursor_is_refused(served: Served) -> None:
    assert [served.get(f"/v1/models?cursor={c}").status_code for c in ("AAAA", "m", "m00", "m" + "41" * 201)] == [
        422
    ] * 4


def test_many_models_at_once_in_their_order_with_problems_in_place(served: Served) -> None:
    names = ["huggyllama/llama-7b", "no/such", "../etc", "huggyllama/llama-13b"]

    answer = served.ask("POST", "/v1/query", json.dumps({"models": names}).encode(), content_type="application/json")

    results = answer.json()["results"]
    assert [each["asked"] for each in results] == names
    assert [each["problem"] and each["problem"]["status"] for each in results] == [None, 404, 422, None]
    assert results[0]["document"] == served.get("/v1/models/huggyllama/llama-7b").json()


def test_more_models_at_once_than_a_hundred_are_refused(served: Served) -> None:
    question = json.dumps({"models": ["a/b"] * 101}).encode()

    assert served.ask("POST", "/v1/query", question, content_type="application/json").status_code == 422


def test_changes_are_those_of_the_client(served: Served) -> None:
    expected = Client(shipped()).changes(limit=9).model_dump(mode="json")

    found = served.get("/v1/changes?limit=9").json()

    assert {n: found[n] for n in expected} == expected


def test_changes_go_back_to_the_first_without_a_gap(served: Served) -> None:
    seqs, page = [], served.get("/v1/changes?limit=20").json()
    while True:
        seqs += [each["seq"] for each in page["changes"]]
        if page["before"] is None:
            break
        page = served.get(f"/v1/changes?limit=20&before={page['before']}").json()

    assert seqs == list(range(70, 0, -1))


def test_changes_are_followed_onwards_without_a_gap(served: Served) -> None:
    seqs, since = [], 0
    while since < 70:
        page = served.get(f"/v1/changes?limit=30&since={since}").json()
        seqs += [each["seq"] for each in page["changes"]][::-1]
        since = page["next"]

    assert seqs == list(range(1, 71))


def test_a_change_that_is_not_there_yet_is_refused_without_a_path(served: Served) -> None:
    found = served.get("/v1/changes?since=71")

    assert (found.status_code, "/" in found.json()["detail"]) == (404, False)
    assert found.json()["type"] == "/problems/no-such-change"


def test_what_to_read_names_the_bytes_and_what_they_should_be(tmp_path: Path) -> None:
    Index(tmp_path / "index").append(make.found())
    with serving(tmp_path / "index") as served:
        found = served.get("/v1/models/org/tiny/verify").json()

    [first, _] = found["scalars"]
    assert (found["model_id"], found["revision"]) == ("org/tiny", "a" * 40)
    assert found["command"] == "swindex verify org/tiny"
    assert (first["tensor"], first["index"]) == ("model.layers.1.mlp.down_proj.weight", [2, 3])
    assert (first["first"], first["last"], first["file"]) == (390, 391, "model.safetensors")
    assert (first["bits"], first["little_endian"], first["sha256"]) == ("be8c", "8cbe", "c" * 64)
    assert (first["path"], first["missing"]) == (f"/org/tiny/resolve/{'a' * 40}/model.safetensors", None)


def test_what_outside_sources_say_names_what_is_missing(served: Served) -> None:
    [scalar] = served.get("/v1/models/huggyllama/llama-7b/verify").json()["scalars"]

    assert (scalar["first"], scalar["path"], scalar["missing"]) == (None, None, "file, byte_offset, bits")


def test_a_family_is_a_model_type_or_an_architecture_in_any_case(tmp_path: Path) -> None:
    Index(tmp_path / "index").append(make.found())
    Index(tmp_path / "index").append(make.failed("org/other"))
    with serving(tmp_path / "index") as served:
        asked = ("Llama", "llamaforcausallm", "gpt2")
        found = [[m["id"] for m in served.get(f"/v1/models?family={name}").json()["models"]] for name in asked]

    assert found == [["org/tiny"], ["org/tiny"], []]


def test_the_whole_index_as_lines_is_every_version_in_the_order_of_the_changes(served: Served) -> None:
    lines = served.get("/v1/dataset/jsonl").content.splitlines()
    feed = [json.loads(line)["digest"] for line in (shipped() / "changes" / "000000.jsonl").read_bytes().splitlines()]

    assert [json.loads(line)["provenance"]["digest"] for line in lines] == feed
    assert lines[0] + b"\n" == (shipped() / "records" / "CohereForAI" / "aya-expanse-8b.jsonl").read_bytes()


def test_forms_that_a_plain_index_lacks_are_a_problem_that_says_how(served: Served) -> None:
    found = [served.get(f"/v1/dataset/{form}") for form in ("parquet", "duckdb")]

    assert [each.status_code for each in found] == [404, 404]
    assert all("swindex index release" in each.json()["detail"] for each in found)


def test_a_release_is_served_as_the_index_it_is_of(tmp_path: Path) -> None:
    released.write(shipped(), tmp_path / "site", leaf=8)
    with serving(tmp_path / "site") as served:
        found = {m: served.get(f"/v1/models/{m}").json() for m in MODELS}
        lines = served.get("/v1/dataset/jsonl").content
        there = Client(served.url)
        read = {m: there.lookup(m).model_dump(exclude={"index": {"source"}}) for m in MODELS}

    here = Client(tmp_path / "site")
    assert read == {m: here.lookup(m).model_dump(exclude={"index": {"source"}}) for m in MODELS}
    assert lines == (tmp_path / "site" / "versions" / "000000.70.jsonl").read_bytes()
    expected = {m: here.lookup(m).model_dump(mode="json") for m in MODELS}
    assert found == {m: {**e, "index": {**e["index"], "source": "site"}} for m, e in expected.items()}


def test_the_schemas_are_those_of_the_package(served: Served) -> None:
    kept = json.loads((Path(swindex.__file__).parent / "schema" / "record.schema.json").read_text())

    assert served.get("/v1/schema/1.1").json() == kept
    assert served.get("/v1/schema/view").json()["title"] == "LookupResult"
    assert served.get("/v1/schema/9.9").status_code == 404


def test_an_index_elsewhere_is_called_by_its_name_and_not_by_its_path(tmp_path: Path) -> None:
    with serving(copy_of_shipped(tmp_path / "ours")) as served:
        found = served.get("/v1/models/huggyllama/llama-7b").json()

    assert found["index"]["source"] == "ours"


def test_the_same_answers_lie_as_files_beside_a_release(tmp_path: Path) -> None:
    released.write(shipped(), tmp_path / "site")
    assert export(tmp_path / "site") > 3 * len(MODELS)
    assert export(tmp_path / "site") == 0
    with serving(tmp_path / "site") as served:
        found = {}
        for path in sorted((tmp_path / "site" / "v1").rglob("*.json")):
            address = f"/{path.relative_to(tmp_path / 'site').as_posix()}".removesuffix(".json")
            found[address] = (path.read_bytes(), served.get(address + BIG.get(address, "")).content)

    assert {address for address, (file, answer) in found.items() if file != answer} == set()
    assert {"/v1/models/huggyllama/llama-7b", "/v1/models/huggyllama/llama-7b/history", "/v1/schema/1.1"} <= set(found)


BIG = {"/v1/models": "?limit=500", "/v1/changes": "?limit=500"}
"""Files hold pages as long as they may be."""


def test_pages_lie_as_files_named_by_what_asks_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from swindex.api.service import export as module

    monkeypatch.setattr(module, "LIMIT_MOST", 30)
    released.write(shipped(), tmp_path)
    export(tmp_path)
    pages, name = [], "v1/models.json"
    while name:
        pages.append(json.loads((tmp_path / name).read_text()))
        name = f"v1/models.{pages[-1]['cursor']}.json" if pages[-1]["cursor"] else ""

    assert [row["id"] for page in pages for row in page["models"]] == sorted(MODELS, key=str.lower)
    changes = sorted(path.name for path in (tmp_path / "v1").glob("changes*"))
    assert changes == ["changes.31.json", "changes.61.json", "changes.json"]


def test_files_are_written_without_the_extra() -> None:
    program = (
        "import sys\n"
        "for name in ('fastapi', 'uvicorn', 'starlette', 'h11'): sys.modules[name] = None\n"
        "import swindex.api.service.export\n"
    )

    assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 0
