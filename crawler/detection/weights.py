"""A found scalar, and taking it out of a resident layer."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ...schema.types import Role, weight_id
from ..architectures.sites import Site, scaled


@dataclass(frozen=True)
class Place:
    """Where a scalar is in memory: layer, down projection of that layer, expert, row (channel), col (neuron)."""

    layer: int
    site: int
    expert: int | None
    row: int
    col: int

    @property
    def id(self) -> str:
        """Its id in a record."""
        return weight_id(self.layer, self.row, self.col, self.expert)


@dataclass(frozen=True)
class Find:
    """A scalar that explains a spike: where, what it does, and the figures at the token where it was seen."""

    place: Place
    role: Role
    round: int
    token: int
    """Flat position in the (B, T) where it was seen."""
    activation_in: float
    activation_out: float
    share: float
    coherence: float
    rank: int
    text: int | None = None
    """Number of the text in whose (B, T) the token stands; None: the watched prompts."""


@contextmanager
def removed(sites: list[Site], places: Iterable[Place]) -> Iterator[None]:
    """The resident layer without these scalars. Rows are computed anew, nothing is subtracted."""
    with scaled([sites[p.site].matrix(p.expert)[p.row, p.col : p.col + 1] for p in places], 0.0):
        yield
