"""One worker process against two, a thread each, on small real checkpoints: python -m tests.bench.workers serves them.

The Hub is another process of this machine and takes its part of the cores.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from swindex.crawler.crawling.jobs import Job
from swindex.crawler.crawling.outbox import Outbox
from swindex.crawler.crawling.pool import Pool
from swindex.crawler.detection.run import Options
from tests.hub import Hub

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"
NAMES = ("stories260k", "stories260k-one", "stories260k-pair", "aidreams260k")
COPIES = 4
WARM = [Job(f"warm/{n}") for n in range(2)]
JOBS = [Job(f"bench/{name}-{n}", size=1_000_000) for n in range(COPIES) for name in NAMES]


@dataclass
class Crawl:
    """Runs with so many workers, and what they took."""

    workers: int
    seconds: list[float] = field(default_factory=list)
    """Once the workers have done a job each."""
    whole: list[float] = field(default_factory=list)
    """With their start."""
    busiest: list[float] = field(default_factory=list)
    """Processor seconds of the worker that took most, warm: the wall time where each has a core to itself."""

    def run(self, variables: dict[str, str]) -> None:
        """Scan all models once."""
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            with Pool(self.workers, None, Options(), folder, threads=1, variables=variables) as pool:
                pids = [e.facts["pid"] for e in pool.run(iter(WARM[: self.workers])) if e.kind == "started"]
                before, warm = [processor(pid) for pid in pids], time.perf_counter()
                for _ in pool.run(iter(JOBS)):
                    pass
                ended = time.perf_counter()
                self.busiest.append(max(processor(pid) - was for pid, was in zip(pids, before, strict=True)))
            self._check(Path(folder))
        self.seconds.append(ended - warm)
        self.whole.append(ended - started)

    def _check(self, folder: Path) -> None:
        bad = [d.job.model_id for d in Outbox(folder).waiting() if d.result.scan.outcome not in ("found", "none_found")]
        if bad:
            raise SystemExit(f"bench: not scanned: {bad}")

    def as_json(self) -> dict[str, object]:
        """Plain data."""
        rounded = {"warm_s": self.seconds, "whole_s": self.whole, "busiest_processor_s": self.busiest}
        return {"workers": self.workers, **{k: [round(x, 3) for x in v] for k, v in rounded.items()}}


def one_and_two(runs: int) -> tuple[Crawl, Crawl]:
    """Both, in turn."""
    crawls = Crawl(1), Crawl(2)
    with serving() as variables:
        for _ in range(runs):
            for crawl in crawls:
                crawl.run(variables)
    return crawls


def ratio(crawls: tuple[Crawl, Crawl], figure: Callable[[Crawl], list[float]]) -> float:
    """How many times as much one takes as two, median of the runs."""
    one, two = (median(figure(c)) for c in crawls)
    return one / two


def processor(pid: int) -> float:
    """Processor seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """The environment of a client of a Hub with all these models."""
    command = [sys.executable, "-m", "tests.bench.workers"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield {"HF_ENDPOINT": process.stdout.readline().strip(), "HF_HUB_DISABLE_XET": "1"}
    finally:
        process.communicate()


def main() -> None:
    """Serve until the standard input ends."""
    with Hub() as hub:
        for job in WARM:
            hub.add_folder(job.model_id, CHECKPOINTS / NAMES[0])
        for job in JOBS:
            name = job.model_id.removeprefix("bench/").rpartition("-")[0]
            hub.add_folder(job.model_id, CHECKPOINTS / name)
        print(hub.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
