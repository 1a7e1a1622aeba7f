"""All files of a published release directory, checked against what `root.json` says before anybody sends them on."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .. import feed
from ..errors import DamagedFeed, StoreError, os_reason
from ..site import ROOT, Head, Inner, Root, changes_name, node_name, parse_node, segment_of, segments, versions_name
from .staging import file_at, read_root


class Contents(NamedTuple):
    """A release on disk: its root, and the paths of all files that it names, `root.json` included."""

    directory: Path
    root: Root
    paths: tuple[str, ...]

    def bytes_of(self, path: str) -> bytes:
        """A file; raise StoreError."""
        return _bytes(self.directory / path)

    def chain_at(self, seq: int) -> str | None:
        """The chain of a change; None if the release has no such change; raise StoreError."""
        if not 0 < seq <= self.root.seq:
            return None
        number = segment_of(seq)
        [(_, count)] = [s for s in segments(self.root.seq) if s[0] == number]
        line = self.bytes_of(changes_name(number, count)).splitlines()[seq - 1 - number * feed.SEGMENT]
        return feed.parse_line(line).chain


def contents(directory: Path) -> Contents:
    """Read a release directory whole; raise StoreError if a file is missing or is not what the root names."""
    root = read_root(directory)
    for path, file in root.files.items():
        if file_at(directory / path) != file:
            raise StoreError(f"{directory / path}: not the file that {ROOT} names; release again")
    parts = [name(*s) for s in segments(root.seq) for name in (changes_name, versions_name)]
    _require_chain(directory, root)
    nodes = [node_name(digest) for digest in _nodes(directory, root.tree, "")]
    for path in parts:
        file_at(directory / path)
    return Contents(directory, root, tuple(sorted({ROOT, *root.files, *parts, *nodes})))


def _require_chain(directory: Path, root: Root) -> None:
    """Raise StoreError unless the changes lead to the chain of the root."""
    last: feed.Entry | None = None
    lines = (line for s in segments(root.seq) for line in _bytes(directory / changes_name(*s)).splitlines())
    try:
        for entry in feed.entries_of(lines):
            last = entry
    except DamagedFeed as error:
        raise StoreError(f"{directory}: {error}; release again") from None
    if last is not None and Head(last.chain, last.seq) != root.head:
        raise StoreError(f"{directory}: the changes do not lead to what {ROOT} says; release again")


def _nodes(directory: Path, digest: str, prefix: str) -> Iterator[str]:
    """Yield the digests of a node and of all nodes below it; raise StoreError."""
    yield digest
    node = parse_node(_bytes(directory / node_name(digest)), digest, prefix)
    if isinstance(node, Inner):
        for digit, child in node.nodes.items():
            yield from _nodes(directory, child, prefix + digit)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {os_reason(error)}") from None
