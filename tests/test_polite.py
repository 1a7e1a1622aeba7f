"""Asking the Hub politely: pace, budget, repetitions, slow drips, endless answers, where a token may go.

Waits pass on a clock of the test's own, or are made short; the Hub is the loopback one.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi
from huggingface_hub.utils import get_session, httpx  # type: ignore[attr-defined]

from swindex.crawler.checkpoint.base import Cancelled
from swindex.crawler.checkpoint.hub import HubCheckpoint
from swindex.crawler.detection.run import Options
from swindex.crawler.hub import network, retry, shared, transport
from swindex.crawler.hub.budget import Budget
from swindex.crawler.hub.pace import Pacer, Wait, bucket_of
from swindex.crawler.refusal import Refusal
from swindex.schema.errors import SwindexError, UsageError
from swindex.schema.types import Outcome

from .bench.faults import short_waits
from .clock import Clock
from .hub import Hub

CHECKPOINTS = Path(__file__).parent / "checkpoints"
SCREEN = Options(effects=False, depth="screen")
SECRET = "hf_loopback"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as started, short_waits():
        yield started


def said(remaining: int, seconds: int, limit: int = 500) -> httpx.Headers:
    """Headers of an answer."""
    policy = f'"fixed window";"api";q={limit};w=300'
    return httpx.Headers({"RateLimit": f'"api";r={remaining};t={seconds}', "RateLimit-Policy": policy})


def waits(pacer: Pacer, clock: Clock, bucket: str = "api") -> float:
    """Seconds that the next request waits."""
    before = clock.now
    pacer.before(bucket)
    return clock.now - before


# --- pace ---


def test_without_headers_nothing_is_slowed(clock: Clock) -> None:
    pacer = Pacer()
    for _ in range(1000):
        pacer.before("api")
        pacer.after("api", httpx.Headers({}))

    assert clock.passed == 0


def test_the_last_requests_of_a_window_are_kept_in_reserve(clock: Clock) -> None:
    pacer = Pacer(workers=3)
    pacer.after("api", said(remaining=5, seconds=50))

    assert [waits(pacer, clock) for _ in range(3)] == [0, 0, 50]


def test_a_new_window_starts_afresh(clock: Clock) -> None:
    pacer = Pacer()
    pacer.after("api", said(remaining=0, seconds=50))
    pacer.before("api")
    pacer.after("api", said(remaining=499, seconds=300))

    assert waits(pacer, clock) == 0


def test_an_answer_that_comes_late_does_not_give_requests_back(clock: Clock) -> None:
    pacer = Pacer()
    pacer.after("api", said(remaining=2, seconds=50))
    pacer.after("api", said(remaining=9, seconds=50))

    assert [waits(pacer, clock) for _ in range(2)] == [0, 50]


def test_buckets_are_counted_apart(clock: Clock) -> None:
    pacer = Pacer()
    pacer.after("api", said(remaining=0, seconds=50))

    assert (waits(pacer, clock, "resolvers"), waits(pacer, clock, "api")) == (0, 50)


def test_a_share_of_the_limit_is_a_share_of_the_requests(clock: Clock) -> None:
    pacer, sent = Pacer(share=0.25), 0
    pacer.after("api", said(remaining=99, seconds=50, limit=100))
    while waits(pacer, clock) == 0:
        sent += 1

    assert sent == 100 // 4 - 2  # one was sent before, one is the reserve


@pytest.mark.parametrize("seconds", [10**6, 10**100])
def test_no_header_makes_anybody_wait_longer_than_a_window(clock: Clock, seconds: int) -> None:
    pacer = Pacer()
    pacer.after("api", said(remaining=0, seconds=seconds))
    pacer.hold("api", seconds)

    assert waits(pacer, clock) <= retry.MAX_WAIT


def test_all_workers_know_what_one_was_told(clock: Clock, tmp_path: Path) -> None:
    one, other = Pacer(tmp_path), Pacer(tmp_path)
    one.hold("api", 20)

    assert waits(other, clock) == 20


def test_workers_of_a_machine_spend_one_count(clock: Clock, tmp_path: Path) -> None:
    workers = [Pacer(tmp_path, workers=2) for _ in range(2)]
    workers[0].after("api", said(remaining=6, seconds=50))

    assert [waits(workers[n % 2], clock) for n in range(5)] == [0, 0, 0, 0, 50]


def test_the_folder_may_come_from_the_environment(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(shared.FOLDER, str(tmp_path))
    Pacer().hold("api", 20)

    assert waits(Pacer(), clock) == 20


def test_a_wait_is_told_at_its_start_and_now_and_then(clock: Clock) -> None:
    told: list[Wait] = []
    pacer = Pacer(tell=told.append)
    pacer.hold("api", 100)
    pacer.before("api")

    assert [w.seconds for w in told] == [100, 70, 40, 10]
    assert str(told[0]) == "api: waiting 100 s: the Hub asked for it (429)"


def test_a_wait_ends_when_nobody_waits_for_the_answer(clock: Clock) -> None:
    pacer = Pacer()
    pacer.hold("api", 100)

    def stop(seconds: float) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        pacer.before("api", stop)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", '{"api": 5}', '{"api": {"ends": "x", "remaining": 1e999}}', "[" * 9999]
)
def test_a_damaged_file_slows_nobody_and_stops_nobody(clock: Clock, tmp_path: Path, text: str) -> None:
    (tmp_path / "pace.json").write_text(text)

    assert waits(Pacer(tmp_path), clock) == 0


def test_a_clock_that_was_set_back_keeps_nobody_waiting(clock: Clock, tmp_path: Path) -> None:
    Pacer(tmp_path).hold("api", 100)
    clock.now -= 10**6

    assert waits(Pacer(tmp_path), clock) <= retry.MAX_WAIT


def _hold_the_lock(path: Path, held: Any) -> None:
    with shared.Shared("pace.json", path).held():
        held.set()
        time.sleep(60)


def test_a_worker_that_is_killed_with_the_lock_blocks_nobody(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    held = context.Event()
    process = context.Process(target=_hold_the_lock, args=(tmp_path, held))
    process.start()
    held.wait()
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    entered = threading.Event()

    def enter() -> None:
        with shared.Shared("pace.json", tmp_path).held():
            entered.set()

    threading.Thread(target=enter, daemon=True).start()
    assert entered.wait(shared.LOCK_WAIT / 2)


def test_a_worker_that_stands_still_with_the_lock_blocks_nobody_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "LOCK_WAIT", 0.05)
    one, other = (shared.Shared("pace.json", tmp_path) for _ in range(2))

    with one.held(), other.held() as data:
        assert data == {}


def _count(path: Path, times: int) -> None:
    budget = Budget(folder=path)
    for _ in range(times):
        budget.spend(requests=1, bytes=3)


def test_nothing_is_lost_among_processes(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_count, args=(tmp_path, 100)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    spent = Budget(folder=tmp_path).spent()
    assert (spent.requests, spent.bytes) == (400, 1200)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(SwindexError, match="cannot be written"):
        Pacer(tmp_path / "file")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/api/models/org/m", "api"),
        ("/org/m/resolve/main/config.json", "resolvers"),
        ("/datasets/org/m/resolve/main/a", "resolvers"),
        ("/org/m", "pages"),
    ],
)
def test_a_request_belongs_to_the_bucket_of_its_address(path: str, kind: str) -> None:
    assert bucket_of(httpx.URL(f"https://hub.test:81{path}")) == f"hub.test:81 {kind}"


# --- budget ---


def test_a_budget_says_what_is_left(tmp_path: Path) -> None:
    budget = Budget(requests=10, bytes=100, folder=tmp_path)
    budget.spend(requests=3, bytes=40)

    assert (budget.left().requests, budget.left().bytes, budget.left().hours) == (7, 60, None)


def test_a_task_starts_only_if_it_fits(tmp_path: Path) -> None:
    budget = Budget(bytes=100, folder=tmp_path)
    budget.spend(bytes=40)

    assert [budget.may_start(size) for size in (60, 61, None)] == [True, False, True]


@pytest.mark.parametrize("part", ["requests", "bytes"])
def test_a_spent_budget_starts_nothing_and_says_so_in_one_line(part: str) -> None:
    budget = Budget(**{part: 5})  # type: ignore[arg-type]
    budget.spend(requests=5, bytes=5)

    assert (budget.exhausted(), budget.may_start(1)) == (f"the budget of 5 {part} is spent; run again to go on", False)


def test_hours_are_counted_from_the_beginning_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget(hours=2, folder=tmp_path)
    budget.begin()
    later = time.time() + 3600 * 1.5
    monkeypatch.setattr("swindex.crawler.hub.budget.time.time", lambda: later)

    assert Budget(hours=2, folder=tmp_path).left().hours == pytest.approx(0.5, abs=1e-3)


def test_a_new_run_has_the_whole_budget(tmp_path: Path) -> None:
    budget = Budget(requests=5, folder=tmp_path)
    budget.spend(requests=5)
    budget.begin()

    assert budget.exhausted() is None


@pytest.mark.parametrize("wrong", [0, -1, float("nan")])
def test_a_budget_of_nothing_is_wrong_usage(wrong: float) -> None:
    with pytest.raises(UsageError, match="allows nothing"):
        Budget(hours=wrong)


def test_requests_and_bytes_of_a_scan_are_spent(hub: Hub, tmp_path: Path) -> None:
    budget = Budget(requests=10**6, folder=tmp_path)
    traffic = transport.install(budget=budget)
    hub.add("org/m", {"config.json": "{}"})
    hub.fault("status", "config.json", times=2)

    _ = HubCheckpoint("org/m", None, HfApi(endpoint=hub.url, token=False)).config

    assert budget.spent().requests == traffic.requests == hub.log.count() == 4
    assert budget.spent().bytes == traffic.bytes == hub.log.sent()
    assert traffic.repeated == 2


# --- repetitions ---


def test_a_429_makes_the_other_workers_wait(hub: Hub, tmp_path: Path, clock: Clock) -> None:
    transport.install(Pacer(tmp_path))
    hub.fault("status", "^/api/models", status=429, headers={"Retry-After": "30"}, times=1)
    get_session().get(f"{hub.url}/api/models")
    hub_bucket = bucket_of(httpx.URL(f"{hub.url}/api/models"))

    other = Pacer(tmp_path)
    assert (clock.passed, waits(other, clock, hub_bucket)) == (30, 0)


def test_a_worker_waits_before_the_limit_is_reached(hub: Hub, clock: Clock) -> None:
    transport.install(Pacer())
    limit = {"RateLimit": '"api";r=1;t=40', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'}
    hub.fault("headers", "^/api/models", set=limit)
    for _ in range(3):
        get_session().get(f"{hub.url}/api/models")

    assert (clock.passed, [e.status for e in hub.log.entries]) == (80, [200, 200, 200])


def test_what_changes_something_is_sent_once(hub: Hub) -> None:
    transport.install()
    hub.fault("status", "create")

    assert get_session().post(f"{hub.url}/api/repos/create").status_code == 503
    assert hub.log.count() == 1


@pytest.mark.parametrize(
    "fault", [{"kind": "truncate", "keep": 5}, {"kind": "length", "add": -1}, {"kind": "cut", "after": 3}]
)
def test_half_an_answer_of_the_api_is_asked_for_again(hub: Hub, fault: dict[str, Any]) -> None:
    transport.install()
    hub.add("org/m", {"a": "b"})
    hub.fault(path="^/api/", times=2, **fault)

    assert [m.id for m in HfApi(endpoint=hub.url, token=False).list_models()] == ["org/m"]


def test_a_call_that_would_wait_forever_does_not(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "READ", 0.05)
    transport.install()
    hub.fault("slow", "^/api/", delay=5)

    with pytest.raises(httpx.ReadTimeout):
        get_session().get(f"{hub.url}/api/models", timeout=None)


def test_offline_mode_sends_nothing(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    with pytest.raises(Refusal) as caught:
        HubCheckpoint("org/m", None, HfApi(endpoint=hub.url, token=False))
    assert (caught.value.outcome, caught.value.lasting, hub.log.count()) == (Outcome.FAILED, False, 0)


# --- drips, floods, headers ---


@contextmanager
def serving(pieces: Iterator[bytes], delay: float) -> Iterator[str]:
    """A server that answers anything with these bytes, one piece after the other."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    try:
                        connection.recv(65536)
                        for piece in pieces:
                            connection.sendall(piece)
                            if ended.wait(delay):
                                return
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            ended.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def endless(first: bytes, then: bytes) -> Iterator[bytes]:
    yield first
    while True:
        yield then


