"""An index read from its release: the same answers as from the index itself, from a folder, a site and a dataset.

The releases are written by `released`, from the description of the format alone, and once by the product's own writer.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

import swindex
from swindex.api import Client, LookupResult
from swindex.api.remote.cache import default_home
from swindex.api.remote.fetch import Unreachable
from swindex.api.remote.seen import Memory, ask
from swindex.api.remote.versions import Wanted, together
from swindex.api.remote.web import Http, Patience
from swindex.index.errors import NotInIndex, StoreError
from swindex.index.release import release
from swindex.index.site import Span
from swindex.index.store import Index
from swindex.schema.errors import UsageError

from . import records as make
from . import released
from .hub import Hub
from .hub.server import HOST, Server

SHIPPED = Path(swindex.__file__).parent / "index"
MODELS = sorted(Client(SHIPPED).models())


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "swindex"


@pytest.fixture(scope="module", params=["described", "product"])
def shipped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped index, released by the description with a tree of several levels, and by the product."""
    target = tmp_path_factory.mktemp("release")
    if request.param == "described":
        released.write(SHIPPED, target, leaf=3)
    else:
        copy = shutil.copytree(SHIPPED, tmp_path_factory.mktemp("index") / "index")
        release(Index(copy), target, released=released.RELEASED)
    return target


@pytest.fixture(scope="module")
def server(shipped: Path) -> Iterator[str]:
    running = Server(Starlette(routes=[Mount("/", StaticFiles(directory=shipped))]))
    running.start()
    yield f"http://{HOST}:{running.ports[0]}"
    running.stop()


@pytest.fixture(scope="module")
def hub(shipped: Path) -> Iterator[Hub]:
    with Hub() as running:
        running.add_folder("org/index", shipped, kind="datasets")
        yield running


