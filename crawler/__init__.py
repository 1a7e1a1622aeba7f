"""From the Hub to a record: discover, plan, read weights lazily, detect, test causally, resume.

Names are loaded on first use: importing this package imports neither torch nor transformers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .detection.run import Options as Options
    from .scan import scan as scan

_MODULE = {"Options": "detection.run", "scan": "scan"}
__all__ = sorted(_MODULE)


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for (PEP 562)."""
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE[name]}", __name__), name)
