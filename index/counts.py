"""The numbers of an index: how much it holds, by outcome, location and verdict. Knows records, not files."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from ..schema.conflicts import ConflictKind
from ..schema.decision import DecisionKind
from ..schema.record import Record
from ..schema.status import INHERITED, REPORTED
from ..schema.survival import Fate
from ..schema.types import Location, Outcome, Verdict
from . import heartbeat, shards
from .review import settled_by
from .store import Index
from .stored import Stored


def stats(index: Index) -> dict[str, Any]:
    """Count what the index holds; what is withdrawn counts only under `withdrawn`; raise StoreError.

    All keys are always there, those of enumerations too: models, versions, withdrawn, outcomes (of models), scans (by
    outcome), super_weights (total, location, alone, grouped), observations, origins, models_with_conflicts, conflicts
    (by kind), conflicts_open (those that no decision settles), decisions (by kind), newest (UTC time of the newest
    version, None for an empty index), scans_shared (of the scans, those made in another repository), survivals (models;
    their scalars by state), crawl (the last one, see `heartbeat.CRAWL`, and None without one).
    """
    counted = Counter[str]()
    origins: set[str] = set()
    newest = ""
    for part in shards.each(_count, [(index.directory, models) for models in shards.divided(list(index.models()))]):
        counted.update(part.counted)
        origins |= part.origins
        newest = max(newest, part.newest)
    return {
        **_told(counted, len(origins)),
        "newest": newest or None,
        "crawl": heartbeat.read(index.directory)["crawl"],
    }


# --- counting ---


@dataclass
class _Part:
    """What some models count, by what is counted and, of enumerations, its word."""

    counted: Counter[str] = field(default_factory=Counter)
    origins: set[str] = field(default_factory=set)
    newest: str = ""


def _count(directory: Path, models: Sequence[str]) -> _Part:
    """Count some models; raise StoreError."""
    index, part = Stored(directory), _Part()
    for model_id in models:
        history = [record for record, _ in index.versions_of(model_id)]
        for record in history[-1:]:
            part.counted["models"] += 1
            part.counted["versions"] += len(history)
            part.newest = max(part.newest, *(r.provenance.time for r in history))
            if record.provenance.withdrawn is None:
                part.counted.update(_of_record(record))
                part.origins |= {o.source.origin for o in record.observations}
            else:
                part.counted["withdrawn"] += 1
    return part


def _of_record(record: Record) -> Iterator[str]:
    """What a record counts for."""
    conflicts, status = record.status.conflicts, record.status
    yield f"outcomes {status.outcome}"
    yield from (f"scans {s.outcome}" for s in record.scans)
    yield from ("scans_shared" for s in record.scans if s.shared_from)
    yield from ["survivals"] * bool(record.survivals)
    yield from (f"fate {s.state}" for survival in record.survivals for s in survival.scalars)
    for weight in status.weights:
        yield from ("weights", f"location {weight.location}", f"alone {weight.alone}", f"grouped {weight.grouped}")
    yield from ("observations" for _ in record.observations)
    yield from ["models_with_conflicts"] * bool(conflicts)
    yield from (f"conflicts {c.kind}" for c in conflicts)
    yield from ("conflicts_open" for c in conflicts if settled_by(c, record.decisions) is None)
    yield from (f"decisions {d.kind}" for d in record.decisions)


# --- telling ---


def _told(counted: Counter[str], origins: int) -> dict[str, Any]:
    def words(what: str, known: Iterable[str | StrEnum]) -> dict[str, int]:
        return {str(word): counted[f"{what} {word}"] for word in known}

    return {
        "models": counted["models"],
        "versions": counted["versions"],
        "withdrawn": counted["withdrawn"],
        "outcomes": words("outcomes", [*Outcome, REPORTED, INHERITED]),
        "scans": words("scans", Outcome),
        "scans_shared": counted["scans_shared"],
        "survivals": {"models": counted["survivals"], "scalars": words("fate", Fate)},
        "super_weights": {
            "total": counted["weights"],
            "location": words("location", Location),
            "alone": words("alone", Verdict),
            "grouped": words("grouped", Verdict),
        },
        "observations": counted["observations"],
        "origins": origins,
        "models_with_conflicts": counted["models_with_conflicts"],
        "conflicts": words("conflicts", ConflictKind),
        "conflicts_open": counted["conflicts_open"],
        "decisions": words("decisions", DecisionKind),
    }
