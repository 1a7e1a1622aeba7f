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

_MODULE = {"Client": "client", "lookup": "client", "LookupResult": "results"}
_LOADED = {
    "Guard": "watching",
    "ablated": "editing",
    "intact": "watching",
    "keep_masks": "masking",
    "modules": "masking",
    "read": "editing",
    "restore": "editing",
    "scale": "editing",
    "zero": "editing",
}
"""Names of `loaded`, which need torch: a star does not import them."""
__all__ = ["Client", "LookupResult", "lookup"]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for (PEP 562)."""
    if name in _LOADED:
        from .commands.options import with_torch

        return with_torch(f"{__name__}.loaded.{_LOADED[name]}", name, "working on a loaded model")
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE, *_LOADED})
