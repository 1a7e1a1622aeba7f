"""What changed in an index since a release of it, from the change feed: for the changelog, and to notice a mass change.

A release goes on from the one before: its changes begin with the other's, to the same chain. Knows nothing of files of
a release.
"""

import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from .. import feed
from ..errors import StoreError
from ..feed import Entry
from ..site import NO_CHAIN, Head
from .static import line_at

LOST_MODELS, LOST_SHARE = 5, 0.01
"""A release is refused if more models than both lost their super weights: a number, and a share of all models."""


class MassChange(StoreError):
    """Many models lost their super weights at once: more likely a mistake than news."""

    exit_status = 1


class Change(NamedTuple):
    """What became of one model: its last change at the release before (None: new), and its last now."""

    before: Entry | None
    now: Entry


class News(NamedTuple):
    """What became of each model with a change since `base`, by id."""

    base: Head | None
    changes: tuple[Change, ...]

    @property
    def new(self) -> list[Change]:
        """Models that were not there."""
        return [c for c in self.changes if c.before is None and not c.now.withdrawn]

    @property
    def withdrawn(self) -> list[Change]:
        """Models that do not count any more."""
        return [c for c in self.changes if c.now.withdrawn and not (c.before and c.before.withdrawn)]

    @property
    def restored(self) -> list[Change]:
        """Models that count again."""
        return [c for c in self.changes if c.before and c.before.withdrawn and not c.now.withdrawn]

    @property
    def other_outcome(self) -> list[Change]:
        """Models whose outcome is another one."""
        return [c for c in self._stayed if c.before and c.before.outcome != c.now.outcome]

    @property
    def same_outcome(self) -> list[Change]:
        """Models with a new version that has the same outcome."""
        return [c for c in self._stayed if c.before and c.before.outcome == c.now.outcome]

    @property
    def _stayed(self) -> list[Change]:
        return [c for c in self.changes if c.before and c.before.withdrawn == c.now.withdrawn]


def news(directory: Path, base: Head | None, seq: int) -> News:
    """What changed up to change `seq` since the release that ended with `base`; raise StoreError if it goes back."""
    since = base.seq if base else 0
    if base:
        require_continued(directory, base, seq)
    now = {entry.model_id: entry for entry in islice(feed.read(directory, since), seq - since)}
    earlier = islice(feed.read(directory), since) if now else ()
    before = {entry.model_id: entry for entry in earlier if entry.model_id in now}
    return News(base, tuple(Change(before.get(model_id), now[model_id]) for model_id in sorted(now)))


def require_continued(directory: Path, base: Head, seq: int) -> None:
    """Refuse an index that lacks changes of a release before it, or has others; raise StoreError."""
    if base.seq > seq:
        raise StoreError(
            f"{directory}: ends with change {seq}, the last release with {base.seq}: a release never goes back"
        )
    last = next(feed.read(directory, base.seq - 1)).chain if base.seq else NO_CHAIN
    if last != base.chain:
        raise StoreError(f"{directory}: change {base.seq} is not the one that was released: release to a new directory")


def require_few_lost(records: Path, found: News, models: int, *, accept: bool) -> int:
    """How many models lost their super weights; raise MassChange if these are many and that was not accepted."""
    lost = _lost(records, found.changes)
    if len(lost) > max(LOST_MODELS, LOST_SHARE * models) and not accept:
        raise MassChange(
            f"{len(lost)} of {models} models lost their super weights since the last release (the first is {lost[0]}); "
            "if that is right, add --accept-mass-change"
        )
    return len(lost)


def _lost(records: Path, changes: Iterable[Change]) -> list[str]:
    return [
        c.now.model_id for c in changes if c.before and _weights(records, c.before) and not _weights(records, c.now)
    ]


def _weights(records: Path, entry: Entry) -> int:
    """The super weights of a version that count."""
    return 0 if entry.withdrawn else len(json.loads(line_at(records, entry))["super_weights"])
