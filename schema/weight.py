"""Super weights and the groups they are judged in.

Row is the output channel and col the input channel, also where the tensor is stored transposed; `index` is the
position in the stored tensor, ready to use. Whether a weight matters is not said here: see `effect` and `status`.
"""

import math
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from .bits import decode_bits
from .errors import RecordError
from .types import Bits, Count, Part, Role, Text, WeightId, absent, weight_id

ROUNDED = 1e-6
"""Relative difference up to which a value is its bits times its scale."""


class Coordinates(Part):
    """A place in a model. `row` or `col` null means the whole column or row; both null: the expert, or the tensor."""

    layer: Count
    expert: Count | None = None
    row: Count | None = None
    col: Count | None = None
    tensor: Text | None = None
    """Name of the tensor on disk."""

    @property
    def weight_id(self) -> str | None:
        """The id of the scalar at these coordinates; None for a row, column or expert."""
        if self.row is None or self.col is None:
            return None
        return weight_id(self.layer, self.row, self.col, self.expert)


class Token(Part):
    """The token at which a spike stood."""

    position: Count
    id: Count
    text: str | None = None
    kind: Annotated[str, StringConstraints(pattern=r"^(first|bos|delimiter|newline|special|word)$")]
    corpus: Annotated[Text | None, Field(exclude_if=absent)] = None
    """Name of the text for effects in which it stands; null for a token of the watched prompts."""


class SuperWeight(Part):
    """One scalar that is, or is claimed to be, a super weight; also candidates that turned out inert.

    `value` is the stored number in float64: what `bits` mean in `dtype`, times `scale` where the weight is stored with
    one. Where `packed` names a format, `bits` are the stored word (with other codes in it), `value` follows from that
    format's definition, and `index` and `shape` count codes. A weight known only from outside sources has no bits.
    """

    id: WeightId
    tensor: Text
    layer: Count
    expert: Count | None = None
    row: Count
    col: Count
    index: Annotated[tuple[Count, ...], Field(min_length=2, max_length=3)]
    shape: Annotated[tuple[Count, ...], Field(min_length=2, max_length=3)] | None = None
    dtype: Text | None = None
    value: float | None = None
    bits: Bits | None = None
    scale: Annotated[float | None, Field(exclude_if=absent)] = None
    """Factor between what the bits mean and the value."""
    packed: Annotated[Text | None, Field(exclude_if=absent)] = None
    """Format of codes that share a word: mxfp4, gptq-int4, awq-int4, pack-int4, ..."""
    file: Text | None = None
    byte_offset: Count | None = None
    """Offset of the element's first byte in `file`."""
    role: Role | None = None
    group: Text | None = None
    """Id of the largest group it belongs to."""
    activation_in: float | None = None
    activation_out: float | None = None
    share: float | None = None
    """Part of the spike that this product explains."""
    coherence: Annotated[float, Field(ge=0)] | None = None
    rank: Annotated[int, Field(ge=1)] | None = None
    """Rank of its magnitude in its matrix, 1 the largest."""
    round: Count | None = None
    """Round in which it was found; 0 is the unmodified pass."""
    token: Token | None = None
    scan: Text | None = None
    """Id of the scan that found it; null if only outside sources name it."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.id != weight_id(self.layer, self.row, self.col, self.expert):
            raise ValueError(f"id {self.id} does not say the coordinates")
        if tuple(self.index[-2:]) not in ((self.row, self.col), (self.col, self.row)) and not self._is_stacked:
            raise ValueError(f"index {self.index} is not made of row {self.row} and col {self.col}")
        if len(self.index) == 3 and self.index[0] != self.expert:
            raise ValueError(f"index {self.index} does not begin with expert {self.expert}")
        self._within_shape()
        self._bits_agree()
        if self.scale is not None and (self.bits is None or self.packed is not None):
            raise ValueError(f"{self.id} has a scale, which goes with bits that are not packed")
        if self.scan is not None and self.bits is None:
            raise ValueError(f"{self.id} was found by a scan but carries no bits")
        return self

    @property
    def _is_stacked(self) -> bool:
        """Whether the tensor holds the experts' matrices one below the other: (E * F, D) or (E * D, F)."""
        if not self.expert or len(self.index) != 2:
            return False
        for own, other in ((self.col, self.row), (self.row, self.col)):
            height, rest = divmod(self.index[0] - own, self.expert)
            if self.index[1] == other and rest == 0 and height > own:
                return True
        return False

    def _within_shape(self) -> None:
        if self.shape is None:
            return
        if len(self.shape) != len(self.index):
            raise ValueError(f"index {self.index} does not fit shape {self.shape}")
        for name, at, size in zip(("index",) * 3, self.index, self.shape, strict=False):
            if at >= size:
                raise ValueError(f"{name} {self.index} (row {self.row}, col {self.col}) is beyond shape {self.shape}")

    def _bits_agree(self) -> None:
        if self.bits is None:
            return
        if self.dtype is None or self.value is None:
            raise ValueError("bits without a dtype and a value")
        if self.packed is not None:
            return
        try:
            stored = decode_bits(self.bits, self.dtype)
        except RecordError as error:
            raise ValueError(str(error)) from None
        if not math.isfinite(stored):
            raise ValueError(f"bits {self.bits} are not a finite {self.dtype}")
        if self.scale is None and stored != self.value:
            raise ValueError(f"value {self.value} disagrees with bits {self.bits}, which are {stored} in {self.dtype}")
        if self.scale is not None and not math.isclose(stored * self.scale, self.value, rel_tol=ROUNDED):
            product = f"{stored} * {self.scale}"
            raise ValueError(f"value {self.value} disagrees with bits {self.bits}, which are {product} in {self.dtype}")


class GroupKind(StrEnum):
    """What the members of a group share: an MLP neuron (col), a residual channel (row), or nothing but the model."""

    NEURON = "neuron"
    CHANNEL = "channel"
    JOINT = "joint"


class Group(Part):
    """Weights that are judged together. `reported` sets come from an outside source, the others from a scan."""

    id: Text
    kind: GroupKind
    members: Annotated[tuple[WeightId, ...], Field(min_length=1)]
    reported: bool = False

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.members)) != len(self.members):
            raise ValueError(f"group {self.id} names a weight twice")
        return self
