"""`swindex index`: make the DuckDB file, check everything, count, ask, review, release. The work is the index's."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ...index.findings import Finding
from ...index.store import Index
from ...schema.errors import UsageError
from ..main import print_json, write
from ..names import is_address
from ..page import Cell, Column, Page, clean, wants_colour, width_of
from ..reading import home, is_release, named_source, records_dir
from . import sql
from .options import Json, ReadIndex, WriteIndex, writable
from .progress import progress
from .review import review
from .withdraw import withdraw

_NEWS = {
    "new": "new",
    "other_outcome": "with another outcome",
    "same_outcome": "with the same outcome",
    "withdrawn": "withdrawn",
    "restored": "restored",
}
"""What became of models, and in words."""
_STYLES = {"error": "red", "warning": "yellow"}


def build_group() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(help="Make, check, count, ask, review and release an index.")
    for command in (build, check, stats, review, withdraw, sql.sql, release):
        group.command()(command)
    return group


def build(index: WriteIndex = None, json: Json = False) -> int:
    """Make the DuckDB file anew from the log."""
    from ...index.database import build as build_database

    made = build_database(Index(writable(index)))
    print_json({"database": str(made)}) if json else print(clean(made))
    return 0


def check(
    index: ReadIndex = None,
    full: Annotated[bool, typer.Option("--full", help="Also ask the Hub: commits, names, files.")] = False,
    codes: Annotated[bool, typer.Option("--codes", help="List what can be found, by code; check nothing.")] = False,
    json: Json = False,
) -> int:
    """Check every record, and the DuckDB file; of a release all its forms.

    Files, lines, chains, digests, rules; with --full whether the Hub still has what records say. Exit status 1 if there
    is an error; warnings are printed and do not count.
    """
    if codes:
        return _codes(json)
    models, found = _released(index, full) if _is_release_directory(index) else _checked(index, full)
    errors = sum(f.severity == "error" for f in found)
    counts = {"models": models, "errors": errors, "warnings": len(found) - errors}
    if json:
        print_json({**counts, "findings": [{**asdict(f), "severity": f.severity} for f in found]})
    else:
        page = Page(width_of(sys.stdout), wants_colour(sys.stdout))
        for each in found:
            line = f"{each.severity} {each.code}: {each.where}: {each.message}"
            page.lines.append(page.paint(clean(line), _STYLES[each.severity]))
        page.text(", ".join(f"{count} {what}" for what, count in counts.items()), "bold")
        write(str(page), sys.stdout)
    return 1 if errors else 0


def _checked(index: str | None, full: bool) -> tuple[int, list[Finding]]:
    """Models of an index, and what is found in them."""
    from ...index.check import check as check_index

    opened = _open(index)
    found = check_index(opened)
    if full:
        from ...crawler.checking import upstream

        with progress() as steps:
            found += upstream(opened, progress=steps)
    return len(list(opened.models())), found


def _is_release_directory(index: str | None) -> bool:
    named = named_source(index)
    return named is not None and is_release(named) and not is_address(named)


def _released(index: str | None, full: bool) -> tuple[int, list[Finding]]:
    """Models of a release, and what is found in it."""
    from ..released import check_released

    if full:
        raise UsageError(f"{index}: a release, of which --full asks nobody; see: swindex download --help")
    with progress() as steps:
        checked = check_released(home(index), steps)
    return checked.models, checked.findings


def _codes(json: bool) -> int:
    """Print every code with its severity, its set and what it means."""
    from ...index.findings import CODES, FULL

    rows = [(code, severity, "full" if code in FULL else "offline", text) for code, (severity, text) in CODES.items()]
    if json:
        print_json({"codes": [dict(zip(("code", "severity", "set", "meaning"), row, strict=True)) for row in rows]})
        return 0
    page = Page(width_of(sys.stdout), wants_colour(sys.stdout))
    for code, severity, where, text in rows:
        page.text(f"{code}: {severity}, {where}: {text}", _STYLES[severity], hang=" " * 4)
    write(str(page), sys.stdout)
    return 0


def stats(index: ReadIndex = None, json: Json = False) -> int:
    """Count what the index holds."""
    from ...index.counts import stats as count

    counted = count(_open(index))
    if json:
        print_json(counted)
    else:
        page = Page(width_of(sys.stdout), wants_colour(sys.stdout))
        columns = (Column("WHAT"), Column("COUNT", right=True))
        page.table(columns, [[Cell(what), Cell(value)] for what, value in _flat({**counted, "crawl": None})])
        page.text(_coverage(counted["crawl"]))
        write(str(page), sys.stdout)
    return 0


def release(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The release directory, made if it is not there.")],
    index: ReadIndex = None,
    since: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The release to tell changes from; without it the last in DIR.")
    ] = None,
    accept_mass_change: Annotated[
        bool, typer.Option("--accept-mass-change", help="Release though many models lost their super weights.")
    ] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Remove what only older releases in DIR name.")] = False,
    static: Annotated[
        bool, typer.Option("--static", help="Also write the answers of `swindex serve` as files: v1/, openapi.json.")
    ] = False,
    json: Json = False,
) -> int:
    """Make a release: JSON Lines, Parquet, DuckDB, a tree of digests, the cards.

    Refused unless the index is sound and all forms agree, row by row. Exit status 1 if the index has errors, or if many
    models lost their super weights.
    """
    from ...index.release import release as make_release

    with progress() as steps:
        made = make_release(
            _open(index),
            directory,
            since=since,
            accept_mass_change=accept_mass_change,
            prune=prune,
            steps=steps,
        )
    if static:
        from ..service.export import export

        export(directory)
    print_json(_as_json(directory, made)) if json else write(_shown(directory, made), sys.stdout)
    return 0


def _as_json(directory: Path, made: Any) -> dict[str, Any]:
    news = {name: len(getattr(made.news, name)) for name in _NEWS}
    return {
        "directory": str(directory),
        **{name: getattr(made.root, name) for name in ("seq", "chain", "tree", "models", "newest", "released")},
        "previous": made.root.previous and made.root.previous._asdict(),
        **news,
        "lost_super_weights": made.lost,
        "written": list(made.written),
        "pruned": list(made.pruned),
    }


def _shown(directory: Path, made: Any) -> str:
    page = Page(width_of(sys.stdout), wants_colour(sys.stdout))
    page.text(f"{clean(directory)}: change {made.root.seq}, {made.root.models} models", "bold")
    since = f"Since change {made.root.previous.seq}: " if made.root.previous else "First release: "
    counts = [f"{len(getattr(made.news, name))} {words}" for name, words in _NEWS.items()]
    page.text(since + ", ".join(counts) + f"; {made.lost} lost their super weights.")
    columns = (Column("WRITTEN"), Column("FILES", right=True), Column("BYTES", right=True))
    page.table(columns, [[Cell(clean(each)) for each in row] for row in _by_form(directory, made.written)])
    if made.pruned:
        page.text(f"{len(made.pruned)} files of older releases removed.")
    page.text(f"chain {made.root.chain}")
    page.text(f"tree  {made.root.tree}")
    return str(page)


def _by_form(directory: Path, written: Sequence[str]) -> list[tuple[str, str, str]]:
    """What was written, by the folder or file at the top: name, files, bytes."""
    sizes: dict[str, list[int]] = {}
    for path in written:
        sizes.setdefault(path.partition("/")[0], []).append((directory / path).stat().st_size)
    return [(name, str(len(found)), str(sum(found))) for name, found in sizes.items()]


def _open(directory: str | None) -> Index:
    return Index(records_dir(directory).parent)


def _coverage(crawl: dict[str, Any] | None) -> str:
    """How much of the Hub's listing is in the index, and as of when."""
    if crawl is None:
        return "Never crawled: how much of the Hub's listing this covers is not known."
    ended = "" if crawl["complete"] else f"; it stopped before the end of the listing: {crawl['stopped']}"
    covered = f"{crawl['indexed']} of {crawl['eligible']} eligible models as of {crawl['started'][:10]}"
    return f"Covers {covered} (the listing had {crawl['listed']}); last crawl ended {crawl['ended']}{ended}."


def _flat(counts: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Every number with its path, without those that are zero."""
    found = []
    for name, value in counts.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{name}: ")
        elif value:
            found.append((f"{prefix}{name}".replace("_", " "), str(value)))
    return found
