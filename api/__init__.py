"""What people touch: the lookup client, the command line.

`lookup`, `Client` and `LookupResult` are loaded when first used (PEP 562), so importing this package costs nothing.
No module here may be called `lookup`: importing a submodule binds its name on the package.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import Client as Client
    from .client import lookup as lookup
    from .results import LookupResult as LookupResult

_MODULE = {"Client": "client", "lookup": "client", "LookupResult": "results"}
__all__ = ["Client", "LookupResult", "lookup"]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for (PEP 562)."""
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE[name]}", __name__), name)
