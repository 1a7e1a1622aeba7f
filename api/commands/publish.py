"""`swindex publish`: a release goes to a dataset repository on the Hub. The work is in `publishing`."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ...index.store import Index
from ...schema.errors import UsageError
from ..main import print_json, write
from ..page import Page, clean, wants_colour, width_of
from ..reading import records_dir
from .options import Json, ReadIndex
from .sizes import bytes_text

_SHOWN = 20


def publish(
    repo: Annotated[str, typer.Argument(metavar="REPO", help="A dataset on the Hub, ORG/NAME.", show_default=False)],
    release: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A release made by `swindex index release`.")
    ] = None,
    index: ReadIndex = None,
    tag: Annotated[
        str | None, typer.Option(metavar="TAG", help="Without it v<date of the release>, with .N if need be.")
    ] = None,
    create: Annotated[bool, typer.Option("--create", help="Make the dataset repository if it is not there.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove segments and nodes that only older releases name.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Look, say what would be done, and change nothing.")
    ] = False,
    json: Json = False,
) -> int:
    """Publish a release to a dataset repository.

    One commit of what is new, then a tag; safe to repeat. Without --release one is made of the index. Never goes back,
    and refuses a repository that holds something else (exit status 1). The token is HF_TOKEN, or that of
    `hf auth login`."""
    if release is not None and index is not None:
        raise UsageError("--release and --index exclude each other")
    from .. import publishing

    wish = publishing.Wish(tag, create, prune, dry_run)
    if release is not None:
        done = publishing.publish(release, repo, wish)
    else:
        done = publishing.publish_index(Index(records_dir(index).parent), repo, wish)
    print_json(as_json(done)) if json else _print(done)
    return 0


def as_json(done: Any) -> dict[str, Any]:
    """What was done, as plain data."""
    return {
        "address": done.address,
        "revision": done.revision,
        "tag": done.tag,
        "new_tag": done.new_tag,
        "seq": done.head.seq,
        "chain": done.head.chain,
        "before": done.before and done.before._asdict(),
        "files": done.change.files,
        "removed": list(done.change.removed),
        "bytes": sum(done.change.files.values()),
        "dry_run": done.dry_run,
    }


def _print(done: Any) -> None:
    page = Page(width_of(sys.stdout), wants_colour(sys.stdout))
    since = f"change {done.before.seq}" if done.before else "nothing"
    page.text(f"{clean(done.address)}: from {since} to change {done.head.seq}", "bold")
    for path, size in list(done.change.files.items())[:_SHOWN]:
        page.text(f"{path}  {bytes_text(size)}", "dim", indent="  ")
    if len(done.change.files) > _SHOWN:
        page.text(f"... and {len(done.change.files) - _SHOWN} more", "dim", indent="  ")
    for path in done.change.removed[:_SHOWN]:
        page.text(f"removed {clean(path)}", "dim", indent="  ")
    page.text(_summary(done))
    write(str(page), sys.stdout)


def _summary(done: Any) -> str:
    sent, removed = len(done.change.files), len(done.change.removed)
    size = bytes_text(sum(done.change.files.values()))
    what = f"{sent} files ({size}) and {removed} removals" if sent or removed else "nothing new"
    tag = f"{'a new tag' if done.new_tag else 'the tag'} {clean(done.tag)}"
    if done.dry_run:
        return f"Would commit {what}, with {tag}."
    return f"Commit {done.revision[:12]}: {what}; {tag}."
