"""A checkpoint on the Hub, read by the unmodified client from the loopback Hub: right bytes or a refusal, never else.

The waits between repetitions are made short; nothing else is.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch
from huggingface_hub import HfApi, constants

from swindex.crawler.checkpoint import base
from swindex.crawler.checkpoint import hub as reader
from swindex.crawler.checkpoint.base import INDEX, SINGLE
from swindex.crawler.checkpoint.hub import HubCheckpoint
from swindex.crawler.hub import pace, retry
from swindex.crawler.refusal import Refusal
from swindex.schema.errors import UsageError
from swindex.schema.ids import is_model_id
from swindex.schema.types import Outcome

from .clock import Clock
from .hostile.make import LIES, entry, pack
from .hostile.told import told
from .hub import Hub

STORIES = Path(__file__).parent / "checkpoints" / "stories260k"
CONFIG = json.dumps({"model_type": "llama", "hidden_size": 64})
DATA = bytes(range(256)) * 4
HEADER = {"a": entry(0, 512, "F32", [128]), "b": entry(512, 1024, "BF16", [256])}
WEIGHTS = pack(HEADER, DATA)
FILES = {"config.json": CONFIG, SINGLE: WEIGHTS}
READS = "/resolve/"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BASE_WAIT", 0.001)
    monkeypatch.setattr(retry, "ROUNDING", 0.0)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as running:
        yield running


@pytest.fixture
def ranged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights take several reads: the header does not bring them along."""
    monkeypatch.setattr(base, "FIRST_READ", len(WEIGHTS) - 1024)
    monkeypatch.setattr(HubCheckpoint, "max_read", 256)


def opened(hub: Hub, model_id: str = "org/m", revision: str | None = None, token: str | bool = False) -> HubCheckpoint:
    """A checkpoint of this Hub; anonymous unless a token is given."""
    return HubCheckpoint(model_id, revision, HfApi(endpoint=hub.url, token=token))


def read(checkpoint: HubCheckpoint) -> dict[str, bytes]:
    """All tensors, whole."""
    found: dict[str, bytes] = {}
    for info, at, data in checkpoint.read(list(checkpoint.tensors)):
        assert len(found.setdefault(info.name, b"")) == at
        found[info.name] += bytes(data)
    return found


def whole(hub: Hub, **more: Any) -> dict[str, bytes]:
    """All tensors of a checkpoint that is opened for it."""
    return read(opened(hub, **more))


def refusal(call: Callable[[], Any]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        call()
    return caught.value


class Elsewhere(ThreadingHTTPServer):
    """A server that is no Hub: what a path holds decides its status, headers and body."""

    def __init__(self, answers: dict[str, tuple[int, dict[str, str], bytes]]) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.answers = answers

    def __enter__(self) -> str:  # type: ignore[override]
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{self.server_port}"

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Answer(BaseHTTPRequestHandler):
    server: Elsewhere

    def do_GET(self) -> None:
        status, headers, body = next(a for part, a in self.server.answers.items() if part in self.path)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):  # the reader may have left
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


TENSORS = {"a": DATA[:512], "b": DATA[512:]}

# --- what is right ---


def test_the_bytes_are_the_library_s(hub: Hub) -> None:
    hub.add_folder("org/stories", STORIES)
    expected = {n: bytes(t["data"]) for n, t in safetensors.deserialize((STORIES / SINGLE).read_bytes())}

    assert whole(hub, model_id="org/stories") == expected


def test_every_request_and_byte_is_counted(hub: Hub, ranged: None) -> None:
    hub.add("org/m", FILES)
    checkpoint = opened(hub)
    read(checkpoint)
    _ = checkpoint.config

    assert checkpoint.meter.requests == hub.log.count() == 7
    assert checkpoint.meter.bytes == hub.log.sent(READS) == len(WEIGHTS) + len(CONFIG)


def test_repetitions_and_redirects_are_counted_too(hub: Hub, ranged: None) -> None:
    hub.state.cdn = True
    hub.add("org/m", FILES)
    hub.fault("status", READS, status=503, nth=2)
    hub.fault("truncate", "/cdn/", keep=3, nth=3)
    checkpoint = opened(hub)
    read(checkpoint)

    assert checkpoint.meter.requests == hub.log.count() == 14
    assert checkpoint.meter.bytes == hub.log.sent("/cdn/") == len(WEIGHTS) + 3


