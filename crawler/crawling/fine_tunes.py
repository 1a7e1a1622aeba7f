"""What is to be done with a model whose base was measured, and when a comparison with the base is enough.

Knows records, not checkpoints; without torch, since every row of a listing may be asked for.
"""

from ...index.errors import NotInIndex
from ...index.store import Index
from ...schema.record import Record
from ...schema.survival import Fate, Survival
from .policy import FineTunes

ENOUGH, OFF = "enough", "off"


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
        if current and survival.revision == revision and is_enough(survival, fine_tunes.max_relative_drift):
            return True
    return False


def read_if_there(index: Index, model_id: str) -> Record | None:
    """The newest record of a model; None if the index has none."""
    try:
        return index.read(model_id)
    except NotInIndex:
        return None
