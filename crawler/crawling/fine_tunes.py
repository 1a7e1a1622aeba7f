"""What is to be done with a model whose base was measured, and when a comparison with the base is enough.

Knows records, not checkpoints; without torch, since every row of a listing may be asked for.
"""

from dataclasses import dataclass

from ...index.errors import NotInIndex
from ...index.store import Index
from ...schema.errors import UsageError
from ...schema.record import Record
from ...schema.survival import Fate, Survival

ENOUGH, THEN_SCAN, OFF = "enough", "then_scan", "off"


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
        base = read_if_there(index, survival.base)
        current = base is not None and base.provenance.digest == survival.base_record
        if current and survival.revision == revision and is_enough(survival, fine_tunes.max_drift):
            return True
    return False


def read_if_there(index: Index, model_id: str) -> Record | None:
    """The newest record of a model; None if the index has none."""
    try:
        return index.read(model_id)
    except NotInIndex:
        return None
