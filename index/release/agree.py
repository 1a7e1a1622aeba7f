"""Whether all forms of a release say the same: log, changes, versions, nodes, DuckDB and Parquet, read back from disk.

Change by change: its chain, its version in its segment, that version's digest. Model by model: the tree's place of it,
the lines there against its log, and (`agree_tables`) what they give, row by row, against both sets of tables. Shares
nothing with what wrote the files but the names in `index.site` and the tables' data.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import feed, log, shards
from ..comparing import Span, spans
from ..errors import StoreError, os_reason
from ..feed import Entry
from ..site import (
    NO_CHAIN,
    Leaf,
    Place,
    Root,
    changes_name,
    count_of,
    node_name,
    parse_node,
    segment_of,
    segments,
    versions_name,
)
from ..store import Index
from .agree_tables import TablesAgainst
from .disagree import differ, equal
from .places import Places
from .staging import Staging
from .steps import Steps, no_steps


def require_agreement(index: Index, staging: Staging, root: Root, steps: Steps = no_steps) -> None:
    """Compare all forms of a staged release with each other and with the log; raise Disagreement, StoreError."""
    _models(index, root, require_own_agreement(staging, root, steps, index.directory))


def require_own_agreement(
    staging: Staging, root: Root, steps: Steps = no_steps, directory: Path | None = None
) -> Places:
    """Compare all forms of a release with each other, and with the logs of the index in a directory if one is named.

    The places of its models. Raise Disagreement, StoreError.
    """
    places = _segments(staging, root, steps)
    _tree(staging, root, places)
    _files(staging, root)
    done = 0
    for count in shards.each(_compare, _divided(directory, staging, root, places)):
        done += count
        steps("compare", done, len(places))
    return places


def _divided(directory: Path | None, staging: Staging, root: Root, places: Places) -> list[tuple[Any, ...]]:
    """The work of comparing all models, some at a time."""
    divided = shards.divided(sorted(places))
    parts = zip(divided, spans(divided), strict=True)
    return [(directory, staging, root, places.some(models), span) for models, span in parts]


def _compare(directory: Path | None, staging: Staging, root: Root, places: Places, span: Span) -> int:
    """Compare these models in versions, tables and, where there is an index, logs; how many; raise as above."""
    with TablesAgainst(staging, root, span) as tables:
        for model_id in places:
            lines = _lines(staging, root, places.of(model_id))
            if directory is not None:
                _log(directory, root, model_id, lines)
            tables.compare(model_id, lines)
    return len(places)


# --- changes and versions ---


def _segments(staging: Staging, root: Root, steps: Steps) -> Places:
    """Where each version stands, by going through all segments."""
    places, last = Places(), None
    for segment, count in segments(root.seq):
        last = _segment(staging, segment, count, last, places)
        steps("read back", last.seq if last else 0, root.seq)
    head = (last.seq, last.chain, last.time) if last else (0, NO_CHAIN, None)
    equal("root.json", "seq, chain and newest", (root.seq, root.chain, root.newest), head)
    equal("root.json", "models", root.models, len(places))
    return places


def _segment(staging: Staging, segment: int, count: int, last: Entry | None, places: Places) -> Entry | None:
    changes, where = changes_name(segment, count), versions_name(segment, count)
    told, held = staging.read(changes).split(b"\n"), staging.read(where).split(b"\n")
    equal(changes, "lines", (len(told), told[-1]), (count + 1, b""))
    equal(where, "lines", (len(held), held[-1]), (count + 1, b""))
    offset = 0
    for number, (change, line) in enumerate(zip(told[:-1], held[:-1], strict=True), 1):
        entry = feed.parse_line(change)
        if not feed.follows(last, entry):
            differ(changes, f"line {number} does not follow the change before")
        _same(f"{where} line {number}", entry, line)
        places.add(entry, offset, len(line))
        offset, last = offset + len(line) + 1, entry
    return last


def _same(where: str, entry: Entry, line: bytes) -> None:
    """The version is the one that the change tells of, and its digest is that of its bytes."""
    said = _parsed(where, line)
    try:
        own, withdrawn = said["provenance"], said["provenance"]["withdrawn"] is not None
        facts = (own["digest"], said["model"]["id"], said["status"]["outcome"], own["time"], own["version"], withdrawn)
    except (KeyError, TypeError):
        differ(where, "not a record")
    told = (entry.digest, entry.model_id, entry.outcome, entry.time, entry.version, entry.withdrawn)
    equal(where, "the change and the version", told, facts)
    head, _, tail = line.partition(f'"provenance":{{"digest":"{entry.digest}",'.encode())
    equal(where, "its digest", entry.digest, hashlib.sha256(head + b'"provenance":{' + tail).hexdigest())


def _parsed(where: str, line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        differ(where, "not JSON")


# --- nodes ---


def _tree(staging: Staging, root: Root, places: Places) -> None:
    """The tree names exactly these places."""
    found = 0
    for model_id, place in _leaves(staging, root, root.tree, ""):
        found += 1
        equal("nodes", f"the place of {model_id}", place, places.of(model_id) if places.versions(model_id) else None)
    equal("nodes", "models", found, len(places))


def _leaves(staging: Staging, root: Root, digest: str, prefix: str) -> Iterator[tuple[str, Place]]:
    node = parse_node(staging.read(node_name(digest)), digest, prefix, root.seq)
    if isinstance(node, Leaf):
        yield from node.models.items()
        return
    for digit, child in node.nodes.items():
        yield from _leaves(staging, root, child, prefix + digit)


# --- the log ---


def _lines(staging: Staging, root: Root, place: Place) -> list[bytes]:
    """The versions at a place, oldest first."""
    found = []
    for span in place.spans:
        segment = segment_of(span.seq)
        path = staging.where(versions_name(segment, count_of(segment, root.seq)))
        try:
            with path.open("rb") as file:
                file.seek(span.offset)
                found.append(file.read(span.length))
        except OSError as error:
            raise StoreError(f"{path}: cannot be read: {os_reason(error)}") from None
    return found


def _log(directory: Path, root: Root, model_id: str, lines: list[bytes]) -> None:
    """The log of a model holds these lines, and after them only what was appended since."""
    path = log.path_of(directory / "records", model_id)
    try:
        held = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {os_reason(error)}") from None
    own = b"".join(line + b"\n" for line in lines)
    if not held.startswith(own):
        differ(str(path), "its lines are not those in versions/")
    more = held.count(b"\n", len(own))
    if more and more > sum(entry.model_id == model_id for entry in feed.written(directory, root.seq)):
        differ(str(path), "it holds versions that the change feed does not tell of")


def _models(index: Index, root: Root, places: Places) -> None:
    """Every log is in the release, but for those that were begun since."""
    missing = {model_id for model_id in index.models() if not places.versions(model_id)}
    if missing:
        missing -= {entry.model_id for entry in feed.written(index.directory, root.seq)}
    if missing:
        differ(min(missing), "the change feed does not tell of it")


def _files(staging: Staging, root: Root) -> None:
    for path, stated in root.files.items():
        equal(path, "size and sha256", stated, staging.described(path))
