"""What a record takes from other models, against their records in the same index. Knows records, not files."""

from collections.abc import Iterator

from ..schema.record import Record
from .errors import NotInIndex
from .findings import Finding
from .store import Index


def unresolved(index: Index) -> Iterator[Finding]:
    """Yield what newest versions name in other models and the index does not have; raise StoreError."""
    for model_id in index.models():
        try:
            record = index.read(model_id)
        except NotInIndex:
            continue
        yield from _shared(index, record)
        yield from _compared(index, record)


def _shared(index: Index, record: Record) -> Iterator[Finding]:
    for scan in record.scans:
        origin = scan.shared_from
        if origin is None:
            continue
        scans = [s for r in _history(index, origin.model_id) for s in r.scans if s.id == origin.scan]
        if not scans:
            yield Finding("shared-unknown", record.model.id, f"scan {origin.scan} of {origin.model_id} is not known")
        elif any(s.shared_from for s in scans):
            yield Finding("shared-chain", record.model.id, f"scan {origin.scan} of {origin.model_id} is shared itself")


def _compared(index: Index, record: Record) -> Iterator[Finding]:
    for survival in record.survivals:
        if survival.base_record not in {r.provenance.digest for r in _history(index, survival.base)}:
            version = f"version {survival.base_record[:12]} of {survival.base}"
            yield Finding("base-unknown", record.model.id, f"{version} is not known")


def _history(index: Index, model_id: str) -> list[Record]:
    try:
        return index.history(model_id)
    except NotInIndex:
        return []
