"""The step that a datatrove executor runs on each machine: scan a share of a job list, put what comes out in an outbox.

A model never makes it raise: datatrove would give up the other shares too. Each scan is a process of its own (`pool`),
since datatrove waits for ever for a share whose process was killed. Imports nothing of datatrove.
"""

import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...schema.errors import UsageError
from .jobs import Job
from .limits import TimeLimit
from .outbox import Box, Outbox, open_box
from .pool import Pool
from .worker import read_options


@dataclass
class ScanShare:
    """Scan the jobs that fall to one rank. Plain data: it travels to other machines."""

    jobs: str
    """Path or address of a job list."""
    outbox: str
    """Folder or address of the outbox that all machines share."""
    options: dict[str, Any]
    """Of a scan, as JSON has them."""
    workers: int = 1
    """Processes for each rank."""
    seconds: float = TimeLimit.seconds
    rate: float = TimeLimit.rate
    variables: dict[str, str] = field(default_factory=dict)
    """More environment for the scanning processes: this machine's part of a rate limit. It is logged: no secrets."""
    name: str = "swindex scan"

    def __call__(self, data: Any = None, rank: int = 0, world_size: int = 1) -> None:
        """Do the share of this rank that is not in the outbox yet; raise only where nothing at all could be done."""
        shared = open_box(self.outbox)
        share = [job for job in read_jobs(self.jobs)[rank::world_size] if not shared.has(job)]
        with tempfile.TemporaryDirectory(prefix="swindex-outbox-") as folder:
            self._scan(share, Path(folder), shared)

    def _scan(self, share: list[Job], folder: Path, shared: Box) -> None:
        """Through an outbox of this machine's own: no scanning process may write to the shared one."""
        own = Outbox(folder)
        options, limit = read_options(self.options), TimeLimit(self.seconds, self.rate)
        remote = "://" in self.outbox
        pool = Pool(self.workers, None, options, folder, limit, variables=self.variables, only_read_token=remote)
        with pool:
            for event in pool.run(iter(share)):
                if event.kind == "finished":
                    hand_over(own, shared)


def hand_over(own: Box, shared: Box) -> None:
    """Move what is done from one outbox to another."""
    for done in own.waiting():
        shared.put(done)
        own.drop(done.job)


def write_jobs(jobs: Iterable[Job]) -> str:
    """A job list: a JSON object a line."""
    return "".join(f"{json.dumps(asdict(job))}\n" for job in jobs)


def read_jobs(where: str) -> list[Job]:
    """The jobs of a list at a path or an address; raise UsageError."""
    import fsspec

    try:
        with fsspec.open(where, "rt", encoding="utf-8") as file:
            return [Job(**row) for row in map(json.loads, _lines(file))]
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"{where}: no job list: {' '.join(str(error).split())[:200]}") from None


def _lines(file: Iterable[str]) -> Iterator[str]:
    return (line for line in file if line.strip())
