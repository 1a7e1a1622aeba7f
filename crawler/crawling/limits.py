"""How much memory and how long a job may take, from its size alone. Rough on purpose, and rather too much."""

import os
from dataclasses import dataclass
from pathlib import Path

from .jobs import Job

GB = 1e9
UNKNOWN = 15 * GB
"""Bytes of a model whose size nobody knows: that of 7 billion parameters."""
BASE = 0.4 * GB
"""Bytes of a worker that only waits: Python, torch, transformers."""
EFFECTS = 0.7 * GB
"""More for effects, for each 512 tokens of windows on a text (measured on 1.1 to 7 billion parameters)."""
SHARE = 0.8
"""Of what is free that a pool takes."""


@dataclass(frozen=True)
class TimeLimit:
    """Seconds for any model, and bytes per second that a larger one must make beyond that."""

    seconds: float = 900.0
    rate: float = 2e6

    def of(self, job: Job) -> float:
        """Seconds that a job may take."""
        return self.seconds + (UNKNOWN if job.size is None else job.size) / self.rate


def memory_of(size: int | None, *, effects: bool = True, tokens: int = 512) -> float:
    """Bytes of memory at the peak of a scan of a model of `size` bytes; `tokens` are those of a text's windows.

    Above what was measured in bfloat16 without effects: 2.2 GB took 0.64 GB, 13.5 GB 1.5 GB, 138 GB 6.1 GB.
    """
    gigabytes: float = (UNKNOWN if size is None else size) / GB
    weights: float = 0.16 * GB * gigabytes**0.75
    return BASE + weights + (EFFECTS * max(1.0, tokens / 512) if effects else 0.0)


def free_memory() -> float:
    """Bytes that this process may still take: what the machine has, or its control group, whichever is less."""
    return max(0.0, min(_available(), _in_group()))


def free_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_of(workers: int) -> int:
    """Threads for each of so many workers: what OMP_NUM_THREADS says, else their share of the cores."""
    stated = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(stated) if stated.isdecimal() and int(stated) else max(1, free_cores() // workers)


def _available() -> float:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _in_group(folder: Path = Path("/sys/fs/cgroup")) -> float:
    """What the control group (version 2) leaves; what its file cache holds can be had back."""
    try:
        most, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
        cache = next(int(x.split()[1]) for x in (folder / "memory.stat").read_text().splitlines() if x[:5] == "file ")
    except (OSError, StopIteration):
        return float("inf")
    return float("inf") if most == "max" else float(most) - float(used) + cache
