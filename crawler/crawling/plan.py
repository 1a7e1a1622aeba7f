"""What a crawl would do, before anything is read but the listing: models, bytes, requests, hours, and what is skipped.

Totals and the first rows only, so that a listing of a million takes no more memory than one of ten. Writes nothing.
"""

from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from huggingface_hub import HfApi

from ...index.store import Index
from ...schema.types import SCANNED
from .decide import Decision, decide
from .listing import Page, pages
from .policy import Policy
from .state import State

ASSUMED_RATE = 50e6
"""Bytes per second, where the index holds no scan to go by."""
REQUESTS = 12
"""Requests for a model besides its weights: information, config, tokenizer, headers."""
BYTES_PER_REQUEST = 1 << 25
SHOWN = 1000
"""Rows, and bad rows, that a plan keeps."""
SAMPLE = 500
"""Records of an index that a rate is measured over where the crawl has no attempts of its own."""


@dataclass
class Plan:
    """What a crawl would do. `skipped` and `scanned` count models by the kind of their reason."""

    rate: float = ASSUMED_RATE
    measured: bool = False
    workers: int = 1
    shown: int = SHOWN
    rows: list[Decision] = field(default_factory=list)
    """The first ones."""
    bad: list[str] = field(default_factory=list)
    """The first rows that could not be believed, a line each."""
    scanned: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    bad_rows: int = 0
    bytes: int = 0
    bytes_unknown_for: int = 0
    requests: int = 0
    pages: int = 0
    listing_requests: int = 0
    listing_bytes: int = 0
    exit_status = 0

    def add(self, decision: Decision) -> None:
        """Count a decision, and keep it if it is among the first."""
        if len(self.rows) < self.shown:
            self.rows.append(decision)
        if decision.action == "skip":
            self.skipped[decision.kind] += 1
            return
        self.scanned[decision.kind] += 1
        self.bytes += decision.row.size or 0
        self.bytes_unknown_for += decision.row.size is None
        self.requests += requests_of(decision)

    def add_page(self, page: Page) -> None:
        """Count what a page cost, and its bad rows."""
        self.pages += 1
        self.listing_requests += page.requests
        self.listing_bytes += page.bytes
        self.bad_rows += len(page.bad)
        self.bad += page.bad[: self.shown - len(self.bad)]

    @property
    def seconds(self) -> float:
        """What the scans take at this rate, spread over the workers."""
        return self.bytes / (self.rate * self.workers)

    def as_json(self) -> dict[str, Any]:
        """Plain data: totals, counts by reason, the first rows and how many more there are."""
        scan, skip = self.scanned.total(), self.skipped.total()
        return {
            "scan": scan,
            "skip": skip,
            "bytes": self.bytes,
            "bytes_unknown_for": self.bytes_unknown_for,
            "requests": self.requests,
            "seconds": round(self.seconds, 1),
            "hours": round(self.seconds / 3600, 2),
            "bytes_per_second": self.rate,
            "rate_measured": self.measured,
            "workers": self.workers,
            "scan_by_reason": dict(self.scanned.most_common()),
            "skip_by_reason": dict(self.skipped.most_common()),
            "bad_rows": self.bad_rows,
            "listing": {"pages": self.pages, "requests": self.listing_requests, "bytes": self.listing_bytes},
            "models": [_as_json(d) for d in self.rows],
            "models_not_shown": scan + skip - len(self.rows),
            "bad": self.bad,
        }


def plan(policy: Policy, state: State, index: Index | None, *, api: HfApi | None = None, shown: int = SHOWN) -> Plan:
    """Walk the listing from its start and count; reads and writes nothing else; raise DiscoveryError, StoreError."""
    rate = state.rate() or index_rate(index)
    made = Plan(rate or ASSUMED_RATE, rate is not None, policy.workers.count, shown)
    for page in pages(policy.listing, api=api):
        made.add_page(page)
        for decision in decide(page.rows, state, index, policy):
            made.add(decision)
    return made


def requests_of(decision: Decision) -> int:
    """Requests to the Hub that a decision leads to, about."""
    return REQUESTS + (decision.row.size or 0) // BYTES_PER_REQUEST if decision.action == "scan" else 0


def index_rate(index: Index | None) -> float | None:
    """Bytes of checkpoint per second in scans of the index's first records (the median), None if it has none."""
    records = (index.read(model_id) for model_id in islice(index.models(), SAMPLE)) if index else ()
    costs = [s.cost for r in records for s in r.scans if s.outcome in SCANNED and s.cost and s.cost.seconds]
    rates = sorted(c.bytes_checkpoint / c.seconds for c in costs if c.bytes_checkpoint)
    return rates[len(rates) // 2] if rates else None


def _as_json(decision: Decision) -> dict[str, Any]:
    row = decision.row
    facts = {"model_id": row.model_id, "revision": row.revision, "action": decision.action, "reason": decision.reason}
    return {**facts, "bytes": row.size, "requests": requests_of(decision)}
