"""What was appended to an index lately: its change feed, for people and programs that follow it."""

from collections import deque
from itertools import islice, takewhile

from pydantic import BaseModel, ConfigDict

from ..schema.errors import UsageError
from .reader import Reader

LIMIT = 50
"""Changes given where nobody says how many."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Appended(_Part):
    """One version that was appended."""

    seq: int
    """Its number among all changes of the index, from 1."""
    time: str
    model_id: str
    version: int
    outcome: str
    withdrawn: bool
    digest: str
    """Of the version."""
    chain: str
    """Over this change and all before it: indexes with the same one say the same up to here."""


class Changes(_Part):
    """A part of the feed."""

    changes: tuple[Appended, ...]
    """Newest first."""
    next: int
    """What to give as `since` for those that come after."""
    newest: int
    """Number of the last change in the index, 0 if there is none; greater than `next` if there are more already."""


def recent(reader: Reader, since: int | None = None, limit: int | None = LIMIT) -> Changes:
    """The last `limit` changes; with `since` the first `limit` after that one; None is no limit.

    Raise UsageError for a `since` that the index has not reached, or numbers below 0.
    """
    if (since or 0) < 0 or (limit or 0) < 0:
        raise UsageError(f"since {since}, limit {limit}: give numbers from 0")
    entries = reader.back()
    last = next(entries, None)
    newest = last.seq if last else 0
    if (since or 0) > newest:
        raise UsageError(f"{reader.name}: change {since} is not there yet: the last one is {newest}")
    every = (each for part in ([last] if last else [], entries) for each in part)
    after = takewhile(lambda each: each.seq > (since or 0), every)
    kept = list(islice(after, limit)) if since is None else list(deque(after, limit))
    told = tuple(Appended(**each._asdict()) for each in kept)
    return Changes(changes=told, next=told[0].seq if told else since or newest, newest=newest)
