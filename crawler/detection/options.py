"""What a scan may be told. Without torch: who plans or crawls needs the options and not the scan."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from ...schema.errors import UsageError
from .constants import ROUNDS


@dataclass(frozen=True)
class Options:
    """What a scan may be told. `window` counts tokens, `<s>` included."""

    effects: bool = True
    depth: str = "full"
    """`full`, or `screen`: the first token only, no effects, and no further than finds are likely."""
    rounds: int = ROUNDS
    """Streams with finds removed, at most; with 0 just the unmodified model runs, and what it masks is not seen."""
    prompt: str | None = None
    texts: tuple[str, ...] = ()
    """Files to measure effects on, in place of the shipped texts."""
    windows: int = 1
    window: int = 512
    factors: tuple[float, ...] = ()
    """What to multiply everything that was found by, besides zeroing it: one more stream each."""
    device: str = "cpu"
    compute: str = "float32"
    """The dtype of the arithmetic; float16 and bfloat16 are for a GPU."""

    def __post_init__(self) -> None:
        """Raise UsageError for a factor that is no number."""
        for factor in self.factors:
            if not math.isfinite(factor):
                raise UsageError(f"{factor} is no factor for a weight; use a finite number")


SCREEN = "screen"

Progress = Callable[[str, int, int], None]
"""Called with what is done ("layers", "effects"), how much of it, and of how much."""
