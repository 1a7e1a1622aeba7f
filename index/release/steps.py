"""What a long piece of work reports to."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Steps = Callable[[str, int, int], None]
"""Called with what is done, how much of it, and of how much."""
_T = TypeVar("_T")


def no_steps(what: str, done: int, of: int) -> None:
    """Report to nobody."""


def every(items: Iterable[_T], what: str, of: int, steps: Steps) -> Iterator[_T]:
    """Yield the items and report each hundredth and the last."""
    done = 0
    for done, item in enumerate(items, 1):
        yield item
        if done % 100 == 0:
            steps(what, done, of)
    steps(what, done, of)
