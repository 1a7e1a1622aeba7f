"""How much may be submitted: by one sender, and by all together. Addresses are the service's matter: none is kept.

Knows submissions, not files.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from ...schema.errors import SwindexError
from .entry import Entry

DAY = 86400


class Limits(NamedTuple):
    """The limits of a store, in submissions."""

    pending: int = 20
    """Of one sender that wait for somebody."""
    daily: int = 50
    """Of one sender within 24 hours, whatever became of them."""
    waiting: int = 1000
    """Of all senders that wait for somebody."""


class TooMany(SwindexError):
    """More is submitted than is taken; `wait` is in seconds, None if it depends on others."""

    exit_status = 1

    def __init__(self, message: str, wait: int | None = None) -> None:
        super().__init__(message)
        self.wait = wait


def check(limits: Limits, entries: Sequence[Entry], new: Entry, time: str) -> None:
    """Raise TooMany unless one more may come from its sender at this time."""
    name, now = new.sender.name, seconds(time)
    mine = [e for e in entries if e.sender.name == name]
    if sum(e.pending for e in mine) >= limits.pending:
        raise TooMany(f"{limits.pending} submissions of {name} wait already; submit again when some are decided")
    recent = sorted(_recent(mine, now))
    if len(recent) >= limits.daily:
        wait = recent[-limits.daily] + DAY - now
        raise TooMany(f"{limits.daily} submissions of {name} came within a day; submit again later", wait)
    if sum(e.pending for e in entries) >= limits.waiting:
        raise TooMany(f"{limits.waiting} submissions wait already, which is all that is taken; submit again later")


def _recent(entries: Sequence[Entry], now: int) -> Iterator[int]:
    return (at for e in entries if (at := seconds(e.received)) > now - DAY)


def seconds(time: str) -> int:
    """A UTC time of a record as seconds since 1970."""
    return int(datetime.strptime(time, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())
