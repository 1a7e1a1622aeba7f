"""What a crawl would do, before anything is read: model by model, scan or skip and why, bytes, requests and time."""

from dataclasses import asdict, dataclass, field
from typing import Any

from ..index.errors import NotInIndex
from ..index.store import Index
from ..schema.record import Record
from ..schema.types import SCANNED, Outcome
from .hub.discover import Target
from .parts.result import DETECTOR

LASTING = frozenset(
    {Outcome.NEEDS_REMOTE_CODE, Outcome.UNSUPPORTED_ARCHITECTURE, Outcome.UNSAFE_FORMAT, Outcome.CORRUPT}
)
"""Outcomes that the same commit and detector would give again; the others may pass (network, access, memory)."""
ASSUMED_RATE = 50e6
"""Bytes per second, where the index holds no scan to go by."""
REQUESTS = 12
"""Requests for a model besides its weights: information, config, tokenizer, headers."""
BYTES_PER_REQUEST = 1 << 25


@dataclass(frozen=True)
class Row:
    """One model of a plan."""

    model_id: str
    revision: str | None
    action: str
    """scan or skip."""
    reason: str
    bytes: int | None = None

    @property
    def requests(self) -> int:
        """Requests to the Hub, about."""
        return REQUESTS + (self.bytes or 0) // BYTES_PER_REQUEST if self.action == "scan" else 0


@dataclass
class Plan:
    """What a crawl would do."""

    rows: list[Row] = field(default_factory=list)
    rate: float = ASSUMED_RATE
    exit_status = 0

    @property
    def scans(self) -> list[Row]:
        """The models that would be scanned."""
        return [r for r in self.rows if r.action == "scan"]

    def as_json(self) -> dict[str, Any]:
        """Plain data: totals and a row per model."""
        known = [r.bytes for r in self.scans if r.bytes is not None]
        return {
            "scan": len(self.scans),
            "skip": len(self.rows) - len(self.scans),
            "bytes": sum(known),
            "bytes_unknown_for": len(self.scans) - len(known),
            "requests": sum(r.requests for r in self.scans),
            "seconds": round(sum(known) / self.rate, 1),
            "bytes_per_second": self.rate,
            "models": [{**asdict(r), "requests": r.requests} for r in self.rows],
        }


def decide(target: Target, index: Index | None, *, max_bytes: int | None, retry_failed: bool) -> Row:
    """Whether a model is to be scanned, and why or why not. No index: one that is still to be made."""

    def row(action: str, reason: str) -> Row:
        return Row(target.model_id, target.revision, action, reason, target.size)

    if max_bytes is not None and target.size is not None and target.size > max_bytes:
        return row("skip", f"{target.size} bytes, more than --max-bytes {max_bytes}")
    try:
        record = index.read(target.model_id) if index else None
    except NotInIndex:
        record = None
    if record is None:
        return row("scan", "not in the index")
    return row(*_known(record, target.revision, retry_failed))


def _known(record: Record, revision: str | None, retry_failed: bool) -> tuple[str, str]:
    mine = [s for s in record.scans if s.settings.detector == DETECTOR]
    if not mine:
        return "scan", f"not scanned by {DETECTOR} yet"
    here = [s for s in mine if revision is None or s.revision == revision]
    if not here:
        return "scan", "a new commit"
    if revision is None:
        return "scan", "its commit is not known before asking"
    newest = here[-1]
    if newest.outcome in SCANNED:
        return "skip", f"already scanned at this commit: {newest.outcome}"
    if newest.outcome in LASTING and not retry_failed:
        return "skip", f"already tried at this commit: {newest.outcome}"
    return "scan", f"tried before: {newest.outcome}"


def measured_rate(index: Index | None) -> float:
    """Bytes of checkpoint per second in the index's own scans (the median), or ASSUMED_RATE."""
    records = [index.read(model_id) for model_id in index.models()] if index else []
    costs = [s.cost for r in records for s in r.scans if s.outcome in SCANNED and s.cost and s.cost.seconds]
    rates = [c.bytes_checkpoint / c.seconds for c in costs]
    return sorted(rates)[len(rates) // 2] if rates else ASSUMED_RATE
