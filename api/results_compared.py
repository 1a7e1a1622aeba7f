"""What became of a base model's super weights, in the result of a lookup with attributes. See `results`."""

from pydantic import BaseModel, ConfigDict

from ..schema.survival import Compared, Fate


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Stored(_Part):
    """A scalar as it is stored."""

    dtype: str
    bits: str
    value: float


class SurvivorView(_Part):
    """One recorded scalar of a base model, and what stands at its place here."""

    weight: str
    tensor: str
    index: tuple[int, ...]
    state: Fate
    compared: Compared | None
    drift: float | None
    base: Stored
    here: Stored | None
    reason: str | None


class SurvivalView(_Part):
    """What became here of a base model's recorded super weights."""

    base: str
    base_revision: str
    base_record: str
    revision: str | None
    time: str
    bytes_read: int
    requests: int
    same: int
    drifted: int
    gone: int
    worst_drift: float | None
    scalars: tuple[SurvivorView, ...]