@pytest.mark.parametrize("path", ["/api/models", "/org/m/resolve/main/a"])
def test_a_body_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(transport, "READ", 0.2)
    monkeypatch.setattr(retry, "TRIES", 1)
    transport.install()
    with (
        serving(endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x"), 0.01) as url,
        pytest.raises(httpx.ReadTimeout, match="slow"),
    ):
        get_session().get(url + path)


def test_a_head_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "HEAD", 0.2)
    monkeypatch.setattr(retry, "TRIES", 1)
    transport.install()
    with serving(endless(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"), 0.01) as url, pytest.raises(httpx.ReadTimeout):
        get_session().get(f"{url}/api/models")


def test_a_body_that_comes_slowly_but_steadily_is_read(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "READ", 0.2)
    monkeypatch.setattr(transport, "MIN_RATE", 10)
    hub.add("org/m", {"a.txt": "x" * 100})
    hub.fault("slow", delay=0.05, piece=10)
    transport.install()

    assert get_session().get(f"{hub.url}/org/m/resolve/main/a.txt").text == "x" * 100


def test_an_endless_answer_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_ANSWER", 1 << 20)
    transport.install()
    flood = endless(b"HTTP/1.1 200 OK\r\n\r\n", bytes(1 << 16))
    with serving(flood, 0) as url, pytest.raises(httpx.TransportError, match="more than 1048576 bytes"):
        get_session().get(f"{url}/api/models")


def test_an_endless_error_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    transport.install()
    with serving(endless(b"HTTP/1.1 404 Not Found\r\n\r\n", bytes(1 << 16)), 0) as url:
        found = get_session().get(f"{url}/org/m/resolve/main/a")

    assert (found.status_code, len(found.content) <= transport.MAX_ERROR + (1 << 20)) == (404, True)


def test_a_small_answer_that_unpacks_to_much_is_not_kept(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_ANSWER", 1 << 20)
    hub.add("org/m", {"a": "b"}, tags=["x" * (4 << 20)])
    hub.fault("gzip")
    transport.install()

    with pytest.raises(httpx.TransportError, match="more than"):
        get_session().get(f"{hub.url}/api/models/org/m")
    assert hub.log.sent() < 1 << 20


@pytest.mark.parametrize("name", ["RateLimit", "Retry-After"])
def test_a_header_of_a_thousand_digits_is_no_wait(hub: Hub, clock: Clock, name: str) -> None:
    value = {"RateLimit": f'"api";r=0;t={"9" * 5000}', "Retry-After": "9" * 5000}[name]
    hub.add("org/m", {"a": "b"})
    hub.fault("status", status=429, headers={name: value}, times=1)
    transport.install()

    assert get_session().get(f"{hub.url}/api/models/org/m").status_code == 200
    assert clock.passed < 1


# --- the token ---


@pytest.fixture
def other() -> Iterator[Hub]:
    """A Hub on another port, which no token of the first may reach."""
    with Hub() as started:
        yield started


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_redirect_to_another_server_has_no_token(hub: Hub, other: Hub, host: str, status: int) -> None:
    hub.add("org/m", {"a": "b"})
    elsewhere = f"http://{host}:{other.url.rpartition(':')[2]}/org/m/resolve/main/a"
    hub.fault("status", "/resolve/", status=status, headers={"Location": elsewhere})
    transport.ensure(hub.url)
    get_session().get(f"{hub.url}/org/m/resolve/main/a", headers={"Authorization": f"Bearer {SECRET}"})

    assert ([e.user for e in hub.log.entries], [e.user for e in other.log.entries]) == ([True], [False])


def test_the_same_server_under_another_name_gets_no_token(hub: Hub) -> None:
    hub.add("org/m", {"a": "b"})
    named = hub.url.replace("127.0.0.1", "localhost")
    hub.fault("status", status=302, headers={"Location": f"{named}/org/m/resolve/main/a"}, times=1)
    transport.ensure(hub.url)
    get_session().get(f"{hub.url}/org/m/resolve/main/a", headers={"Authorization": f"Bearer {SECRET}"})

    assert [e.user for e in hub.log.entries] == [True, False]


def test_a_redirect_on_the_same_server_keeps_the_token(hub: Hub) -> None:
    hub.add("org/m", {"a": "b"})
    hub.fault("status", status=302, headers={"Location": "/org/m/resolve/main/a"}, times=1)
    transport.ensure(hub.url)
    get_session().get(f"{hub.url}/org/m/resolve/main/a", headers={"Authorization": f"Bearer {SECRET}"})

    assert [e.user for e in hub.log.entries] == [True, True]


def test_a_next_page_on_another_server_is_asked_without_token(hub: Hub, other: Hub) -> None:
    hub.add("org/m", {"a": "b"})
    hub.fault("headers", "^/api/models", set={"Link": f'<{other.url}/api/models?limit=9>; rel="next"'})
    transport.ensure(hub.url)
    list(HfApi(endpoint=hub.url, token=SECRET).list_models())

    assert ([e.user for e in hub.log.entries], {e.user for e in other.log.entries}) == ([True], {False})


@pytest.mark.parametrize(
    ("endpoint", "url", "kept"),
    [
        ("https://hub.test", "https://hub.test/x", True),
        ("https://hub.test", "https://HUB.test:443/x", True),
        ("http://hub.test", "https://hub.test/x", True),
        ("https://hub.test", "http://hub.test/x", False),
        ("https://hub.test", "https://hub.test:8443/x", False),
        ("http://hub.test:8080", "https://hub.test/x", False),
        ("https://hub.test", "https://hub.test.evil.test/x", False),
        ("https://hub.test", "https://cdn.hub.test/x", False),
        ("https://hub.test", "https://hub.test@evil.test/x", False),
    ],
)
def test_the_token_goes_to_the_endpoint_alone(endpoint: str, url: str, kept: bool) -> None:
    transport.ensure(endpoint)
    request = httpx.Request("GET", url, headers={"Authorization": f"Bearer {SECRET}"})
    transport._guard(request)

    assert ("Authorization" in request.headers) is kept


def test_a_proxy_of_the_environment_is_used(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", hub.url)
    monkeypatch.setenv("no_proxy", "near.test")
    made = network.Network()

    routes = [made._route(httpx.URL(f"{u}/")) for u in ("http://far.test", "http://near.test", "https://far.test")]
    assert [r is made._direct for r in routes] == [False, True, True]
