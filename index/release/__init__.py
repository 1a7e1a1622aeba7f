"""Makes a release directory of an index: segments, nodes, Parquet, DuckDB, cards, and `root.json` over them all.

The names and formats that readers share are in `index.site`. Names here are loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .make import Made as Made
    from .make import release as release

_WHERE = {"Made": "make", "release": "make"}
__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for (PEP 562)."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_WHERE[name]}", __name__), name)
