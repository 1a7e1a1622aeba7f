"""What a record takes from other models, against their records in the same index. Knows records, not files."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from ..schema.record import Record
from .errors import NotInIndex, StoreError
from .findings import Finding
from .stored import Stored

_KEPT = 1024
"""Models that others were made from, of which what they are named for is kept: the same few are named by many."""


class _Named(NamedTuple):
    """What others may name of a model."""

    digests: frozenset[str]
    """Of its versions."""
    scans: dict[str, bool]
    """Whether each of its scans is shared itself."""


class References:
    """Looks up what records of an index name in other models."""

    def __init__(self, directory: Path) -> None:
        index = Stored(directory)
        self._named = lru_cache(_KEPT)(lambda model_id: _named(index, model_id))

    def unresolved(self, record: Record) -> Iterator[Finding]:
        """Yield what a newest version names in other models and the index does not have."""
        try:
            yield from self._shared(record)
            yield from self._compared(record)
        except StoreError:
            return  # the log of the other model is damaged: that is said of itself

    def _shared(self, record: Record) -> Iterator[Finding]:
        here = record.model.id
        for origin in (scan.shared_from for scan in record.scans if scan.shared_from):
            is_shared, which = (
                self._named(origin.model_id).scans.get(origin.scan),
                f"{origin.scan} of {origin.model_id}",
            )
            if is_shared is None:
                yield Finding("shared-unknown", here, f"scan {which} is not known")
            elif is_shared:
                yield Finding("shared-chain", here, f"scan {which} is shared itself")

    def _compared(self, record: Record) -> Iterator[Finding]:
        for survival in record.survivals:
            if survival.base_record not in self._named(survival.base).digests:
                version = f"version {survival.base_record[:12]} of {survival.base}"
                yield Finding("base-unknown", record.model.id, f"{version} is not known")


def _named(index: Stored, model_id: str) -> _Named:
    try:
        history = index.history(model_id)
    except NotInIndex:
        history = []
    scans: dict[str, bool] = {}
    for scan in (s for record in history for s in record.scans):
        scans[scan.id] = scans.get(scan.id, False) or scan.shared_from is not None
    return _Named(frozenset(record.provenance.digest for record in history), scans)
