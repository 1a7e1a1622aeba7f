"""A new index is served without dropping a request; a broken one is not; the service stops gracefully."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from huggingface_hub.utils import httpx

from swindex.api import Client
from swindex.api.reading import shipped
from swindex.api.remote.cache import put
from swindex.api.service.settings import Settings
from swindex.index.store import Index

from . import records as make
from . import released
from .served import Served, serving, until

QUICK = Settings(check_seconds=0.05)
MODEL = "/v1/models/org/tiny"


@contextmanager
def under_load(served: Served, *paths: str) -> Iterator[list[tuple[int, str]]]:
    """Ask all the time, on four connections; what came back."""
    seen: list[tuple[int, str]] = []
    done = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=served.url, timeout=20) as client:
            while not done.is_set():
                for path in paths:
                    found = client.get(path)
                    seen.append((found.status_code, found.text))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        done.set()
        for thread in threads:
            thread.join()


def seq(served: Served) -> int:
    return int(served.get("/healthz").json()["seq"])


def test_versions_appended_under_load_are_served_and_no_request_fails(tmp_path: Path) -> None:
    index = Index(tmp_path / "index")
    versions = [make.found()]
    index.append(versions[0])
    for n in range(2, 9):
        versions.append(make.found(previous=versions[-1], scan_id=f"scan-{n}", delta=3.0 + n / 8))
    with serving(tmp_path / "index", QUICK) as served, under_load(served, MODEL, "/v1/models", "/v1/changes") as seen:
        for number, version in enumerate(versions[1:], 2):
            index.append(version)
            until(lambda number=number: seq(served) == number)  # type: ignore[misc]
        newest = served.get(MODEL).json()

    assert {status for status, _ in seen} == {200}
    assert len(seen) > 50
    assert newest["record"]["version"] == 8
    assert newest == {**Client(tmp_path / "index").lookup("org/tiny").model_dump(mode="json"), "index": newest["index"]}


def test_a_release_replaced_under_load_is_served_and_no_request_fails(tmp_path: Path) -> None:
    site = tmp_path / "site"
    released.write(shipped(), site, upto=10, leaf=4)
    first = next(iter(Client(site).models()))
    paths = (f"/v1/models/{first}", "/v1/models?limit=3", "/v1/dataset/jsonl", "/root.json")
    with serving(site, QUICK) as served, under_load(served, *paths) as seen:
        for upto in range(20, 80, 10):
            released.write(shipped(), tmp_path / "next", upto=upto, leaf=4)
            publish(tmp_path / "next", site)
            until(lambda upto=upto: seq(served) == upto)  # type: ignore[misc]
        models = served.get("/healthz").json()["models"]

    assert {status for status, _ in seen} == {200}
    assert models == 70


def publish(new: Path, site: Path) -> None:
    """Put a release in the place of another, its root last; what only the old one names is removed."""
    for path in sorted(new.rglob("*"), key=lambda p: p.name == "root.json"):
        if path.is_file():
            target = site / path.relative_to(new)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
    shutil.rmtree(new)


def test_a_client_goes_on_reading_over_a_replacement(tmp_path: Path) -> None:
    index = Index(tmp_path / "index")
    index.append(make.found())
    with serving(tmp_path / "index", QUICK) as served:
        before = Client(served.url).lookup("org/tiny")
        index.append(make.found("org/second"))
        until(lambda: seq(served) == 2)
        after = Client(served.url)
        models = list(after.models())

    assert before.record is not None
    assert models == ["org/second", "org/tiny"]


def test_what_was_unknown_is_known_once_it_is_appended(tmp_path: Path) -> None:
    index = Index(tmp_path / "index")
    index.append(make.found())
    with serving(tmp_path / "index", QUICK) as served:
        before = served.get("/v1/models/org/new").status_code
        index.append(make.none_found("org/new"))
        until(lambda: seq(served) == 2)
        after = served.get("/v1/models/org/new")

    assert (before, after.json()["outcome"]) == (404, "none_found")


BREAKS = {
    "no json": lambda root: b"{",
    "another chain": lambda root: json.dumps({**root, "seq": 11, "chain": "e" * 64}).encode(),
    "a tree that is not there": lambda root: json.dumps(
        {**root, "newest": "2026-12-01T00:00:00Z", "tree": "0" * 64}
    ).encode(),
    "a format of the future": lambda root: json.dumps({**root, "format": 2}).encode(),
}


@pytest.mark.parametrize("how", BREAKS)
def test_a_broken_release_is_not_served_and_told(tmp_path: Path, how: str) -> None:
    root = released.write(shipped(), tmp_path, upto=10)
    first = next(iter(Client(tmp_path).models()))
    good = (tmp_path / "root.json").read_bytes()
    with serving(tmp_path, QUICK) as served:
        put(tmp_path / "root.json", BREAKS[how](root))
        until(lambda: served.get("/healthz").json()["status"] == "degraded")
        health, still = served.get("/healthz").json(), served.get(f"/v1/models/{first}").status_code
        figures = served.get("/metrics").text
        put(tmp_path / "root.json", good)
        until(lambda: served.get("/healthz").json()["status"] == "ok")
        log = served.log

    assert (health["seq"], still) == (10, 200)
    assert str(tmp_path) not in json.dumps(health)
    assert "\nswindex_index_degraded 1\n" in figures
    assert [line["event"] for line in log].count("kept the old index") == 1


def test_a_release_that_went_back_is_not_served(tmp_path: Path) -> None:
    released.write(shipped(), tmp_path, upto=20)
    with serving(tmp_path, QUICK) as served:
        released.write(shipped(), tmp_path, upto=10)
        until(lambda: served.get("/healthz").json()["trouble"] == "WentBack")

        assert seq(served) == 20


def test_a_change_whose_record_is_damaged_is_not_served(tmp_path: Path) -> None:
    index = Index(tmp_path / "index")
    index.append(make.found())
    index.append(make.found("org/second"))
    with serving(tmp_path / "index", QUICK) as served:
        log = tmp_path / "index" / "records" / "org" / "second.jsonl"
        index.append(make.found("org/second", previous=index.read("org/second"), scan_id="scan-2"))
        log.write_bytes(log.read_bytes()[:-200] + b"\n{}\n")
        until(lambda: served.get("/healthz").json()["status"] == "degraded")

        assert served.get(MODEL).status_code == 200


def test_a_release_pruned_between_two_looks_is_read_anew(tmp_path: Path) -> None:
    released.write(shipped(), tmp_path, upto=10)
    first = next(iter(Client(tmp_path).models()))
    with serving(tmp_path, Settings(check_seconds=3600)) as served:
        shutil.rmtree(tmp_path / "versions")
        released.write(shipped(), tmp_path, upto=20)

        assert served.get(f"/v1/models/{first}").status_code == 200
        assert seq(served) == 20


def test_a_large_index_answers_models_while_its_catalogue_is_read(tmp_path: Path) -> None:
    index = Index(tmp_path / "index")
    index.append(make.found())
    with serving(tmp_path / "index", QUICK._replace(eager=0)) as served:
        first = served.get(MODEL).status_code
        until(lambda: served.get("/healthz").json()["catalogue"] == "ready")
        index.append(make.found("org/second"))
        until(lambda: seq(served) == 2)
        listed = served.get("/v1/models").json()["indexed"]

    assert (first, listed) == (200, 2)


def test_an_index_without_a_feed_is_one_line(tmp_path: Path) -> None:
    shutil.copytree(shipped() / "records", tmp_path / "records")
    done = run("serve", "--index", str(tmp_path), "--port", "0")

    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "swindex index build" in done.stderr


def test_an_address_is_not_served(tmp_path: Path) -> None:
    done = run("serve", "--index", "https://a.example/site")

    assert (done.returncode, "swindex download" in done.stderr) == (2, True)


def test_a_taken_port_is_one_line() -> None:
    with serving() as served:
        done = run("serve", "--index", str(shipped()), "--port", str(served.port))

    assert done.returncode == 3
    assert "choose others: --host, --port" in done.stderr.splitlines()[-1]


def test_without_the_extra_it_is_one_line() -> None:
    program = (
        "import sys\n"
        "for name in ('fastapi', 'uvicorn', 'starlette', 'h11'): sys.modules[name] = None\n"
        "from swindex.api.main import main\n"
        "sys.exit(main(['serve']))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "pip install 'swindex[serve]'" in done.stderr


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "swindex.api", *arguments], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_request_in_flight_is_answered_before_the_service_stops(tmp_path: Path, how: signal.Signals) -> None:
    program = (
        "import sys, time\n"
        "from swindex.api.service import documents\n"
        "def slow(*_): time.sleep(1.5); return {'slow': True}\n"
        "documents.history = slow\n"
        "from swindex.api.main import main\n"
        "sys.exit(main(['serve', '--port', '0']))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    url = next(json.loads(line)["url"] for line in process.stderr if '"listening"' in line)
    answers: list[httpx.Response] = []
    client = threading.Thread(target=lambda: answers.append(httpx.get(f"{url}/v1/models/a/b/history", timeout=20)))
    client.start()
    time.sleep(0.7)
    process.send_signal(how)
    client.join()
    rest = process.stderr.read()
    status = process.wait(20)

    assert [each.json() for each in answers] == [{"slow": True}]
    assert status == {signal.SIGTERM: 0, signal.SIGINT: 130}[how]
    assert '"event": "stopped"' in rest or how is signal.SIGINT
