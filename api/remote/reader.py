"""A release as a reader: what `lookup`, `history` and `search` ask, answered from elsewhere.

A release in a directory is as near as an index in one, so nothing of it is kept or remembered. Standard library only,
until a release is on the network.
"""

from collections.abc import Iterator
from pathlib import Path

from ...index.feed import Entry
from ...index.log import path_of
from ..names import is_address
from ..reader import FACTS, Found, Json
from .cache import Cache, default_home
from .fetch import Closed, Unreachable, open_source
from .seen import Memory
from .site import Site

NEAR = 4096
"""Models among which a misspelt id is looked for: 17 nodes at most, 273 if they were more."""


def open_remote(named: str | Path, offline: bool = False) -> "Remote":
    """The release of this name; raise UsageError for what cannot be one. Nothing is read yet."""
    home = default_home() if is_address(named) else None
    source = Closed(str(named).rstrip("/")) if offline and home else open_source(named)
    return Remote(Site(source, Cache(home), Memory(home, source.name)))


class Remote:
    """The index that a release is of; see `Reader` for what the methods give."""

    directory: Path | None = None

    def __init__(self, site: Site) -> None:
        self.site, self.name = site, site.source.name

    def newest(self, model_id: str) -> Found | None:
        """As `Reader.newest`."""
        return self.site.newest(_well_formed(model_id))

    def history(self, model_id: str) -> list[Found]:
        """As `Reader.history`."""
        return self.site.history(_well_formed(model_id))

    def model_ids(self) -> list[str]:
        """As `Reader.model_ids`."""
        return sorted(model_id for model_id, _ in self.site.models)

    def near_ids(self) -> list[str]:
        """As `Reader.near_ids`; none where they are too many, or cannot be read."""
        try:
            return self.model_ids() if self.site.root.models <= NEAR else []
        except Unreachable:
            return []

    def everything(self) -> Iterator[Found]:
        """As `Reader.everything`."""
        return self.site.all_newest()

    def back(self) -> Iterator[Entry]:
        """As `Reader.back`."""
        return self.site.back()

    def facts(self) -> Json:
        """As `Reader.facts`."""
        root, checked = self.site.asked
        told = {"time": root.newest, "crawl": root.crawl, "released": root.released}
        return {**FACTS, **told, "source": self.name, "checked": checked}


def _well_formed(model_id: str) -> str:
    path_of(Path(), model_id)
    return model_id
