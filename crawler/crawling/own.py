"""Which of a record's scans are the model's own, and what another repository must have to share one. Without torch."""

from ...schema.record import Record
from ...schema.scan import Scan
from ...schema.types import SCANNED


def offered(record: Record) -> str | None:
    """The content digest for which a record has a scan of its own; None without one."""
    own = any(is_own(scan, record) for scan in record.scans) and record.provenance.withdrawn is None
    return record.model.content if own else None


def is_own(scan: Scan, record: Record) -> bool:
    """Whether a scan was made, in this repository, at the commit that the record is about."""
    return scan.outcome in SCANNED and scan.shared_from is None and scan.revision == record.model.revision
