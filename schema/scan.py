"""One run of a detector on one checkpoint: settings, what was covered, what it cost, and how it ended.

Also runs that found nothing, and runs that could not be made and say why. Finds stand in the record beside it.
"""

from typing import Annotated, Self

from pydantic import Field, model_validator

from .types import SCANNED, Count, ModelId, Outcome, Part, Revision, Role, Text, UtcTime, WeightId, absent
from .weight import Token


class Prompt(Part):
    """A sequence the detector watched."""

    name: Text
    token_ids: tuple[Count, ...]
    bos: bool


class Settings(Part):
    """Everything that decides what a scan finds."""

    detector: Text
    """Name and version, as `swindex 0.1.0`."""
    constants: dict[str, float | int | str]
    """Named constants of DETECTION.md section 7 and their values."""
    prompts: tuple[Prompt, ...] = ()
    corpora: tuple[Text, ...] = ()
    compute_dtype: Text = "float32"
    effects: bool = True
    depth: Annotated[str, Field(pattern="^(full|screen)$")] = "full"
    """`screen`: the first token only, and not every layer."""


class LayerProfile(Part):
    """Largest |activation| of one layer over all prompts: into and out of the down projection, and residual.

    A null figure with `finite` false was NaN or infinite; with `finite` true the layer has no down projection.
    """

    layer: Count
    activation_in: float | None
    activation_out: float | None
    residual: float | None
    finite: bool = True


class Event(Part):
    """A massive activation that a layer made, raised or removed, and whether few products explain it."""

    layer: Count
    channel: Count
    stream: Count
    """0 is the unmodified pass."""
    role: Role
    token: Token
    before: float
    after: float
    kappa: Annotated[float, Field(ge=0)]
    """h squared over the sum of squares of the channels below it."""
    ratio_to_median: float | None = None
    origin: Annotated[str, Field(pattern=r"^(mlp|attention|bias|embedding)$")]
    spread: Annotated[str, Field(pattern=r"^(concentrated|neuron_group|distributed|none)$")]
    n_eff: float | None = None
    coherence: float | None = None
    persistent: bool | None = None
    weights: tuple[WeightId, ...] = ()


class ExpertsSeen(Part):
    """Which experts of a layer the watched tokens reached, of prompts and texts; the others are not covered."""

    layer: Count
    experts: Count
    seen: Annotated[str, Field(pattern=r"^(\d+(-\d+)?(,\d+(-\d+)?)*)?$")]
    """Numbers and ranges, as `0-3,7`."""


class NormGain(Part):
    """The gain of a norm behind a down projection at a channel that it makes massive: a culprit beside the weight."""

    layer: Count
    channel: Count
    tensor: Text
    value: float
    """As stored."""
    offset: float
    """Added to the stored value: 0, or 1 in families that store gains less one."""
    ratio_to_median: float
    """|gain| over the norm's median |gain|."""


class Cost(Part):
    """What a scan took."""

    bytes_read: Count
    bytes_checkpoint: Count
    seconds: Annotated[float, Field(ge=0)]
    peak_memory: Count | None = None
    """Bytes of resident memory of the process at its highest."""
    requests: Count | None = None


class SharedFrom(Part):
    """The scan whose figures these are: of another repository whose files are identical. It was made there, once."""

    model_id: ModelId
    revision: Revision
    scan: Text
    """Its id in that model's record."""


class Scan(Part):
    """One run. `id` is a digest over model, revision, files and settings: the same run twice has one id."""

    id: Text
    outcome: Outcome
    revision: Revision | None = None
    """The commit that was scanned, or that could not be; null for a folder or where none could be resolved."""
    reason: Text | None = None
    """For an outcome that is not a scan: one line that says what, where and what to do."""
    settings: Settings
    time: UtcTime
    device: Text | None = None
    libraries: dict[str, str] = Field(default_factory=dict)
    layers: Count | None = None
    layers_covered: tuple[Count, ...] = ()
    experts: Count | None = None
    experts_covered: Count | None = None
    experts_seen: tuple[ExpertsSeen, ...] = ()
    profile: tuple[LayerProfile, ...] = ()
    events: tuple[Event, ...] = ()
    norm_gains: tuple[NormGain, ...] = ()
    rounds: Count | None = None
    converged: bool | None = None
    fits_float16: bool | None = None
    cost: Cost | None = None
    shared_from: Annotated[SharedFrom | None, Field(exclude_if=absent)] = None
    """Where it was made, if not here: nothing of it was measured in this repository. Schema 1.1."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.outcome in SCANNED) == (self.reason is not None):
            raise ValueError(f"outcome {self.outcome} {'takes no' if self.reason else 'needs a'} reason")
        if self.outcome is Outcome.UNTESTED and self.settings.effects and self.converged is not False:
            raise ValueError("outcome untested is for a scan without effects, or one whose rounds did not end")
        if self.outcome in SCANNED and not self.layers_covered:
            raise ValueError(f"outcome {self.outcome} without a covered layer: an unread model is not a result")
        if self.shared_from is not None and self.outcome not in SCANNED:
            raise ValueError(f"outcome {self.outcome} cannot be shared: only a scan that was made can")
        return self
