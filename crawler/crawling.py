"""Scan models of the Hub one after the other and append what comes out to an index.

A model is pinned to a commit once. What was appended stays, whatever happens later; a rerun skips what is there. A
model that cannot be scanned becomes a scan outcome in the log; only the index's own failures stop a run.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

from huggingface_hub import HfApi

from ..index import database
from ..index.store import Index
from ..index.versions import with_scan
from ..schema.errors import UsageError
from ..schema.ids import is_model_id
from ..schema.types import Outcome
from .checkpoint.hub import HubCheckpoint
from .detection.run import Options, Progress
from .hub.discover import Query, Target, discover, named
from .parts.result import Result, now, refused
from .planning import Plan, Row, decide, measured_rate
from .refusal import Refusal, failed
from .scanning import quiet, scan_checkpoint

SUBMITTER = "swindex crawl"


@dataclass(frozen=True)
class CrawlOptions:
    """What to ask the Hub's listing, what to leave out, how to scan."""

    query: Query = field(default_factory=Query)
    max_bytes: int | None = None
    retry_failed: bool = False
    scan: Options = field(default_factory=Options)


@dataclass(frozen=True)
class Attempt:
    """What became of one model in a run."""

    model_id: str
    revision: str | None
    outcome: str
    """A scan outcome, or `skipped`."""
    reason: str | None
    appended: bool
    bytes: int = 0
    requests: int = 0
    seconds: float = 0.0


@dataclass
class CrawlReport:
    """What a run did."""

    attempts: list[Attempt] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def outcomes(self) -> dict[str, int]:
        """How many models ended how."""
        return dict(sorted(Counter(a.outcome for a in self.attempts).items()))

    @property
    def exit_status(self) -> int:
        """3 if every model that was tried failed (an outage, most likely), else 0."""
        tried = [a for a in self.attempts if a.outcome != "skipped"]
        return 3 if tried and all(a.outcome == Outcome.FAILED for a in tried) else 0

    def as_json(self) -> dict[str, Any]:
        """Plain data: totals and a row per model."""
        return {
            "outcomes": self.outcomes,
            "appended": sum(a.appended for a in self.attempts),
            "bytes": sum(a.bytes for a in self.attempts),
            "requests": sum(a.requests for a in self.attempts),
            "seconds": round(self.seconds, 3),
            "models": [asdict(a) for a in self.attempts],
        }


class Watch(Protocol):
    """Told how a run goes."""

    def begin(self, number: int, of: int, model_id: str) -> Progress | None:
        """Model `number` (from 0) of so many starts; gives what its scan reports to."""

    def end(self, attempt: Attempt) -> None:
        """A model is done."""


class _Unwatched:
    def begin(self, number: int, of: int, model_id: str) -> Progress | None:
        return None

    def end(self, attempt: Attempt) -> None:
        pass


def plan(models: list[str], *, index: Path, options: CrawlOptions | None = None, api: HfApi | None = None) -> Plan:
    """What `crawl` would do; reads the listing (and, for named models, what the Hub says of each), no weights."""
    options = options or CrawlOptions()
    store = None if Index(index).vacant else Index(index)
    api = api or HfApi()
    rows = [_decide(_sized(t, api), store, options) for t in _targets(models, options, api)]
    return Plan(rows, measured_rate(store))


def crawl(
    models: list[str],
    *,
    index: Path,
    options: CrawlOptions | None = None,
    watch: Watch | None = None,
    api: HfApi | None = None,
) -> CrawlReport:
    """Scan the named models, or what discovery finds, and append each to the index as soon as it is done."""
    quiet()
    options, watch, api = options or CrawlOptions(), watch or _Unwatched(), api or HfApi()
    store, report, started = Index(index), CrawlReport(), monotonic()
    store.ensure()
    targets = list(_targets(models, options, api))
    try:
        for number, target in enumerate(targets):
            progress = watch.begin(number, len(targets), target.model_id)
            report.attempts.append(_one(target, store, options, api, progress))
            watch.end(report.attempts[-1])
    finally:
        report.seconds = monotonic() - started
        if any(a.appended for a in report.attempts):
            database.update(store, [a.model_id for a in report.attempts if a.appended])
    return report


