"""Removes from a release directory what only older releases name: whoever reads one of these cannot go on then."""

from collections.abc import Iterator

from ..site import CHANGES, NODES, VERSIONS, Inner, Root, changes_name, node_name, parse_node, segments, versions_name
from .staging import Staging, remove_others


def prune_release(staging: Staging, root: Root) -> tuple[str, ...]:
    """Remove the segments and nodes that the published release does not name; their paths; raise StoreError."""
    named = {node_name(digest) for digest in _nodes(staging, root.tree, "")}
    for segment, count in segments(root.seq):
        named |= {changes_name(segment, count), versions_name(segment, count)}
    folders = (CHANGES, VERSIONS, NODES)
    return tuple(p for f in folders for p in remove_others(staging.directory, f, named, staging.files))


def _nodes(staging: Staging, digest: str, prefix: str) -> Iterator[str]:
    """Yield the digests of a node and of all nodes below it."""
    yield digest
    node = parse_node(staging.read(node_name(digest)), digest, prefix)
    if isinstance(node, Inner):
        for digit, child in node.nodes.items():
            yield from _nodes(staging, child, prefix + digit)
