"""Time whole processes in turn: wall seconds and peak resident memory as the operating system accounts them."""

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

MB = 1e6


@dataclass
class Timed:
    """A command and what its runs took."""

    name: str
    command: Sequence[str]
    seconds: list[float] = field(default_factory=list)
    peak_mb: list[float] = field(default_factory=list)
    output: str = ""

    @property
    def wall(self) -> float:
        """Median wall seconds."""
        return median(self.seconds)

    @property
    def memory(self) -> float:
        """Median peak resident memory, MB."""
        return median(self.peak_mb)


def in_turn(commands: list[Timed], runs: int, environment: dict[str, str] | None = None) -> list[Timed]:
    """Run the commands one after the other, `runs` times round, after one round that is not counted."""
    for turn in range(runs + 1):
        for timed in commands:
            seconds, peak, timed.output = _run(timed.command, {**os.environ, **(environment or {})})
            if turn:
                timed.seconds.append(seconds)
                timed.peak_mb.append(peak)
    return commands


def _run(command: Sequence[str], environment: dict[str, str]) -> tuple[float, float, str]:
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    output = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 3):
        raise SystemExit(f"bench: exit {process.returncode}: {' '.join(command)}")
    return time.perf_counter() - started, usage.ru_maxrss * 1024 / MB, output
