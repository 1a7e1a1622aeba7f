"""Requests that mean harm: path tricks, floods, slow clients, what is no HTTP. Each ends in one right answer."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from swindex.api.reading import shipped
from swindex.api.service.problems import Problem
from swindex.api.service.settings import Settings

from .served import Served, copy_of_shipped, read_all, serving, until

MODEL = "/v1/models/huggyllama/llama-7b"
IMPATIENT = Settings(head_seconds=0.3, body_seconds=0.3, stall_seconds=0.3, answer_seconds=0.5)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving() as found:
        yield found


# --- paths ---

TARGETS = [
    b"/v1/models/..%2f..%2fetc/passwd",
    b"/v1/models/../../etc/passwd",
    b"/../../../../etc/passwd",
    b"/changes/..%2f..%2froot.json",
    b"/changes/../root.json",
    b"/nodes/../../root.json",
    b"/nodes/ab/..%5c..%5croot.json",
    b"/parquet/../index.duckdb",
    b"/v1/models/huggyllama%2fllama-7b",
    b"/v1/models/huggyllama/llama-7b%00",
    b"/v1/models/huggyllama/llama-7b%00.json",
    b"/v1/models/huggyllama/llama-7b%0a",
    b"/v1/models/huggyllama/llama-7b%0d%0aX-Bad:%20yes",
    b"/v1/models/huggyllama/%F0%9F%A6%99",
    b"/v1/models/huggyllama/%ff%fe",
    b"/v1/models/huggyllama/llama-7b/",
    b"//v1/models/huggyllama/llama-7b",
    b"/v1/models/huggyllama/llama-7b;x",
    b"/v1/models/./llama-7b",
    b"/v1/models/huggyllama/..",
    b"/v1/models/a/%2e%2e",
    b"/v1/models/%2e%2e/%2e%2e",
    b"/v1/models/a/" + b"b" * 97,
    b"/v1/models/a/<script>alert(1)</script>",
    b"/v1/models/a/'%20OR%201=1--",
    b"/v1/models/a@b/c",
    b"/v1/models/huggyllama/llama-7b@@4782ad2",
    b"/v1/models/huggyllama/llama-7b@main",
    b"/v1/models/huggyllama/llama-7b@",
    b"/v1/dataset/..%2fjsonl",
    b"/v1/schema/..",
    b"/problems/../etc",
    b"/.git/config",
]


@pytest.mark.parametrize("target", TARGETS)
def test_a_path_that_is_no_address_is_a_problem(served: Served, target: bytes) -> None:
    status, body = served.target(target)

    assert status in (404, 422)
    assert json.loads(body)["status"] == status
    assert b"passwd" not in body
    assert str(shipped()).encode() not in body


@pytest.mark.parametrize("target", [b"/v1/\xf0\x9f\xa6\x99", b"/v1/models/a\x01/b", b"/v1/a b", b"/\\..\\x"])
def test_bytes_that_no_target_may_have_are_refused(served: Served, target: bytes) -> None:
    status, body = served.target(target)

    assert status in (400, 404)
    assert json.loads(body)["status"] == status


def test_an_address_as_the_target_is_no_address_here(served: Served) -> None:
    assert served.target(b"http://169.254.169.254/latest/meta-data")[0] in (400, 404)


def test_html_in_a_parameter_comes_back_as_no_html(served: Served) -> None:
    status, body = served.target(b"/v1/models?verdict=<script>alert(1)</script>")

    assert (status, b"<script" in body) == (422, False)


def test_sql_in_a_query_is_a_text_to_look_for(served: Served) -> None:
    status, body = served.target(b"/v1/models?query='%3B%20DROP%20TABLE%20models--")

    assert (status, json.loads(body)["models"]) == (200, [])


# --- sizes ---


def test_a_long_address_is_414(served: Served) -> None:
    status, body = served.target(b"/v1/models?query=" + b"a" * 5000)

    assert (status, json.loads(body)["type"]) == (414, "/problems/url-too-long")


def test_many_headers_are_431(served: Served) -> None:
    status, body = served.target(b"/healthz", *(b"X-%d: %s" % (n, b"a" * 100) for n in range(200)))

    assert (status, json.loads(body)["type"]) == (431, "/problems/headers-too-large")


def test_a_flood_of_headers_is_431_before_it_ends(served: Served) -> None:
    head, _, body = served.raw(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 431 ") or head == b""  # the rest of the flood may reset the connection
    assert body == b"" or json.loads(body)["type"] == "/problems/headers-too-large"


def test_a_body_that_says_it_is_huge_is_413(served: Served) -> None:
    request = b"POST /v1/query HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 999999999999\r\n\r\n"

    assert served.raw(request).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_grows_huge_is_413(served: Served) -> None:
    chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    start = b"POST /v1/query HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

    assert served.raw(start + 2 * chunk, seconds=1).startswith(b"HTTP/1.1 413 ")


def test_a_body_of_many_levels_is_refused(served: Served) -> None:
    body = b'{"models":' + b"[" * 30_000
    found = served.ask("POST", "/v1/query", body, content_type="application/json")

    assert (found.status_code, found.json()["type"]) == (422, "/problems/invalid-request")


# --- what is no HTTP ---


@pytest.mark.parametrize(
    "data", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 9, b"hello\r\n\r\n", b"GET\r\n\r\n"]
)
def test_what_is_no_http_is_a_problem(served: Served, data: bytes) -> None:
    head, _, body = served.raw(data).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["type"] == "/problems/bad-request"


def test_two_lengths_of_one_body_are_refused(served: Served) -> None:
    request = b"POST /v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"

    assert served.raw(request).startswith(b"HTTP/1.1 400 ")


def test_an_upgrade_is_not_made(served: Served) -> None:
    headers = (b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")

    assert served.target(b"/healthz", *headers)[0] == 200


# --- slow clients ---


def test_a_request_that_does_not_come_is_given_up() -> None:
    with serving(settings=IMPATIENT) as served:
        answer = served.raw(b"GET / HTTP/1.1\r\nHost:")

    assert answer.startswith(b"HTTP/1.1 408 ")


def is_closed(sock: socket.socket) -> bool:
    """Whether the other side has hung up."""
    try:
        return sock.recv(1) == b""
    except ConnectionError:
        return True


def test_a_second_request_that_does_not_come_is_given_up_though_it_trickles() -> None:
    with serving(settings=IMPATIENT) as served, socket.create_connection((served.host, served.port)) as sock:
        sock.settimeout(5)
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        first = sock.recv(1 << 16)
        with suppress(ConnectionError):  # a slow machine is given up before it has sent all
            for byte in b"GET / HT":
                sock.send(bytes([byte]))
                time.sleep(0.05)
        rest = read_all(sock)

        assert first.startswith(b"HTTP/1.1 200 ")
        assert b"HTTP/1.1 408 " in rest or is_closed(sock)


def test_a_kept_connection_is_used_again() -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with serving(settings=IMPATIENT) as served, socket.create_connection((served.host, served.port)) as sock:
        sock.settimeout(0.3)
        answers = []
        for _ in range(3):  # 0.9 s, three times as long as a head may take
            sock.sendall(request)
            answers.append(read_all(sock))

    assert [answer.startswith(b"HTTP/1.1 200 ") for answer in answers] == [True] * 3


def test_a_body_that_does_not_come_is_given_up() -> None:
    with serving(settings=IMPATIENT) as served:
        answer = served.raw(b"POST /v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{", seconds=3)

    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_client_that_does_not_read_is_cut_off(tmp_path: Path) -> None:
    (copy_of_shipped(tmp_path) / "changes").exists()
    with serving(tmp_path, IMPATIENT) as served, socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(5)
        sock.connect((served.host, served.port))
        sock.sendall(b"GET /v1/dataset/jsonl HTTP/1.1\r\nHost: x\r\n\r\n" * 40)  # some 10 MB
        time.sleep(1.5)

        read = read_all(sock)

    assert read.count(b"HTTP/1.1 200") < 40


def test_the_patient_are_served_while_slow_ones_wait() -> None:
    with serving() as served:
        slow = [socket.create_connection((served.host, served.port)) for _ in range(50)]
        for sock in slow:
            sock.sendall(b"GET / HTTP/1.1\r\n")
        found = served.get(MODEL).status_code
        for sock in slow:
            sock.close()

    assert found == 200


# --- floods ---


def test_more_connections_than_are_taken_are_told_to_come_back() -> None:
    with serving(settings=Settings(connections=2)) as served:
        held = [socket.create_connection((served.host, served.port)) for _ in range(2)]
        until(lambda: served.raw(b"").startswith(b"HTTP/1.1 503 "))
        answer = served.raw(b"")
        for sock in held:
            sock.close()

    assert b"\r\nretry-after: 1\r\n" in answer.lower()


def test_more_requests_at_once_than_are_taken_are_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from swindex.api.service import documents

    waiting, go = threading.Event(), threading.Event()

    def slow(*_: object) -> object:
        waiting.set()
        go.wait(10)
        raise Problem("internal")

    monkeypatch.setattr(documents, "history", slow)
    with serving(settings=Settings(concurrency=1)) as served:
        first = threading.Thread(target=served.get, args=(f"{MODEL}/history",))
        first.start()
        waiting.wait(5)
        busy = served.get(f"{MODEL}/verify")
        go.set()
        first.join()
        after = served.get(f"{MODEL}/verify")

    assert (busy.status_code, busy.headers["retry-after"], busy.json()["type"]) == (503, "1", "/problems/busy")
    assert after.status_code == 200


def test_those_who_ask_for_the_same_at_once_wait_for_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    from swindex.api.service import documents

    made: list[int] = []

    def slow(*_: object) -> object:
        made.append(1)
        time.sleep(0.5)
        return {"made": len(made)}

    monkeypatch.setattr(documents, "history", slow)
    with serving(settings=Settings(concurrency=1)) as served, ThreadPoolExecutor(20) as pool:
        found = [each.json() for each in pool.map(served.get, [f"{MODEL}/history"] * 20)]

    assert found == [{"made": 1}] * 20


def test_an_answer_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from swindex.api.service import documents

    monkeypatch.setattr(documents, "history", lambda *_: time.sleep(1.5))
    with serving(settings=IMPATIENT) as served:
        assert served.get(f"{MODEL}/history").status_code == 503


# --- failures of our own ---


def test_a_failure_tells_nothing_but_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    from swindex.api.service import documents

    def broken(*_: object) -> object:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(documents, "history", broken)
    with serving() as served:
        found = served.get(f"{MODEL}/history", x_request_id="r9")
        [line] = served.lines(event="error", id="r9")

    assert (found.status_code, found.json()["type"]) == (500, "/problems/internal")
    assert "secret" not in found.text
    assert "/secret/path" in line["detail"]


def test_a_damaged_record_tells_no_path(tmp_path: Path) -> None:
    index = copy_of_shipped(tmp_path / "index")
    with serving(index) as served:
        (index / "records" / "huggyllama" / "llama-7b.jsonl").write_bytes(b'{"model": 1}\n')
        found = served.get(MODEL)
        [line] = served.lines(event="unreadable")

    assert (found.status_code, found.json()["type"]) == (500, "/problems/index-unreadable")
    assert str(tmp_path) not in found.text
    assert line["level"] == "error"


def test_answers_that_are_kept_have_a_limit() -> None:
    with serving(settings=Settings(cache=200_000)) as served:
        for n in range(60):
            served.get(f"{MODEL}?as_of=2026-11-{21 + n % 9}T{n % 24:02}:{n // 9 % 60:02}:00Z")
        kept = served.current.snapshot.kept

    assert 0 < len(kept) < 40
