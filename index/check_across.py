"""What only a look at all records shows: a model under two ids, many results that changed at once, a question reopened.

Knows records, not files: it is given every model's history once, and keeps of it only what it needs.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

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


def across(histories: Iterable[Sequence[Record]]) -> Iterator[Finding]:
    """Yield what the histories of all models, each oldest first, show together."""
    twins, days = _Twins(), defaultdict[str, _Day](_Day)
    for history in histories:
        twins.note(history[-1])
        for before, after in pairwise(history):
            days[after.provenance.time[:10]].note(before, after)
        yield from _reopened(history)
    yield from twins.findings()
    yield from (finding for day in sorted(days) for finding in days[day].findings(day))


# --- a model under two ids ---


@dataclass
class _Twins:
    """Models by what makes them one: the digest of all that a scan depends on, and those of the weight files."""

    by_digest: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    known: dict[str, set[str]] = field(default_factory=dict)
    """The models that a record itself names as the same or as its base."""

    def note(self, record: Record) -> None:
        model = record.model
        if record.provenance.withdrawn:
            return
        shared = {s.shared_from.model_id for s in record.scans if s.shared_from}
        self.known[model.id] = {model.id, *shared, *([model.base_model] if model.base_model else [])}
        files = sorted(f.sha256 or "" for f in model.files)
        if model.content:
            self.by_digest[f"content {model.content}"].append(model.id)
        elif files and "" not in files:
            self.by_digest[f"weight files {' '.join(files)}"].append(model.id)

    def findings(self) -> Iterator[Finding]:
        for digest, models in self.by_digest.items():
            first, *others = sorted(models)
            for other in others:
                if not self.known[first] & self.known[other]:
                    what = digest.rpartition(" ")[0].partition(" ")[0]
                    named = "the same content" if what == "content" else "the same weight files"
                    yield Finding("two-ids", other, f"has {named} as {first}, and neither record says so")


# --- many results that change at once ---


@dataclass
class _Day:
    """What happened on one day (UTC) to models that had a result."""

    known: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)

    def note(self, before: Record, after: Record) -> None:
        if _result(before) is not None:
            self.known.add(before.model.id)
            if _is_lost(before, after):
                self.changed.add(before.model.id)

    def findings(self, day: str) -> Iterator[Finding]:
        if len(self.changed) >= LEAST and len(self.changed) > SHARE * len(self.known):
            first = ", ".join(sorted(self.changed)[:LEAST])
            count = f"{len(self.changed)} of {len(self.known)} models that had a result"
            yield Finding("mass-change", day, f"{count} and got a new version lost or changed it ({first}, ...)")


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