@pytest.fixture(params=["folder", "site", "dataset"])
def client(
    request: pytest.FixtureRequest, shipped: Path, server: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> Client:
    hub.clear()
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    return Client({"folder": str(shipped), "site": server, "dataset": "hf://datasets/org/index"}[request.param])


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Three models, one with two versions of different commits and times."""
    made = Index(tmp_path_factory.mktemp("index"))
    first = make.found("org/two")
    made.append(first)
    made.append(make.reported("Org/Reported"))
    made.append(make.make(make.none_found_parts("org/two", make.OTHER_REVISION), first, time="2026-11-23T08:00:00Z"))
    made.append(make.failed("org/failed"))
    return made


@pytest.fixture
def folder(index: Index, tmp_path: Path) -> Client:
    released.write(index.directory, tmp_path / "release", leaf=1)
    return Client(tmp_path / "release")


# --- equal to the index itself ---


def nowhere(result: LookupResult) -> LookupResult:
    """The same without what it says of where it was read."""
    told = result.index.model_copy(update={"source": None, "released": None, "time": None})
    return result.model_copy(update={"index": told})


def test_every_model_is_looked_up_alike(client: Client) -> None:
    local = Client(SHIPPED)

    assert [nowhere(client.lookup(m)) for m in MODELS] == [nowhere(local.lookup(m)) for m in MODELS]


def test_every_record_is_alike(client: Client) -> None:
    local = Client(SHIPPED)

    assert [client.record(m) for m in MODELS] == [local.record(m) for m in MODELS]


def test_every_history_is_alike(client: Client) -> None:
    local = Client(SHIPPED)

    assert [client.history(m) for m in MODELS] == [local.history(m) for m in MODELS]


@pytest.mark.parametrize("text", ["", "llama", "zzz"])
def test_searches_are_alike(client: Client, text: str) -> None:
    assert client.search(text) == Client(SHIPPED).search(text)


def test_the_models_are_the_same(client: Client) -> None:
    assert list(client.models()) == MODELS


@pytest.mark.parametrize(("since", "limit"), [(None, 5), (0, 3), (10, 1000), (None, None)])
def test_changes_are_alike(client: Client, since: int | None, limit: int | None) -> None:
    assert client.changes(since, limit) == Client(SHIPPED).changes(since, limit)


def test_a_model_that_is_not_there_is_not_in_the_index(client: Client) -> None:
    with pytest.raises(NotInIndex) as raised:
        client.lookup("mistralai/Mistral-7B-v0.2")
    with pytest.raises(NotInIndex) as local:
        Client(SHIPPED).lookup("mistralai/Mistral-7B-v0.2")

    assert str(raised.value) == str(local.value)


def test_a_malformed_id_is_wrong_usage(client: Client) -> None:
    with pytest.raises(UsageError):
        client.lookup("../../etc")


def test_the_source_and_its_age_are_told(client: Client) -> None:
    told = client.lookup(MODELS[0]).index

    assert (told.source, told.released, told.checked) == (client.source, released.RELEASED, None)


# --- versions ---


@pytest.mark.parametrize("asked", ["org/two", "ORG/TWO", "org/two@aaaaaaa", "org/two@bbbbbbb", "org/reported"])
def test_versions_are_found_alike(folder: Client, index: Index, asked: str) -> None:
    assert nowhere(folder.lookup(asked)) == nowhere(Client(index.directory).lookup(asked))


def test_an_index_without_models(tmp_path: Path) -> None:
    (tmp_path / "index" / "records").mkdir(parents=True)
    released.write(tmp_path / "index", tmp_path / "release")
    empty = Client(tmp_path / "release")

    assert (list(empty.models()), empty.search(""), empty.changes().newest) == ([], [], 0)


def test_a_directory_that_is_neither_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no index here"):
        Client(tmp_path)


def test_a_site_without_a_root_says_so(server: str) -> None:
    with pytest.raises(StoreError, match=r"/nodes: no index here: it has no root\.json$"):
        Client(f"{server}/nodes").lookup("org/m")


# --- times ---


@pytest.mark.parametrize(
    ("as_of", "version"),
    [
        ("2026-11-21", 1),
        ("2026-11-23", 2),
        ("2026-11-23T07:59:59Z", 1),
        ("2026-11-23T08:00:00Z", 2),
        ("2026-11-23T09:30:00+02:00", 1),
    ],
)
def test_the_newest_version_by_then_answers(index: Index, folder: Client, as_of: str, version: int) -> None:
    found = [client.lookup("org/two", as_of=as_of).record for client in (Client(index.directory), folder)]

    assert [record and record.version for record in found] == [version, version]


def test_a_model_that_was_not_there_then(folder: Client) -> None:
    with pytest.raises(NotInIndex, match=r"org/two is in the index, but was not yet as of 2026-11-20T23:59:59Z; its"):
        folder.lookup("org/two", as_of="2026-11-20")


def test_a_commit_and_a_time(folder: Client) -> None:
    with pytest.raises(NotInIndex, match=r"but not at bbbbbbb; known commits: a{40}$"):
        folder.lookup("org/two@bbbbbbb", as_of="2026-11-22")


@pytest.mark.parametrize(
    "as_of", ["yesterday", "2026-11-21T07:00:00", "2026-13-01", "", "9" * 5000, "0001-01-01T00:00+23:59"]
)
def test_what_is_no_time_is_wrong_usage(folder: Client, as_of: str) -> None:
    with pytest.raises(UsageError, match="is no date, and no time with its zone"):
        folder.lookup("org/two", as_of=as_of)


def test_the_answer_says_of_when_it_is(folder: Client) -> None:
    assert folder.lookup("org/two", as_of="2026-11-22").index.as_of == "2026-11-22T23:59:59Z"


def test_a_base_is_shown_as_of_then_too(tmp_path: Path) -> None:
    index = Index(tmp_path)
    first = make.found("org/base")
    index.append(first)
    index.append(make.make(make.found_parts("org/base"), first, time="2026-11-30T00:00:00Z"))
    inherited = Client(tmp_path).lookup("org/x", base="org/base", as_of="2026-11-22").inherited_from

    assert inherited is not None
    assert inherited.version == 1


# --- changes ---


def test_the_newest_changes_come_first(folder: Client) -> None:
    assert [(c.seq, c.model_id, c.version) for c in folder.changes().changes] == [
        (4, "org/failed", 1),
        (3, "org/two", 2),
        (2, "Org/Reported", 1),
        (1, "org/two", 1),
    ]


def test_changes_can_be_followed(folder: Client) -> None:
    seen, since = [], 0
    while (page := folder.changes(since, limit=3)).changes:
        seen += [c.seq for c in reversed(page.changes)]
        since = page.next

    assert (seen, page.next, page.newest) == ([1, 2, 3, 4], 4, 4)


def test_a_change_that_is_not_there_yet_is_wrong_usage(folder: Client) -> None:
    with pytest.raises(UsageError, match="change 5 is not there yet: the last one is 4"):
        folder.changes(5)


# --- what is read ---


def test_a_lookup_asks_for_root_nodes_and_one_range(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.clear()
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    Client("hf://datasets/org/index").lookup("mistralai/Mistral-7B-v0.1")
    paths = [entry.path.partition("/resolve/")[2].partition("/")[2].partition("/")[0] for entry in hub.log.entries]

    assert (paths.count("root.json"), paths.count("versions"), paths.count("changes")) == (1, 1, 0)
    assert 1 <= paths.count("nodes") <= 4


def test_a_second_lookup_asks_for_the_root_alone(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    Client("hf://datasets/org/index").lookup("mistralai/Mistral-7B-v0.1")
    hub.clear()
    Client("hf://datasets/org/index").lookup("mistralai/Mistral-7B-v0.1")

    assert [entry.path.rpartition("/")[2] for entry in hub.log.entries] == ["root.json"]


def test_not_more_is_read_together_than_fits() -> None:
    wanted = [Wanted(Span(seq, (seq - 1) * (3 << 20), 3 << 20), "", "", 1) for seq in range(1, 6)]

    assert [[w.span.seq for w in batch] for batch in together(wanted)] == [[1, 2], [3, 4], [5]]


def test_neighbours_are_read_together() -> None:
    spans = [(1, 0, 10), (2, 11, 10), (3, 100_000, 10), (1001, 100_020, 10), (1002, 100_015, 10), (1003, 9_000_000, 10)]
    wanted = [Wanted(Span(*span), "", "", 1) for span in spans]

    assert [[w.span.seq for w in batch] for batch in together(wanted)] == [[1, 2], [3], [1001], [1002], [1003]]


# --- the cache, and nobody to ask ---


def test_what_was_read_answers_offline(server: str) -> None:
    before = Client(server).lookup(MODELS[0])
    after = Client(server, offline=True).lookup(MODELS[0])

    assert nowhere(after).model_copy(update={"index": nowhere(before).index}) == nowhere(before)
    assert after.index.checked is not None


def test_what_was_not_read_is_an_error_offline(server: str) -> None:
    Client(server).lookup(MODELS[0])

    with pytest.raises(StoreError, match="was not read before, and with --offline nobody is asked"):
        Client(server, offline=True).search("")


def test_an_index_that_was_never_read_is_an_error_offline(server: str) -> None:
    with pytest.raises(
        StoreError, match=r"with --offline nobody is asked, and nothing of it was read on this machine before$"
    ):
        Client(server, offline=True).lookup(MODELS[0])


def test_who_is_not_reached_hints_at_what_was_read(shipped: Path) -> None:
    running = Server(Starlette(routes=[Mount("/", StaticFiles(directory=shipped))]))
    running.start()
    address = f"http://{HOST}:{running.ports[0]}"
    try:
        Client(address).lookup(MODELS[0])
    finally:
        running.stop()

    with pytest.raises(Unreachable, match=r"; --offline answers from what was read before$"):
        ask(Http(address, Patience(tries=1)), Memory(default_home(), address))


def test_the_hubs_offline_mode_answers_too(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    Client("hf://datasets/org/index").lookup(MODELS[0])
    hub.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    assert Client("hf://datasets/org/index").lookup(MODELS[0]).index.checked is not None
    assert len(hub.log.entries) == 0


def test_a_damaged_cache_is_read_again(server: str, cache: Path) -> None:
    before = Client(server).lookup(MODELS[0])
    for path in [*(cache / "nodes").glob("*/*"), *(cache / "versions").glob("*/*")]:
        path.write_bytes(path.read_bytes()[:-1] + b"x")

    assert Client(server).lookup(MODELS[0]) == before


def test_without_a_place_for_it_nothing_is_kept(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/x")

    assert Client(server).lookup(MODELS[0]).model.id == MODELS[0]


def test_a_folder_is_not_kept(shipped: Path, cache: Path) -> None:
    Client(shipped).lookup(MODELS[0])

    assert not cache.exists()


def test_an_index_and_its_release_in_one_directory_is_the_index(tmp_path: Path) -> None:
    index = Index(tmp_path)
    index.append(make.found("org/found"))
    released.write(tmp_path, tmp_path)

    assert Client(tmp_path).directory == tmp_path