def test_ranges_are_exactly_those_of_the_tensors(hub: Hub, ranged: None) -> None:
    hub.add("org/m", FILES)
    whole(hub)
    start = len(WEIGHTS) - 1024

    assert [one.range for one in hub.log.select(READS)] == [
        f"bytes=0-{start - 1}",
        *(f"bytes={at}-{at + 255}" for at in range(start, start + 1024, 256)),
    ]


def test_an_empty_tensor_costs_no_request(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    content = pack({"a": entry(0, 4), "e": entry(4, 4), "b": entry(4, 8)}, b"abcdefgh")
    monkeypatch.setattr(base, "FIRST_READ", len(content) - 8)
    hub.add("org/m", {"config.json": CONFIG, SINGLE: content})
    checkpoint = opened(hub)
    _ = checkpoint.tensors
    before = hub.log.count()

    assert [(info.name, bytes(data)) for info, _, data in checkpoint.read(["e"])] == [("e", b"")]
    assert hub.log.count() == before


def test_what_was_read_can_be_handed_to_torch(hub: Hub, recwarn: pytest.WarningsRecorder) -> None:
    hub.add("org/m", FILES)

    [(_, _, data)] = opened(hub).read(["a"])

    assert torch.frombuffer(data, dtype=torch.float32).shape == (128,)
    assert not recwarn.list


def test_all_reads_are_of_the_commit_that_was_resolved(hub: Hub, ranged: None) -> None:
    sha = hub.add("org/m", FILES).head.sha
    hub.fault("move_main", READS, repo="org/m", files={SINGLE: pack(HEADER, DATA[::-1]), "config.json": "{}"})
    checkpoint = opened(hub)

    assert (checkpoint.revision, read(checkpoint), checkpoint.config) == (sha, TENSORS, json.loads(CONFIG))
    assert hub.repo("org/m").head.sha != sha
    assert {one.path.split("/")[4] for one in hub.log.select(READS)} == {sha}


def test_a_branch_is_resolved_once(hub: Hub, ranged: None) -> None:
    repo = hub.add("org/m", FILES)
    sha = repo.head.sha
    HfApi(endpoint=hub.url, token=hub.token).create_branch("org/m", branch="work/it")
    repo.write({"config.json": "{}"})
    hub.log.reset()
    checkpoint = opened(hub, revision="work/it")
    read(checkpoint)

    assert checkpoint.revision == sha
    assert hub.log.count("^/api/") == hub.log.count("work%2Fit") == 1


def test_a_commit_may_be_asked_for(hub: Hub) -> None:
    repo = hub.add("org/m", FILES)
    old = repo.head.sha
    repo.write({SINGLE: pack(HEADER, DATA[::-1])})

    assert whole(hub, revision=old) == TENSORS


def test_the_digests_that_the_hub_lists_are_told(hub: Hub) -> None:
    hub.add_folder("org/m", STORIES)

    [file] = opened(hub).files_read()

    assert file.sha256 == hashlib.sha256((STORIES / SINGLE).read_bytes()).hexdigest()


def test_a_redirect_to_another_host_drops_the_token(hub: Hub) -> None:
    hub.state.cdn = True
    hub.add("org/m", FILES, gated="auto")

    assert whole(hub, token=hub.token) == TENSORS
    assert [one.user for one in hub.log.select("^/cdn/")] == [False]


def test_shards_are_read_from_their_files(hub: Hub) -> None:
    parts = {f"{n}.safetensors": pack({n: entry(0, 4)}, n.encode() * 4) for n in ("a", "b")}
    index = json.dumps({"weight_map": {"a": "a.safetensors", "b": "b.safetensors"}})
    hub.add("org/m", {"config.json": CONFIG, INDEX: index, **parts})

    assert whole(hub) == {"a": b"aaaa", "b": b"bbbb"}


def test_weights_in_a_subfolder_are_not_the_model(hub: Hub) -> None:
    hub.add("org/m", {"config.json": CONFIG, f"onnx/{SINGLE}": WEIGHTS})

    assert refusal(lambda: opened(hub).tensors) == told(Outcome.FAILED, "org/m@", f"no {SINGLE}")


def test_a_repository_of_pickles_is_unsafe(hub: Hub) -> None:
    hub.add("org/m", {"config.json": CONFIG, "pytorch_model.bin": b"\x80\x04"})

    assert refusal(lambda: opened(hub).tensors) == told(Outcome.UNSAFE_FORMAT, "pytorch_model.bin")
    assert hub.log.count(READS) == 0


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["base_model:org/base", "base_model:quantized:org/base"], ("org/base", "quantized")),
        (["base_model:org/base"], ("org/base", None)),
        (["base_model:org/one", "base_model:org/two"], (None, None)),
        (["base_model:../evil"], (None, None)),
        (["base_model:org/base\n"], (None, None)),
        (["base_model:org/base.git"], (None, None)),
        (["base_model:hypnotized:org/base"], (None, None)),
        ([], (None, None)),
    ],
    ids=str,
)
def test_the_base_model_is_one_that_a_record_may_name(
    hub: Hub, tags: list[str], expected: tuple[str | None, str | None]
) -> None:
    hub.add("org/m", FILES, tags=tags)

    assert opened(hub).base_model == expected


