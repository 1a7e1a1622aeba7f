"""Bytes of a release: from a folder, a web server, a dataset on the Hub, whatever the connection does.

The server is the loopback Hub: its file addresses are a web server like any other. Waits are noted, not made.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]
from starlette.staticfiles import StaticFiles

from swindex.api.remote.fetch import Folder, Fresh, NotThere, Source, Unreachable, open_source
from swindex.api.remote.web import Http, HubDataset, Patience, _next
from swindex.index.errors import StoreError
from swindex.schema.errors import UsageError

from .hub import Hub
from .hub.server import HOST, Server

CONTENT = bytes(range(256)) * 1024
FILES = {"root.json": b"{}", "versions/000000.3.jsonl": CONTENT, "empty": b""}
LARGE = "versions/000000.3.jsonl"
MOST = 1 << 20


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    with Hub() as running:
        running.add("org/index", FILES, kind="datasets")
        yield running


@pytest.fixture
def hub(server: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    server.clear()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return server


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def patience(waits: list[float]) -> Patience:
    return Patience(connect=5, read=1, tries=4, sleep=waits.append)


@pytest.fixture
def http(hub: Hub, patience: Patience) -> Http:
    return Http(f"{hub.url}/datasets/org/index/resolve/main", patience)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    for path, content in FILES.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    return Folder(tmp_path)


@pytest.fixture(params=["folder", "http", "hub"])
def source(request: pytest.FixtureRequest, hub: Hub, folder: Folder, http: Http, patience: Patience) -> Source:
    made: dict[str, Callable[[], Source]] = {
        "folder": lambda: folder,
        "http": lambda: http,
        "hub": lambda: HubDataset("hf://datasets/org/index", patience),
    }
    return made[request.param]()


# --- the same from every source ---


def test_a_whole_file(source: Source) -> None:
    assert source.read(LARGE, most=MOST) == CONTENT


def test_an_empty_file(source: Source) -> None:
    assert source.read("empty", most=0) == b""


@pytest.mark.parametrize(("start", "length"), [(0, 1), (1000, 70_000), (len(CONTENT) - 1, 1), (5, 0)])
def test_a_range(source: Source, start: int, length: int) -> None:
    assert source.read(LARGE, start=start, length=length, most=MOST) == CONTENT[start : start + length]


def test_from_a_place_to_the_end(source: Source) -> None:
    assert source.read(LARGE, start=1000, most=MOST) == CONTENT[1000:]


@pytest.mark.parametrize("start", [len(CONTENT) - 5, len(CONTENT), 10 * len(CONTENT)])
def test_a_range_beyond_the_end_is_an_error(source: Source, start: int) -> None:
    with pytest.raises(StoreError, match=r"cut off, or damaged|where 10 should be|was asked for"):
        source.read(LARGE, start=start, length=10, most=MOST)


def test_a_file_that_is_not_there(source: Source) -> None:
    with pytest.raises(NotThere, match=r"nope\.json: not there"):
        source.read("nope.json", most=MOST)


def test_a_file_of_exactly_the_limit_is_read(source: Source) -> None:
    assert len(source.read(LARGE, most=len(CONTENT))) == len(CONTENT)


def test_no_more_is_read_than_the_limit(source: Source) -> None:
    with pytest.raises(StoreError, match=f"262144 bytes, {len(CONTENT) - 1} at most"):
        source.read(LARGE, most=len(CONTENT) - 1)


def test_no_range_is_wider_than_the_limit(source: Source) -> None:
    with pytest.raises(StoreError, match="11 bytes, 10 at most"):
        source.read(LARGE, start=0, length=11, most=10)


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../b", "a//b", "", "a?b", "a#b", "%2e%2e/x", "a b", "a/", "ä"]
)
def test_a_path_that_leads_elsewhere_is_refused(source: Source, path: str) -> None:
    with pytest.raises(StoreError, match="not a path of a release"):
        source.read(path, most=MOST)


def test_a_file_that_changes_in_place(source: Source) -> None:
    assert source.fresh("root.json", most=MOST).content == b"{}"


# --- folders ---


def test_a_folder_is_not_a_file(folder: Folder) -> None:
    with pytest.raises(StoreError, match="versions: cannot be read: not a file"):
        folder.read("versions", most=MOST)


def test_a_named_pipe_is_not_waited_for(folder: Folder, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(StoreError, match="pipe: cannot be read: not a file"):
        folder.read("pipe", most=MOST)


# --- names ---


@pytest.mark.parametrize(
    "name",
    [
        "https://",
        "https://user:secret@example.org/x",
        "https://example.org/x?token=secret",
        "https://example.org/#x",
        "ftp://example.org/x",
        "hf://org/name",
        "hf://datasets/org",
        "hf://datasets/org/name/extra",
        "hf://datasets/org/name@",
        "hf://models/org/name",
        "s3://bucket",
    ],
)
def test_a_name_that_is_no_source_is_wrong_usage(name: str) -> None:
    with pytest.raises(UsageError, match="is not an index: write h"):
        open_source(name)


@pytest.mark.parametrize(
    ("name", "kind"), [("some/where", Folder), ("https://example.org/x/", Http), ("hf://datasets/a/b@v1.2", HubDataset)]
)
def test_names_of_sources(name: str, kind: type) -> None:
    assert type(open_source(name)) is kind


# --- what a connection does ---

PASSING: list[tuple[str, dict[str, Any]]] = [
    ("status", {"status": 500}),
    ("status", {"status": 503}),
    ("status", {"status": 429}),
    ("cut", {}),
    ("cut", {"after": 0}),
    ("cut", {"after": 100}),
    ("truncate", {"keep": 50}),
    ("length", {"add": 7}),
    ("length", {"add": -7}),
    ("headers", {"set": {"content-range": "bytes 0-999/262144"}}),
    ("headers", {"set": {"content-range": "bytes 0-69999/262144"}}),
    ("headers", {"set": {"content-range": None}}),
    ("headers", {"set": {"content-range": "bytes 1000-9999999999999999999/262144"}}),
]


@pytest.mark.parametrize(("kind", "arguments"), PASSING)
def test_a_passing_fault_is_not_seen_in_a_range(hub: Hub, http: Http, kind: str, arguments: dict[str, Any]) -> None:
    hub.fault(kind, LARGE, times=2, **arguments)

    assert http.read(LARGE, start=1000, length=70_000, most=MOST) == CONTENT[1000:71_000]


@pytest.mark.parametrize(("kind", "arguments"), PASSING)
def test_a_lasting_fault_is_an_error(hub: Hub, http: Http, kind: str, arguments: dict[str, Any]) -> None:
    hub.fault(kind, LARGE, **arguments)

    with pytest.raises(Unreachable, match=r"4 tries\); try again later$"):
        http.read(LARGE, start=1000, length=70_000, most=MOST)


@pytest.mark.parametrize("length", [1, 70_000, None])
def test_a_server_that_ignores_ranges_is_cut_out_of(hub: Hub, http: Http, length: int | None) -> None:
    hub.fault("ignore_range", LARGE)
    stop = None if length is None else 1000 + length

    assert http.read(LARGE, start=1000, length=length, most=MOST) == CONTENT[1000:stop]


def test_a_short_file_from_a_server_that_ignores_ranges_is_an_error(hub: Hub, http: Http) -> None:
    hub.fault("ignore_range", LARGE)

    with pytest.raises(Unreachable, match="4 bytes where 10 should be"):
        http.read(LARGE, start=len(CONTENT) - 4, length=10, most=MOST)


@pytest.mark.parametrize("keep_range", [False, True])
def test_a_compressed_body_is_refused(hub: Hub, http: Http, keep_range: bool) -> None:
    hub.fault("gzip", LARGE, keep_range=keep_range)

    with pytest.raises(StoreError, match="sent compressed, though asked not to"):
        http.read(LARGE, start=1000, length=100, most=MOST)


def test_a_body_of_no_stated_length_stops_at_the_limit(hub: Hub, http: Http) -> None:
    hub.fault("headers", LARGE, set={"content-length": None})

    with pytest.raises(StoreError, match="1000 at most are read here"):
        http.read(LARGE, most=1000)


def test_a_body_that_drips_is_given_up(hub: Hub, waits: list[float]) -> None:
    hub.fault("slow", LARGE, delay=0.15, piece=10)
    http = Http(f"{hub.url}/datasets/org/index/resolve/main", Patience(read=0.3, tries=2, sleep=waits.append))

    with pytest.raises(Unreachable, match="too slow"):
        http.read(LARGE, most=MOST)


def test_what_a_server_asks_to_wait_is_waited(hub: Hub, http: Http, waits: list[float]) -> None:
    hub.fault("status", LARGE, status=429, headers={"Retry-After": "7"}, times=1)
    http.read(LARGE, most=MOST)

    assert waits == [8.0]


def test_who_asks_to_wait_too_long_is_not_asked_again(hub: Hub, http: Http, waits: list[float]) -> None:
    hub.fault("status", LARGE, status=429, headers={"Retry-After": "3600"})

    with pytest.raises(Unreachable, match=r"asks to wait 3601 s \(status 429\); try again after that"):
        http.read(LARGE, most=MOST)
    assert waits == []


def test_nobody_there_is_an_error(waits: list[float]) -> None:
    with socket.socket() as free:
        free.bind((HOST, 0))
        address = f"http://{HOST}:{free.getsockname()[1]}/index"

    with pytest.raises(Unreachable, match=r"index/root\.json: ConnectError"):
        Http(address, Patience(tries=2, sleep=waits.append)).read("root.json", most=MOST)


def test_an_error_is_one_line(hub: Hub, http: Http) -> None:
    hub.fault("status", LARGE, status=418)

    with pytest.raises(StoreError, match=r"^http://[^\n]*: refused with status 418$"):
        http.read(LARGE, most=MOST)


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 206 X\r\nContent-Range: bytes 0-9/10\r\nContent-Length: 99999999999999999999999\r\n\r\n0123456789",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://[bad\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
        b"",
    ],
)
def test_a_hostile_answer_is_one_error(answer: bytes, waits: list[float]) -> None:
    with answering(answer) as address, pytest.raises(StoreError):
        Http(address, Patience(read=2, tries=2, sleep=waits.append)).read("x", start=0, length=10, most=MOST)


class answering:  # noqa: N801
    """A server that sends the same bytes to everybody and hangs up."""

    def __init__(self, answer: bytes) -> None:
        self._answer, self._socket = answer, socket.create_server((HOST, 0))
        self.seen: list[bytes] = []

    def __enter__(self) -> str:
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return f"http://{HOST}:{self._socket.getsockname()[1]}/index"

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self.seen.append(connection.recv(65536))
                connection.sendall(self._answer)


# --- redirects and tokens ---


def redirecting(address: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {address}\r\nContent-Length: 0\r\n\r\n".encode()


def test_a_redirect_to_another_server_is_followed(hub: Hub, patience: Patience) -> None:
    with answering(redirecting(f"{hub.url}/datasets/org/index/resolve/main/root.json")) as address:
        assert Http(address, patience).read("root.json", most=MOST) == b"{}"


def test_a_redirect_to_a_less_safe_scheme_is_not_followed() -> None:
    answer = httpx.Response(302, headers={"Location": "http://example.org/x"})

    with pytest.raises(StoreError, match=r"redirects to http://example.org, which is not followed"):
        _next(httpx.URL("https://example.org/x"), answer, "x")


def test_a_circle_of_redirects_ends(patience: Patience) -> None:
    with answering(redirecting("/index/other")) as address, pytest.raises(StoreError, match="redirect"):
        Http(address, patience).read("x", most=MOST)


def test_the_token_goes_to_the_endpoint(hub: Hub, patience: Patience, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("org/closed", {"root.json": b"{}"}, kind="datasets", private=True)
    monkeypatch.setenv("HF_TOKEN", hub.token)

    assert HubDataset("hf://datasets/org/closed", patience).read("root.json", most=MOST) == b"{}"


def test_the_token_does_not_follow_a_redirect(patience: Patience, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    target = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    with target as elsewhere, answering(redirecting(elsewhere)) as endpoint:
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        HubDataset("hf://datasets/org/index", patience).read("root.json", most=MOST)

    assert [b"hf_secret" in request for request in target.seen] == [False]


def test_the_token_went_to_the_endpoint_that_redirected(patience: Patience, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    first = answering(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n")
    with first as endpoint:
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        with pytest.raises(NotThere):
            HubDataset("hf://datasets/org/index", patience).read("root.json", most=MOST)

    assert b"authorization: bearer hf_secret" in first.seen[0].lower()


def test_a_web_server_gets_no_token(http: Http, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    http.read("root.json", most=MOST)

    assert http._token == {}


def test_a_dataset_that_is_not_public_says_so(hub: Hub, patience: Patience) -> None:
    hub.add("org/closed", {"root.json": b"{}"}, kind="datasets", private=True)

    with pytest.raises(StoreError, match="not public, or not there: set HF_TOKEN if you may read it"):
        HubDataset("hf://datasets/org/closed", patience).read("root.json", most=MOST)


def test_a_revision_that_is_not_there_is_no_missing_file(hub: Hub, patience: Patience) -> None:
    with pytest.raises(StoreError, match="there is no such dataset or revision") as raised:
        HubDataset("hf://datasets/org/index@nope", patience).read("root.json", most=MOST)
    assert not isinstance(raised.value, NotThere)


def test_a_revision_is_read_where_one_is_named(hub: Hub, patience: Patience) -> None:
    repo = hub.add("org/moving", {"root.json": b"old"}, kind="datasets")
    old = repo.head.sha
    repo.write({"root.json": b"new"})

    assert HubDataset(f"hf://datasets/org/moving@{old}", patience).read("root.json", most=MOST) == b"old"


def test_what_is_read_after_the_root_is_of_its_commit(hub: Hub, patience: Patience) -> None:
    repo = hub.add("org/pinned", {"root.json": b"1", "node": b"1"}, kind="datasets")
    source = HubDataset("hf://datasets/org/pinned", patience)
    source.fresh("root.json", most=MOST)
    repo.write({"root.json": b"2", "node": b"2"})

    assert source.read("node", most=MOST) == b"1"


def test_the_root_is_always_of_the_newest_commit(hub: Hub, patience: Patience) -> None:
    repo = hub.add("org/newest", {"root.json": b"1"}, kind="datasets")
    source = HubDataset("hf://datasets/org/newest", patience)
    source.fresh("root.json", most=MOST)
    repo.write({"root.json": b"2"})

    assert source.fresh("root.json", most=MOST).content == b"2"


def test_offline_asks_nobody(hub: Hub, patience: Patience, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    with pytest.raises(Unreachable, match="while HF_HUB_OFFLINE is set nobody is asked"):
        HubDataset("hf://datasets/org/index", patience).read("root.json", most=MOST)
    assert hub.log.count("") == 0


# --- files that change in place ---


def test_a_file_that_did_not_change_is_not_sent(folder: Folder, tmp_path: Path, patience: Patience) -> None:
    server = Server(StaticFiles(directory=tmp_path))
    server.start()
    try:
        http = Http(f"http://{HOST}:{server.ports[0]}", patience)
        first = http.fresh("root.json", most=MOST)
        assert first.etag
        assert http.fresh("root.json", first.etag, most=MOST) == Fresh(None, first.etag)
    finally:
        server.stop()
