"""Progress of a long command, on standard error and only on a terminal. Knows steps and their numbers, not the work."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..page import clean

Steps = Callable[[str, int, int], None]
"""Called with what is done, how much of it, and of how much."""


@contextmanager
def progress() -> Iterator[Steps | None]:
    """A function to report steps to, drawn as bars; None where standard error is not a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, TaskID

    with Progress(console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def step(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what)
            bars.update(tasks[what], completed=done, total=of)

        yield step


class _Lines:
    """One line on standard error per finished model, where there is no terminal."""

    def begin(self, number: int, of: int, model_id: str) -> Steps | None:
        self._place = f"[{number + 1}/{of}]"
        return None

    def end(self, attempt: Any) -> None:
        reason = f": {attempt.reason}" if attempt.reason else ""
        print(clean(f"{self._place} {attempt.model_id} {attempt.outcome}{reason}"), file=sys.stderr, flush=True)


class _Bars:
    """A bar for all models and one for the model at work, with time left."""

    def __init__(self, bars: Any) -> None:
        self._bars = bars
        self._all = bars.add_task("models", total=None)
        self._one = bars.add_task("", total=None, visible=False)

    def begin(self, number: int, of: int, model_id: str) -> Steps | None:
        self._bars.update(self._all, completed=number, total=of)
        self._bars.reset(self._one, description=clean(model_id), visible=True)

        def step(what: str, done: int, total: int) -> None:
            self._bars.update(self._one, description=f"{clean(model_id)} {what}", completed=done, total=total)

        return step

    def end(self, attempt: Any) -> None:
        self._bars.advance(self._all)


@contextmanager
def crawl_progress() -> Iterator[Any]:
    """What a crawl reports to: bars on a terminal, else a line per model."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        yield _Bars(bars)
