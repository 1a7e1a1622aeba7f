"""The numbers of an index: how much it holds, by outcome, location and verdict. Knows records, not files."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from ..schema.conflicts import ConflictKind
from ..schema.decision import DecisionKind
from ..schema.record import Record
from ..schema.status import INHERITED, REPORTED
from ..schema.survival import Fate
from ..schema.types import Location, Outcome, Verdict
from . import heartbeat
from .review import settled_by
from .store import Index


def stats(index: Index) -> dict[str, Any]:
    """Count what the index holds; what is withdrawn counts only under `withdrawn`; raise StoreError.

    All keys are always there, those of enumerations too: models, versions, withdrawn, outcomes (of models), scans (by
    outcome), super_weights (total, location, alone, grouped), observations, origins, models_with_conflicts, conflicts
    (by kind), conflicts_open (those that no decision settles), decisions (by kind), newest (UTC time of the newest
    version, None for an empty index), scans_shared (of the scans, those made in another repository), survivals (models;
    their scalars by state), crawl (the last one, see `heartbeat.CRAWL`, and None without one).
    """
    histories = [h for model_id in index.models() if (h := [record for record, _ in index.versions(model_id)])]
    newest = [history[-1] for history in histories]
    counted = [record for record in newest if record.provenance.withdrawn is None]
    return {
        "models": len(newest),
        "versions": sum(len(history) for history in histories),
        "withdrawn": len(newest) - len(counted),
        **_of_records(counted),
        "newest": max((record.provenance.time for history in histories for record in history), default=None),
        "crawl": heartbeat.read(index.directory)["crawl"],
    }


def _of_records(records: list[Record]) -> dict[str, Any]:
    conflicts = [c for r in records for c in r.status.conflicts]
    return {
        "outcomes": _tally((r.status.outcome for r in records), [*Outcome, REPORTED, INHERITED]),
        "scans": _tally((s.outcome for r in records for s in r.scans), Outcome),
        "scans_shared": sum(s.shared_from is not None for r in records for s in r.scans),
        "survivals": _of_survivals(records),
        "super_weights": _of_weights(records),
        "observations": sum(len(r.observations) for r in records),
        "origins": len({o.source.origin for r in records for o in r.observations}),
        "models_with_conflicts": sum(bool(r.status.conflicts) for r in records),
        "conflicts": _tally((c.kind for c in conflicts), ConflictKind),
        "conflicts_open": sum(settled_by(c, r.decisions) is None for r in records for c in r.status.conflicts),
        "decisions": _tally((d.kind for r in records for d in r.decisions), DecisionKind),
    }


def _of_survivals(records: list[Record]) -> dict[str, Any]:
    scalars = [s.state for r in records for survival in r.survivals for s in survival.scalars]
    return {"models": sum(bool(r.survivals) for r in records), "scalars": _tally(scalars, Fate)}


def _of_weights(records: list[Record]) -> dict[str, Any]:
    weights = [w for r in records for w in r.status.weights]
    return {
        "total": len(weights),
        "location": _tally((w.location for w in weights), Location),
        "alone": _tally((w.alone for w in weights), Verdict),
        "grouped": _tally((w.grouped for w in weights), Verdict),
    }


def _tally(found: Iterable[str], words: Iterable[str | StrEnum]) -> dict[str, int]:
    """How often each word was found, also those that were not."""
    counts = Counter(str(each) for each in found)
    return {str(word): counts[str(word)] for word in words}
