"""Do one job: open the model at its commit, scan it, and say what became of it; whatever happens becomes a `Done`.

Only wrong usage (an id that is none, a device that is not there) raises. Knows no index, no outbox and no other job.
"""

from time import monotonic

from huggingface_hub import HfApi

from ...schema.errors import UsageError
from ..checkpoint.hub import HubCheckpoint
from ..detection.options import Options, Progress
from ..parts.result import Result, refused
from ..scanning import scan_checkpoint
from .jobs import Done, Job
from .undone import facts, unforeseen, unopened


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


def _scanned(checkpoint: HubCheckpoint, options: Options, progress: Progress | None) -> Result:
    try:
        return scan_checkpoint(checkpoint, options, progress)
    except UsageError:
        raise
    except Exception as error:
        refusal = unforeseen(error, checkpoint.place)
        return refused(checkpoint.model_id, checkpoint.revision, refusal, checkpoint)
