"""What becomes of a model whose turn has come: nothing, a twin's scan, a comparison with its base, or a scan.

Opens the checkpoint (a request or two) and reads a few bytes at most. What comes of it without a scan goes into the
outbox like the work of any worker.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic

from huggingface_hub import HfApi

from ...index.errors import StoreError
from ...index.store import Index
from ...schema.errors import UsageError
from ..checkpoint.hub import HubCheckpoint
from ..detection.options import Options
from ..parts.content import content_of
from .front import decision_on, size_of
from .jobs import Done, Job
from .look import compared, look
from .policy import Policy
from .state import Queued
from .undone import unopened


@dataclass(frozen=True)
class Passed:
    """What the gate says of a model: `skip` and why, what is `done` without a scan, and the `job` that is left."""

    skip: str | None = None
    done: Done | None = None
    job: Job | None = None
    content: str | None = None
    revision: str | None = None
    requests: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Gate:
    """Looks at models before they are scanned. `twins`: content digest to a model that has it."""

    store: Index
    policy: Policy
    options: Options
    api: HfApi
    twins: Callable[[str], str | None]

    def open(self, queued: Queued) -> Passed:
        """Look at a model, whatever is wrong with it; raise StoreError, UsageError."""
        started, job = monotonic(), queued.job
        try:
            checkpoint = HubCheckpoint(job.model_id, job.revision, self.api)
            passed = self._look(checkpoint, job)
        except (StoreError, UsageError):
            raise
        except Exception as error:
            return Passed(done=unopened(job, self.options, error, monotonic() - started))
        meter = checkpoint.meter
        done = passed.done and replace(passed.done, job=replace(passed.done.job, tries=job.tries))
        return replace(
            passed,
            done=done and replace(done, seconds=round(monotonic() - started, 3)),
            content=content_of(checkpoint) if passed.job else None,
            revision=checkpoint.revision,
            requests=meter.requests,
            bytes=meter.bytes,
        )

    def _look(self, checkpoint: HubCheckpoint, job: Job) -> Passed:
        size = size_of(checkpoint, job.size)
        decision = decision_on(checkpoint, size, self.store, self.policy)
        if decision.action == "skip":
            return Passed(skip=decision.reason)
        looked = look(checkpoint, self.store, self.policy.fine_tunes, self.twins, self.options)
        if looked.done is not None:
            return Passed(done=looked.done)
        done = compared(checkpoint, looked.survivals[0]) if looked.survivals else None
        return Passed(done=done, job=Job(job.model_id, checkpoint.revision, size, job.tries))
