"""What an outside source claims, in its own numbers, with where it says so.

Nothing here was measured by us. `origin` counts independence: a paper and its own code are one origin.
"""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import StringConstraints, model_validator

from .types import Count, Intervention, Part, Text, WeightId
from .weight import Coordinates


class Source(Part):
    """Where a claim stands."""

    origin: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    """Slug of the independent group of people behind it."""
    title: Text
    url: Text | None = None
    repo: Text | None = None
    commit: Text | None = None
    path: Text | None = None


class Granularity(StrEnum):
    """What a claim is about, and what an intervention changed."""

    SCALAR = "scalar"
    ROW = "row"
    EXPERT = "expert"
    TENSOR = "tensor"
    MODEL = "model"


class Stance(StrEnum):
    """What the source says about the location: that it is there, that it is not, or neither."""

    CLAIMS = "claims"
    DENIES = "denies"
    NOTES = "notes"


class Metric(Part):
    """A further number of the source under the source's own name."""

    name: Text
    value: float | None = None
    text: Text | None = None


class Observation(Part):
    """One statement of one source about some coordinates (or, with none, about the whole model)."""

    source: Source
    granularity: Granularity
    stance: Stance
    targets: tuple[Coordinates, ...] = ()
    statement: Text | None = None
    revision: Text | None = None
    """As the source gives it; not always a commit."""
    dtype: Text | None = None
    prompt: Text | None = None
    round: Count | None = None
    """Round in which the source found it; 0 is the unmodified pass."""
    detector_found: bool | None = None
    value: float | None = None
    activation_in: float | None = None
    activation_out: float | None = None
    share: float | None = None
    intervention: Intervention | None = None
    changed: Granularity | None = None
    """What the intervention changed: a scalar, several scalars (still `scalar`), a row, an expert."""
    corpus: Text | None = None
    finite: bool | None = None
    """False if the source's figure after the intervention was NaN or infinite."""
    ppl_before: float | None = None
    ppl_after: float | None = None
    ppl_ratio: float | None = None
    ci95: tuple[float, float] | None = None
    nll_before: float | None = None
    nll_relative_change: float | None = None
    kl: float | None = None
    metrics: tuple[Metric, ...] = ()
    second_hand: bool = False
    """True if the source only repeats somebody else's figure that was not seen."""
    caveat: Text | None = None

    @property
    def weights(self) -> tuple[str, ...]:
        """Ids of the scalars it is about."""
        return tuple(i for t in self.targets if (i := t.weight_id) is not None)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.intervention is None) != (self.changed is None):
            raise ValueError("intervention and changed go together")
        if self.finite is False and (self.ppl_after is not None or self.ppl_ratio is not None):
            raise ValueError("a figure that was not finite has no number: use finite=false and null")
        if self.granularity is Granularity.SCALAR and len(self.weights) != len(self.targets):
            raise ValueError("a claim about scalars names row and col of each")
        return self


class Remark(Part):
    """A curator's note for readers; carries no status."""

    about: tuple[WeightId, ...] = ()
    text: Annotated[str, StringConstraints(min_length=1, max_length=8000)]
