"""From pull requests to the quarantine, and verdicts back to them. Knows no checks."""

from collections.abc import Callable
from dataclasses import dataclass, field

from ...index.errors import StoreError
from ...index.submissions.entry import Entry
from ...index.submissions.limits import TooMany
from ...index.submissions.states import PENDING, State
from ...index.submissions.store import Store
from ...schema.errors import SwindexError
from .pulls import Pulls
from .verdicts import comment, mark_of

TELLING = frozenset(State) - {State.RECEIVED, State.CHECKING}
"""States that are told; what merely waits is not."""


@dataclass
class Taken:
    """What fetching gave: new submissions, how many were known, and pull requests that could not be read."""

    new: list[Entry] = field(default_factory=list)
    known: int = 0
    failed: list[str] = field(default_factory=list)


def fetch(pulls: Pulls, store: Store, now: Callable[[], str]) -> Taken:
    """Keep what open pull requests add; raise NotPublished where the Hub cannot be asked, StoreError."""
    taken = Taken()
    seen = {(p.num, p.sha) for e in store.entries() if (p := e.sender.pull) and p.repo == pulls.repo}
    for num in pulls.tried(pulls.numbers):
        sha = pulls.tried(lambda: pulls.head(num))  # noqa: B023 (called at once)
        if (num, sha) in seen:
            taken.known += 1
            continue
        try:
            found = pulls.tried(lambda: pulls.fetch(num, sha))  # noqa: B023
            entry, is_new = store.receive(found.data, found.sender, now(), found.problem)
        except StoreError:
            raise
        except (SwindexError, TooMany) as error:
            taken.failed.append(f"{pulls.repo}#{num}: {error}")
            continue
        taken.new += [entry] if is_new else []
        taken.known += not is_new
    return taken


def tell(pulls: Pulls, entries: list[Entry]) -> int:
    """Comment on the pull requests of this repository where they stand, each once; how many were new."""
    mine = [e for e in entries if e.sender.pull and e.sender.pull.repo == pulls.repo and e.state in TELLING]
    return sum(_told(pulls, entry) for entry in mine)


def _told(pulls: Pulls, entry: Entry) -> bool:
    assert entry.sender.pull is not None
    return pulls.answer(entry.sender.pull.num, mark_of(entry), comment(entry), close=entry.state not in PENDING)
