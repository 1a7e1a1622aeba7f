"""Make a release of an index of many models (see `scale`): python -m tests.bench.releases FOLDER DIRECTORY.

What is measured is printed as JSON: wall and processor seconds after the imports, peak resident memory, and how long
each step took by the clock.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from swindex.index.release import release
from swindex.index.store import Index
from tests.bench.scale import others


class Clock:
    """When each step was last heard of, in seconds from the start."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.last: dict[str, float] = {}

    def __call__(self, what: str, done: int, of: int) -> None:
        """Note a step."""
        self.last[what] = round(time.perf_counter() - self.started, 2)


def measured(folder: str, directory: str) -> dict[str, Any]:
    """Make the release."""
    clock, used = Clock(), time.process_time()
    made = release(Index(Path(folder)), Path(directory), steps=clock)
    seconds = time.perf_counter() - clock.started
    files = [path for path in Path(directory).rglob("*") if path.is_file()]
    return {
        "models": made.root.models,
        "versions": made.root.seq,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(time.process_time() - used, 2),
        **{name: round(value) for name, value in others().items()},
        "ended_at": clock.last,
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in files),
    }


if __name__ == "__main__":
    print(json.dumps(measured(*sys.argv[1:])))
