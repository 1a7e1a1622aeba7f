"""Time whole processes in turn: wall seconds and peak resident memory as the operating system accounts them, and the
seconds that a process says it took after its imports."""

import json
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

MB = 1e6


@dataclass
class Timed:
    """A command and what its runs took."""

    name: str
    command: Sequence[str]
    record: Path | None = None
    """Where a scan writes its record."""
    environment: dict[str, str] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    inside_seconds: list[float] = field(default_factory=list)
    peak_mb: list[float] = field(default_factory=list)
    output: str = ""

    @property
    def wall(self) -> float:
        """Median wall seconds."""
        return median(self.seconds)

    @property
    def inside(self) -> float:
        """Median seconds after imports."""
        return median(self.inside_seconds)

    @property
    def memory(self) -> float:
        """Median peak resident memory, MB."""
        return median(self.peak_mb)

    @property
    def scan(self) -> dict[str, Any]:
        """The record that the last run wrote."""
        assert self.record is not None
        found: dict[str, Any] = json.loads(self.record.read_text())
        return found

    def run(self, *, count: bool = True) -> None:
        """Run it once."""
        seconds, peak, self.output = _run(self.command, {**os.environ, **self.environment})
        if count:
            self.seconds.append(seconds)
            self.peak_mb.append(peak)
            self.inside_seconds.append(self._inside())

    def _inside(self) -> float:
        if self.record is not None:
            return float(self.scan["scans"][-1]["cost"]["seconds"])
        return float(json.loads(self.output)["seconds"]) if self.output.startswith('{"seconds"') else 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        runs = {"wall_s": self.seconds, "after_imports_s": self.inside_seconds, "peak_mb": self.peak_mb}
        return {"name": self.name, **{k: [round(x, 4) for x in v] for k, v in runs.items()}}


def in_turn(commands: list[Timed], runs: int, *, warm: bool = True) -> list[Timed]:
    """Run the commands one after the other, `runs` times round, after one round that is not counted if `warm`."""
    for turn in range(runs + warm):
        for timed in commands:
            timed.run(count=turn >= warm)
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
