"""swindex: a curated index of super weights.

The face of the package. `lookup` and `Client` are loaded when first used, so `import swindex` costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swindex.api import Client as Client
    from swindex.api import lookup as lookup

__version__ = "0.1.0"
__all__ = ["Client", "__version__", "lookup"]


def __getattr__(name: str) -> Any:
    """Load a public name from `swindex.api` when it is first asked for (PEP 562)."""
    if name in ("Client", "lookup"):
        from swindex import api

        return getattr(api, name)
    raise AttributeError(f"module 'swindex' has no attribute {name!r}")
