"""From the Hub to a record: discover, plan, read weights lazily, detect, test causally, resume.

Names are loaded on first use: importing this package imports neither torch nor transformers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .crawl.front import plan as plan
    from .crawl.front import policy_of as policy_of
    from .crawl.plan import Plan as Plan
    from .crawl.policy import Policy as Policy
    from .crawl.report import CrawlReport as CrawlReport
    from .crawl.run import crawl as crawl
    from .detection.options import Options as Options
    from .scanning import scan as scan

_MODULE = {
    "CrawlReport": "crawl.report",
    "Options": "detection.options",
    "Plan": "crawl.plan",
    "Policy": "crawl.policy",
    "crawl": "crawl.run",
    "plan": "crawl.front",
    "policy_of": "crawl.front",
    "scan": "scanning",
}
__all__ = sorted(_MODULE)


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for (PEP 562)."""
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE[name]}", __name__), name)
