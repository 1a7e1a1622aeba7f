"""The dataset itself and the code that appends, reads, checks and builds it. Imports nothing of swindex but schema.

Names are loaded on first use, so importing this package imports neither pydantic nor DuckDB.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .counts import stats as stats
    from .curation import Order as Order
    from .curation import with_claims as with_claims
    from .curation import with_decision as with_decision
    from .database import build as build
    from .database import connect as connect
    from .database import in_memory as in_memory
    from .database import update as update
    from .database import verify as verify
    from .errors import DamagedLog as DamagedLog
    from .errors import Locked as Locked
    from .errors import NotInIndex as NotInIndex
    from .errors import StaleDatabase as StaleDatabase
    from .errors import StaleRecord as StaleRecord
    from .errors import StoreError as StoreError
    from .findings import Finding as Finding
    from .store import Appended as Appended
    from .store import Index as Index
    from .versions import with_scan as with_scan
    from .versions import withdraw as withdraw

_WHERE = {
    "counts": ("stats",),
    "curation": ("Order", "with_claims", "with_decision"),
    "database": ("build", "connect", "in_memory", "update", "verify"),
    "errors": ("DamagedLog", "Locked", "NotInIndex", "StaleDatabase", "StaleRecord", "StoreError"),
    "findings": ("Finding",),
    "store": ("Appended", "Index"),
    "versions": ("with_scan", "withdraw"),
}
_MODULE = {name: module for module, names in _WHERE.items() for name in names}
__all__ = sorted(_MODULE)


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for (PEP 562)."""
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE[name]}", __name__), name)
