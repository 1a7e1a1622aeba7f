"""Submissions over HTTP: tokens, limits, states, the OpenAPI document, and requests that mean harm."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from swindex.api.service.addresses import Addresses, network
from swindex.api.service.problems import Problem
from swindex.api.service.run import trusted_of
from swindex.api.service.settings import Settings
from swindex.index.submissions.codes import Said
from swindex.index.submissions.document import MOST, Submission, make
from swindex.index.submissions.entry import Entry, Pull, Sender, Step
from swindex.index.submissions.limits import Limits
from swindex.index.submissions.states import State
from swindex.index.submissions.store import Store
from swindex.index.submissions.tokens import Tokens
from swindex.schema.errors import UsageError

from .served import Served, serving

SHA, TIME = "a" * 40, "2026-11-21T12:00:00Z"
MODEL = "huggyllama/llama-7b"
MANY = Settings(hourly=100_000)
SCRIPT = "<script>alert(1)</script>"


class Taking:
    """A service that takes submissions, its folder, and a token."""

    def __init__(self, served: Served, folder: Path) -> None:
        self.served, self.folder = served, folder
        self.store, self.tokens = Store(folder), Tokens(folder)
        self.token = self.issue()

    def issue(self, name: str = "alice", scopes: tuple[str, ...] = ("record", "request"), **more: Any) -> str:
        return self.tokens.create(name, scopes, TIME, **more)[0]

    def post(self, what: Submission | bytes, token: str | None = None, **headers: str) -> Any:
        body = what if isinstance(what, bytes) else what.to_bytes()
        given = {"authorization": f"Bearer {self.token if token is None else token}", **headers}
        return self.served.ask("POST", "/v1/submissions", body, content_type="application/json", **given)


@pytest.fixture(scope="module")
def taking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Taking]:
    folder = tmp_path_factory.mktemp("submissions")
    with serving(settings=MANY, submissions=folder) as served:
        yield Taking(served, folder)


def wish(number: int, note: str | None = None) -> Submission:
    return make(f"org/m{number}", SHA, note=note)


# --- sending and looking ---


def test_what_is_sent_is_kept_and_can_be_looked_at(taking: Taking) -> None:
    sent = taking.post(wish(1))
    looked = taking.served.get(sent.headers["location"])

    assert (sent.status_code, looked.status_code) == (201, 200)
    assert sent.json() == looked.json()
    assert (looked.json()["state"], looked.json()["submitter"], looked.json()["model"]) == (
        "received",
        "alice",
        "org/m1",
    )
    assert taking.store.document(taking.store.get(looked.json()["id"])) == wish(1)


def test_sent_again_it_is_the_same_submission(taking: Taking) -> None:
    first, second = taking.post(wish(2)), taking.post(wish(2))

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()


def test_sent_many_times_at_once_it_is_one_submission_and_others_are_their_own(taking: Taking) -> None:
    sent = [wish(60)] * 6 + [wish(61), wish(62)]

    with ThreadPoolExecutor(8) as pool:
        answers = [a.status_code for a in pool.map(taking.post, sent)]

    assert (answers[:6].count(201), answers[:6].count(200), answers[6:]) == (1, 5, [201, 201])


def test_its_states_are_seen_as_they_come(taking: Taking) -> None:
    where = taking.post(wish(3)).headers["location"]
    entry = taking.store.get(where.rpartition("/")[2])
    taking.store.step(entry, Step(State.CHECKING, TIME, "curator"))
    found = (Said("bits-differ", "L1.R2.C3: claimed 3f80, there 0000"),)
    taking.store.step(entry, Step(State.REJECTED, TIME, "curator", "", found, {"checked": "x", "bits": {"drifted": 1}}))

    told = taking.served.get(where).json()

    assert [s["state"] for s in told["states"]] == ["received", "checking", "rejected"]
    assert [(f["code"], f["effect"]) for f in told["findings"]] == [("bits-differ", "reject")]
    assert told["bits"] == {"drifted": 1}


def test_pages_of_a_list_follow_one_another(taking: Taking) -> None:
    for number in range(10, 15):
        taking.post(wish(number))
    everything = [s["id"] for s in taking.served.get("/v1/submissions?limit=500").json()["submissions"]]

    found, cursor = [], ""
    while cursor is not None:
        page = taking.served.get(f"/v1/submissions?limit=2{cursor and '&after='}{cursor}").json()
        found, cursor = [*found, *(s["id"] for s in page["submissions"])], page["cursor"]

    assert found == everything
    assert len(found) >= 5


def test_a_submission_that_there_is_not_is_404(taking: Taking) -> None:
    found = taking.served.get("/v1/submissions/0123456789abcdef")

    assert (found.status_code, found.json()["type"]) == (404, "/problems/no-such-submission")


def test_a_service_takes_none_unless_told_to() -> None:
    with serving() as served:
        sent = served.ask("POST", "/v1/submissions", wish(1).to_bytes(), authorization="Bearer x")
        listed = served.get("/v1/submissions")
        one = served.get("/v1/submissions/0123456789abcdef")

    assert (sent.status_code, sent.json()["type"]) == (403, "/problems/read-only")
    assert (listed.json(), one.status_code) == ({"submissions": [], "cursor": None}, 404)


def test_the_index_is_not_touched(taking: Taking) -> None:
    before = taking.served.get("/healthz").json()["seq"]
    taking.post(make(MODEL, SHA))

    assert taking.served.get("/healthz").json()["seq"] == before


# --- tokens ---


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer swx_" + "A" * 43, "Bearer \x7f"])
def test_without_a_good_token_nothing_is_taken(taking: Taking, header: str) -> None:
    lines = [b"POST /v1/submissions HTTP/1.1", b"Host: x", b"Connection: close", b"Content-Length: 2"]
    given = [b"Authorization: " + header.encode()] if header else []

    answer = taking.served.raw(b"\r\n".join([*lines, *given, b"", b"{}"]))

    assert answer.startswith(b"HTTP/1.1 401 ") or (b"\x7f" in header.encode() and answer.startswith(b"HTTP/1.1 40"))
    assert b"www-authenticate: bearer" in answer.lower() or b" 400 " in answer[:20]


def test_a_revoked_token_counts_no_more(taking: Taking) -> None:
    token = taking.issue("bob")
    before = taking.post(wish(20), token).status_code

    taking.tokens.revoke(taking.tokens.all()[-1].id, TIME)

    assert (before, taking.post(wish(21), token).status_code) == (201, 401)


def test_an_expired_token_does_not_count(taking: Taking) -> None:
    token = taking.issue("bob", expires="2026-01-01T00:00:00Z")

    assert taking.post(wish(22), token).status_code == 401


def test_a_token_submits_what_its_scope_says(taking: Taking) -> None:
    token = taking.issue("carol", ("request",))
    record = make("org/m23", SHA, record={})

    assert [taking.post(each, token).status_code for each in (wish(23), record)] == [201, 403]


def test_the_submitter_is_the_token_s_and_never_the_document_s(taking: Taking) -> None:
    record = {"provenance": {"submitter": "yu-2024"}}

    assert taking.post(make("org/m24", SHA, record=record)).json()["submitter"] == "alice"


def test_no_token_stands_in_the_log_or_on_disk_or_in_an_answer(taking: Taking) -> None:
    bad = "swx_" + "B" * 43
    answers = [taking.post(wish(25)), taking.post(b"{", bad), taking.post(b"{"), taking.post(wish(25), bad)]
    taking.served.get(f"/v1/submissions?token={taking.token}")
    taking.served.ask("PUT", "/v1/submissions", b"", authorization=f"Bearer {taking.token}")
    taking.served.lines(status=405)

    held = json.dumps(taking.served.log) + "".join(a.text for a in answers)
    disk = b"".join(p.read_bytes() for p in taking.folder.rglob("*") if p.is_file())
    for secret in (taking.token, bad):
        assert secret not in held
        assert secret[4:] not in held
        assert secret.encode() not in disk


# --- limits ---


def test_an_address_that_tries_too_often_is_told_when_to_come_back(tmp_path: Path) -> None:
    with serving(settings=Settings(hourly=2), submissions=tmp_path) as served:
        taking = Taking(served, tmp_path)
        answers = [taking.post(b"{}", "wrong"), taking.post(wish(1)), taking.post(wish(2))]
        looked = served.get("/v1/submissions").status_code

    assert [a.status_code for a in answers] == [401, 201, 429]
    assert 0 < int(answers[2].headers["retry-after"]) <= 1800
    assert looked == 200


def test_a_sender_s_limit_is_429(tmp_path: Path) -> None:
    with serving(settings=MANY, submissions=tmp_path) as served:
        taking = Taking(served, tmp_path)
        pending = Limits().pending
        answers = [taking.post(wish(n)).status_code for n in range(pending + 1)]
        other = taking.post(wish(0), taking.issue("bob")).status_code

    assert answers == [201] * pending + [429]
    assert other == 201


def test_tries_come_back_with_time() -> None:
    now = [0.0]
    addresses = Addresses(2, clock=lambda: now[0])
    addresses.take("192.0.2.1")
    addresses.take("192.0.2.1")
    with pytest.raises(Problem):
        addresses.take("192.0.2.1")

    addresses.take("192.0.2.2")
    now[0] = 1800.0
    addresses.take("192.0.2.1")


def test_a_network_of_ipv6_is_one_address() -> None:
    assert network("2001:db8::1") == network("2001:db8::ffff:1") != network("2001:db8:0:1::1")
    assert network("::ffff:192.0.2.1") == network("192.0.2.1")
    assert network("fe80::1%eth0<script>") == network("fe80::2")


def test_addresses_are_forgotten_when_there_are_many() -> None:
    addresses = Addresses(2, clock=lambda: 0.0)
    for number in range(12_000):
        addresses.take(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")

    assert len(addresses) == 10_000


def test_behind_a_proxy_each_sender_has_tries_of_its_own(tmp_path: Path) -> None:
    with serving(settings=Settings(hourly=1), submissions=tmp_path, proxies=trusted_of(["127.0.0.0/8"])) as served:
        taking = Taking(served, tmp_path)
        chains = ("192.0.2.1", "192.0.2.2", "203.0.113.9, 192.0.2.1", "192.0.2.3, 127.0.0.9")
        answers = [taking.post(wish(n), x_forwarded_for=chain).status_code for n, chain in enumerate(chains)]

    assert answers == [201, 201, 429, 201]  # what the client itself put before the proxy's word does not count


def test_another_proxy_is_not_believed(tmp_path: Path) -> None:
    with serving(settings=Settings(hourly=1), submissions=tmp_path, proxies=trusted_of(["192.0.2.80"])) as served:
        taking = Taking(served, tmp_path)
        answers = [taking.post(wish(n), x_forwarded_for=f"192.0.2.{n}").status_code for n in range(2)]

    assert answers == [201, 429]


@pytest.mark.parametrize("word", ["*", "proxy.example", "10.0.0.0/33", ""])
def test_a_proxy_is_an_address_or_a_network(word: str) -> None:
    with pytest.raises(UsageError, match="give an address or a network"):
        trusted_of([word])


# --- figures ---


def test_figures_count_submissions_by_state(tmp_path: Path) -> None:
    with serving(settings=MANY, submissions=tmp_path) as served:
        taking = Taking(served, tmp_path)
        for number in range(3):
            taking.post(wish(number))
        text = served.get("/metrics").text

    assert '\nswindex_submissions{state="received"} 3\n' in text
    assert '\nswindex_submissions{state="accepted"} 0\n' in text
    assert "\nswindex_submissions_unreadable 0\n" in text


def test_figures_say_that_submissions_cannot_be_read(tmp_path: Path) -> None:
    with serving(settings=MANY, submissions=tmp_path) as served:
        taking = Taking(served, tmp_path)
        entry = taking.post(wish(1)).json()["id"]
        (tmp_path / "items" / entry / "states.jsonl").write_bytes(b"{}\n")
        text = served.get("/metrics").text

    assert "\nswindex_submissions_unreadable 1\n" in text
    assert "swindex_submissions{" not in text


# --- what means harm ---


def test_what_a_proxy_would_say_of_an_address_is_not_believed(tmp_path: Path) -> None:
    with serving(settings=Settings(hourly=1), submissions=tmp_path) as served:
        taking = Taking(served, tmp_path)
        answers = [taking.post(wish(n), x_forwarded_for=f"192.0.2.{n}").status_code for n in range(2)]

    assert answers == [201, 429]


def test_a_body_over_the_size_is_413_and_one_of_the_size_is_taken(taking: Taking) -> None:
    frame = len(make("org/m30", SHA, record={"a": ""}).to_bytes())
    whole = make("org/m30", SHA, record={"a": "x" * (MOST - frame)})

    assert taking.post(whole).status_code == 201
    assert taking.post(whole.to_bytes() + b" ").status_code == 422
    assert taking.post(b" " * (MOST + 8192)).status_code == 413


def test_a_large_body_is_taken_nowhere_else(taking: Taking) -> None:
    found = taking.served.ask("POST", "/v1/query", b" " * 100_000, content_type="application/json")

    assert found.status_code == 413


def test_more_uploads_at_once_than_are_taken_are_told_to_come_back(tmp_path: Path) -> None:
    import socket

    from .served import until

    head = b"POST /v1/submissions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"
    with serving(settings=Settings(uploads=2), submissions=tmp_path) as served:
        slow = [socket.create_connection((served.host, served.port)) for _ in range(2)]
        for sock in slow:
            sock.sendall(head)
        until(lambda: served.ask("POST", "/v1/submissions", b"{}").status_code == 503)
        for sock in slow:
            sock.close()
        until(lambda: served.ask("POST", "/v1/submissions", b"{}").status_code == 401)


def test_a_slow_body_is_given_up(tmp_path: Path) -> None:
    head = b"POST /v1/submissions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"
    with serving(settings=Settings(body_seconds=0.2), submissions=tmp_path) as served:
        assert served.raw(head, 1).startswith(b"HTTP/1.1 408 ")


PATHS = ["..", "..%2f..%2fetc", "0123456789abcde", "0123456789ABCDEF", "0123456789abcdef%00", "<script>", "tokens.json"]


@pytest.mark.parametrize("name", PATHS)
def test_an_id_is_no_path(taking: Taking, name: str) -> None:
    status, body = taking.served.target(f"/v1/submissions/{name}".encode())

    assert status in (404, 422)
    assert b"alice" not in body
    assert b"<script" not in body


ADDRESSES = [
    "http://169.254.169.254/latest/meta-data",
    "file:///etc/passwd",
    "//evil.example/x",
    "evil.example/../../x",
    "org/name@http://x",
    "org/na me",
    "org/name\n",
    "../org",
    "org/name?x=1",
    "hf://org/name",
]


@pytest.mark.parametrize("model", ADDRESSES)
def test_a_submission_names_a_model_and_never_an_address(taking: Taking, model: str) -> None:
    sent = {"format": "swindex-submission-1", "kind": "request", "model": model, "revision": None}

    found = taking.post(json.dumps(sent).encode())

    assert (found.status_code, found.json()["type"]) == (422, "/problems/invalid-request")


@pytest.mark.parametrize("field", ["url", "endpoint", "callback", "repo", "webhook"])
def test_a_submission_has_no_field_for_an_address(taking: Taking, field: str) -> None:
    sent = {"format": "swindex-submission-1", "kind": "request", "model": "org/x", field: "http://127.0.0.1:1/"}

    assert taking.post(json.dumps(sent).encode()).status_code == 422


def test_taking_a_submission_asks_nobody(taking: Taking, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    asked: list[Any] = []
    connect = socket.socket.connect
    port = taking.served.port

    def noted(self: socket.socket, address: Any) -> Any:
        asked.append(address)
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", noted)
    taking.post(make("demo/one", SHA, record={"model": {"id": "http://127.0.0.1:9/"}}))

    assert {a[1] for a in asked} <= {port}


HOSTILE = [
    {"format": SCRIPT},
    {"format": "swindex-submission-1", "kind": SCRIPT},
    {"format": "swindex-submission-1", "kind": "request", "model": SCRIPT},
    {"format": "swindex-submission-1", "kind": "request", "model": "a/b", "revision": SCRIPT},
    {"format": "swindex-submission-1", "kind": "request", "model": "a/b", "parent": SCRIPT},
    {"format": "swindex-submission-1", "kind": "request", "model": "a/b", "note": ["x"]},
    {SCRIPT: 1},
    {"'; DROP TABLE models;--": 1},
    {"\u001b[31m\u202e": 1, "format": "x"},
    {"a" * 100_000: 1},
]


@pytest.mark.parametrize("sent", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_malformed_is_told_in_one_short_line_of_json(taking: Taking, sent: dict[str, Any]) -> None:
    found = taking.post(json.dumps(sent).encode())

    assert (found.status_code, found.headers["content-type"]) == (422, "application/problem+json")
    assert len(found.json()["detail"]) <= 300
    assert found.json()["detail"].isprintable()
    assert found.headers["x-content-type-options"] == "nosniff"


def test_sql_in_a_query_is_no_state(taking: Taking) -> None:
    status, _ = taking.served.target(b"/v1/submissions?state=received'%20OR%20'1'='1")

    assert status == 422


def test_a_header_flood_is_431(taking: Taking) -> None:
    found = taking.post(wish(40), **{f"x_{n}": "a" * 100 for n in range(200)})

    assert found.status_code == 431


def test_another_origin_s_page_may_not_send_a_token(taking: Taking) -> None:
    found = taking.served.ask("OPTIONS", "/v1/submissions", origin="https://evil.example")

    assert "authorization" not in found.headers["access-control-allow-headers"].lower()


def test_damaged_tokens_are_a_failure_of_ours_and_tell_nothing(tmp_path: Path) -> None:
    with serving(settings=MANY, submissions=tmp_path) as served:
        taking = Taking(served, tmp_path)
        (tmp_path / "tokens.json").write_text("{")
        found = taking.post(wish(1))

    assert found.status_code == 500
    assert str(tmp_path) not in found.text


def test_a_failed_disk_takes_nothing_and_says_so(tmp_path: Path) -> None:
    with serving(settings=MANY, submissions=tmp_path) as served:
        taking = Taking(served, tmp_path)
        (tmp_path / "items").rmdir()
        (tmp_path / "items").write_text("a file")
        found = taking.post(wish(1))

    assert found.status_code == 500
    assert str(tmp_path) not in found.text


def test_a_pull_request_is_named(taking: Taking) -> None:
    sender = Sender("hf:bob", Pull("org/index", 7, SHA))
    entry: Entry = taking.store.receive(wish(50).to_bytes(), sender, TIME)[0]

    assert taking.served.get(f"/v1/submissions/{entry.id}").json()["pull_request"] == "org/index#7"


# --- the document ---


def test_the_service_does_what_its_document_says(tmp_path: Path) -> None:
    folder = tmp_path / "submissions"
    with serving(settings=MANY, submissions=folder) as served:
        taking = Taking(served, folder)
        served_desk(served, Limits(100_000, 100_000, 100_000))
        entry = taking.store.get(taking.post(wish(1)).json()["id"])
        command = [Path(sys.executable).with_name("schemathesis"), "run", f"{served.url}/openapi.json"]
        options = ["--max-examples=25", "--seed=6", "--no-color", "--generation-database=none"]
        which = ["--include-path-regex=/v1/submissions", "--header", f"Authorization: Bearer {taking.token}"]
        done = subprocess.run([*command, *options, *which], cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout[-6000:]
    assert "3 selected" in done.stdout
    assert entry.state is State.RECEIVED


def served_desk(served: Served, limits: Limits) -> None:
    """Let the service take more."""
    served.desk.store.limits = limits
