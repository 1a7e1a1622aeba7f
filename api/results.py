"""The result of a lookup with attributes: the document of `view`, checked. Shapes are explained there, once.

Unknown names are refused, so a name that `view` gains and this does not is found by the first test.
"""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from ..schema.errors import RecordError
from ..schema.model import Relation
from ..schema.record import explain
from ..schema.types import Basis, Intervention, Location, Role, Verdict
from ..schema.weight import GroupKind
from .results_claims import ConflictView, DecisionView, ObservationView
from .results_compared import SurvivalView


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelView(_Part):
    """The model, as the record knows it."""

    id: str
    revision: str | None
    architecture: str | None
    model_type: str | None
    parameters: int | None
    dtype: str | None
    layers: int | None
    hidden_size: int | None
    base_model: str | None
    relation: Relation | None


class ControlView(_Part):
    """What removing other weights did, which a figure is held against: the worst of them."""

    kind: str
    removed: int | None
    ppl_ratio: float | None
    finite: bool


class Figure(_Part):
    """What removing exactly these weights did, by whose account."""

    by: str
    basis: Basis
    ppl_before: float | None
    ppl_after: float | None
    ppl_ratio: float | None
    ppl_ratio_ci95: tuple[float | None, float | None] | None
    finite: bool
    text: str | None
    second_hand: bool
    statement: str | None
    caveat: str | None
    control: ControlView | None


class Tried(_Part):
    """What something other than zeroing did to exactly these weights, by our account."""

    intervention: Intervention
    scale: float | None
    ppl_before: float
    ppl_after: float | None
    finite: bool
    recovery: float | None
    text: str
    ppl_ratio: float | None


class OutlierView(_Part):
    """What removing many large weights did instead."""

    text: str
    removed: int | None
    ppl_ratio: float | None
    finite: bool


class SuperWeightView(_Part):
    """One scalar with its status."""

    id: str
    layer: int
    expert: int | None
    row: int
    col: int
    tensor: str
    index: tuple[int, ...]
    shape: tuple[int, ...] | None
    dtype: str | None
    value: float | None
    bits: str | None
    scale: float | None
    packed: str | None
    file: str | None
    byte_offset: int | None
    role: Role | None
    group: str | None
    activation_in: float | None
    activation_out: float | None
    share: float | None
    coherence: float | None
    rank: int | None
    round: int | None
    scan: str | None
    location: Location
    origins: tuple[str, ...]
    denied_by: tuple[str, ...]
    verdict: Verdict
    basis: Basis | None
    ppl_before: float | None
    ppl_after: float | None
    ppl_ratio: float | None
    figures: tuple[Figure, ...]
    texts: int
    tried: tuple[Tried, ...]
    grouped: Verdict
    grouped_basis: Basis | None
    grouped_in: str | None


class GroupView(_Part):
    """Weights that are judged together, with the verdict on them."""

    id: str
    kind: GroupKind
    reported: bool
    members: tuple[str, ...]
    verdict: Verdict
    basis: Basis | None
    ppl_before: float | None
    ppl_after: float | None
    ppl_ratio: float | None
    figures: tuple[Figure, ...]
    texts: int
    tried: tuple[Tried, ...]
    outliers: tuple[OutlierView, ...]
    missing: tuple[str, ...]


class SourceView(_Part):
    """Where claims stand."""

    origin: str
    title: str | None
    url: str | None


class SharedView(_Part):
    """Where a shared scan was made."""

    model_id: str
    revision: str
    scan: str


class ProfileView(_Part):
    """The largest |activation| of a layer; a figure that is null where `finite` is false was NaN or infinite."""

    layer: int
    activation_in: float | None
    activation_out: float | None
    residual: float | None
    finite: bool


class ScanView(_Part):
    """The latest scan of ours."""

    id: str
    outcome: str
    reason: str | None
    time: str
    detector: str
    effects: bool
    layers: int | None
    layers_covered: int
    experts: int | None
    experts_covered: int | None
    fits_float16: bool | None
    converged: bool | None
    shared_from: SharedView | None
    profile: tuple[ProfileView, ...]


class NoteView(_Part):
    """A curator's note."""

    about: tuple[str, ...]
    text: str


class Inherited(_Part):
    """The base model that the weights are taken from."""

    id: str
    revision: str | None
    relation: Relation | None
    outcome: str
    version: int
    time: str


class WithdrawnView(_Part):
    """When and why the record was withdrawn."""

    time: str
    reason: str


class RecordView(_Part):
    """The version that was read."""

    version: int
    time: str
    digest: str
    schema_version: str
    submitter: str
    withdrawn: WithdrawnView | None


class CrawlView(_Part):
    """The last crawl into the index, and how much of the Hub's listing it covered."""

    started: str
    ended: str
    complete: bool
    stopped: str | None
    listed: int
    eligible: int
    indexed: int


class IndexView(_Part):
    """The index that was asked."""

    time: str | None
    torn: bool
    crawl: CrawlView | None
    source: str | None
    released: str | None
    checked: str | None
    as_of: str | None


class LookupResult(_Part):
    """What is known about a model. Its JSON is that of `swindex lookup --json`."""

    model: ModelView
    outcome: str
    reported: bool
    super_weights: tuple[SuperWeightView, ...]
    groups: tuple[GroupView, ...]
    conflicts: tuple[ConflictView, ...]
    observations: tuple[ObservationView, ...]
    sources: tuple[SourceView, ...]
    scan: ScanView | None
    survivals: tuple[SurvivalView, ...]
    decisions: tuple[DecisionView, ...]
    notes: tuple[NoteView, ...]
    inherited_from: Inherited | None
    record: RecordView | None
    index: IndexView

    def _repr_html_(self) -> str:
        """What a notebook shows: the page that `swindex lookup` prints."""
        from .notebook import html_of

        return html_of(self.model_dump(mode="json"))

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """Check a document of `view`; raise RecordError."""
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise RecordError(explain(error, document["model"]["id"])) from None
