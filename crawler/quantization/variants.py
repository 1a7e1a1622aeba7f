"""What is compared: ways to round a model, each a name, a grid, and what is held out. Knows no checkpoint."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from .holding import LARGEST, NONE, RANDOM, SUPER
from .rounding import Rounding

EIGHT = 8


@dataclass(frozen=True)
class Variant:
    """One way to round the model."""

    rounding: Rounding
    held: str = NONE
    draw: int = 0
    """Which draw, of those held by chance."""
    activations: int | None = None
    """Bits of the inputs of products, a grid for each token; None: as they are."""
    restored: bool = False
    """Whether super activations are replaced before rounding and restored behind it."""

    @property
    def label(self) -> str:
        """What is done, in words."""
        parts = ["clipped"] if self.rounding.clip is not None else []
        parts += [f"{self.held} held out"] if self.held != NONE else []
        parts += ["super activation restored"] if self.restored else []
        return ", ".join(parts) or "plain round to nearest"


def blocks_of(shapes: Sequence[tuple[int, ...]], blocks: Sequence[int | None]) -> tuple[int | None, ...]:
    """The blocks that differ in this model: one that is as large as the largest matrix is the whole tensor."""
    largest = max((max(shape[-2:]) for shape in shapes), default=0)
    return tuple(dict.fromkeys(b if b and b < largest else None for b in blocks))


def tuning(plain: Rounding, clips: Sequence[float], held: bool) -> list[Variant]:
    """Every z, without and (where there is something to hold) with the super weights held out."""
    kinds = (NONE, SUPER) if held else (NONE,)
    return [Variant(replace(plain, clip=z), kind) for kind in kinds for z in clips]


def weights_only(plain: Rounding, clip: dict[str, float | None], held: bool, draws: int) -> Iterator[Variant]:
    """What stands in the report for one size of blocks. `clip`: the z of each kind; controls take that of none."""
    clipped = {kind: replace(plain, clip=z) for kind, z in clip.items()}
    yield Variant(plain)
    yield Variant(clipped[NONE])
    if not held:
        return
    yield Variant(plain, SUPER)
    yield Variant(clipped[SUPER], SUPER)
    yield Variant(clipped[NONE], LARGEST)
    yield from (Variant(clipped[NONE], RANDOM, draw) for draw in range(draws))


def with_activations(held: bool, symmetric: bool = True) -> Iterator[Variant]:
    """Eight bits for weights (whole tensors) and activations (by token), as in the paper's Table 3."""
    eight = Rounding(bits=EIGHT, symmetric=symmetric)
    yield Variant(eight)
    yield Variant(eight, activations=EIGHT)
    if held:
        yield Variant(eight, activations=EIGHT, restored=True)
        yield Variant(eight, SUPER, activations=EIGHT, restored=True)
