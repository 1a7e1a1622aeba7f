"""Our own scan of what was submitted, within bounds: in a process apart, without a token that writes, ended in time.

Nothing of the submission reaches it but the model's id and commit: neither its texts nor its settings.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi

from ...schema.errors import SwindexError
from ..checkpoint.hub import HubCheckpoint
from ..crawling.jobs import Done, Job
from ..crawling.limits import TimeLimit, free_memory, memory_of
from ..crawling.outbox import Outbox, key_of
from ..detection.options import Options

Scan = Callable[[Job], Done]
"""What scans: `in_worker` gives one."""


@dataclass(frozen=True)
class Bounds:
    """How much our own scan may take."""

    bytes: int = 4_000_000_000
    """Of the checkpoint's weight files."""
    seconds: float = 900.0
    """And one more for each 2 MB of the checkpoint."""


def size_of(checkpoint: HubCheckpoint) -> int:
    """Bytes of the weight files; raise a Refusal."""
    return sum(checkpoint.entries[f].size for f in checkpoint.weight_files)


def beyond(size: int, bounds: Bounds, options: Options) -> str | None:
    """Why a checkpoint of this size is not scanned here; None if it is."""
    if size > bounds.bytes:
        return f"{size:,} bytes of weights, {bounds.bytes:,} are scanned for a check"
    needed, free = memory_of(size, effects=options.effects, tokens=options.windows * options.window), free_memory()
    return f"a scan needs {needed:,.0f} bytes of memory, {free:,.0f} are free" if needed > free else None


def in_worker(options: Options, bounds: Bounds, api: HfApi) -> Scan:
    """A scan in a worker process of its own; whatever happens to it becomes a `Done`. It raises UsageError."""

    def scan(job: Job) -> Done:
        from ..crawling.pool import Pool

        variables = {"HF_ENDPOINT": api.endpoint}
        with tempfile.TemporaryDirectory(prefix="swindex-check-") as name:
            limit = TimeLimit(bounds.seconds)
            with Pool(1, None, options, name, limit, variables=variables, only_read_token=True) as pool:
                for _ in pool.run(iter([job])):
                    pass
            done = [d for d in Outbox(Path(name)).waiting() if key_of(d.job) == key_of(job)]
        if not done:
            raise SwindexError(f"{job.model_id}: the scan left nothing behind; check it again")
        return done[0]

    return scan
