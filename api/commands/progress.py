"""Progress of a long command, on standard error and only on a terminal. Knows steps and their numbers, not the work."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
