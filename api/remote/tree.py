"""The tree of a release: from the digest in its root down to the leaf that says where a model's versions stand.

A node is what its name says or an error; nodes never change and are kept. Standard library only.
"""

from collections.abc import Iterator
from hashlib import sha256

from ...index.errors import DamagedRelease
from ...index.site import NODE_MOST, Inner, Leaf, Place, Root, key_of, node_name, parse_node
from .cache import Cache
from .fetch import Source, modest, present

KIND = "nodes"


class Tree:
    """The tree below a root."""

    def __init__(self, source: Source, cache: Cache, root: Root) -> None:
        self._source, self._cache, self._root = source, cache, root

    def find(self, model_id: str) -> tuple[str, Place] | None:
        """A model, in whatever case its id is written, and its place; None if it is not in the index."""
        key, digest = key_of(model_id), self._root.tree
        for depth in range(len(key)):
            node = self._node(digest, key[:depth])
            if isinstance(node, Leaf):
                return node.find(model_id)
            if key[depth] not in node.nodes:
                return None
            digest = node.nodes[key[depth]]
        raise DamagedRelease(f"{self._source.name}: the tree of its nodes has no end; read another copy")

    def __iter__(self) -> Iterator[tuple[str, Place]]:
        """All models and their places, in the order of their keys."""
        count, waiting = 0, [(self._root.tree, "")]
        while waiting:
            digest, prefix = waiting.pop()
            node = self._node(digest, prefix)
            if isinstance(node, Inner):
                waiting += [(node.nodes[digit], prefix + digit) for digit in sorted(node.nodes, reverse=True)]
                continue
            count = self._counted(count + len(node.models))
            yield from node.models.items()
        if count != self._root.models:
            raise DamagedRelease(f"{self._source.name}: {count} models, its root says {self._root.models}")

    def _counted(self, count: int) -> int:
        if count > self._root.models:
            raise DamagedRelease(f"{self._source.name}: more models than the {self._root.models} its root says")
        return count

    def _node(self, digest: str, prefix: str) -> Leaf | Inner:
        name = node_name(digest)

        def read() -> bytes:
            return modest(f"{self._source.name}/{name}", present(self._source, name, most=NODE_MOST))

        data = self._cache.get(KIND, digest, read, lambda found: sha256(found).hexdigest() == digest)
        try:
            return parse_node(data, digest, prefix, self._root.seq)
        except DamagedRelease as error:
            raise DamagedRelease(f"{self._source.name}/{error}") from None
