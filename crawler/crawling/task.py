"""Do one job: open the model at its commit, scan it, and say what became of it; whatever happens becomes a `Done`.

Only wrong usage (an id that is none, a device that is not there) raises. Knows no index, no outbox and no other job.
"""

import platform
import re
from time import monotonic
from typing import Any

from huggingface_hub import HfApi

from ...schema.errors import UsageError
from ...schema.types import Outcome
from ..checkpoint.hub import HubCheckpoint
from ..detection.options import Options, Progress
from ..parts.result import Result, refused
from ..refusal import Refusal, failed
from ..scanning import scan_checkpoint
from .jobs import Done, Job


def do(job: Job, options: Options, progress: Progress | None = None, api: HfApi | None = None) -> Done:
    """Scan the model of a job; raise UsageError and nothing else.

    Without `api` the Hub is the one that HF_ENDPOINT and HF_TOKEN name.
    """
    started = monotonic()
    try:
        checkpoint = HubCheckpoint(job.model_id, job.revision, api)
    except UsageError:
        raise
    except Exception as error:
        return unopened(job, options, error, monotonic() - started)
    result = _scanned(checkpoint, options, progress)
    return Done(
        job,
        result,
        bytes=checkpoint.meter.bytes,
        requests=checkpoint.meter.requests,
        seconds=round(monotonic() - started, 3),
        lasting=result.lasting,
        facts=facts(options),
    )


def broken_off(job: Job, reason: str, *, lasting: bool, seconds: float = 0.0, **also: Any) -> Done:
    """What is known of a job whose worker did not come back."""
    result = refused(job.model_id, commit(job.revision), failed(f"{place(job)}: {reason}"))
    return Done(job, result, seconds=round(seconds, 3), lasting=lasting, facts={"host": platform.node(), **also})


def facts(options: Options) -> dict[str, str]:
    """Where a job was done."""
    return {"host": platform.node(), "device": options.device}


def place(job: Job) -> str:
    """A job's model, with its commit if that is known."""
    return f"{job.model_id}@{job.revision[:8]}" if job.revision else job.model_id


def commit(revision: str | None) -> str | None:
    """A revision if it is a full commit, which a record may name."""
    return revision if revision and re.fullmatch("[0-9a-f]{40}", revision) else None


def unopened(job: Job, options: Options, error: Exception, seconds: float) -> Done:
    """A model that could not be opened. What the Hub says of it lasts, that it says nothing does not."""
    refusal = error if isinstance(error, Refusal) else _unforeseen(error, place(job))
    result = refused(job.model_id, refusal.revision or commit(job.revision), refusal)
    return Done(job, result, seconds=round(seconds, 3), lasting=refusal.lasting, facts=facts(options))


def _scanned(checkpoint: HubCheckpoint, options: Options, progress: Progress | None) -> Result:
    try:
        return scan_checkpoint(checkpoint, options, progress)
    except UsageError:
        raise
    except Exception as error:
        refusal = _unforeseen(error, checkpoint.place)
        return refused(checkpoint.model_id, checkpoint.revision, refusal, checkpoint)


def _unforeseen(error: Exception, where: str) -> Refusal:
    if isinstance(error, MemoryError):
        return Refusal(Outcome.TOO_LARGE, f"{where}: out of memory; scan it on a larger machine")
    return failed(f"{where}: unforeseen {type(error).__name__}: {error}; please report it")
