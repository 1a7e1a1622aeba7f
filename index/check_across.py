"""What only a look at all records shows: a model under two ids, many results that changed at once, a question reopened.

Knows records, not files: it is given every model's history once, and keeps of it only what it needs. What is kept of
some models can be handed from one process to another.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Self

from ..schema.decision import Decision
from ..schema.record import Record
from ..schema.status import REPORTED
from ..schema.types import Location, Outcome
from .findings import Finding

LEAST = 3
"""Models whose result changed in a day, below which nothing is concluded; as for the crawler's circuit breaker."""
SHARE = 0.2
"""Part of the models that got a new version in a day, and had a result before, from which a change is a mass change."""
_CONCLUDED = frozenset({Outcome.FOUND, Outcome.NONE_FOUND})


@dataclass
class Across:
    """What some models add to that; small, as there are many."""

    reopened: list[Finding] = field(default_factory=list)
    twins: list[tuple[str, str, str]] = field(default_factory=list)
    """What makes a model one, its id, and the other models that its record names as the same or as its base."""
    days: dict[str, "_Day"] = field(default_factory=dict)

    def note(self, history: Sequence[Record]) -> None:
        """Add the history of a model, oldest first."""
        self.reopened += _reopened(history)
        self.twins += _twin(history[-1])
        own: dict[str, _Day] = {}
        for before, after in pairwise(history):
            own.setdefault(after.provenance.time[:10], _Day()).note(before, after)
        for day, happened in own.items():
            self.days.setdefault(day, _Day()).add(happened)


class Together:
    """All models together; leave the `with` block when their findings were told."""

    def __init__(self) -> None:
        self._reopened: list[Finding] = []
        self._days: dict[str, _Day] = {}
        self._twins = sqlite3.connect("", isolation_level=None)  # a private file that has no name
        self._twins.executescript("PRAGMA journal_mode = OFF; CREATE TABLE twins (what, model_id, known); BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._twins.close()

    def add(self, across: Across) -> None:
        """Add some models."""
        self._reopened += across.reopened
        self._twins.executemany("INSERT INTO twins VALUES (?, ?, ?)", across.twins)
        for day, happened in across.days.items():
            self._days.setdefault(day, _Day()).add(happened)

    def findings(self) -> Iterator[Finding]:
        """Yield what the histories of all models show together."""
        yield from self._reopened
        for what, twins in groupby(self._twins.execute(_TWINS), key=itemgetter(0)):
            yield from _unsaid(what, [(model_id, {model_id, *known.split()}) for _, model_id, known in twins])
        yield from (finding for day in sorted(self._days) for finding in self._days[day].findings(day))


# --- a model under two ids ---

_TWINS = """
SELECT what, model_id, known FROM twins
WHERE what IN (SELECT what FROM twins GROUP BY what HAVING count(*) > 1) ORDER BY what, model_id
"""


def _twin(record: Record) -> Iterator[tuple[str, str, str]]:
    """The digest of all that a scan of the model depends on, else those of its weight files."""
    model = record.model
    files = sorted(f.sha256 or "" for f in model.files)
    if record.provenance.withdrawn or not (model.content or (files and "" not in files)):
        return
    what = f"the same content {model.content}" if model.content else f"the same weight files {' '.join(files)}"
    shared = {s.shared_from.model_id for s in record.scans if s.shared_from}
    yield what, model.id, " ".join(sorted({*shared, *([model.base_model] if model.base_model else [])}))


def _unsaid(what: str, twins: Sequence[tuple[str, set[str]]]) -> Iterator[Finding]:
    (first, known), *others = twins
    named = what.rstrip("0123456789abcdef ")
    for other, its in others:
        if not known & its:
            yield Finding("two-ids", other, f"has {named} as {first}, and neither record says so")


# --- many results that change at once ---


@dataclass
class _Day:
    """What happened on one day (UTC) to models that had a result: how many, and how many of them lost or changed it."""

    known: int = 0
    changed: int = 0
    first: list[str] = field(default_factory=list)
    """Of those that changed."""

    def note(self, before: Record, after: Record) -> None:
        """Add what happened to one model, of which this is all."""
        if _result(before) is not None:
            self.known = 1
            if _is_lost(before, after):
                self.changed, self.first = 1, [before.model.id]

    def add(self, other: "_Day") -> None:
        """Add other models."""
        self.known, self.changed = self.known + other.known, self.changed + other.changed
        self.first = sorted(self.first + other.first)[:LEAST]

    def findings(self, day: str) -> Iterator[Finding]:
        if self.changed >= LEAST and self.changed > SHARE * self.known:
            count = f"{self.changed} of {self.known} models that had a result"
            yield Finding(
                "mass-change", day, f"{count} and got a new version lost or changed it ({', '.join(self.first)}, ...)"
            )


def _result(record: Record) -> str | None:
    """What is concluded of a model: found, none_found, or reported where claims stand; None for nothing."""
    if record.provenance.withdrawn:
        return None
    if record.status.outcome == REPORTED:
        return REPORTED if any(w.location is not Location.REFUTED for w in record.status.weights) else None
    return record.status.outcome if record.status.outcome in _CONCLUDED else None


def _is_lost(before: Record, after: Record) -> bool:
    """Whether the result is another or none any more. A first scan of what was only reported changes none."""
    if _result(before) == REPORTED and after.scans and not after.provenance.withdrawn:
        return False
    return _result(after) != _result(before)


# --- a question reopened ---


def _reopened(history: Sequence[Record]) -> Iterator[Finding]:
    """Conflicts that a decision settles, about scalars that new claims have come to since."""
    newest = history[-1]
    for decision in newest.decisions:
        settled = decision.conflict
        if settled is not None and any(settled.is_of(c) for c in newest.status.conflicts):
            weights = set(settled.weights)
            new = [o for o in newest.observations if o not in _known_at(decision, history) and weights & set(o.weights)]
            who = ", ".join(sorted({o.source.origin for o in new}))
            if new:
                told = (
                    f"{settled.kind.value}:{settled.weights[0]} was settled by {decision.by}; new claims since: {who}"
                )
                yield Finding("reopened", newest.model.id, told)


def _known_at(decision: Decision, history: Sequence[Record]) -> tuple[object, ...]:
    """The claims that stood when a decision was made."""
    return next(r.observations for r in history if decision in r.decisions)
