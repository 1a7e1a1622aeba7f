"""What people type: model ids, revisions, times, sources; names near an unknown one. Standard library only.

Knows nothing of files: it is given the ids to compare with.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from ..schema.errors import UsageError
from ..schema.ids import is_model_id

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_SNAPSHOT = re.compile(r"/models--(?P<id>[^/]+)/snapshots/(?P<sha>[0-9a-f]{40})(/|$)")
_REVISION = re.compile(r"[0-9a-f]{7,40}")


class Asked(NamedTuple):
    """A model, and the version of its record that is asked for: the newest of those that fit."""

    model_id: str
    revision: str | None = None
    """The commit: 7 to 40 hex digits of its sha."""
    as_of: str | None = None
    """The UTC time at which the version was there already."""


def parse_model_id(text: str) -> str:
    """Return a well-formed model id unchanged; raise UsageError for anything else."""
    if not is_model_id(text):
        find = f"; to find its ORG: swindex search {text}" if _NAME.fullmatch(text) else ""
        raise UsageError(f"{_shown(text)} is not a model id: write ORG/NAME as on the Hub{find}")
    return text


def parse_revision(text: str) -> str:
    """Return a full or abbreviated commit sha in lower case; raise UsageError for anything else."""
    if not _REVISION.fullmatch(text.lower()):
        raise UsageError(f"{_shown(text)} is not a commit: give 7 to 40 hex digits of the sha (branches move)")
    return text.lower()


def parse_time(text: str) -> str:
    """Return an ISO date (which means its end) or time with its zone as a UTC time; raise UsageError."""
    try:
        time = datetime.fromisoformat(f"{text}T23:59:59Z" if _DATE.fullmatch(text) else text)
        if time.tzinfo is None:
            raise ValueError(text)
        return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):
        example = "write 2026-11-21, or 2026-11-21T07:00:00Z"
        raise UsageError(f"{_shown(text)} is no date, and no time with its zone: {example}") from None


def parse_asked(text: str, as_of: str | None = None) -> Asked:
    """Split `ORG/NAME[@REVISION]`; raise UsageError if either part, or the time, is malformed."""
    model_id, at, revision = text.partition("@")
    time = None if as_of is None else parse_time(as_of)
    return Asked(parse_model_id(model_id), parse_revision(revision) if at else None, time)


def snapshot(path: str) -> tuple[str, str] | None:
    """The model and commit of a folder in which the Hub's client keeps a checkpoint; None for any other path."""
    found = _SNAPSHOT.search(path)
    return (found["id"].replace("--", "/", 1), found["sha"]) if found else None


def is_address(source: object) -> bool:
    """Whether the name of an index is an address and no directory."""
    return isinstance(source, str) and "://" in source


def _shown(text: str) -> str:
    """What was typed, quoted on one line, escapes visible, cut where it is long."""
    shown = ascii(text)
    return shown if len(shown) <= 80 else shown[:76] + "...'"


def nearest(asked: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Up to `count` known ids that look like `asked`: by the whole id, then by the name without its org."""
    from difflib import get_close_matches

    by_id = {each.lower(): each for each in known}
    by_name: dict[str, list[str]] = {}
    for lower, each in by_id.items():
        by_name.setdefault(lower.rpartition("/")[2], []).append(each)
    wanted = asked.lower()
    found = [by_id[m] for m in get_close_matches(wanted, by_id, count, 0.75)]
    for match in get_close_matches(wanted.rpartition("/")[2], by_name, count, 0.7):
        found += [each for each in by_name[match] if each not in found]
    return found[:count]
