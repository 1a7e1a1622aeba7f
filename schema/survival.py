"""Whether the recorded super weights of a base model are in a model made from it: bits compared, nothing measured.

Not a scan. That a scalar of the base is here, bit by bit, says nothing of what removing it does here.

`same`     equal bits in one dtype; in two dtypes, values that rounding to the coarser one explains;
`drifted`  there, with another value: `drift` is (here - base) / |base|;
`gone`     no such scalar (no tensor of that name, another shape, a format whose numbers cannot be told from a few
           bytes), or its value is lost: not finite, or less than LOST of the base's in magnitude.

The state follows from the bits by `fate_of` and is never typed in.
"""

import math
from collections import Counter
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from .bits import decode_bits
from .errors import RecordError
from .types import Bits, Count, ModelId, Part, Revision, Sha256, Text, UtcTime, WeightId

LOST = 0.1
"""A value below this part of the base's, in magnitude, no longer makes the activation that it made there."""

# dtype -> (bits of the significand, the hidden one included; smallest number above zero)
FLOATS: dict[str, tuple[int, float]] = {
    "float64": (53, 2.0**-1074),
    "float32": (24, 2.0**-149),
    "float16": (11, 2.0**-24),
    "bfloat16": (8, 2.0**-133),
}
"""The dtypes that are compared: numbers in themselves, without a scale elsewhere in the file."""


class Fate(StrEnum):
    """What became of a recorded scalar of the base."""

    SAME = "same"
    DRIFTED = "drifted"
    GONE = "gone"


class Compared(StrEnum):
    """What was held against each other: the bits of one dtype, or the values of two."""

    BITS = "bits"
    VALUE = "value"


class Scalar(Part):
    """A scalar that is stored: its dtype, its bits and the number they mean."""

    dtype: Text
    bits: Bits
    value: float

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.dtype not in FLOATS:
            raise ValueError(f"{self.dtype} is not compared; known: {', '.join(FLOATS)}")
        try:
            stored = decode_bits(self.bits, self.dtype)
        except RecordError as error:
            raise ValueError(str(error)) from None
        if stored != self.value:
            raise ValueError(f"value {self.value} disagrees with bits {self.bits}, which are {stored} in {self.dtype}")
        return self


class Survivor(Part):
    """One recorded scalar of the base, and what stands at its place here."""

    weight: WeightId
    tensor: Text
    index: Annotated[tuple[Count, ...], Field(min_length=2, max_length=3)]
    base: Scalar
    here: Scalar | None = None
    """Null if there is no such scalar here, or if it is not finite."""
    state: Fate
    compared: Compared | None = None
    """Null if there was nothing to compare."""
    drift: float | None = None
    """(here - base) / |base|; null without `here`, or beyond float64."""
    reason: Text | None = None
    """Why it is gone; null if it is not."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.base.value == 0:
            raise ValueError(f"{self.weight}: a base value of zero has no relative change")
        if self.state is not fate_of(self.base, self.here):
            raise ValueError(f"{self.weight}: state {self.state} is not what the bits say")
        if self.compared is not compared(self.base, self.here) or self.drift != drift_of(self.base, self.here):
            raise ValueError(f"{self.weight}: compared and drift are not what the bits say")
        if (self.state is Fate.GONE) != (self.reason is not None):
            raise ValueError(f"{self.weight}: a reason belongs to what is gone, and to nothing else")
        return self


class Survival(Part):
    """The recorded super weights of one base model, looked for in this model at one commit."""

    base: ModelId
    base_revision: Revision
    """The commit at which we measured them."""
    base_record: Sha256
    """Digest of the version of the base's record that names them."""
    revision: Revision | None = None
    """The commit that was looked at here; null for a folder."""
    time: UtcTime
    bytes_read: Count
    requests: Count
    scalars: Annotated[tuple[Survivor, ...], Field(min_length=1)]
    """Every scalar that the base's scan recorded, in the order of its record."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len({s.weight for s in self.scalars}) != len(self.scalars):
            raise ValueError(f"survival of {self.base} names a weight twice")
        return self

    def count(self, state: Fate) -> int:
        """How many scalars ended so."""
        return Counter(s.state for s in self.scalars)[state]


def fate_of(base: Scalar, here: Scalar | None) -> Fate:
    """What became of a scalar (base value not zero), by the rule above."""
    if here is None:
        return Fate.GONE
    if here.dtype == base.dtype and here.bits == base.bits:
        return Fate.SAME
    if abs(here.value) < LOST * abs(base.value):
        return Fate.GONE
    if here.dtype == base.dtype:
        return Fate.DRIFTED
    return Fate.SAME if abs(here.value - base.value) <= _rounding(base, here) else Fate.DRIFTED


def compared(base: Scalar, here: Scalar | None) -> Compared | None:
    """What `fate_of` compares."""
    if here is None:
        return None
    return Compared.BITS if here.dtype == base.dtype else Compared.VALUE


def drift_of(base: Scalar, here: Scalar | None) -> float | None:
    """The relative change, signed; None without a scalar here, or beyond float64."""
    if here is None:
        return None
    drift = (here.value - base.value) / abs(base.value)
    return drift if math.isfinite(drift) else None


def _rounding(base: Scalar, here: Scalar) -> float:
    """The most that rounding one number to the coarser of the two dtypes can move it (to nearest)."""
    digits = min(FLOATS[s.dtype][0] for s in (base, here))
    tiny = max(FLOATS[s.dtype][1] for s in (base, here))
    return max(2.0**-digits * max(abs(base.value), abs(here.value)), tiny / 2)