# --- faults that pass ---

PASSING: dict[str, dict[str, Any]] = {
    "rate limit": {"kind": "status", "status": 429, "reset": 0},
    "429 without a word": {"kind": "status", "status": 429},
    "retry-after": {"kind": "status", "status": 429, "headers": {"Retry-After": "0"}},
    "retry-after as a date": {
        "kind": "status",
        "status": 503,
        "headers": {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"},
    },
    "408": {"kind": "status", "status": 408},
    "500": {"kind": "status", "status": 500},
    "502": {"kind": "status", "status": 502},
    "503": {"kind": "status", "status": 503},
    "504": {"kind": "status", "status": 504},
    "cut before the answer": {"kind": "cut"},
    "cut after the headers": {"kind": "cut", "after": 0},
    "cut in the body": {"kind": "cut", "after": 100},
    "truncated": {"kind": "truncate", "keep": 100},
    "truncated to nothing": {"kind": "truncate", "keep": 0},
    "length too long": {"kind": "length", "add": 5},
    "length too short": {"kind": "length", "add": -5},
    "range ignored": {"kind": "ignore_range"},
    "gzip": {"kind": "gzip"},
    "gzip of the range": {"kind": "gzip", "keep_range": True},
    "another etag": {"kind": "etag", "value": "1" * 64},
    "another range": {"kind": "headers", "set": {"Content-Range": "bytes 0-255/1024"}},
    "no range": {"kind": "headers", "set": {"Content-Range": None}},
    "another size": {"kind": "headers", "set": {"Content-Range": "bytes 135-390/99999"}},
}


@pytest.mark.parametrize("nth", [1, 2, 5])
@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_passes_leaves_no_trace(hub: Hub, ranged: None, fault: str, nth: int) -> None:
    hub.add("org/m", FILES)
    rule = hub.fault(path=SINGLE, nth=nth, **PASSING[fault])
    checkpoint = opened(hub)

    assert read(checkpoint) == TENSORS
    assert rule.hits == 1
    assert checkpoint.meter.requests == hub.log.count() == 7


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_information_is_asked_for_again(hub: Hub, status: int) -> None:
    hub.add("org/m", FILES)
    hub.fault("status", "^/api/models/", status=status, reset=0, times=2)

    assert whole(hub) == TENSORS
    assert [one.status for one in hub.log.select("^/api/models/")] == [status, status, 200]


@pytest.mark.parametrize("after", [None, 0, 50])
def test_information_that_breaks_off_is_asked_for_again(hub: Hub, after: int | None) -> None:
    hub.add("org/m", FILES)
    hub.fault("cut", "^/api/models/", after=after, times=1)

    assert whole(hub) == TENSORS


def test_a_small_file_with_a_flipped_bit_is_read_again(hub: Hub) -> None:
    hub.add("org/m", FILES)
    hub.fault("corrupt", "config.json", at=CONFIG.index("64"), times=1)

    assert opened(hub).config == json.loads(CONFIG)


def test_a_large_file_that_came_whole_with_a_flipped_bit_is_read_again(hub: Hub) -> None:
    hub.add("org/m", FILES)
    hub.fault("corrupt", SINGLE, at=len(WEIGHTS) - 1, times=1)

    assert whole(hub) == TENSORS


def test_a_header_with_a_flipped_bit_is_read_again(hub: Hub, ranged: None) -> None:
    hub.add("org/m", FILES)
    hub.fault("corrupt", SINGLE, at=WEIGHTS.index(b"data_offsets"), times=1)

    assert whole(hub) == TENSORS


def test_a_server_that_never_names_an_etag_is_read(hub: Hub, ranged: None) -> None:
    hub.add("org/m", FILES)
    hub.fault("headers", READS, set={"ETag": None, "X-Linked-Etag": None})

    assert whole(hub) == TENSORS


def test_a_whole_file_may_come_without_a_range(hub: Hub) -> None:
    hub.add("org/m", FILES)
    hub.fault("ignore_range", READS)

    assert whole(hub) == TENSORS


# --- waits ---


def test_the_server_s_wait_is_kept(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(retry, "ROUNDING", 1.0)
    monkeypatch.setattr(pace, "time", clock)
    hub.add("org/m", FILES)
    hub.fault("status", "^/api/models/", status=429, reset=55, times=1)
    hub.fault("status", "config.json", status=503, headers={"Retry-After": "7"}, times=1)

    _ = opened(hub).config

    assert clock.passed == 56.0 + 8.0


def test_waits_double_where_the_server_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BASE_WAIT", 1.0)

    waits = [retry.backoff(n) for n in range(retry.TRIES)]

    assert all(0.5 * 2**n <= wait <= 1.5 * 2**n for n, wait in enumerate(waits))


def test_a_server_that_asks_for_hours_is_not_waited_for(hub: Hub) -> None:
    hub.add("org/m", FILES)
    hub.fault("status", "^/api/models/", status=429, reset=86_400)

    assert refusal(lambda: opened(hub)) == told(Outcome.FAILED, "org/m: ", "answered 429; try again later")
    assert hub.log.count() == 1


def test_what_will_not_pass_is_not_repeated(hub: Hub) -> None:
    hub.add("org/m", FILES)
    hub.fault("status", READS, status=418)

    assert refusal(lambda: whole(hub)) == told(Outcome.FAILED, f"/{SINGLE}: ", "answered 418")
    assert hub.log.count(READS) == 1


# --- faults that stay ---

LASTING: dict[str, tuple[dict[str, Any], str]] = {
    "429": ({"kind": "status", "status": 429, "reset": 0}, "answered 429; try again later"),
    "500": ({"kind": "status", "status": 500}, "answered 500; try again later"),
    "503": ({"kind": "status", "status": 503}, "answered 503; try again later"),
    "404 of another server": ({"kind": "status", "status": 404}, "answered 404"),
    "401": ({"kind": "status", "status": 401}, "check HF_TOKEN"),
    "403": ({"kind": "status", "status": 403}, "check HF_TOKEN"),
    "a redirect to nowhere": ({"kind": "status", "status": 302}, "ignored Range (status 302)"),
    "cut": ({"kind": "cut", "after": 100}, "is http://127.0.0.1:"),
    "truncated": ({"kind": "truncate", "keep": 100}, "asked for 256 bytes, got 100"),
    "length too long": ({"kind": "length", "add": 5}, "is http://127.0.0.1:"),
    "length too short": ({"kind": "length", "add": -5}, "asked for 256 bytes, got 251"),
    "range ignored": ({"kind": "ignore_range"}, "the server ignored Range (status 200)"),
    "gzip": ({"kind": "gzip"}, "the server sent gzip"),
    "gzip of the range": ({"kind": "gzip", "keep_range": True}, "the server sent gzip"),
    "another etag": ({"kind": "etag", "value": "1" * 64}, f"became {'1' * 64}"),
    "another range": (
        {"kind": "headers", "set": {"Content-Range": "bytes 0-255/1159"}},
        "asked for bytes ",
    ),
    "no range": ({"kind": "headers", "set": {"Content-Range": None}}, "got None"),
    "no status of success": ({"kind": "status", "status": 204}, "ignored Range (status 204)"),
}


@pytest.mark.parametrize("fault", LASTING)
def test_a_fault_that_stays_is_a_failure(hub: Hub, ranged: None, fault: str) -> None:
    hub.add("org/m", FILES)
    checkpoint = opened(hub)
    _ = checkpoint.tensors
    settings, message = LASTING[fault]
    hub.fault(path=SINGLE, **settings)

    assert refusal(lambda: read(checkpoint)) == told(
        Outcome.FAILED, f"org/m@{checkpoint.revision[:8]}/{SINGLE}: ", message
    )


@pytest.mark.parametrize("status", [401, 403, 408, 429, 500, 502, 503, 504])
def test_an_outage_is_no_missing_model(hub: Hub, status: int) -> None:
    hub.add("org/m", FILES)
    hub.fault("status", status=status, reset=0)

    assert refusal(lambda: opened(hub)).outcome is Outcome.FAILED


@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_an_outage_while_access_is_checked_is_no_gate(hub: Hub, status: int) -> None:
    hub.add("org/m", FILES, gated="auto")
    hub.fault("status", "auth-check", status=status, reset=0)

    assert refusal(lambda: opened(hub, token=hub.token)).outcome is Outcome.FAILED


def test_a_body_that_ignores_the_range_is_not_read(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / SINGLE).open("wb") as file:
        header = pack({"a": entry(0, 64 << 20)})
        file.write(header)
        file.truncate(len(header) + (64 << 20))
    (tmp_path / "config.json").write_text(CONFIG)
    hub.add_folder("org/m", tmp_path)
    hub.fault("ignore_range", SINGLE)
    checkpoint = opened(hub)

    assert refusal(lambda: checkpoint.tensors) == told(Outcome.FAILED, "ignored Range")
    assert checkpoint.meter.bytes == 0


def test_a_body_longer_than_its_range_is_not_read_to_the_end() -> None:
    size = 16 << 20
    info = {"id": "org/m", "sha": "0" * 40, "siblings": [{"rfilename": SINGLE, "size": size}]}
    headers = {"Content-Range": f"bytes 5-9/{size}"}
    with Elsewhere({"/api/": (200, {}, json.dumps(info).encode()), READS: (206, headers, bytes(size))}) as url:
        checkpoint = HubCheckpoint("org/m", None, HfApi(endpoint=url, token=False))

        assert refusal(lambda: checkpoint.read_range(SINGLE, 5, 10)) == told(
            Outcome.FAILED, "asked for 5 bytes, got more"
        )
        assert checkpoint.meter.bytes < size


@pytest.mark.parametrize(
    "body", ["<html>maintenance</html>", "", "[]", "null", '{"id": 3', '{"siblings": 5}', '{"siblings": [5]}']
)
def test_an_answer_that_is_not_the_hub_s_is_a_failure(body: str) -> None:
    with Elsewhere({"/": (200, {}, body.encode())}) as url:
        api = HfApi(endpoint=url, token=False)

        assert refusal(lambda: HubCheckpoint("org/m", None, api)).outcome is Outcome.FAILED


@pytest.mark.parametrize("sha", [None, "main", "A" * 40, "0" * 39, 7])
def test_a_hub_that_names_no_commit_is_not_read(hub: Hub, sha: Any) -> None:
    hub.add("org/m", FILES, sha=sha)

    assert refusal(lambda: opened(hub)) == told(Outcome.FAILED, "org/m: the Hub names no commit")
    assert hub.log.count(READS) == 0


def test_a_hub_that_tells_no_sizes_is_a_failure() -> None:
    info = {"id": "org/m", "sha": "0" * 40, "siblings": [{"rfilename": "config.json"}]}
    with Elsewhere({"/": (200, {}, json.dumps(info).encode())}) as url:
        checkpoint = HubCheckpoint("org/m", None, HfApi(endpoint=url, token=False))

        assert refusal(lambda: checkpoint.config) == told(Outcome.FAILED, "does not say how large config.json is")


def test_a_file_that_is_listed_and_not_there_is_a_failure(hub: Hub) -> None:
    hub.add("org/m", FILES)
    gone = {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}
    hub.fault("status", READS, status=404, headers=gone)

    assert refusal(lambda: opened(hub).config) == told(Outcome.FAILED, "/config.json: the Hub lists this file")


def test_a_file_shorter_than_listed_is_a_failure(hub: Hub, ranged: None) -> None:
    hub.add("org/m", FILES)
    checkpoint = opened(hub)
    _ = checkpoint.tensors
    hub.fault("status", READS, status=416)

    assert refusal(lambda: read(checkpoint)) == told(Outcome.FAILED, "no byte ", "though the Hub lists more")


def test_a_small_file_that_is_never_what_the_hub_lists_is_a_failure(hub: Hub) -> None:
    hub.add("org/m", FILES)
    hub.fault("corrupt", "config.json", at=CONFIG.index("64"))

    assert refusal(lambda: opened(hub).config) == told(Outcome.FAILED, "config.json: ", "another digest")


@pytest.mark.parametrize("lie", ["hole", "duplicate-key", "header-of-100-megabytes", "no-bytes", "three-bytes"])
def test_a_file_that_lies_is_corrupt(hub: Hub, lie: str) -> None:
    hub.add("org/m", {"config.json": CONFIG, SINGLE: LIES[lie].content})

    assert refusal(lambda: opened(hub).tensors) == told(Outcome.CORRUPT, SINGLE, LIES[lie].message)


# --- who may read ---


def test_a_missing_model_is_not_found(hub: Hub) -> None:
    for token in (False, hub.token):
        assert refusal(lambda t=token: opened(hub, "org/none", token=t)) == told(  # type: ignore[misc]
            Outcome.NOT_FOUND, "org/none: not on the Hub, or private"
        )


def test_a_missing_revision_is_not_found(hub: Hub) -> None:
    hub.add("org/m", FILES)

    for revision in ("v9", "0" * 40, "../../x", "a b", "ü"):
        assert refusal(lambda r=revision: opened(hub, revision=r)) == told(  # type: ignore[misc]
            Outcome.NOT_FOUND, "org/m: no such revision"
        )


def test_an_empty_revision_is_wrong_usage(hub: Hub) -> None:
    with pytest.raises(UsageError, match="the revision is empty"):
        opened(hub, revision=" ")
    assert hub.log.count() == 0


def test_a_gated_model_is_gated_for_the_anonymous_and_for_strangers(hub: Hub) -> None:
    hub.add("org/m", FILES, gated="manual")

    for token in (False, hub.stranger):
        assert refusal(lambda t=token: opened(hub, token=t)) == told(  # type: ignore[misc]
            Outcome.GATED, "org/m: gated: ask for access on its page and set HF_TOKEN"
        )
    assert hub.log.count(READS) == 0


def test_a_gated_model_is_read_with_a_token(hub: Hub) -> None:
    hub.add("org/m", FILES, gated="manual")

    checkpoint = opened(hub, token=hub.token)

    assert read(checkpoint) == TENSORS
    assert checkpoint.meter.requests == hub.log.count()


def test_a_model_that_becomes_gated_is_gated(hub: Hub) -> None:
    repo = hub.add("org/m", FILES)
    checkpoint = opened(hub)
    repo.meta["gated"] = "manual"

    assert refusal(lambda: checkpoint.tensors) == told(Outcome.GATED, "org/m@", "gated: ask for access")


def test_a_private_model_is_not_found_by_strangers(hub: Hub) -> None:
    hub.add("org/m", FILES, private=True)

    assert refusal(lambda: opened(hub, token=hub.stranger)).outcome is Outcome.NOT_FOUND
    assert whole(hub, token=hub.token) == TENSORS


def test_a_disabled_model_says_so(hub: Hub) -> None:
    hub.add("org/m", FILES, disabled=True)

    assert refusal(lambda: opened(hub)) == told(Outcome.GATED, "org/m: disabled by the Hub")


def test_a_token_that_nobody_holds_is_named(hub: Hub) -> None:
    hub.add("org/m", FILES)

    assert refusal(lambda: opened(hub, token="hf_unknown")) == told(Outcome.FAILED, "org/m: ", "check HF_TOKEN")


# --- the token ---

SECRET = "hf_loopback"


@pytest.mark.parametrize("fault", [*PASSING, *LASTING])
def test_the_token_is_in_no_message_and_no_log(
    hub: Hub, ranged: None, fault: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    hub.add("org/m", FILES, gated="manual")
    hub.fault(path=SINGLE, **PASSING.get(fault) or LASTING[fault][0])
    said = []
    try:
        whole(hub, token=SECRET)
    except Refusal as caught:
        said = [str(caught), repr(caught), repr(caught.__cause__)]

    assert SECRET not in "".join([*said, caplog.text, *capfd.readouterr()])


@pytest.mark.parametrize("token", ["hf_se\x01cret", "hf_se\ncret", "hf_sécret", "hf_se\0cret"], ids=ascii)
def test_a_token_that_cannot_be_sent_is_not_repeated(hub: Hub, token: str) -> None:
    hub.add("org/m", FILES)

    found = refusal(lambda: opened(hub, token=token))

    assert found == told(Outcome.FAILED, "org/m: ", "HF_TOKEN")
    assert "cret" not in str(found)


# --- names ---

NO_IDS = [
    *(
        "..",
        "../x",
        "org/..",
        "org/../x",
        "a/b/c",
        "gpt2",
        "",
        "/",
        "org/",
        "/name",
        "org//name",
        "org/--x",
        "org/a--b",
    ),
    *("org/a..b", "org/.hidden", "org/x-", "org/x.git", "org/a b", "org/a\n", "org/a\0", "órg/naïve", "org/模型"),
    *(
        "org/$(id)",
        "org/a;b",
        "org/a|b",
        "org/a&b",
        "org/a?b",
        "org/a#b",
        "org/a%2e%2e",
        "org/a@b",
        "org\\a",
        "org/a:b",
    ),
    *(
        "org/a--b",
        "org/a:b",
        "http://127.0.0.1/x",
        "org/" + "a" * 97,
        "datasets/org/name",
        "org/a'b",
        'org/a"b',
        "org/~",
        "org/*",
    ),
]


@pytest.mark.parametrize("model_id", NO_IDS, ids=ascii)
def test_what_is_no_model_id_is_wrong_usage_and_asks_nothing(hub: Hub, model_id: str) -> None:
    with pytest.raises(UsageError) as caught:
        opened(hub, model_id)

    assert (caught.value.exit_status, hub.log.count()) == (2, 0)
    assert str(caught.value) == f"{model_id!r} is not a model id of the form org/name"


@pytest.mark.parametrize("model_id", ["org/name", "a/b", "Org-1/na_me.v2", "0/0", "_a_/_b_"])
def test_what_is_a_model_id(model_id: str) -> None:
    assert is_model_id(model_id)


# --- no Hub at all ---


def test_an_endpoint_that_does_not_answer_is_named() -> None:
    with Hub() as gone:
        pass

    assert refusal(lambda: opened(gone)) == told(Outcome.FAILED, "org/m: ConnectError", f"is {gone.url} reachable?")


@pytest.mark.parametrize("endpoint", ["nonsense", "ftp://127.0.0.1/", "http://127.0.0.1:99999", "http://"])
def test_an_endpoint_that_is_none_is_a_failure(endpoint: str) -> None:
    found = refusal(lambda: HubCheckpoint("org/m", None, HfApi(endpoint=endpoint, token=False)))

    assert found == told(Outcome.FAILED, "org/m: ", endpoint.rstrip("/"))


def test_a_hub_that_goes_away_while_it_is_read_is_a_failure(ranged: None) -> None:
    with Hub() as hub:
        hub.add("org/m", FILES)
        checkpoint = opened(hub)
        _ = checkpoint.tensors

    assert refusal(lambda: read(checkpoint)) == told(Outcome.FAILED, f"/{SINGLE}: ConnectError")


def test_a_hub_that_stalls_is_a_failure(hub: Hub, ranged: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "TIMEOUT", 0.1)
    monkeypatch.setattr(retry, "TRIES", 2)
    hub.add("org/m", FILES)
    hub.fault("slow", READS, delay=5)

    assert refusal(lambda: whole(hub)) == told(Outcome.FAILED, f"/{SINGLE}: ReadTimeout")


def test_offline_is_offline(hub: Hub) -> None:
    hub.add("org/m", FILES)
    script = (
        "from swindex.crawler.checkpoint.hub import HubCheckpoint\n"
        "from swindex.crawler.refusal import Refusal\n"
        "try: HubCheckpoint('org/m')\n"
        "except Refusal as refusal: print(refusal.outcome, refusal)\n"
    )
    env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=60)

    assert done.stdout == "failed org/m: HF_HUB_OFFLINE is set: unset it to read from the Hub\n"
    assert (done.stderr, hub.log.count()) == ("", 0)


def test_the_endpoint_of_the_environment_is_the_default() -> None:
    assert HfApi().endpoint == constants.ENDPOINT
