"""The client: the same answers from Python as from the command line, with attributes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import swindex
from swindex import api
from swindex.api import Client, LookupResult
from swindex.api.answer import answer
from swindex.api.changes import Change, ScanAdded, VerdictChange
from swindex.api.main import main
from swindex.api.names import parse_asked
from swindex.api.reading import Local
from swindex.api.searching import Hit
from swindex.api.view import view
from swindex.index.errors import NotInIndex, StoreError
from swindex.index.store import Index
from swindex.schema.errors import RecordError, UsageError
from swindex.schema.record import Record, Withdrawn
from swindex.schema.types import Verdict

from . import records as make
from .documents import disputed, plain


@pytest.fixture
def index(tmp_path: Path) -> Index:
    made = Index(tmp_path)
    made.append(make.found("org/found"))
    made.append(make.reported("org/reported"))
    return made


@pytest.fixture
def client(index: Index) -> Client:
    return Client(index.directory)


# --- lookup ---


def test_attributes_are_the_words_of_the_design(client: Client) -> None:
    result = client.lookup("org/found")

    assert (result.model.id, result.outcome, result.super_weights[0].row) == ("org/found", "found", 2)


@pytest.mark.parametrize("build", [make.found, make.reported, make.none_found, make.failed, disputed])
def test_a_result_is_the_document_and_nothing_else(build: Callable[[], Record]) -> None:
    document = view(plain(build()))

    assert LookupResult.of(document).model_dump(mode="json") == document


def test_an_inherited_result_is_the_document_too(index: Index) -> None:
    document = answer(parse_asked("org/x"), Local(index.records), "org/found")

    assert LookupResult.of(document).model_dump(mode="json") == document


def test_the_json_of_the_command_line_is_the_json_of_the_client(
    index: Index, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["lookup", "org/found", "--json", "--index", str(index.directory)])

    assert json.loads(capsys.readouterr().out) == client.lookup("org/found").model_dump(mode="json")


def test_every_shipped_record_has_a_result() -> None:
    shipped = Client()

    assert [shipped.lookup(model_id).model.id for model_id in shipped.models()] == list(shipped.models())


def test_a_document_that_is_not_one_is_refused() -> None:
    with pytest.raises(RecordError, match=r"^org/tiny: outcome: Input should be a valid string"):
        LookupResult.of({**view(plain(make.found())), "outcome": None})


def test_a_revision_can_be_given_apart(client: Client) -> None:
    assert client.lookup("org/found", "aaaaaaa") == client.lookup("org/found@aaaaaaa")


def test_two_revisions_are_wrong_usage(client: Client) -> None:
    with pytest.raises(UsageError, match="'org/found@aaaaaaa' names a revision already"):
        client.lookup("org/found@aaaaaaa", "aaaaaaa")


def test_a_base_is_a_keyword(client: Client) -> None:
    inherited = client.lookup("org/x", base="org/found").inherited_from

    assert inherited is not None
    assert inherited.id == "org/found"


# --- sources ---


@pytest.mark.parametrize("source", ["ftp://example.org/index", "hf://org/name", "https://user@example.org/"])
def test_an_address_that_cannot_be_one_is_refused(source: str) -> None:
    with pytest.raises(UsageError, match="is not an index: write h"):
        Client(source)


@pytest.mark.parametrize("source", ["https://example.org/index", "hf://datasets/org/name"])
def test_an_address_is_not_asked_before_it_must_be(source: str) -> None:
    assert (Client(source).source, Client(source).directory) == (source, None)


def test_a_directory_without_records_is_no_index(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no index here; name a directory that holds records/"):
        Client(tmp_path)


def test_the_environment_names_the_index(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWINDEX_INDEX", str(index.directory))

    assert Client().directory == index.directory


def test_without_a_source_the_shipped_index_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWINDEX_INDEX", raising=False)

    assert "mistralai/Mistral-7B-v0.1" in list(Client().models())


def test_the_index_shows_in_the_repr(client: Client, index: Index) -> None:
    assert repr(client) == f"Client('{index.directory}')"


# --- record, models ---


def test_a_record_is_the_record_that_was_appended(client: Client) -> None:
    assert client.record("org/found") == make.found("org/found")


def test_a_record_at_a_commit(client: Client) -> None:
    assert client.record("org/found", make.REVISION).model.revision == make.REVISION


def test_a_record_that_is_not_there_says_what_lookup_says(client: Client) -> None:
    with pytest.raises(NotInIndex, match=r"near names: org/found; to scan it: swindex scan org/foun$"):
        client.record("org/foun")


def test_a_record_that_is_not_there_at_a_commit_names_those_that_are(client: Client) -> None:
    with pytest.raises(NotInIndex, match=rf"but not at {'b' * 40}; known commits: {make.REVISION}$"):
        client.record("org/found", "b" * 40)


def test_models_are_sorted(client: Client) -> None:
    assert list(client.models()) == ["org/found", "org/reported"]


# --- history ---


def test_history_of_one_version_starts_from_nothing(client: Client) -> None:
    record = make.found("org/found")

    assert client.history("org/found") == [
        Change(
            version=1,
            time="2026-11-21T07:00:00Z",
            submitter="tester",
            digest=record.provenance.digest,
            revision=make.REVISION,
            outcome="found",
            weights_added=("L1.R2.C3", "L1.R7.C3"),
            weights_removed=(),
            groups_added=("neuron-1-3",),
            groups_removed=(),
            verdicts=(),
            scans_added=(ScanAdded(id="scan-1", outcome="found", time="2026-11-21T07:00:00Z"),),
            observations_added=0,
            withdrawn=None,
        )
    ]


def test_history_says_what_a_version_changed(index: Index, client: Client) -> None:
    second = make.make(make.found_parts("org/reported"), make.reported("org/reported"), time="2026-11-22T00:00:00Z")
    index.append(second)

    assert client.history("org/reported")[1] == Change(
        version=2,
        time="2026-11-22T00:00:00Z",
        submitter="tester",
        digest=second.provenance.digest,
        revision=make.REVISION,
        outcome="found",
        weights_added=("L1.R7.C3",),
        weights_removed=("L2.R4.C3",),
        groups_added=("neuron-1-3",),
        groups_removed=("reported-1",),
        verdicts=(
            VerdictChange(of="L1.R2.C3", what="alone", before="untested", after="confirmed"),
            VerdictChange(of="L1.R2.C3", what="location", before="reported", after="confirmed"),
        ),
        scans_added=(ScanAdded(id="scan-1", outcome="found", time="2026-11-21T07:00:00Z"),),
        observations_added=-2,
        withdrawn=None,
    )


def test_history_says_why_a_record_was_withdrawn(index: Index, client: Client) -> None:
    gone = Withdrawn(time="2026-11-22T00:00:00Z", reason="wrong file")
    index.append(make.make(make.found_parts("org/found"), make.found("org/found"), withdrawn=gone))

    assert client.history("org/found")[1].withdrawn == "wrong file"


def test_history_of_an_unknown_model_is_an_error(client: Client) -> None:
    with pytest.raises(NotInIndex, match=r"^org/nope is not in the index"):
        client.history("org/nope")


# --- search ---


def test_a_hit_is_the_newest_version_in_brief(client: Client) -> None:
    assert client.search("FOUND") == [
        Hit(
            id="org/found",
            revision=make.REVISION,
            architecture="LlamaForCausalLM",
            outcome="found",
            super_weights=2,
            verdict=Verdict.CONFIRMED,
            time="2026-11-21T07:00:00Z",
        )
    ]


@pytest.mark.parametrize("text", ["org/", "llamafor", "LLAMA", "org/base", "layers.1.mlp"])
def test_search_looks_in_ids_architectures_families_bases_and_tensors(client: Client, text: str) -> None:
    assert [hit.id for hit in client.search(text)] == ["org/found", "org/reported"]


def test_search_finds_nothing_in_silence(client: Client) -> None:
    assert client.search("zzz") == []


# --- the public names ---


def test_the_package_looks_up(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWINDEX_INDEX", str(index.directory))

    assert swindex.lookup("org/found").outcome == "found"


@pytest.mark.parametrize("name", ["Client", "LookupResult", "lookup"])
def test_public_names_are_there(name: str) -> None:
    assert callable(getattr(api, name))


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'swindex\.api' has no attribute 'nope'"):
        _ = api.nope
