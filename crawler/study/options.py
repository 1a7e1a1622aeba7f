"""What a study may be told. Without torch: the command line needs it to ask and not to measure."""

import math
from dataclasses import dataclass

from ...schema.errors import UsageError

SPIKES, ACTIVATION, TOKENS, SCALE = "spikes", "activation", "tokens", "scale"
REMOVAL, COORDINATES, QUANTIZATION, TASKS = "removal", "coordinates", "quantization", "tasks"
PARTS = {
    COORDINATES: "table 2",
    SPIKES: "figure 3",
    ACTIVATION: "figure 4",
    TOKENS: "figure 5",
    SCALE: "figure 6",
    REMOVAL: "table 1",
    QUANTIZATION: "section 4",
    TASKS: "zero-shot tasks of table 1",
}
"""The parts of a study, and where the paper has them."""
FACTORS = (0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 1.5, 2.0, 3.0)
"""What super weights are multiplied by (figure 6), besides 0 and 1."""
PROMPT = "Summer is hot. Winter is"
"""The paper's, of figure 5."""
BLOCKS = (128, 256, 512, 1024, 0)
"""Sides of blocks, 0 for whole tensors: the paper's (Figure 7)."""
CLIPS = (2.5, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 20.0)
"""z that are tried on the text for tuning: the paper says how it chose (the best on 500 samples), not among which."""
MAX_BITS = 8
WITH_EFFECTS = frozenset({SCALE, REMOVAL, COORDINATES, QUANTIZATION})
"""Parts that need what the scan measures of removals: figures, verdicts, controls."""


@dataclass(frozen=True)
class StudyOptions:
    """What a study may be told beside what a scan may."""

    only: tuple[str, ...] = tuple(PARTS)
    prompt: str = PROMPT
    """What figure 5 shows the next token of."""
    factors: tuple[float, ...] = FACTORS
    bits: tuple[int, ...] = (4,)
    """Of rounded weights; a table for each."""
    blocks: tuple[int, ...] = BLOCKS
    symmetric: bool = True
    """Whether the grid of weights is symmetric about zero; the paper's is not."""
    clips: tuple[float, ...] = CLIPS
    draws: int = 3
    """How many times others than the super weights are drawn by chance."""
    tensors: str | None = None
    """Round only tensors with this in their name."""
    tasks: tuple[str, ...] = ()
    """Of lm-eval; without one none is run."""
    task_folder: str | None = None
    """Where task definitions of one's own lie."""
    limit: int | None = None
    """Examples of each task at most."""

    def __post_init__(self) -> None:
        """Raise UsageError for a part that there is not, or numbers that say nothing."""
        unknown = [part for part in self.only if part not in PARTS]
        if unknown or not self.only:
            raise UsageError(f"{', '.join(unknown) or 'nothing'}: no part of a study; use {', '.join(PARTS)}")
        for name in ("bits", "blocks", "clips", "factors"):
            values = getattr(self, name)
            if not all(math.isfinite(v) and v >= 0 for v in values) or (name != "factors" and not values):
                raise UsageError(f"{name} {', '.join(map(str, values)) or 'none'}: use numbers from 0 on")

        if not all(2 <= b <= MAX_BITS for b in self.bits):
            raise UsageError(f"{', '.join(map(str, self.bits))} bits are no grid; use 2 to {MAX_BITS}")

    def wants(self, *parts: str) -> bool:
        """Whether one of these parts is asked for."""
        return not set(parts).isdisjoint(self.only)
