"""Root and nodes of a release as they are read: what is accepted, and that nothing else is."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swindex.index import site
from swindex.index.errors import DamagedRelease
from swindex.schema.canonical import canonical_bytes

from .test_import_weight import HEAVY

A, B = "a" * 64, "b" * 64
ROOT: dict[str, Any] = {
    "chain": A,
    "crawl": None,
    "files": {"index.duckdb": {"sha256": B, "size": 7}},
    "format": 1,
    "models": 2,
    "newest": "2026-11-21T07:00:00Z",
    "previous": {"chain": B, "seq": 2},
    "released": "2026-11-22T00:00:00Z",
    "schema": "1.1",
    "seq": 3,
    "tree": B,
}
CRAWL = {
    "started": "2026-11-20T00:00:00Z",
    "ended": "2026-11-20T01:00:00Z",
    "complete": True,
    "stopped": None,
    "listed": 5,
    "eligible": 3,
    "indexed": 2,
}
EMPTY = {**ROOT, "chain": site.NO_CHAIN, "models": 0, "newest": None, "previous": None, "seq": 0}


def node(content: Any, prefix: str = "", newest: int = 100) -> site.Leaf | site.Inner:
    data = canonical_bytes(content)
    return site.parse_node(data, hashlib.sha256(data).hexdigest(), prefix, newest)


@pytest.mark.parametrize("said", [ROOT, EMPTY, {**ROOT, "crawl": CRAWL}, {**ROOT, "previous": None}])
def test_a_root_is_written_as_it_was_read(said: dict[str, Any]) -> None:
    assert json.loads(site.Root.parse(canonical_bytes(said)).to_bytes()) == said


def test_fields_of_a_newer_writer_are_left_out() -> None:
    newer = {**ROOT, "signature": "?", "crawl": {**CRAWL, "more": [1]}}

    assert site.Root.parse(canonical_bytes(newer)) == site.Root.parse(canonical_bytes({**ROOT, "crawl": CRAWL}))


WRONG: dict[str, list[Any]] = {
    "chain": [A[:-1], A.upper(), A + "\n", None, 1],
    "crawl": [{}, {**CRAWL, "complete": 1}, {**CRAWL, "listed": True}, [], 0],
    "files": [
        None,
        {"../x": {"sha256": B, "size": 1}},
        {"/etc/passwd": {"sha256": B, "size": 1}},
        {"a/../b": {"sha256": B, "size": 1}},
        {"root.json": {"sha256": B, "size": 1}},
        {"changes/000000.1.jsonl": {"sha256": B, "size": 1}},
        {".hidden": {"sha256": B, "size": 1}},
        {"a\\b": {"sha256": B, "size": 1}},
        {"a": {"sha256": B, "size": -1}},
        {"a": {"sha256": B, "size": 1.5}},
        {"a": {"sha256": B}},
        {"a": {"sha256": "b", "size": 1}},
        {str(n): {"sha256": B, "size": 1} for n in range(10_001)},
    ],
    "format": [2, "1", None, 0],
    "models": [-1, 4, 0, True, 1.5, "2"],
    "newest": [None, "2026-11-21", "2026-11-21T07:00:00Z\n", 1],
    "previous": [{}, {"chain": A}, {"chain": A, "seq": 4}, {"chain": A, "seq": True}, 0, "x"],
    "released": [None, "now"],
    "schema": ["2.0", "1.", 1.1, None],
    "seq": [0, -1, 1, 10**12, 3.5, False, "3"],
    "tree": [None, "x"],
}


@pytest.mark.parametrize(("field", "value"), [(f, v) for f, values in WRONG.items() for v in values], ids=str)
def test_a_root_with_a_wrong_field_is_refused(field: str, value: Any) -> None:
    with pytest.raises(DamagedRelease, match=r"^root\.json: "):
        site.Root.parse(json.dumps({**ROOT, field: value}).encode())


@pytest.mark.parametrize("field", sorted(ROOT))
def test_a_root_without_a_field_is_refused(field: str) -> None:
    with pytest.raises(DamagedRelease):
        site.Root.parse(canonical_bytes({k: v for k, v in ROOT.items() if k != field}))


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"null", b"{", b'{"a":1,"a":1}', b"\xff", b'{"seq":NaN}', b"[" * 100_000, b" " * (site.ROOT_MOST + 1)],
    ids=lambda data: repr(data[:20]),
)
def test_what_is_no_object_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(DamagedRelease) as caught:
        site.Root.parse(data)

    assert "\n" not in str(caught.value)


def test_a_leaf_is_written_as_it_was_read() -> None:
    said = {"models": {"org/a": [A, [[1, 0, 10], [3, 11, 20]]], "org/b": [B, [[2, 5, 5]]]}}
    leaf = node(said)

    assert isinstance(leaf, site.Leaf)
    assert json.loads(leaf.to_bytes()) == said
    assert leaf.models["org/a"] == site.Place(A, (site.Span(1, 0, 10), site.Span(3, 11, 20)))


def test_a_leaf_finds_a_model_in_any_case() -> None:
    leaf = node({"models": {"Org/A": [A, [[1, 0, 10]]]}})

    assert isinstance(leaf, site.Leaf)
    assert [found and found[0] for found in map(leaf.find, ["Org/A", "org/a", "ORG/A", "org/b"])] == ["Org/A"] * 3 + [
        None
    ]


def test_the_key_is_the_sha256_of_the_lower_cased_id() -> None:
    assert site.key_of("Org/A") == hashlib.sha256(b"org/a").hexdigest()


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        {"models": []},
        {"models": {}, "nodes": {}},
        {"nodes": {}},
        {"nodes": {"g": A}},
        {"nodes": {"00": A}},
        {"nodes": {"0": "x"}},
        {"nodes": {"0": None}},
        {"models": {"no-slash": [A, [[1, 0, 1]]]}},
        {"models": {"../x": [A, [[1, 0, 1]]]}},
        {"models": {"org/a": [A, []]}},
        {"models": {"org/a": [A]}},
        {"models": {"org/a": ["x", [[1, 0, 1]]]}},
        {"models": {"org/a": [A, [[0, 0, 1]]]}},
        {"models": {"org/a": [A, [[101, 0, 1]]]}},
        {"models": {"org/a": [A, [[1, -1, 1]]]}},
        {"models": {"org/a": [A, [[1, 0, 0]]]}},
        {"models": {"org/a": [A, [[1, 0, site.LINE_MOST + 1]]]}},
        {"models": {"org/a": [A, [[2, 0, 1], [1, 2, 1]]]}},
        {"models": {"org/a": [A, [[1, 0, 1], [1, 2, 1]]]}},
        {"models": {"org/a": [A, [[True, 0, 1]]]}},
        {"models": {"org/a": [A, [[1, 0]]]}},
        {"models": {"org/a": [A, [[1, 0, 1]]], "Org/a": [A, [[2, 0, 1]]]}},
        {"models": {f"org/m{n}": [A, [[1, 0, 1]]] for n in range(site.LEAF + 1)}},
    ],
    ids=lambda content: json.dumps(content)[:60],
)
def test_a_malformed_node_is_refused(content: Any) -> None:
    with pytest.raises(DamagedRelease):
        node(content)


def test_a_node_that_is_not_the_one_it_is_named_after_is_refused() -> None:
    with pytest.raises(DamagedRelease, match="not those that its name says"):
        site.parse_node(b'{"models":{}}', A)


def test_a_model_below_the_wrong_node_is_refused() -> None:
    said = {"models": {"org/a": [A, [[1, 0, 10]]]}}
    right = site.key_of("org/a")[0]

    assert node(said, right)
    with pytest.raises(DamagedRelease, match="not its own"):
        node(said, "0" if right != "0" else "1")


def test_reading_a_release_loads_nothing_heavy() -> None:
    code = "import sys, swindex.index.site; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert set(done.stdout.split()) & (HEAVY | {"pyarrow", "dataclasses", "filelock"}) == set()


@given(st.integers(0, 5000), st.integers(0, 5000))
def test_the_segments_hold_each_change_once(newest: int, since: int) -> None:
    held = [
        seq
        for number, count in site.segments(newest, since)
        for seq in range(number * site.SEGMENT + 1, number * site.SEGMENT + count + 1)
    ]

    assert [seq for seq in held if seq > since] == list(range(since + 1, newest + 1))
    assert all(site.segment_of(seq) * site.SEGMENT < seq <= (site.segment_of(seq) + 1) * site.SEGMENT for seq in held)
    assert len(held) <= max(newest - since, 0) + site.SEGMENT


@pytest.mark.parametrize(
    ("path", "is_safe"),
    [
        ("parquet/models/00000.parquet", True),
        ("index.duckdb", True),
        ("README.md", True),
        ("a..b", False),
        ("a/", False),
        ("/a", False),
        ("a//b", False),
        ("a/./b", False),
        ("C:/x", False),
        ("nodes/aa/x.json", False),
        ("a\n", False),
        ("", False),
        (None, False),
    ],
)
def test_paths_of_files_are_safe(path: Any, is_safe: bool) -> None:
    assert site.is_path(path) is is_safe
