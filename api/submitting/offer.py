"""What is to be submitted: the record of an earlier scan, of a scan made now, or a request where that is too large.

Scans with the crawler's own, which is loaded only for that. Knows nothing of how a submission is sent.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi

from ...crawler.crawling.limits import free_memory, memory_of
from ...index.errors import os_reason
from ...index.submissions.document import MOST, Submission, make
from ...schema.errors import RecordError, SwindexError, UsageError
from ...schema.record import Record
from ...schema.types import SCANNED

MAX_BYTES = 4_000_000_000
"""Of a checkpoint that is scanned for a submission, if nobody says otherwise."""
_TOLD = ("id", "tensor", "index", "dtype", "bits", "value")
Scan = Callable[[str, str], Record]
"""From a model and its commit to the record of a scan."""


class NotScanned(SwindexError):
    """There is no scan that could be submitted."""


@dataclass(frozen=True)
class Offer:
    """What would be sent: a record, or a request and why it is no more than that."""

    model: str
    revision: str
    record: Record | None
    why: str = ""

    def submission(self, parent: str | None, note: str | None) -> Submission:
        """The document, which builds on the version with the digest `parent`; raise UsageError."""
        plain: dict[str, Any] | None = self.record.model_dump(mode="json") if self.record else None
        return make(self.model, self.revision, record=plain, parent=parent, note=note)


def of_file(path: Path) -> Offer:
    """The record in a file, as `swindex scan --out` writes it; raise UsageError."""
    try:
        data = path.read_bytes() if path.stat().st_size <= 4 * MOST else None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {os_reason(error)}") from None
    if data is None:
        raise UsageError(f"{path}: too large to be the record of a scan")
    try:
        record = Record.parse(data)
    except RecordError as error:
        raise UsageError(f"{path}: no record of a scan: {error}") from None
    return _of_record(record, str(path))


def of_model(
    model: str, revision: str | None, scan: Scan, *, api: HfApi, most: int = MAX_BYTES, ask_only: bool = False
) -> Offer:
    """A scan of a model, or the request for one where it is too large for this machine; raise NotScanned, a Refusal."""
    from ...crawler.checkpoint.hub import HubCheckpoint
    from ...crawler.judging.rescan import size_of

    checkpoint = HubCheckpoint(model, revision, api)
    commit = str(checkpoint.revision)
    why = "as asked" if ask_only else too_large(size_of(checkpoint), most)
    return Offer(model, commit, None, why) if why else _of_record(scan(model, commit), model)


def too_large(size: int, most: int) -> str:
    """Why a checkpoint of this size is not scanned on this machine; empty if it is."""
    if size > most:
        return f"{size:,} bytes of weights, more than {most:,} (--max-bytes)"
    needed, free = memory_of(size), free_memory()
    if needed > free:
        return f"a scan needs about {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} are free"
    missing = [name for name in ("torch", "transformers") if find_spec(name) is None]
    return f"{missing[0]} is not installed (pip install 'swindex[crawl]')" if missing else ""


def _of_record(record: Record, where: str) -> Offer:
    scan = record.scans[-1] if record.scans else None
    if scan is None or scan.outcome not in SCANNED:
        reason = scan.reason if scan else "it holds none"
        raise NotScanned(f"{where}: no scan that was made: {reason}; to ask for one: swindex submit MODEL --request")
    if record.model.revision is None or scan.revision is None:
        raise NotScanned(f"{where}: the scan of a folder names no commit that others could read: scan ORG/NAME")
    return Offer(record.model.id, record.model.revision, record)


def shown(submission: Submission) -> dict[str, Any]:
    """What would be sent, in short, as plain data."""
    record = submission.record or {}
    weights = [
        {k: w[k] for k in ("id", "tensor", "index", "dtype", "bits", "value")} for w in record.get("super_weights", [])
    ]
    return {
        "kind": submission.kind.value,
        "model": submission.model,
        "revision": submission.revision,
        "parent": submission.parent,
        "note": submission.note,
        "outcome": record["scans"][-1]["outcome"] if record else None,
        "super_weights": weights,
        "bytes": len(submission.to_bytes()),
        "digest": submission.digest,
        "path": submission.path,
    }
