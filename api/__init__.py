"""What people touch: the lookup client, the command line, and the super weights of a model that is loaded.

Names are loaded when first used (PEP 562), so importing this package costs nothing; those of `loaded` need torch.
No module here may be called as one of them: importing a submodule binds its name on the package.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import Client as Client
    from .client import lookup as lookup
    from .loaded.editing import ablated as ablated
    from .loaded.editing import read as read
    from .loaded.editing import restore as restore
    from .loaded.editing import scale as scale
    from .loaded.editing import zero as zero
    from .loaded.masking import keep_masks as keep_masks
    from .loaded.masking import modules as modules
    from .loaded.watching import Guard as Guard
    from .loaded.watching import intact as intact
    from .results import LookupResult as LookupResult

_MODULE = {
    "Client": "client",
    "Guard": "loaded.watching",
    "LookupResult": "results",
    "ablated": "loaded.editing",
    "intact": "loaded.watching",
    "keep_masks": "loaded.masking",
    "lookup": "client",
    "modules": "loaded.masking",
    "read": "loaded.editing",
    "restore": "loaded.editing",
    "scale": "loaded.editing",
    "zero": "loaded.editing",
}
__all__ = sorted(_MODULE)


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for (PEP 562)."""
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE[name]}", __name__), name)
