"""A copy of an index: downloaded from wherever a release lies, and brought up to date.

`run` knows what the formats have in common, `lines` JSON Lines (with `changes`), `files` Parquet and DuckDB, `database`
DuckDB by the change feed, `target` the directory a copy is kept in. Names here are loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .counted import Format as Format
    from .counted import Report as Report
    from .run import download as download

_WHERE = {"Format": "counted", "Report": "counted", "download": "run"}
__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for (PEP 562)."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_WHERE[name]}", __name__), name)
