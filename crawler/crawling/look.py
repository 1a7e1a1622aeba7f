"""A look at a checkpoint that may spare its scan: first for a twin, then for what it has of its base model.

A base model is named by the model card, which may lie: it only says where to look. What is recorded is a comparison of
bits with those that we measured ourselves. A base that was itself only compared leads on to the one it was compared
with, so that no drift adds up unseen; one whose scan is shared serves as it is, since its files are those measured.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ...index.store import Index
from ...schema.model import Model, Relation
from ...schema.record import Record
from ...schema.survival import Fate, Survival
from ...schema.types import SCANNED
from ..checkpoint.base import Checkpoint
from ..detection.options import Options
from ..parts.content import content_of
from ..parts.result import Parts, config_facts
from ..refusal import Refusal
from ..stored.config import quantization
from .fine_tunes import ENOUGH, OFF, is_enough, read_if_there
from .jobs import Done, Job
from .policy import FineTunes
from .survival import survey
from .twins import share

MAX_STEPS = 4
"""Models that are followed from a base to one that we measured, at most."""


@dataclass(frozen=True)
class Looked:
    """What a look gave. Without `done` a full scan follows, and `survivals` belong into its version."""

    done: Done | None
    survivals: tuple[Survival, ...] = ()
    reason: str = ""
    """One line: why that is enough, or why a scan follows."""


def look(
    checkpoint: Checkpoint,
    index: Index,
    fine_tunes: FineTunes,
    twins: Callable[[str], str | None],
    options: Options | None = None,
) -> Looked:
    """Look for a twin (`twins`: content digest to the model that has it), then at the base; raise StoreError."""
    shared = _twin(checkpoint, index, twins, options or Options())
    if shared is not None:
        return Looked(shared, reason="identical files: the scan is shared")
    try:
        survival = _survival(checkpoint, index, fine_tunes)
    except Refusal as refusal:
        return Looked(None, reason=str(refusal))
    if survival is None:
        return Looked(None, reason="neither a twin nor a base model that was measured")
    if fine_tunes.survival == ENOUGH and is_enough(survival, fine_tunes.max_relative_drift):
        return Looked(compared(checkpoint, survival), (survival,), f"{_counts(survival)}: enough")
    return Looked(None, (survival,), f"{_counts(survival)}; a scan follows")


def measured(index: Index, model_id: str) -> Record | None:
    """The record of the model itself if we have its scan, else of the one that it was compared with, and so on."""
    seen: set[str] = set()
    while model_id not in seen and len(seen) < MAX_STEPS:
        seen.add(model_id)
        record = read_if_there(index, model_id)
        if record is None or not record.survivals or any(s.outcome in SCANNED for s in record.scans):
            return record
        model_id = record.survivals[-1].base
    return None


def _twin(checkpoint: Checkpoint, index: Index, twins: Callable[[str], str | None], options: Options) -> Done | None:
    content = content_of(checkpoint)
    model_id = twins(content) if content else None
    record = read_if_there(index, model_id) if model_id else None
    return share(record, checkpoint, options) if record else None


def _survival(checkpoint: Checkpoint, index: Index, fine_tunes: FineTunes) -> Survival | None:
    base, relation = checkpoint.base_model
    if fine_tunes.survival == OFF or base is None or relation == Relation.ADAPTER:
        return None
    if quantization(checkpoint.config) is not None:
        return None  # its scalars are codes: a scan reads them, a comparison of bits would call them gone
    record = measured(index, base)
    return survey(record, checkpoint) if record and record.model.id != checkpoint.model_id else None


def compared(checkpoint: Checkpoint, survival: Survival) -> Done:
    """What a comparison with the base alone gives: a version without a scan."""
    base, relation = checkpoint.base_model
    model = Model(
        id=checkpoint.model_id,
        revision=checkpoint.revision,
        **config_facts(checkpoint),
        base_model=base,
        relation=Relation(relation) if relation else None,
        content=content_of(checkpoint),
    )
    size = sum(checkpoint.entries[f].size for f in checkpoint.weight_files)
    parts = Parts(model, None, survivals=(survival,))
    meter = checkpoint.meter
    return Done(Job(model.id, model.revision, size), parts, "survival", meter.bytes, meter.requests)


def _counts(survival: Survival) -> str:
    said = ", ".join(f"{n} {state}" for state in Fate if (n := survival.count(state)))
    return f"{len(survival.scalars)} scalars of {survival.base}: {said}"
