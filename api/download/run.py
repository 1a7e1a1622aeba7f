"""Makes a copy of an index or brings one up to date, whatever the format.

Knows what the formats have in common: one source, one root, one directory, one note of where it came from.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from ...index.errors import DamagedRelease, StoreError
from ...index.files import FILES, Files
from ...index.site import ROOT, ROOT_MOST, Root
from .. import origin
from ..remote.fetch import Source, open_source
from . import files, lines
from .counted import Counted, Done, Format, Report, Steps
from .target import Target

_CRAWL_MOST = 1 << 15


def download(
    source: str | Source | None = None,
    to: Path | None = None,
    kind: Format = Format.JSONL,
    *,
    files: Files = FILES,
    step: Steps | None = None,
    lock_timeout: float = 10.0,
) -> Report:
    """Make a copy of an index, or bring one up to date; raise StoreError (also Locked), UsageError.

    Without `source` it is that of the environment or the public dataset, without `to` the place where `lookup` looks.
    Killed at any moment, it is run again and goes on; whatever is wrong at the source, the copy stays as it was.
    """
    began, target = monotonic(), Target(to or origin.default_target(), files, lock_timeout)
    target.require_ours()
    counted = Counted(_opened(source))
    root = _root(counted, is_default=source is None)  # before a directory is made
    with target.claimed():
        done = _FETCH[kind](counted, root, target, step)
        _note(counted.name, root, target, kind)
        target.tidy({file.sha256 for file in root.files.values()})
    return Report(
        source=counted.name,
        target=target.directory,
        format=kind,
        how=done.how,
        changes=done.changes,
        files=done.files,
        bytes=counted.bytes,
        requests=counted.requests,
        seconds=monotonic() - began,
        seq=root.seq,
        chain=root.chain,
        newest=root.newest,
        released=root.released,
    )


def _opened(source: str | Source | None) -> Source:
    return open_source(source or origin.default_source()) if isinstance(source, str | None) else source


def _root(source: Source, *, is_default: bool) -> Root:
    try:
        content = source.fresh(ROOT, most=ROOT_MOST).content
    except StoreError as error:
        if not is_default:
            raise
        raise StoreError(f"{error}; name another place of the index with --from SOURCE") from None
    root = Root.parse(content or b"")
    if len(str(root.crawl)) > _CRAWL_MOST:
        raise DamagedRelease(f"{source.name}: {ROOT}: what it says of the last crawl is too long")
    return root


def _note(source: str, root: Root, target: Target, kind: Format) -> None:
    """Note where the copy came from and what each of its forms is at."""
    known = origin.read(target.directory) or {}
    at: dict[str, Any] = {"seq": root.seq, "chain": root.chain, "released": root.released}
    if kind is Format.JSONL or (kind is Format.DUCKDB and target.has_lines()):
        known |= {**at, "tree": root.tree, "crawl": root.crawl}
    if kind is Format.DUCKDB:
        at["sha256"] = files.digest_of(target.index.database)
    if kind is not Format.JSONL:
        known["files"] = {**(known.get("files") or {}), kind.value: at}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    origin.write(target.directory, {**known, "source": source, "checked": now}, target.files)


def _parquet(source: Source, root: Root, target: Target, step: Steps | None) -> Done:
    wanted = {path: file for path, file in root.files.items() if path.startswith("parquet/")}
    _require(source, wanted, "Parquet")
    count = files.fetch(source, wanted, target, step)
    files.remove_others(target, "parquet", wanted)
    return Done("files" if count else "nothing", files=count)


def _duckdb(source: Source, root: Root, target: Target, step: Steps | None) -> Done:
    from . import database

    if target.has_lines():
        return database.from_lines(source, root, target, step)
    name = target.index.database.name
    wanted = {path: file for path, file in root.files.items() if path == name}
    _require(source, wanted, "DuckDB")
    added = database.grow(source, root, wanted[name], target, step)
    if added is not None:
        return Done("changes" if added else "nothing", changes=added)
    count = files.fetch(source, wanted, target, step)
    return Done("files" if count else "nothing", files=count)


def _require(source: Source, wanted: object, what: str) -> None:
    if not wanted:
        raise StoreError(f"{source.name}: this release has no {what} files; choose another --format")


_FETCH: dict[Format, Callable[[Source, Root, Target, Steps | None], Done]] = {
    Format.JSONL: lines.fetch,
    Format.PARQUET: _parquet,
    Format.DUCKDB: _duckdb,
}