def _targets(models: list[str], options: CrawlOptions, api: HfApi) -> Iterator[Target]:
    if not models:
        return discover(options.query, api)
    for target in named(models):
        if not is_model_id(target.model_id):
            raise UsageError(f"{target.model_id!r} is not a model id of the form org/name")
    return named(models)


def _decide(target: Target | Refusal, store: Index | None, options: CrawlOptions) -> Row:
    if isinstance(target, Refusal):
        return Row(target.args[0].partition(":")[0].partition("@")[0], None, "skip", str(target))
    return decide(target, store, max_bytes=options.max_bytes, retry_failed=options.retry_failed)


def _sized(target: Target, api: HfApi) -> Target | Refusal:
    """The target with its commit and size, asked of the Hub where the listing did not say."""
    if target.revision is not None and target.size is not None:
        return target
    try:
        return _asked(HubCheckpoint(target.model_id, target.revision, api), target)
    except Refusal as refusal:
        return refusal


def _asked(checkpoint: HubCheckpoint, target: Target) -> Target:
    try:
        size: int | None = sum(checkpoint.entries[f].size for f in checkpoint.weight_files)
    except Refusal:
        size = target.size
    return Target(target.model_id, checkpoint.revision, size, target.gated)


def _one(target: Target, store: Index, options: CrawlOptions, api: HfApi, progress: Progress | None) -> Attempt:
    """Scan one model unless it need not be, and append what comes out."""
    started = monotonic()
    row = decide(target, store, max_bytes=options.max_bytes, retry_failed=options.retry_failed)
    if row.action == "skip":
        return Attempt(target.model_id, target.revision, "skipped", row.reason, appended=False)
    try:
        checkpoint = HubCheckpoint(target.model_id, target.revision, api)
    except Refusal as refusal:
        commit = refusal.revision or _commit(target.revision)
        return _append(refused(target.model_id, commit, refusal), store, started)
    row = decide(_asked(checkpoint, target), store, max_bytes=options.max_bytes, retry_failed=options.retry_failed)
    if row.action == "skip":
        return Attempt(target.model_id, checkpoint.revision, "skipped", row.reason, appended=False)
    return _append(_scanned(checkpoint, options.scan, progress), store, started)


def _scanned(checkpoint: HubCheckpoint, options: Options, progress: Progress | None) -> Result:
    """One bad model never stops a run: what nobody foresaw is a failed scan that says what happened."""
    try:
        return scan_checkpoint(checkpoint, options, progress)
    except Exception as error:
        refusal = failed(f"{checkpoint.place}: unforeseen {type(error).__name__}: {error}; please report it")
        return refused(checkpoint.model_id, checkpoint.revision, refusal, checkpoint)


def _append(result: Result, store: Index, started: float) -> Attempt:
    parts = {k: getattr(result, k) for k in ("model", "scan", "super_weights", "groups", "effects")}
    made = store.add(result.model.id, lambda previous: with_scan(previous, **parts), SUBMITTER, now())
    cost = result.scan.cost
    return Attempt(
        model_id=result.model.id,
        revision=result.scan.revision,
        outcome=result.scan.outcome.value,
        reason=result.scan.reason,
        appended=made is not None,
        bytes=cost.bytes_read if cost else 0,
        requests=cost.requests or 0 if cost else 0,
        seconds=round(monotonic() - started, 3),
    )


def _commit(revision: str | None) -> str | None:
    """A revision if it is a full commit, which a record may name."""
    return revision if revision and len(revision) == 40 and set(revision) <= set("0123456789abcdef") else None
