"""`swindex submit`: offer a record, or a request for a scan, to an index. The work is in `submitting`."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...schema.errors import SwindexError, UsageError
from ...schema.ids import is_model_id
from ..main import print_json, write
from ..page import Cell, Column, Page, clean, number, wants_colour, width_of
from .confirming import confirm
from .options import Json, crawler
from .progress import progress
from .sizes import bytes_text

if TYPE_CHECKING:
    from ...index.submissions.document import Submission
    from ...schema.record import Record
    from ..submitting.offer import Offer

REPO = "SWINDEX_REPO"
_WEIGHTS = (
    Column("WEIGHT"),
    Column("TENSOR", drop=1),
    Column("INDEX"),
    Column("VALUE", right=True),
    Column("BITS"),
    Column("DTYPE", drop=2),
)
_SHOWN = 20


def submit(
    what: Annotated[
        str,
        typer.Argument(metavar="MODEL|FILE", help="A model on the Hub, or the record of a scan.", show_default=False),
    ],
    to: Annotated[str | None, typer.Option(metavar="URL", help="Send it to this service, with SWINDEX_TOKEN.")] = None,
    repo: Annotated[
        str | None,
        typer.Option(metavar="REPO", help=f"Open a pull request on this dataset repository; without it ${REPO}."),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(metavar="SHA", help="The commit to scan; without it the newest, which is then named.")
    ] = None,
    request: Annotated[bool, typer.Option("--request", help="Do not scan: ask that it be scanned.")] = False,
    max_bytes: Annotated[
        int, typer.Option(min=1, metavar="N", help="Ask for a scan of larger checkpoints than this.")
    ] = 4_000_000_000,
    note: Annotated[str | None, typer.Option(metavar="TEXT", help="A word to the curators.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent; send nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
    json: Json = False,
) -> int:
    """Offer a model to an index: a pull request on its dataset repository, or a service.

    Scans the model, or takes the record that `swindex scan --out FILE` wrote; one too large for this machine becomes a
    request to scan. Shows what it would send and asks first. Sent twice it is one submission."""
    destination = _destination(to, repo)
    if what.endswith(".json") and not os.path.exists(what):
        raise UsageError(f"{what!r:.120}: there is no such file")
    made = _offered(what, revision, max_bytes, request)
    submission = made.submission(destination.newest(made.model), note)
    if not json:
        _show(submission, made.why, destination.where)
    if dry_run:
        return _told({"sent": False, **_short(submission)}, json, "Nothing was sent (--dry-run).")
    confirm(f"Send it to {destination.where}?", "send", "sent", yes)
    done, words = destination.send(submission)
    return _told({"sent": True, **done, **_short(submission)}, json, words)


# --- what ---


def _offered(what: str, revision: str | None, most: int, ask_only: bool) -> "Offer":
    from huggingface_hub import HfApi

    from ..submitting.offer import of_file, of_model

    if os.path.isfile(what):
        if revision is not None or ask_only:
            raise UsageError("--revision and --request are for a model, not for the record of a scan")
        return of_file(Path(what))
    if not is_model_id(what):
        raise UsageError(f"{what!r:.120} is neither a file nor a model id of the form org/name")
    return of_model(what, revision, _scan, api=HfApi(), most=most, ask_only=ask_only)


def _scan(model: str, revision: str) -> "Record":
    run, options = crawler("scan"), crawler("Options")
    with progress() as steps:
        record: Record = run(model, revision=revision, options=options(), progress=steps)
    return record


def _short(submission: "Submission") -> dict[str, Any]:
    from ..submitting.offer import shown

    return shown(submission)


# --- where ---


class _Post:
    """A service."""

    def __init__(self, address: str) -> None:
        from ..submitting.posting import Service

        self._service = Service(address)
        self.where = self._service.address

    def newest(self, model: str) -> str | None:
        return self._service.newest(model)

    def send(self, submission: "Submission") -> tuple[dict[str, Any], str]:
        sent = self._service.send(submission)
        told = {"id": sent.status["id"], "state": sent.status.get("state"), "new": sent.is_new, "url": sent.page}
        words = "Sent" if sent.is_new else "It was there already"
        return told, f"{words}: submission {clean(told['id'])}, {clean(told['state'])}; see {clean(sent.page)}"


class _PullRequest:
    """A dataset repository."""

    def __init__(self, repo: str) -> None:
        from ..submitting.pulls import Pulls

        self._pulls = Pulls(repo)
        self.where = f"a pull request on {self._pulls.address}"

    def newest(self, model: str) -> str | None:
        from ..client import Client

        try:
            return Client(f"hf://datasets/{self._pulls.repo}").record(model).provenance.digest
        except SwindexError:
            return None  # the check sees what is newest by then

    def send(self, submission: "Submission") -> tuple[dict[str, Any], str]:
        done = self._pulls.offer(submission)
        told = {"pull_request": done.num, "url": done.url, "new": done.is_new}
        if done.url is None:
            return told, f"{clean(self._pulls.repo)} has this very file already: nothing was opened."
        return told, f"{'Opened' if done.is_new else 'It was there already'}: {clean(done.url)}"


def _destination(to: str | None, repo: str | None) -> "_Post | _PullRequest":
    if to is not None and repo is not None:
        raise UsageError("--to and --repo exclude each other")
    if to is not None:
        return _Post(to)
    named = repo or os.environ.get(REPO)
    if not named:
        raise UsageError(f"name where it goes: --to URL of a service, or --repo ORG/NAME (or {REPO}) of a dataset")
    return _PullRequest(named)


# --- telling and asking ---


def _show(submission: "Submission", why: str, where: str) -> None:
    said, page = _short(submission), Page(width_of(sys.stdout), wants_colour(sys.stdout))
    page.text(f"{said['model']} at {said['revision']}", "bold")
    if said["kind"] == "request":
        page.text(f"A request to scan it: {why}.")
    else:
        count = len(said["super_weights"])
        page.text(f"The record of a scan: {said['outcome']}, {count} scalar{'' if count == 1 else 's'}.")
        if said["super_weights"]:
            page.table(_WEIGHTS, [_row(w) for w in said["super_weights"][:_SHOWN]])
        if len(said["super_weights"]) > _SHOWN:
            page.text(f"... and {len(said['super_weights']) - _SHOWN} more", "dim")
    if said["note"]:
        page.text(f"Note: {said['note']}")
    page.text(f"{bytes_text(said['bytes'])} ({said['digest'][:16]}) to {where}")
    write(str(page), sys.stdout)


def _row(weight: dict[str, Any]) -> list[Cell]:
    texts = (weight["id"], weight["tensor"], str(weight["index"]), number(weight["value"], 7), weight["bits"])
    return [Cell(clean(text or "")) for text in (*texts, weight["dtype"])]


def _told(said: dict[str, Any], json: bool, words: str) -> int:
    print_json(said) if json else print(words)
    return 0
