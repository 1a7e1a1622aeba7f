"""From the Hub to a record: discover, plan, read weights lazily, detect, test causally, resume.

Names are loaded on first use: importing this package imports neither torch nor transformers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .crawling import CrawlOptions as CrawlOptions
    from .crawling import CrawlReport as CrawlReport
    from .crawling import crawl as crawl
    from .crawling import plan as plan
    from .detection.run import Options as Options
    from .hub.discover import Query as Query
    from .planning import Plan as Plan
    from .scanning import scan as scan

_MODULE = {
    "CrawlOptions": "crawling",
    "CrawlReport": "crawling",
    "Options": "detection.run",
    "Plan": "planning",
    "Query": "hub.discover",
    "crawl": "crawling",
    "plan": "crawling",
    "scan": "scanning",
}
__all__ = sorted(_MODULE)


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for (PEP 562)."""
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE[name]}", __name__), name)
