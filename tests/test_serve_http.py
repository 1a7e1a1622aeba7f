"""What the service does with HTTP: ETags, compression, ranges, other methods, other origins, caches, logs, figures."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from swindex.api.reading import shipped
from swindex.api.service.answer import matches, takes_gzip

from . import released
from .served import Served, serving

MODEL = "/v1/models/huggyllama/llama-7b"
EVERY = (MODEL, f"{MODEL}/history", f"{MODEL}/verify", "/v1/models", "/v1/changes", "/v1/dataset", "/v1/schema/view")
FILES = ("/root.json", "/changes/000000.70.jsonl", "/versions/000000.70.jsonl")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving() as found:
        yield found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("site")
    released.write(shipped(), directory, leaf=8)
    with serving(directory) as found:
        yield found


# --- ETags ---


@pytest.mark.parametrize("path", [*EVERY, *FILES, "/v1/dataset/jsonl", "/openapi.json"])
def test_an_etag_is_strong_and_spares_the_body(served: Served, path: str) -> None:
    first = served.get(path)
    again = served.get(path, if_none_match=first.headers["etag"])

    assert first.headers["etag"][0] == '"'
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert again.headers["cache-control"] == first.headers["cache-control"]


@pytest.mark.parametrize("known", ["*", "W/{}", '"other", {}', '"a,b" , W/{} ,"c"', "{}"])
def test_if_none_match_is_a_list_compared_weakly(served: Served, known: str) -> None:
    tag = served.get(MODEL).headers["etag"]

    assert served.get(MODEL, if_none_match=known.replace("{}", tag)).status_code == 304


@pytest.mark.parametrize("known", ['"other"', "", '"', 'W/"x", "y"', "nonsense"])
def test_another_etag_gets_the_body(served: Served, known: str) -> None:
    assert served.get(MODEL, if_none_match=known).status_code == 200


def test_the_etag_of_a_document_is_the_digest_of_its_body(served: Served) -> None:
    found = served.get(MODEL)

    assert found.headers["etag"] == f'"{hashlib.sha256(found.content).hexdigest()[:40]}"'


def test_two_documents_have_two_etags(served: Served) -> None:
    assert len({served.get(path).headers["etag"] for path in EVERY}) == len(EVERY)


# --- compression ---


def test_a_compressed_answer_is_the_same_with_an_etag_of_its_own(served: Served) -> None:
    plain = served.get(MODEL)
    zipped = served.get(MODEL, accept_encoding="gzip")  # decoded by the client

    assert (zipped.headers["content-encoding"], zipped.content) == ("gzip", plain.content)
    assert int(zipped.headers["content-length"]) < len(plain.content)
    assert zipped.headers["etag"] != plain.headers["etag"]
    assert plain.headers["vary"] == zipped.headers["vary"] == "Accept-Encoding"


def test_either_etag_spares_the_body(served: Served) -> None:
    tag = served.get(MODEL, accept_encoding="gzip").headers["etag"]

    assert served.get(MODEL, accept_encoding="gzip", if_none_match=tag).status_code == 304


def test_a_small_answer_is_not_compressed(served: Served) -> None:
    found = served.get("/healthz", accept_encoding="gzip")

    assert "content-encoding" not in found.headers


def test_compressed_bytes_are_gzip(served: Served) -> None:
    raw = served.target(MODEL.encode(), b"Accept-Encoding: br, gzip;q=0.5")[1]

    assert json.loads(gzip.decompress(raw))["model"]["id"] == "huggyllama/llama-7b"


@pytest.mark.parametrize(
    ("encodings", "taken"),
    [
        ("gzip", True),
        ("br, GZIP", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0, *", False),
        ("gzip;q=0.001", True),
        ("identity", False),
        ("", False),
        ("gzipped", False),
        ("*;q=0", False),
    ],
)
def test_gzip_is_sent_to_those_who_take_it(encodings: str, taken: bool) -> None:
    assert takes_gzip(encodings) is taken


def test_an_etag_within_another_is_none() -> None:
    assert not matches('"xabc"', '"abc"')


# --- methods, origins, headers ---


CHANGING = {"/v1/dataset/jsonl": ("content-length",), "/healthz": ("content-length", "etag")}
"""Headers that differ from one answer to the next: health is told by the second."""


@pytest.mark.parametrize("path", [*EVERY, *FILES, "/v1/dataset/jsonl", "/healthz"])
def test_head_is_get_without_its_body(served: Served, path: str) -> None:
    got, head = served.get(path), served.ask("HEAD", path)
    varying = {"date", "x-request-id", "transfer-encoding", *CHANGING.get(path, ())}

    assert (head.status_code, head.content) == (200, b"")
    assert {n: v for n, v in head.headers.items() if n not in varying} == {
        n: v for n, v in got.headers.items() if n not in varying
    }


def test_head_of_an_unknown_model_is_404(served: Served) -> None:
    assert served.ask("HEAD", "/v1/models/a/b").status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_another_method_is_405_and_says_which_there_are(served: Served, method: str) -> None:
    found = served.ask(method, MODEL)

    assert (found.status_code, found.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert (found.headers["content-type"], found.json()["type"]) == (
        "application/problem+json",
        "/problems/method-not-allowed",
    )


def test_options_says_what_may_be_asked(served: Served) -> None:
    found = [served.ask("OPTIONS", path) for path in (MODEL, "/v1/query", "/root.json", "/nothing")]

    assert [each.status_code for each in found] == [204, 204, 204, 404]
    assert [each.headers.get("allow") for each in found[:3]] == [
        "GET, HEAD, OPTIONS",
        "OPTIONS, POST",
        "GET, HEAD, OPTIONS",
    ]


def test_a_page_of_another_origin_may_ask(served: Served) -> None:
    asks = {"origin": "https://a.example", "access_control_request_method": "POST"}
    found = served.ask("OPTIONS", "/v1/query", **asks)

    assert found.headers["access-control-allow-origin"] == "*"
    assert "POST" in found.headers["access-control-allow-methods"]
    assert "Content-Type" in found.headers["access-control-allow-headers"]
    assert served.get(MODEL, origin="https://a.example").headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("path", [MODEL, "/v1/models/a/b", "/nothing", "/root.json", "/healthz", "/v1/dataset/jsonl"])
def test_every_answer_has_the_headers_that_protect_its_reader(served: Served, path: str) -> None:
    head = served.get(path).headers

    assert head["x-content-type-options"] == "nosniff"
    assert head["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert "server" not in head


def test_what_can_change_is_cached_for_a_minute_and_what_cannot_for_good(served: Served) -> None:
    cached = {path: served.get(path).headers["cache-control"] for path in (MODEL, "/root.json", FILES[1], "/healthz")}

    assert cached[MODEL].startswith("public, max-age=60, stale-while-revalidate=")
    assert cached["/root.json"] == cached[MODEL]
    assert cached[FILES[1]] == "public, max-age=31536000, immutable"
    assert cached["/healthz"] == "no-store"


def test_the_id_of_a_request_is_given_back_if_it_is_one(served: Served) -> None:
    given, made = served.get(MODEL, x_request_id="abc-1"), served.get(MODEL, x_request_id="a b")

    assert given.headers["x-request-id"] == "abc-1"
    assert len(made.headers["x-request-id"]) == 32


# --- problems ---


@pytest.mark.parametrize("path", ["/nothing", "/v1", "/v1/models/a", "/v1/models/a/b/c", "/v1/dataset/csv/x", "//"])
def test_an_unknown_address_is_a_problem(served: Served, path: str) -> None:
    found = served.get(path)

    assert (found.status_code, found.headers["content-type"]) == (404, "application/problem+json")
    assert found.json()["type"] == "/problems/not-found"


def test_a_type_of_problem_is_an_address(served: Served) -> None:
    kind = served.get("/v1/models/a/b").json()["type"]

    assert served.get(kind).json()["title"] == "Not in the index"
    assert served.get("/problems/nonesuch").status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "limit=x",
        "verdict=nope",
        "qeury=a",
        "limit=1&limit=2",
        "query=",
        "query=%00",
        "query=%0A",
    ],
)
def test_a_malformed_parameter_is_a_problem(served: Served, query: str) -> None:
    found = served.get(f"/v1/models?{query}")

    assert (found.status_code, found.json()["type"]) == (422, "/problems/invalid-request")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"models": []}', b'{"models": [1]}', b'{"models": ["a/b"], "x": 1}', b"\xff", b"null"]
)
def test_a_malformed_body_is_a_problem(served: Served, body: bytes) -> None:
    found = served.ask("POST", "/v1/query", body, content_type="application/json")

    assert (found.status_code, found.headers["content-type"]) == (422, "application/problem+json")


def test_what_was_sent_is_not_sent_back(served: Served) -> None:
    found = served.get("/v1/models?verdict=hf_secretsecret")

    assert (found.status_code, "hf_secret" in found.text) == (422, False)


# --- the static site ---


def test_a_range_of_a_file_is_that_range(site: Served) -> None:
    whole = site.get(FILES[2])
    part = site.get(FILES[2], range="bytes=100-299")

    assert (part.status_code, part.content) == (206, whole.content[100:300])
    assert part.headers["content-range"] == f"bytes 100-299/{len(whole.content)}"
    assert part.headers["etag"] == whole.headers["etag"]


@pytest.mark.parametrize("asked", ["bytes=5-1", "bytes=-", "lines=0-1", "bytes=0-1,3-4", "bytes=a-b"])
def test_no_range_or_several_is_the_whole_file(site: Served, asked: str) -> None:
    assert site.get(FILES[1], range=asked).status_code == 200


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=-0"])
def test_a_range_beyond_the_end_is_a_problem(site: Served, asked: str) -> None:
    found, size = site.get(FILES[1], range=asked), len(site.get(FILES[1]).content)

    assert (found.status_code, found.headers["content-range"]) == (416, f"bytes */{size}")
    assert found.headers["content-type"] == "application/problem+json"


def test_a_range_of_another_content_is_the_whole_file(site: Served) -> None:
    assert site.get(FILES[1], range="bytes=0-1", if_range='"other"').status_code == 200


def test_every_node_is_served_under_its_digest(site: Served) -> None:
    node = site.get("/root.json").json()["tree"]
    found = site.get(f"/nodes/{node[:2]}/{node}.json")

    assert hashlib.sha256(found.content).hexdigest() == node
    assert found.headers["cache-control"].endswith("immutable")


@pytest.mark.parametrize("path", ["/changes/000000.71.jsonl", "/nodes/00/" + "0" * 64 + ".json", "/index.duckdb"])
def test_a_file_that_is_not_of_the_release_is_a_problem(site: Served, path: str) -> None:
    assert site.get(path).status_code == 404


def test_files_beside_the_release_are_not_served(tmp_path: Path) -> None:
    released.write(shipped(), tmp_path)
    (tmp_path / "secret.txt").write_text("x")
    (tmp_path / "README.md").write_text("not named by the root")
    with serving(tmp_path) as served:
        found = [served.get(path).status_code for path in ("/secret.txt", "/README.md", "/.release.lock")]

    assert found == [404, 404, 404]


# --- logs and figures ---


def test_a_request_is_a_line_of_the_log_without_what_it_asked() -> None:
    with serving() as served:
        served.get("/v1/models?query=hf_token_secret", x_request_id="r1", authorization="Bearer hf_token_secret")
        [line] = served.lines(id="r1")
        log = served.log

    assert {n: line[n] for n in ("event", "method", "route", "status")} == {
        "event": "request",
        "method": "GET",
        "route": "/v1/models",
        "status": 200,
    }
    assert line["ms"] > 0
    assert line["bytes"] > 0
    assert "hf_token_secret" not in json.dumps(log)
    assert "127.0.0.1" not in json.dumps(line)


def test_a_file_is_logged_by_its_pattern() -> None:
    with serving() as served:
        served.get(FILES[1], x_request_id="r1")
        [line] = served.lines(id="r1")

    assert line["route"] == "/changes/{name}.jsonl"


def test_addresses_are_logged_if_asked() -> None:
    with serving(log_ip=True) as served:
        served.get("/healthz", x_request_id="r1")
        [line] = served.lines(id="r1")

    assert line["ip"] == "127.0.0.1"


def test_figures_count_by_route_and_status() -> None:
    with serving() as served:
        for path in (MODEL, MODEL, "/v1/models/a/b", "/nothing/at/all"):
            served.get(path)
        text = served.get("/metrics").text

    assert 'swindex_requests_total{route="/v1/models/{org}/{name}",method="GET",status="200"} 2\n' in text
    assert 'swindex_requests_total{route="/v1/models/{org}/{name}",method="GET",status="404"} 1\n' in text
    assert 'swindex_requests_total{route="(none)",method="GET",status="404"} 1\n' in text
    assert 'swindex_request_seconds_count{route="/v1/models/{org}/{name}"} 3\n' in text
    assert "\nswindex_index_seq 70\n" in text
    assert "\nswindex_index_newest_timestamp_seconds 1795219200\n" in text  # 2026-11-21T00:00:00Z


def test_buckets_of_the_histogram_never_fall() -> None:
    with serving() as served:
        served.get(MODEL)
        lines = [x for x in served.get("/metrics").text.splitlines() if "_bucket" in x and "{name}" in x]

    counts = [int(line.rpartition(" ")[2]) for line in lines]
    assert counts == sorted(counts)
    assert 'le="+Inf"' in lines[-1]
    assert counts[-1] == 1
