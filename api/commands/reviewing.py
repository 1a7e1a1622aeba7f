"""`swindex review`: what was submitted is fetched, checked, accepted or rejected. The work is in `judging`."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...index.store import Index
from ...index.submissions.states import PENDING, State
from ...schema.errors import UsageError
from ..main import print_json
from ..page import clean
from .judged import print_done, print_list, print_one
from .options import Json, MissingExtraError, WriteIndex, writable

if TYPE_CHECKING:
    from ...index.submissions.entry import Entry
    from ...index.submissions.store import Store

FOLDER = "SWINDEX_SUBMISSIONS"
Folder = Annotated[
    Path,
    typer.Option(
        "--submissions", metavar="FOLDER", envvar=FOLDER, show_default=False, help="Where submissions are kept."
    ),
]
One = Annotated[str, typer.Argument(metavar="ID", help="A submission: the first digits of its id.", show_default=False)]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides; it is told.", show_default=False)]
Quiet = Annotated[bool, typer.Option("--no-comment", help="Tell pull requests nothing.")]
_WAITING = (State.RECEIVED, State.CHECKING)


def build_group() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(help="List, check, accept and reject what was submitted.")
    for name, command in _COMMANDS.items():
        group.command(name)(command)
    return group


def listing(
    submissions: Folder,
    state: Annotated[str | None, typer.Option(metavar="STATE", help="Those in this state alone.")] = None,
    all: Annotated[bool, typer.Option("--all", help="Those that are decided, too.")] = False,
    json: Json = False,
) -> int:
    """List what was submitted and waits; newest first."""
    from ..service.desk import short

    wanted = _state(state) if state else None
    found = [e for e in _store(submissions).entries() if (e.state is wanted if wanted else all or e.state in PENDING)]
    if json:
        print_json({"submissions": [short(e) for e in found]})
    else:
        print_list(found)
    return 0


def show(submission: One, submissions: Folder, json: Json = False) -> int:
    """Show a submission: its states, what was found, and what was sent in short."""
    store = _store(submissions)
    entry = store.get(submission)
    return print_one(store, entry, json)


def fetch(
    repo: Annotated[str, typer.Argument(metavar="REPO", help="A dataset on the Hub, ORG/NAME.", show_default=False)],
    submissions: Folder,
    json: Json = False,
) -> int:
    """Take in what open pull requests on a dataset repository add.

    One that does not add exactly one file at an allowed path is kept as a submission that a check rejects. Reads only;
    exit status 3 if one could not be read."""
    from ...crawler.judging.judge import utc_now
    from ..service.desk import short
    from ..submitting.incoming import fetch as take
    from ..submitting.pulls import Pulls

    taken = take(Pulls(repo), _store(submissions), utc_now)
    if json:
        print_json({"new": [short(e) for e in taken.new], "known": taken.known, "failed": taken.failed})
    else:
        print_list(taken.new)
        print(f"{len(taken.new)} new, {taken.known} known already.")
    for line in taken.failed:
        print("swindex:", clean(line), file=sys.stderr)
    return 3 if taken.failed else 0


def check(
    submissions: Folder,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID ...]", help="Submissions; none: all that were not checked.")
    ] = None,
    index: WriteIndex = None,
    accept: Annotated[bool, typer.Option("--accept", help="Accept at once what our own scan confirms.")] = False,
    max_bytes: Annotated[
        int, typer.Option(min=0, metavar="N", help="Make no scan of our own of larger checkpoints.")
    ] = 4_000_000_000,
    seconds: Annotated[float, typer.Option(min=1, metavar="S", help="For a scan of our own, and more by size.")] = 900,
    windows: Annotated[int, typer.Option(min=1, metavar="N", help="Windows of each text.")] = 1,
    window: Annotated[int, typer.Option(min=2, metavar="N", help="Tokens of a window.")] = 512,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who checks; it is told.")] = "swindex review",
    no_comment: Quiet = False,
    json: Json = False,
) -> int:
    """Check submissions: schema, lint codes, bits at the commit, a scan of our own within bounds.

    Nothing in them is believed. The verdict, with its codes and figures, goes back to the pull request. Exit status 1
    if one was rejected, 3 if one could not be checked."""
    from ...crawler.crawling.child import token
    from ...crawler.detection.options import Options
    from ...crawler.judging.judge import Judge
    from ...crawler.judging.known import orphans
    from ...crawler.judging.rescan import Bounds

    _require_torch(max_bytes)
    store, target = _store(submissions), Index(writable(index))
    judge = Judge(
        store, target, _api(token()), bounds=Bounds(max_bytes, seconds), options=Options(windows=windows, window=window)
    )
    waiting = [e for e in reversed(store.entries()) if e.state in _WAITING]
    wanted = [store.get(i) for i in ids] if ids else [*waiting, *orphans(store)]
    done = [_checked(judge, entry, by, accept) for entry in wanted]
    _tell(done, no_comment)
    print_done(store, done, json)
    return _status(done)


def accept(
    submission: One,
    submissions: Folder,
    by: By,
    index: WriteIndex = None,
    why: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is told.")] = "",
    no_comment: Quiet = False,
    json: Json = False,
) -> int:
    """Accept a submission that was checked: a version that credits its submitter."""
    from ...crawler.judging.decide import accepted

    store = _store(submissions)
    done = accepted(store, Index(writable(index)), store.get(submission), by, why)
    _tell([done], no_comment)
    print_one(store, done, json)
    return 0 if done.state is State.ACCEPTED else 1


def reject(
    submission: One,
    submissions: Folder,
    by: By,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is told.", show_default=False)],
    no_comment: Quiet = False,
    json: Json = False,
) -> int:
    """Reject a submission, with the reason."""
    from ...crawler.judging.decide import rejected

    store = _store(submissions)
    done = rejected(store, store.get(submission), by, reason)
    _tell([done], no_comment)
    return print_one(store, done, json)


def tell(submissions: Folder, json: Json = False) -> int:
    """Tell pull requests the verdicts that they have not been told yet."""
    told = _tell(_store(submissions).entries(), False)
    print_json({"told": told}) if json else print(f"{told} told.")
    return 0


_COMMANDS: dict[str, Callable[..., int]] = {
    "list": listing,
    "show": show,
    "fetch": fetch,
    "check": check,
    "accept": accept,
    "reject": reject,
    "tell": tell,
}


# --- work ---


def _store(folder: Path) -> "Store":
    from ...index.submissions.store import Store

    return Store(folder)


def _api(token: str | bool) -> Any:
    from huggingface_hub import HfApi

    return HfApi(token=token)


def _require_torch(most: int) -> None:
    from importlib.util import find_spec

    if most and find_spec("torch") is None:
        how = "pip install 'swindex[crawl]', or --max-bytes 0 to make none"
        raise MissingExtraError(f"torch is not installed; a scan of our own needs more: {how}")


def _checked(judge: Any, entry: "Entry", by: str, at_once: bool) -> "Entry":
    from ...crawler.judging.decide import accepted_if_confirmed

    done: Entry = judge.check(entry, by)
    return accepted_if_confirmed(judge.store, judge.index, done, by) if at_once else done


def _tell(entries: Sequence["Entry"], quiet: bool) -> int:
    """Tell each repository's pull requests where they stand."""
    from ..submitting.incoming import tell as answer
    from ..submitting.pulls import Pulls

    repos = sorted({e.sender.pull.repo for e in entries if e.sender.pull})
    return 0 if quiet else sum(answer(Pulls(repo), list(entries)) for repo in repos)


def _status(done: Sequence["Entry"]) -> int:
    states = {e.state for e in done}
    if State.RECEIVED in states:
        return 3
    return 1 if State.REJECTED in states else 0


def _state(text: str) -> State:
    try:
        return State(text)
    except ValueError:
        raise UsageError(f"--state {text!r:.40}: one of {', '.join(State)}") from None
