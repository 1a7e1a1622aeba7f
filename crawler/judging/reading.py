"""The checkpoint that a submission names, at its commit: whether it is there, its files, the bits of what is claimed.

Reads headers and a few bytes. That the Hub does not answer is a finding of its own and says nothing of the submission.
"""

from collections.abc import Iterator
from typing import Any

from huggingface_hub import HfApi

from ...index.submissions.codes import Said
from ...index.submissions.document import Submission
from ...schema.record import Record
from ...schema.types import Outcome
from ..checking import files_differ
from ..checkpoint.hub import HubCheckpoint
from ..refusal import Refusal
from ..verifying import Answer, Verification, verify

_SAYS = {Outcome.NOT_FOUND: "not-on-hub", Outcome.GATED: "closed"}
_SHOWN = 3
"""Scalars that a message names."""


def refused(refusal: Refusal) -> Said:
    """What it means that a checkpoint cannot be opened or read."""
    code = _SAYS.get(refusal.outcome, "unreadable") if refusal.lasting else "unasked"
    return Said(code, str(refusal))


def opened(submission: Submission, api: HfApi) -> HubCheckpoint:
    """The checkpoint at the commit; raise a Refusal, also where the Hub gives another commit."""
    found = HubCheckpoint(submission.model, submission.revision, api)
    if submission.revision is not None and found.revision != submission.revision:
        raise Refusal(Outcome.NOT_FOUND, f"{submission.model}: the Hub gives {found.revision} for that commit")
    return found


def compared(claim: Record, checkpoint: HubCheckpoint, figures: dict[str, Any]) -> Iterator[Said]:
    """Yield how files and bits differ from what is claimed; `figures` gets the counts. Raise a Refusal."""
    if checkpoint.name != claim.model.id:
        yield Said("renamed", f"the Hub calls it {checkpoint.name}")
    yield from (Said("file-differs", f.message) for f in files_differ(claim, checkpoint))
    if not claim.super_weights:
        yield Said("nothing-to-read", "no scalar is claimed")
        return
    done = verify(claim, checkpoint)
    figures["bits"] = {name: count for name, count in done.counts.items() if count}
    yield from _bits(done)


def _bits(done: Verification) -> Iterator[Said]:
    wrong = [c for c in done.checks if c.answer in (Answer.DRIFTED, Answer.GONE)]
    unread = [c for c in done.checks if c.answer is Answer.NOT_CHECKABLE]
    for code, checks in (("bits-differ", wrong), ("bits-unchecked", unread)):
        for check in checks[:_SHOWN]:
            stored = check.stored_bits or check.reason or "nothing"
            yield Said(code, f"{check.weight}: claimed {check.recorded_bits}, there {stored}")
    if not wrong and not unread:
        yield Said("bits-same", f"{len(done.checks)} of {len(done.checks)} scalars, {done.scalar_bytes} bytes read")
