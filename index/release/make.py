"""Makes a release of an index: stages all its forms, compares them, and publishes them with `root.json` over all."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ...schema.types import SCHEMA_VERSION
from .. import feed, heartbeat
from ..check import check
from ..errors import StoreError
from ..files import FILES, Files
from ..findings import ERROR
from ..site import ROOT, File, Head, Root
from ..store import Index
from .agree import require_agreement
from .agree_tables import DATABASE
from .card import card
from .changelog import changelog
from .croissant import croissant
from .derived import described, write_tables
from .facts import about, facts_of
from .news import News, news, require_continued, require_few_lost
from .prune import prune_release
from .staging import IMMUTABLE, Staging, file_at, read_root, staging
from .static import Static, write_static
from .steps import Steps, no_steps


class NotSound(StoreError):
    """The index has errors: it is not released."""

    exit_status = 1


@dataclass(frozen=True)
class Made:
    """A release that was made."""

    root: Root
    news: News
    lost: int
    """Models that lost their super weights since the last release."""
    written: tuple[str, ...]
    """Paths of the files that were made anew."""
    pruned: tuple[str, ...]
    """Paths of the files of older releases that were removed."""


def release(
    index: Index,
    directory: Path,
    *,
    released: str | None = None,
    since: Path | None = None,
    accept_mass_change: bool = False,
    prune: bool = False,
    files: Files = FILES,
    steps: Steps | None = None,
) -> Made:
    """Make a release of an index in a directory; `released` is the UTC time it states, now if not given.

    The changelog is against the last release there, or that in `since`. Writers of the index go on meanwhile: what
    they append is in the next release. Raise NotSound, MassChange, Disagreement, Locked, StoreError; what is published
    in the directory is then as it was.
    """
    steps = steps or no_steps
    require_sound(index)
    with staging(directory, files) as stage:
        static = write_static(index.records, feed.read(index.directory), stage, steps)
        if stage.has(ROOT):
            require_continued(index.directory, read_root(stage.directory).head, static.head.seq)
        found = news(index.directory, _base(stage, since, static.head), static.head.seq)
        lost = require_few_lost(index.records, found, len(static.places), accept=accept_mass_change)
        write_tables(index, static, stage, steps)
        root = _root(index, static, found, released or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        root = _with_cards(stage, root, found, lost)
        _reuse(stage, root)
        stage.put(ROOT, [root.to_bytes()])
        require_agreement(index, stage, Root.parse(stage.read(ROOT)), steps)
        stage.publish()
        return Made(root, found, lost, tuple(sorted(stage.written)), prune_release(stage, root) if prune else ())


def require_sound(index: Index) -> None:
    """Refuse an index in which `check` finds an error; raise NotSound, StoreError."""
    errors = [finding for finding in check(index) if finding.severity == ERROR]
    if feed.newest(index.directory) is None and any(index.models()):
        raise NotSound(f"{index.directory}: has no change feed; run `swindex index build --index {index.directory}`")
    if errors:
        first = f"{errors[0].code}: {errors[0].where}: {errors[0].message}"
        raise NotSound(
            f"{index.directory}: {len(errors)} errors, not released; the first is {first}; run `swindex index check`"
        )


def _base(stage: Staging, since: Path | None, head: Head) -> Head | None:
    """The release before: a release of the same changes is made anew, and goes on from the one that it went on from."""
    last = read_root(since) if since else read_root(stage.directory) if stage.has(ROOT) else None
    if last is None:
        return None
    return last.previous if since is None and last.head == head else last.head


def _root(index: Index, static: Static, found: News, released: str) -> Root:
    return Root(
        **static.head._asdict(),
        crawl=heartbeat.read(index.directory)["crawl"],
        files={},
        models=len(static.places),
        newest=static.last.time if static.last else None,
        previous=found.base,
        released=released,
        schema=SCHEMA_VERSION,
        tree=static.tree,
    )


def _with_cards(stage: Staging, root: Root, found: News, lost: int) -> Root:
    """Stage the texts about what is staged; the root with all files."""
    tables = described(stage, (path for path in stage.written if not path.startswith(IMMUTABLE)))
    tables |= _same_database(stage, root)
    facts = facts_of(stage.where(DATABASE))
    texts = {
        "CHANGELOG.md": changelog(found, root.released, root.seq, root.models, lost),
        "README.md": card(facts, root),
        "croissant.json": croissant(tables, root.released, root.seq, root.schema),
    }
    for path, text in texts.items():
        stage.put(path, [text.encode()])
    return root._replace(files={**tables, **described(stage, texts)})


def _same_database(stage: Staging, root: Root) -> dict[str, File]:
    """The published DuckDB file in place of the staged one, if it is of the same changes.

    DuckDB writes equal tables in other bytes each time. Whether it holds what it should is compared afterwards.
    """
    last = read_root(stage.directory) if stage.has(ROOT) else None
    stated = last.files.get(DATABASE) if last and last.head == root.head else None
    published = stage.directory / DATABASE
    if stated is None or not stage.has(DATABASE) or file_at(published) != stated:
        return {}
    if about(published) != about(stage.where(DATABASE)):
        return {}
    stage.drop(DATABASE)
    return {DATABASE: stated}


def _reuse(stage: Staging, root: Root) -> None:
    """Leave published files in place that are the same, byte for byte."""
    for path, file in root.files.items():
        if path in stage.written and stage.has(path) and file_at(stage.directory / path) == file:
            stage.drop(path)
