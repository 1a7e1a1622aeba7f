"""The words of a record: constrained scalars, enumerations, and the base of every part.

Parts are frozen; on write they are strict and reject unknown fields. Names follow DESIGN.md's word list.
Knows nothing of how a part is stored.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from .ids import is_model_id

SCHEMA_VERSION = "1.2"
"""The newest that this program knows; a version states the oldest that has all it says (see `record`)."""
FIRST_SCHEMA = "1.0"


class Part(BaseModel):
    """A piece of a record: frozen, strict, no unknown fields, no NaN or infinity."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def _model_id(text: str) -> str:
    if not is_model_id(text):
        raise ValueError("not a Hub id of the form org/name (letters, digits, . _ -; no '..' or '--')")
    return text


def _time(text: str) -> str:
    if f"{datetime.fromisoformat(text.removesuffix('Z')).isoformat()}Z" != text:
        raise ValueError("not a time of the form 2026-11-21T07:00:00Z")
    return text


ModelId = Annotated[str, AfterValidator(_model_id), Field(json_schema_extra={"examples": ["org/name"]})]
"""`org/name` as on the Hub."""
Revision = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
"""A full commit sha."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
UtcTime = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"), AfterValidator(_time)]
Count = Annotated[int, Field(ge=0)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=4000)]
WeightId = Annotated[str, StringConstraints(pattern=r"^L\d+(\.E\d+)?\.R\d+\.C\d+$")]
"""`L<layer>[.E<expert>].R<row>.C<col>`, made by `weight_id`."""
Share = Annotated[float, Field(ge=0, le=1)]
Bits = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{2})+$")]
"""One stored element, or the word that holds it, in hex; see `bits`."""


def absent(value: object) -> bool:
    """Whether a field is left out of JSON: fields newer than the first records, so that their digests stay."""
    return value is None or value == ()


class Role(StrEnum):
    """What a weight does to the residual stream (DETECTION.md section 7.2)."""

    CREATOR = "creator"
    AMPLIFIER = "amplifier"
    REMOVER = "remover"
    TRANSIENT = "transient"


class Intervention(StrEnum):
    """What was put in a weight's place.

    `mean`: what it writes, in its mean over all tokens of a text; `class_mean`: in its mean over the tokens where its
    channel is massive, and over the others, apart; `restore`: zero, and the super activation put back.
    """

    ZERO = "zero"
    MEAN = "mean"
    CLASS_MEAN = "class_mean"
    SCALE = "scale"
    RESTORE = "restore"


class Verdict(StrEnum):
    """How much an intervention changed the model; given by `rules`, never typed in."""

    CONFIRMED = "confirmed"
    PARTIAL = "partial"
    INERT = "inert"
    NON_FINITE = "non_finite"
    UNTESTED = "untested"


class Location(StrEnum):
    """How well a coordinate is established, apart from its effect."""

    REPORTED = "reported"
    CONFIRMED = "confirmed"
    DISPUTED = "disputed"
    REFUTED = "refuted"


class Basis(StrEnum):
    """Whose figures a verdict rests on: ours (measured) or outside sources' (reported)."""

    MEASURED = "measured"
    REPORTED = "reported"


class Outcome(StrEnum):
    """How a scan ended.

    `untested`: it cannot conclude. There are candidates whose effect was not measured (`--no-effects`); or harmless
    ones while the last round still found more; or it was a screen, which does not look at everything. The last eight
    say why no scan could be made; none of them means `none_found`.
    """

    FOUND = "found"
    NONE_FOUND = "none_found"
    UNTESTED = "untested"
    GATED = "gated"
    NOT_FOUND = "not_found"
    NEEDS_REMOTE_CODE = "needs_remote_code"
    UNSUPPORTED_ARCHITECTURE = "unsupported_architecture"
    UNSAFE_FORMAT = "unsafe_format"
    CORRUPT = "corrupt"
    TOO_LARGE = "too_large"
    FAILED = "failed"


SCANNED = frozenset({Outcome.FOUND, Outcome.NONE_FOUND, Outcome.UNTESTED})


def weight_id(layer: int, row: int, col: int, expert: int | None = None) -> str:
    """The id of a scalar in a model, from its coordinates."""
    return f"L{layer}{'' if expert is None else f'.E{expert}'}.R{row}.C{col}"
