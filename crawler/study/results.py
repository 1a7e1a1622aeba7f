"""What a study measures, as frozen and checked parts: no NaN, no infinity, plain JSON. Needs no torch.

A figure that was not finite is null with `finite` false. What could not be measured is named in `left_out`, with the
reason; a part that was not asked for stands in neither.
"""

from typing import Annotated, Any

from pydantic import Field

from ...schema.types import Count, Part, Sha256, UtcTime, WeightId

KIND = "swindex-study"
VERSION = "1.0"


class MeasuredOn(Part):
    """A text and how much of it."""

    name: str
    sha256: Sha256
    windows: Annotated[int, Field(ge=1)]
    window: Annotated[int, Field(ge=2)]
    """Tokens of a window, `<s>` included."""
    tokens: Annotated[int, Field(ge=1)]
    """Predicted tokens."""
    bos: bool


class Carried(Part):
    """A residual channel that a super weight writes to, behind each layer (figure 4): of the watched prompts the value
    at the token where it is largest, signed; null if not finite."""

    channel: Count
    layers: tuple[Count, ...]
    unmodified: tuple[float | None, ...]
    removed: tuple[float | None, ...]
    """Without everything that was found."""
    others_removed: tuple[float | None, ...] = ()
    """Without the largest other weights instead; before the first find it is the unmodified model."""


class Token(Part):
    """The probability of one next token, with everything that was found and without."""

    id: Count
    text: str
    before: float
    after: float | None


class Trace(Part):
    """Where the super activation goes, and what the next token is without it."""

    weights: tuple[WeightId, ...]
    channels: tuple[Carried, ...]
    tokens_watched: Count
    others: Count = 0
    """How many other weights `others_removed` is without."""
    prompt: str | None = None
    prompt_bos: bool = False
    next: tuple[Token, ...] = ()
    """Behind the prompt: the most likely tokens of either model."""
    mean: tuple[Token, ...] = ()
    """The same in their mean over all positions of a text."""
    mean_on: MeasuredOn | None = None


class RoundedRow(Part):
    """One way to round the model, and what it costs."""

    table: str
    """`weights`: by size of blocks; `activations`: eight bits for both."""
    bits: int
    activation_bits: int | None
    block: int | None
    """Side of a block; null: whole tensors."""
    clip: float | None
    """z; null: nothing clipped."""
    held: str
    draw: Count
    restored: bool
    label: str
    finite: bool
    nll: float | None
    ppl: float | None


class Tuned(Part):
    """What one z gave on the text for tuning."""

    bits: int
    block: int | None
    held: str
    clip: float
    nll: float | None


class Quantization(Part):
    """Section 4 of the paper."""

    held: tuple[WeightId, ...]
    tensors: Count
    parameters: Count
    """In the tensors that are rounded."""
    only: str | None
    """What the tensors have in their name; null: all matrices of the layers are rounded."""
    symmetric: bool
    """Whether the grid of weights is symmetric about zero."""
    measured_on: MeasuredOn
    tuned_on: MeasuredOn
    nll: float
    ppl: float | None
    """Of the model as it is, on the same tokens."""
    rows: tuple[RoundedRow, ...]
    tuning: tuple[Tuned, ...]


class TaskResult(Part):
    """One zero-shot task: accuracy with everything that was found, and without."""

    task: str
    metric: str
    examples: Count | None
    before: float
    after: float | None


class Study(Part):
    """Everything on a page."""

    kind: str = KIND
    version: str = VERSION
    time: UtcTime
    detector: str
    device: str
    compute_dtype: str
    libraries: dict[str, str]
    parts: tuple[str, ...]
    """That were asked for."""
    left_out: dict[str, str]
    """Parts that were asked for and could not be measured -> why."""
    record: dict[str, Any]
    """The scan's record, as `swindex scan --out` writes it."""
    trace: Trace | None = None
    quantization: Quantization | None = None
    tasks: tuple[TaskResult, ...] = ()
    tasks_limit: int | None = None
