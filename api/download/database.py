"""A DuckDB copy brought up to date by the change feed, where that is less to read than the file anew.

Beside a copy of the lines the file is made of those, and nothing is read for it. Without one, its own table `records`
has every line. Of the last segment all changes are read then, since the file knows its place there by number alone.
"""

from ...index import copying, grafting, site
from ...index import database as duckdb
from ...index.errors import StaleDatabase
from ...index.site import File, Root
from .. import origin
from ..remote.fetch import Source
from . import changes, lines
from .changes import News
from .counted import Done, Steps
from .files import digest_of
from .target import Target

_CHANGE = 400
"""Bytes of a change, about."""


def from_lines(source: Source, root: Root, target: Target, step: Steps | None) -> Done:
    """Bring the lines up to date, and the file up to the lines; raise StoreError."""
    done = lines.fetch(source, root, target, step)
    duckdb.update(target.index)
    return done


def grow(source: Source, root: Root, file: File, target: Target, step: Steps | None) -> int | None:
    """Bring the file up by the changes after it; how many, None if the file is to be fetched whole.

    Raise StoreError, and what `changes.fetch` raises.
    """
    held = digest_of(target.index.database)
    if held == file.sha256:
        return 0
    if held is None or held != _noted(target):  # damaged, or not ours
        return None
    try:
        seq, chain = duckdb.filed(target.index)
        cost = max(root.seq - seq, 0) * (grafting.usual_bytes(target.index) + _CHANGE) + site.CHANGES_MOST // 8
    except StaleDatabase:
        return None
    if cost >= file.size:
        return None
    since = changes.since_change(target.index.database, seq, chain)
    return _graft(source, changes.fetch(source, root, since), since, target, step)


def _noted(target: Target) -> object:
    """The digest of the file as it was put in place last."""
    noted = origin.read(target.directory)
    files = noted["files"] if noted else None
    held = files.get("duckdb") if files else None
    return held.get("sha256") if isinstance(held, dict) else None


def _graft(source: Source, news: list[News], since: changes.Since, target: Target, step: Steps | None) -> int:
    before, added = since.head, []
    total = sum(len(each.entries) for each in news)
    for each in news:
        held = grafting.bytes_of(target.index, [entry.digest for entry in each.earlier])
        for entry, line in changes.versions(source, each, held):
            copying.checked(before, entry, line)
            before = entry
            added.append((entry, line))
            step and step("versions", len(added), total)
    if added:
        grafting.graft(target.index, added)
    return len(added)
