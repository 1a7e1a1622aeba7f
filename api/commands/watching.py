"""How a crawl is watched: on a terminal a display that stays in place, else a line for each model that ended.

Draws what a run counted; counts nothing itself.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from ..page import clean
from .sizes import bytes_text, time_text

RUNNING = 8
"""Models at work that are shown."""
EVERY = 60.0
"""Seconds between two lines about the whole, where there is no terminal."""


class _Lines:
    """Lines on standard error."""

    def __init__(self) -> None:
        self._ended = 0
        self._said = monotonic()

    def show(self, status: Any) -> None:
        """Say from time to time how it stands."""
        if monotonic() - self._said >= EVERY:
            self._said = monotonic()
            print(summary(status), file=sys.stderr, flush=True)

    def ended(self, noted: Any) -> None:
        """Say what became of a model."""
        self._ended += 1
        how = "" if noted.how in ("scan", "skip") else f" ({noted.how})"
        reason = f": {noted.reason}" if noted.reason else ""
        print(clean(f"[{self._ended}] {noted.model_id} {noted.outcome}{how}{reason}"), file=sys.stderr, flush=True)


class _Display:
    """A display that stays in place: the whole, outcomes and budget, and a bar for each model at work."""

    def __init__(self, live: Any) -> None:
        self._live = live
        self.last: list[str] = []

    def show(self, status: Any) -> None:
        """Draw it anew."""
        self._live.update(drawn(status, self.last))

    def ended(self, noted: Any) -> None:
        """Keep the last few."""
        self.last = [*self.last, clean(f"{noted.outcome:>12}  {noted.model_id}")][-3:]


def summary(status: Any) -> str:
    """The whole in one line: done, waiting, throughput, time left."""
    per_minute = 60 * status.finished / status.seconds if status.seconds else 0.0
    rate = status.bytes / status.seconds if status.seconds else 0.0
    left = "?" if status.left is None else time_text(status.left)
    more = "+" if status.listing else ""
    return (
        f"{status.finished} done, {status.waiting}{more} waiting, {len(status.running)} at work; "
        f"{per_minute:.3g} models/min, {bytes_text(int(rate))}/s; {time_text(status.seconds)} gone, {left} left"
    )


def outcomes(status: Any) -> str:
    """How many ended how."""
    found = ", ".join(f"{count} {outcome}" for outcome, count in sorted(status.outcomes.items()))
    listed = (
        f"{status.listed} listed, {status.eligible} eligible, {status.indexed} in the index; " if status.listed else ""
    )
    return f"{listed}{found or 'nothing ended yet'}"


def budget(status: Any) -> str:
    """What is spent of what may be."""
    return ", ".join(f"{name} {spent:.4g} of {of:.4g}" for name, (spent, of) in status.budget.items())


def drawn(status: Any, last: list[str]) -> Any:
    """What the display shows, for rich."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    total = status.finished + status.waiting + len(status.running)
    whole = Table.grid(padding=(0, 1))
    whole.add_row(Text("models", "bold"), ProgressBar(max(total, 1), status.finished, width=30), summary(status))
    work = Table.grid(padding=(0, 1))
    for name, step in list(status.running.items())[:RUNNING]:
        bar = ProgressBar(max(step.of, 1), step.done, width=20)
        work.add_row(Text(clean(name), "cyan"), bar, f"{step.what} {step.done}/{step.of}" if step.of else "starting")
    lines = [Text(text, "dim") for text in (outcomes(status), budget(status), *last) if text]
    return Group(whole, *lines[:2], work, *lines[2:])


@contextmanager
def watching() -> Iterator[Any]:
    """What a crawl reports to."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), transient=True, refresh_per_second=4) as live:
        yield _Display(live)
