"""Where submissions come in: who sends, how often, and into the store. It looks at the envelope and at nothing more.

Makes no request to anybody: what is submitted is checked by `swindex review check`, elsewhere and later.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...index.submissions.codes import meaning
from ...index.submissions.document import read
from ...index.submissions.entry import Entry, Sender
from ...index.submissions.limits import DAY, TooMany
from ...index.submissions.states import MEANING, State
from ...index.submissions.store import Store
from ...index.submissions.tokens import Tokens
from .addresses import Addresses
from .problems import Problem
from .settings import Settings

Json = dict[str, Any]
CHALLENGE = {"WWW-Authenticate": "Bearer"}


class Desk:
    """The submissions of a service. `addresses` is for the loop alone, all else for threads."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.store, self.tokens = Store(folder), Tokens(folder)
        self.store.ensure()
        self.addresses = Addresses(settings.hourly)

    def take(self, token: str, body: bytes) -> tuple[Entry, bool]:
        """Keep what is sent with a token, and whether it is new; raise Problem, UsageError, StoreError."""
        now = _now()
        known = self.tokens.find(token, now)
        if known is None:
            raise Problem("unauthorized", headers=CHALLENGE)
        kind = read(body).kind.value
        if kind not in known.scopes:
            raise Problem("forbidden", f"this token does not have the scope {kind}")
        try:
            return self.store.receive(body, Sender(known.name), now)
        except TooMany as error:
            raise Problem("too-many", str(error), headers={"Retry-After": str(error.wait or DAY // 24)}) from None

    def find(self, entry_id: str) -> Entry:
        """The submission of an id; raise Problem, StoreError."""
        found = self.store.find(entry_id)
        if found is None:
            raise Problem("no-such-submission")
        return found

    def counts(self) -> dict[str, int]:
        """How many submissions are in each state; raise StoreError."""
        found = Counter(entry.state for entry in self.store.entries())
        return {state.value: found[state] for state in State}

    def page(self, state: State | None, after: str | None, limit: int) -> tuple[list[Entry], bool]:
        """Submissions, newest first, after the one of an id, and whether there are more; raise Problem, StoreError."""
        wanted = [e for e in self.store.entries() if state is None or e.state is state]
        start = 0
        if after is not None:
            at = self.find(after)
            start = sum((e.received, e.id) >= (at.received, at.id) for e in wanted)
        return wanted[start : start + limit], start + limit < len(wanted)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- documents ---


def short(entry: Entry) -> Json:
    """A submission in a list."""
    pull = entry.sender.pull
    return {
        "id": entry.id,
        "state": entry.state.value,
        "kind": entry.kind and entry.kind.value,
        "model": entry.model,
        "revision": entry.revision,
        "submitter": entry.sender.name,
        "pull_request": pull and pull.name,
        "received": entry.received,
        "changed": entry.last.time,
    }


def document(entry: Entry) -> Json:
    """A submission, its states, and what the newest check of it said; nothing of what was sent but its name."""
    verdict, accepted = entry.verdict, entry.last.figures if entry.state is State.ACCEPTED else {}
    checked = next((s for s in reversed(entry.steps) if s.said), None)
    figures = verdict.figures if verdict else {}
    return {
        **short(entry),
        "meaning": MEANING[entry.state],
        "states": [{"state": s.state.value, "time": s.time, "by": s.by, "why": s.why or None} for s in entry.steps],
        "findings": [{**s.as_json(), "meaning": meaning(s.code)} for s in (checked.said if checked else ())],
        "claimed": figures.get("claimed"),
        "agreed": len(figures["agreed"]) if "agreed" in figures else None,
        "bits": figures.get("bits") or {},
        "bytes_read": figures.get("bytes"),
        "version": accepted.get("version"),
        "confirmations": [
            {"weight": w, "ours": c["ours"], "submitters": len(c["submitters"])}
            for w, c in accepted.get("confirmations", {}).items()
        ],
    }


def listed(entries: Iterable[Entry], more: bool) -> Json:
    """A page of submissions."""
    shown = [short(entry) for entry in entries]
    return {"submissions": shown, "cursor": shown[-1]["id"] if more else None}
