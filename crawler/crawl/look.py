"""A look at a checkpoint that may spare its scan: first for a twin, then for what it has of its base model.

A base model is named by the model card, which may lie: it only says where to look. What is recorded is a comparison of
bits with those that we measured ourselves. A base that was itself only compared leads on to the one it was compared
with, so that no drift adds up unseen; one whose scan is shared serves as it is, since its files are those measured.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from ...index.errors import NotInIndex
from ...index.store import Index
from ...schema.errors import UsageError
from ...schema.model import Model, Relation
from ...schema.record import Record
from ...schema.survival import Fate, Survival
from ...schema.types import SCANNED
from ..checkpoint.base import Checkpoint
from ..detection.run import Options
from ..parts.content import content_of
from ..parts.result import Parts, config_facts
from ..refusal import Refusal
from ..stored.methods import quantization
from .jobs import Done, Job
from .survival import survey
from .twins import share

ENOUGH, THEN_SCAN, OFF = "enough", "then_scan", "off"
MAX_STEPS = 4
"""Models that are followed from a base to one that we measured, at most."""


@dataclass(frozen=True)
class FineTunes:
    """What to do with a model whose base we measured; `max_drift`: |relative change| of a scalar that is enough yet."""

    survival: str = THEN_SCAN
    max_drift: float = 0.1

    def __post_init__(self) -> None:
        """Raise UsageError for another word, or a drift that is none."""
        if self.survival not in (ENOUGH, THEN_SCAN, OFF):
            raise UsageError(f"survival {self.survival!r}: use {ENOUGH}, {THEN_SCAN} or {OFF}")
        if not 0 <= self.max_drift < float("inf"):
            raise UsageError(f"max_drift {self.max_drift}: use a number from 0 on")


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
    if fine_tunes.survival == ENOUGH and is_enough(survival, fine_tunes.max_drift):
        return Looked(_done(checkpoint, survival), (survival,), f"{_counts(survival)}: enough")
    return Looked(None, (survival,), f"{_counts(survival)}; a scan follows")


def joined(done: Done, looked: Looked) -> Done:
    """What the scan that followed a look has done, with what the look saw."""
    return replace(done, result=replace(done.result, survivals=looked.survivals))


def is_enough(survival: Survival, max_drift: float) -> bool:
    """Whether every recorded scalar of the base is here, none further off than `max_drift`."""
    return all(
        s.state is Fate.SAME or (s.state is Fate.DRIFTED and s.drift is not None and abs(s.drift) <= max_drift)
        for s in survival.scalars
    )


def is_settled(record: Record, revision: str | None, index: Index, fine_tunes: FineTunes) -> bool:
    """Whether what was compared at this commit is enough, and the base's record is still the one it was compared with.

    Where it is, neither a look nor a scan has anything to add.
    """
    for survival in record.survivals if fine_tunes.survival == ENOUGH else ():
        base = _read(index, survival.base)
        current = base is not None and base.provenance.digest == survival.base_record
        if current and survival.revision == revision and is_enough(survival, fine_tunes.max_drift):
            return True
    return False


def measured(index: Index, model_id: str) -> Record | None:
    """The record of the model itself if we have its scan, else of the one that it was compared with, and so on."""
    seen: set[str] = set()
    while model_id not in seen and len(seen) < MAX_STEPS:
        seen.add(model_id)
        record = _read(index, model_id)
        if record is None or not record.survivals or any(s.outcome in SCANNED for s in record.scans):
            return record
        model_id = record.survivals[-1].base
    return None


def _twin(checkpoint: Checkpoint, index: Index, twins: Callable[[str], str | None], options: Options) -> Done | None:
    content = content_of(checkpoint)
    model_id = twins(content) if content else None
    record = _read(index, model_id) if model_id else None
    return share(record, checkpoint, options) if record else None


def _survival(checkpoint: Checkpoint, index: Index, fine_tunes: FineTunes) -> Survival | None:
    base, relation = checkpoint.base_model
    if fine_tunes.survival == OFF or base is None or relation == Relation.ADAPTER:
        return None
    if quantization(checkpoint.config) is not None:
        return None  # its scalars are codes: a scan reads them, a comparison of bits would call them gone
    record = measured(index, base)
    return survey(record, checkpoint) if record and record.model.id != checkpoint.model_id else None


def _done(checkpoint: Checkpoint, survival: Survival) -> Done:
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


def _read(index: Index, model_id: str) -> Record | None:
    try:
        return index.read(model_id)
    except NotInIndex:
        return None
