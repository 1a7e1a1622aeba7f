"""From the Hub to a record: discover, plan, read weights lazily, detect, test causally, resume.

Names are loaded on first use: importing this package imports neither torch nor transformers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .crawling.front import plan as plan
    from .crawling.front import policy_of as policy_of
    from .crawling.plan import Plan as Plan
    from .crawling.policy import Policy as Policy
    from .crawling.report import CrawlReport as CrawlReport
    from .crawling.run import crawl as crawl
    from .detection.options import Options as Options
    from .scanning import scan as scan
    from .study.options import StudyOptions as StudyOptions
    from .study.whole import make_study as make_study

_MODULE = {
    "CrawlReport": "crawling.report",
    "Options": "detection.options",
    "Plan": "crawling.plan",
    "Policy": "crawling.policy",
    "StudyOptions": "study.options",
    "crawl": "crawling.run",
    "make_study": "study.whole",
    "plan": "crawling.front",
    "policy_of": "crawling.front",
    "scan": "scanning",
}
__all__ = sorted(_MODULE)


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for (PEP 562)."""
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE[name]}", __name__), name)
