"""Checkpoints with a known answer: `trained` repacks the small trained ones, `families` makes tiny random models with a
planted scalar and a masked one, `generic` plants one in each kind of down projection of every type that transformers
builds (`tiny` makes the models, `coverage` lists them), `disk` writes, edits and reads with the plain libraries. None
of it knows the detector.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Scalar:
    """Where a planted scalar is: in the model, and in the file."""

    layer: int
    row: int
    col: int
    tensor: str
    index: tuple[int, ...]
    expert: int | None = None

    @property
    def id(self) -> str:
        """As a record spells it."""
        expert = "" if self.expert is None else f".E{self.expert}"
        return f"L{self.layer}{expert}.R{self.row}.C{self.col}"


@dataclass(frozen=True)
class Plant:
    """A checkpoint folder and the scalars planted in it, in the order in which removal shows them."""

    folder: Path
    scalars: tuple[Scalar, ...]
