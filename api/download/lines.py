"""JSON Lines: a real index directory. An update reads only what came after the copy's last change.

A copy that is there grows line by line, each of them checked and durable before the next, so at any moment it is the
index as it was at some change. A first download is made in the private folder, where nobody reads it, and put in place
when it is whole and durable; what a kill leaves there is gone on with if every byte of it proves to be right.
"""

import shutil
from pathlib import Path

from ...index import copying, feed, heartbeat, site
from ...index.errors import DamagedRelease, StoreError, os_reason
from ...index.files import make_folder, sync_folder
from ...index.log import is_folder
from ...index.site import Root
from ...index.store import Index
from .. import origin
from ..remote.fetch import Source
from . import changes
from .changes import News
from .counted import Done, Steps
from .target import Target

_PARTS = (feed.FOLDER, "records")
"""What a copy is made of, in the order in which it is put in place: an index is one as soon as it has records."""


def fetch(source: Source, root: Root, target: Target, step: Steps | None = None) -> Done:
    """Bring the records of a copy up to the root, or make them; raise StoreError and what `changes.fetch` raises."""
    first = Index(target.private / "index", files=copying.Unsynced(target.files))
    if target.has_lines() or _is_half_placed(target, first):
        _place(first, target)
        with target.index.writing():
            added = _grow(source, root, target.index, step)
            if added or not _is_noted(root, target):
                _compare(source, root, target.index)
    else:
        added = _begin(source, root, first, target, step)
        _place(first, target)
    if root.crawl is not None:
        heartbeat.write(target.directory, root.newest, root.crawl, target.files)
    return Done("changes" if added else "nothing", changes=added)


def _begin(source: Source, root: Root, first: Index, target: Target, step: Steps | None) -> int:
    """Make the copy in the private folder, or go on with it; how many versions were added."""
    if not copying.is_sound(first):
        _wipe(first.directory)
    _wipe(target.directory / feed.FOLDER)  # without records it is of no index
    make_folder(first.records, first.files)
    with first.writing():
        added = _grow(source, root, first, step)
        _compare(source, root, first)
    return added


def _is_noted(root: Root, target: Target) -> bool:
    """Whether the copy was compared with this root before."""
    noted = origin.read(target.directory)
    return noted is not None and (noted["chain"], noted["tree"]) == (root.chain, root.tree)


def _compare(source: Source, root: Root, index: Index) -> None:
    """Raise DamagedRelease if the tree of nodes, which others read, is not that of the changes."""
    made = copying.static_of(index)
    if (made.tree, len(made.places)) != (root.tree, root.models):
        raise DamagedRelease(
            f"{source.name}: its tree of models is not what its changes make: who asks it for one model may be told "
            "another thing; read from another copy"
        )


def _grow(source: Source, root: Root, index: Index, step: Steps | None) -> int:
    """Append what the index lacks; the caller holds its writer lock; how many versions."""
    since, added = changes.since_directory(index.directory), 0
    news, before = changes.fetch(source, root, since), since.head
    total = sum(len(each.entries) for each in news)
    for each in news:
        for entry, line in changes.versions(source, each, _held(index, each)):
            copying.append(index, entry, copying.checked(before, entry, line), line)
            before, added = entry, added + 1
            step and step("versions", added, total)
    return added


def _held(index: Index, news: News) -> int:
    """How many bytes of the segment's versions are here."""
    since = feed.read(index.directory, news.number * site.SEGMENT)
    return copying.bytes_of(index, (entry for entry in since if entry.seq < news.entries[0].seq))


# --- putting a first download in place ---


def _is_half_placed(target: Target, first: Index) -> bool:
    """Whether a kill left the changes in place and the records not yet."""
    return is_folder(target.directory / feed.FOLDER) and is_folder(first.records)


def _place(first: Index, target: Target) -> None:
    """Put what was made in place, if it is not there yet."""
    if target.has_lines() or not is_folder(first.records):
        return
    if not is_folder(target.directory / feed.FOLDER):
        copying.make_durable(first.directory, target.files)
    try:
        for name in _PARTS:
            if is_folder(first.directory / name):
                target.files.replace(first.directory / name, target.directory / name)
                sync_folder(target.directory, target.files)
    except OSError as error:
        raise StoreError(
            f"{target.directory}: not put in place: {os_reason(error)}; run the same command again"
        ) from None
    _wipe(first.directory)


def _wipe(folder: Path) -> None:
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be removed: {os_reason(error)}") from None
