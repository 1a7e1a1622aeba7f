"""The static part of a release: segments of changes and versions, and the tree of nodes, from feed and logs.

What is immutable by name and published already is not written again. Memory grows with models, not with what their
versions say. Knows nothing of what a version says but its digest.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from .. import feed, log
from ..errors import StoreError, os_reason
from ..feed import Entry
from ..site import (
    LEAF,
    LINE_MOST,
    NO_CHAIN,
    SEGMENT,
    Head,
    Inner,
    Leaf,
    changes_name,
    key_of,
    node_name,
    segment_of,
    versions_name,
)
from .places import Places
from .staging import Staging
from .steps import Steps, no_steps


class Static(NamedTuple):
    """What the static part holds."""

    last: Entry | None
    """The last change."""
    places: Places
    tree: str
    """Digest of the top node."""

    @property
    def head(self) -> Head:
        """The last change, as a release states it."""
        return Head(self.last.chain, self.last.seq) if self.last else Head(NO_CHAIN, 0)


def write_static(records: Path, entries: Iterable[Entry], staging: Staging, steps: Steps = no_steps) -> Static:
    """Stage segments and nodes for these changes, all from the first; raise StoreError if a log lacks a version."""
    places, last = Places(), None
    entries = iter(entries)
    while batch := list(islice(entries, SEGMENT)):
        _write_segment(records, batch, places, staging)
        last = batch[-1]
        steps("segments", last.seq, last.seq)
    return Static(last, places, _write_nodes(sorted(places), "", places, staging))


# --- segments ---


def _write_segment(records: Path, batch: Sequence[Entry], places: Places, staging: Staging) -> None:
    names = (segment_of(batch[0].seq), len(batch))
    _put(staging, changes_name(*names), (feed.line_of(entry) + b"\n" for entry in batch))
    _put(staging, versions_name(*names), _versions(records, batch, places))


def _versions(records: Path, batch: Sequence[Entry], places: Places) -> Iterator[bytes]:
    """Yield the lines of these versions, and note where each will stand."""
    offset = 0
    for entry in batch:
        line = line_at(records, entry)
        places.add(entry, offset, len(line))
        offset += len(line) + 1
        yield line + b"\n"


def line_at(records: Path, entry: Entry) -> bytes:
    """The version in its log that a change is about; raise StoreError."""
    path = log.path_of(records, entry.model_id)
    try:
        line = path.read_bytes().split(b"\n")[entry.version - 1]
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {os_reason(error)}") from None
    except IndexError:
        line = b""
    if f'"digest":"{entry.digest}"'.encode() not in line:
        raise StoreError(
            f"{path}: version {entry.version} is not that of change {entry.seq}; run `swindex index check`"
        )
    if len(line) > LINE_MOST:
        raise StoreError(f"{path}: version {entry.version} has {len(line)} bytes, a release takes {LINE_MOST}")
    return line


def _put(staging: Staging, path: str, chunks: Iterable[bytes]) -> None:
    """Stage a file that is immutable by name, unless it is published; the chunks are gone through in either case."""
    if staging.has(path):
        for _ in chunks:
            pass
    else:
        staging.put(path, chunks)


# --- nodes ---


def _write_nodes(models: Sequence[str], prefix: str, places: Places, staging: Staging) -> str:
    """Stage the node of these models, whose keys begin with `prefix`, and all below it; its digest."""
    if len(models) <= LEAF:
        return _put_node(Leaf({model_id: places.of(model_id) for model_id in models}), staging)
    parts: dict[str, list[str]] = {}
    for model_id in models:
        parts.setdefault(key_of(model_id)[len(prefix)], []).append(model_id)
    below = {digit: _write_nodes(part, prefix + digit, places, staging) for digit, part in parts.items()}
    return _put_node(Inner(below), staging)


def _put_node(node: Leaf | Inner, staging: Staging) -> str:
    data = node.to_bytes()
    digest = hashlib.sha256(data).hexdigest()
    _put(staging, node_name(digest), [data])
    return digest
