"""The files of a release: what they are called, what root and nodes say, and how much any of them may hold.

A release directory is a dataset repository and a static site at once. `root.json` alone changes in place (`site_root`).
`changes/` and `versions/` hold the feed and the versions themselves in segments: line k of the one is about line k of
the other. They are immutable by name, for the name says how many lines there are. `nodes/` is a tree over sha256 of the
lower-cased model id, of nodes named by their own sha256: the top one's digest names the newest version of every model.

Bytes in, values out: knows neither disk nor network. All that is parsed is hostile until it was. Standard library and
`schema.canonical` only, for the lookup of one model.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ..schema.canonical import canonical_bytes
from ..schema.ids import is_model_id
from .site_root import (
    CHANGES,
    FORMAT,
    NO_CHAIN,
    NODES,
    ROOT,
    ROOT_MOST,
    SEQ_MOST,
    SIZE_MOST,
    VERSIONS,
    File,
    Head,
    Root,
    is_digest,
    is_path,
    must,
    parsed_object,
)

__all__ = [
    "CHANGES",
    "CHANGES_MOST",
    "FORMAT",
    "LEAF",
    "LINE_MOST",
    "NODES",
    "NODE_MOST",
    "NO_CHAIN",
    "ROOT",
    "ROOT_MOST",
    "SEGMENT",
    "SEQ_MOST",
    "VERSIONS",
    "File",
    "Head",
    "Inner",
    "Leaf",
    "Place",
    "Root",
    "Span",
    "changes_name",
    "count_of",
    "is_digest",
    "is_path",
    "key_of",
    "node_name",
    "parse_node",
    "segment_of",
    "segments",
    "versions_name",
]

SEGMENT = 1000
"""Changes in a segment; segment n holds seq n * SEGMENT + 1 to (n + 1) * SEGMENT."""
LEAF = 256
"""Models that a leaf holds at most; more are divided by the next hex digit of their keys."""
NODE_MOST = 1 << 24
LINE_MOST = 1 << 26
"""Bytes of a version."""
CHANGES_MOST = SEGMENT * 2048
"""Bytes of a segment of changes."""


# --- names ---


def key_of(model_id: str) -> str:
    """The place of a model in the tree: hex sha256 of its id in lower case."""
    return hashlib.sha256(model_id.lower().encode()).hexdigest()


def node_name(digest: str) -> str:
    """The path of a node."""
    return f"{NODES}/{digest[:2]}/{digest}.json"


def changes_name(segment: int, count: int) -> str:
    """The path of the first `count` changes of a segment."""
    return f"{CHANGES}/{segment:06d}.{count}.jsonl"


def versions_name(segment: int, count: int) -> str:
    """The path of the versions that these changes are about."""
    return f"{VERSIONS}/{segment:06d}.{count}.jsonl"


def segment_of(seq: int) -> int:
    """The segment that holds a change."""
    return (seq - 1) // SEGMENT


def count_of(segment: int, newest: int) -> int:
    """How many changes a segment holds in a release whose last change is `newest`."""
    return min(SEGMENT, newest - segment * SEGMENT)


def segments(newest: int, since: int = 0) -> Iterator[tuple[int, int]]:
    """Yield number and count of each segment with a change after `since`, up to `newest`."""
    return ((n, count_of(n, newest)) for n in range(since // SEGMENT, (newest + SEGMENT - 1) // SEGMENT))


# --- nodes ---


class Span(NamedTuple):
    """Where a version stands: its line, without newline, in the versions segment of its change."""

    seq: int
    offset: int
    length: int


class Place(NamedTuple):
    """What a leaf says of a model."""

    digest: str
    """Of its newest version."""
    spans: tuple[Span, ...]
    """Of its versions, oldest first."""


class Leaf(NamedTuple):
    """A node that names models."""

    models: dict[str, Place]

    def to_bytes(self) -> bytes:
        """The node, canonical."""
        return canonical_bytes({"models": {m: [p.digest, [list(s) for s in p.spans]] for m, p in self.models.items()}})

    def find(self, model_id: str) -> tuple[str, Place] | None:
        """A model, in whatever case its id is written, and its place; None if it is not here."""
        if model_id in self.models:
            return model_id, self.models[model_id]
        lower = model_id.lower()
        return next(((m, place) for m, place in self.models.items() if m.lower() == lower), None)


class Inner(NamedTuple):
    """A node that names nodes."""

    nodes: dict[str, str]
    """Digests by the next hex digit of the keys below."""

    def to_bytes(self) -> bytes:
        """The node, canonical."""
        return canonical_bytes({"nodes": self.nodes})


def parse_node(data: bytes, digest: str, prefix: str = "", newest: int = SEQ_MOST) -> Leaf | Inner:
    """Read the node of this digest; keys begin with `prefix`, changes end with `newest`; raise DamagedRelease."""
    where = node_name(digest)
    must(hashlib.sha256(data).hexdigest() == digest, where, "its bytes are not those that its name says")
    said = parsed_object(data, where, NODE_MOST)
    if said.keys() == {"nodes"}:
        return _inner(said["nodes"], where, prefix)
    must(said.keys() == {"models"}, where, "neither models nor nodes")
    return _leaf(said["models"], where, prefix, newest)


def _inner(nodes: object, where: str, prefix: str) -> Inner:
    must(isinstance(nodes, dict) and bool(nodes) and len(prefix) < 64, where, "not an inner node")
    assert isinstance(nodes, dict)
    must(all(digit in "0123456789abcdef" and len(digit) == 1 for digit in nodes), where, "not hex digits")
    must(all(map(is_digest, nodes.values())), where, "not digests")
    return Inner(nodes)


def _leaf(models: object, where: str, prefix: str, newest: int) -> Leaf:
    must(isinstance(models, dict) and len(models) <= LEAF, where, "not a leaf")
    assert isinstance(models, dict)
    for model_id, place in models.items():
        must(is_model_id(model_id) and key_of(model_id).startswith(prefix), where, f"{model_id!r:.120} is not its own")
        must(_is_place(place, newest), where, f"the place of {model_id} is malformed")
    must(len({model_id.lower() for model_id in models}) == len(models), where, "two models differ only in case")
    return Leaf({m: Place(digest, tuple(Span(*span) for span in spans)) for m, (digest, spans) in models.items()})


def _is_place(place: object, newest: int) -> bool:
    if not (isinstance(place, list) and len(place) == 2 and is_digest(place[0]) and isinstance(place[1], list)):
        return False
    spans: list[Any] = place[1]
    if not spans or not all(isinstance(s, list) and len(s) == 3 and all(type(n) is int for n in s) for s in spans):
        return False
    within = all(0 < seq <= newest and 0 <= at <= SIZE_MOST and 0 < n <= LINE_MOST for seq, at, n in spans)
    return within and _ascend(span[0] for span in spans)


def _ascend(numbers: Iterable[int]) -> bool:
    before = 0
    for number in numbers:
        if number <= before:
            return False
        before = number
    return True
