"""An index read from its release: its models, their versions, and the changes that made it.

A lookup reads the root, as many nodes as the tree is deep, and one range of one file. All of it is checked: a node by
its name, a version by the digest in the leaf, an older one by the version that followed it, a change by the chain that
the root ends. The root is asked for once by each object. Standard library and `schema.canonical` only.
"""

from collections.abc import Iterator
from functools import cached_property

from ...index.errors import DamagedFeed, DamagedRelease, StoreError
from ...index.feed import Entry
from ...index.site import Head, Place, Root, segments
from ..reader import Found
from .cache import Cache
from .fetch import Source
from .seen import Asked, Memory, after, ask, segment
from .tree import Tree
from .versions import Versions, Wanted

HISTORY_MOST = 32 << 20
"""Bytes of all versions of a model."""


class Site:
    """The index released at a source."""

    def __init__(self, source: Source, cache: Cache, memory: Memory) -> None:
        self.source, self._cache, self._memory = source, cache, memory

    @cached_property
    def asked(self) -> Asked:
        """The root, and when it was asked for if that is not now; raise as `seen.ask`."""
        try:
            return ask(self.source, self._memory)
        except DamagedRelease as error:
            raise DamagedRelease(f"{self.source.name}: {error}") from None

    @property
    def root(self) -> Root:
        """What the release is."""
        return self.asked.root

    @cached_property
    def models(self) -> Tree:
        """All models and their places."""
        return Tree(self.source, self._cache, self.root)

    @cached_property
    def _versions(self) -> Versions:
        return Versions(self.source, self._cache, self.root.seq)

    def newest(self, model_id: str) -> Found | None:
        """The newest version of a model, in whatever case its id is written; raise DamagedRelease."""
        named = self.models.find(model_id)
        return self._versions.read(_newest(*named)) if named else None

    def history(self, model_id: str) -> list[Found]:
        """All versions of a model, oldest first; raise DamagedRelease, StoreError."""
        named = self.models.find(model_id)
        return self._history(*named)[::-1] if named else []

    def all_newest(self) -> Iterator[Found]:
        """The newest version of every model, in whatever order; raise DamagedRelease."""
        return self._versions.read_all(_newest(*named) for named in self.models)

    def back(self) -> Iterator[Entry]:
        """All changes, newest first, down the chain that the root ends; raise DamagedFeed."""
        later: Entry | None = None
        for number, count in reversed(list(segments(self.root.seq))):
            for entry in reversed(segment(self.source, number, count)):
                self._check_chain(entry, later)
                yield entry
                later = entry

    def _check_chain(self, entry: Entry, later: Entry | None) -> None:
        """Raise DamagedFeed unless `later` (None: the root) follows `entry`."""
        head = Head(entry.chain, entry.seq)
        if head != self.root.head if later is None else after(head, later) != later:
            where = "the root" if later is None else f"change {later.seq}"
            raise DamagedFeed(f"{self.source.name}: {where} does not follow change {entry.seq}; try another copy")
        if entry.seq == 1 and after(Head(entry.chain, 0), entry) != entry:
            raise DamagedFeed(f"{self.source.name}: change 1 is not the first; try another copy")

    def _history(self, model_id: str, place: Place) -> list[Found]:
        if sum(span.length for span in place.spans) > HISTORY_MOST:
            raise StoreError(f"{self.source.name}: the versions of {model_id} are more than {HISTORY_MOST} bytes")
        found: list[Found] = []
        digest: object = place.digest
        for number in range(len(place.spans), 0, -1):
            found.append(self._versions.read(Wanted(place.spans[number - 1], str(digest), model_id, number)))
            digest = found[-1].record["provenance"].get("previous")
        if digest is not None:
            raise DamagedRelease(f"{self.source.name}: {model_id}: its first version follows another; try another copy")
        return found


def _newest(model_id: str, place: Place) -> Wanted:
    return Wanted(place.spans[-1], place.digest, model_id, len(place.spans))
