"""What outside sources say, where they disagree and what curators decided, in the result of a lookup. See `results`."""

from pydantic import BaseModel, ConfigDict

from ..schema.conflicts import ConflictKind
from ..schema.decision import DecisionKind
from ..schema.observation import Granularity, Stance


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SettledView(_Part):
    """Who settled a conflict, when and why."""

    by: str
    time: str
    reason: str


class ConflictView(_Part):
    """What sources disagree about."""

    kind: ConflictKind
    weights: tuple[str, ...]
    sides: tuple[str, ...]
    settled: SettledView | None


class Place(_Part):
    """A row, a column, an expert or a scalar that a statement is about."""

    layer: int
    expert: int | None
    row: int | None
    col: int | None


class ObservationView(_Part):
    """A statement that the super weights do not already carry."""

    origin: str
    granularity: Granularity
    stance: Stance
    targets: tuple[Place, ...]
    statement: str | None
    ppl_before: float | None
    ppl_after: float | None
    ppl_ratio: float | None
    finite: bool | None
    caveat: str | None


class NamedConflict(_Part):
    """The conflict that a decision settles."""

    kind: ConflictKind
    weights: tuple[str, ...]


class DecisionView(_Part):
    """What a curator decided on claims: those that were taken out, and those in their place."""

    kind: DecisionKind
    by: str
    time: str
    reason: str
    conflict: NamedConflict | None
    claims: tuple[ObservationView, ...]
    instead: tuple[ObservationView, ...]
