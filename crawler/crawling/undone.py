"""What is known of a job without a scan: its model could not be opened, or its worker did not come back.

Without torch, which the process that leads a crawl does not need.
"""

import platform
import re
from typing import Any

from ...schema.types import Outcome
from ..detection.options import Options
from ..parts.result import refused
from ..refusal import Refusal, failed
from .jobs import Done, Job


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
    refusal = error if isinstance(error, Refusal) else unforeseen(error, place(job))
    result = refused(job.model_id, refusal.revision or commit(job.revision), refusal)
    return Done(job, result, seconds=round(seconds, 3), lasting=refusal.lasting, facts=facts(options))


def unforeseen(error: Exception, where: str) -> Refusal:
    """What an error that nobody foresaw says of a model."""
    if isinstance(error, MemoryError):
        return Refusal(Outcome.TOO_LARGE, f"{where}: out of memory; scan it on a larger machine")
    return failed(f"{where}: unforeseen {type(error).__name__}: {error}; please report it")
