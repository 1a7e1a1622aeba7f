"""How far a super weight may be scaled before that is known, or assumed, to do harm: its safe range.

A factor is safe where every effect that we measured at it is `inert`: 0 by zeroing, the others by `scan --scale`. The
range goes from 1 outwards over measured factors as long as they are safe, and ends at the last safe one. On a side
where nothing was measured but harm it is assumed: half to twice the recorded value, one step of the exponent. A factor
beyond all that were measured is never called safe.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile

from ...schema.effect import Effect
from ...schema.record import Record
from ...schema.types import Intervention, Verdict
from ...schema.weight import SuperWeight

ASSUMED = (0.5, 2.0)
"""Factors of the recorded value between which nothing is said to break where nobody measured."""
Set = tuple[str, ...]
"""Ids of weights that were changed together."""
Factors = dict[float, bool]


@dataclass(frozen=True)
class SafeRange:
    """Factors of the recorded value, ends included, and for each end the weights whose common scaling it was measured
    by; null where it is assumed."""

    low: float = ASSUMED[0]
    high: float = ASSUMED[1]
    low_by: str | None = None
    high_by: str | None = None

    def holds(self, factor: float) -> bool:
        """Whether a factor lies in it."""
        return self.low <= factor <= self.high


def safe_range(record: Record, weight: SuperWeight) -> SafeRange:
    """The safe range of a scalar: each end by what was measured on it alone, else on the smallest set that holds it."""
    effects = [e for e in record.effects if weight.id in e.weights]
    sets = sorted({e.weights for e in effects}, key=lambda w: (len(w), w))
    measured = {weights: _factors([e for e in effects if e.weights == weights]) for weights in sets}
    below = {w: sorted((f for f in factors if f < 1), reverse=True) for w, factors in measured.items()}
    above = {w: sorted(f for f in factors if f > 1) for w, factors in measured.items()}
    low, low_by = _end(ASSUMED[0], below, measured)
    high, high_by = _end(ASSUMED[1], above, measured)
    return SafeRange(low, high, low_by, high_by)


def _factors(effects: Iterable[Effect]) -> Factors:
    """Every factor that was measured -> whether it was harmless on every text."""
    found: Factors = {}
    for effect in effects:
        factor = 0.0 if effect.intervention is Intervention.ZERO else effect.scale
        if factor is not None:
            found[factor] = found.get(factor, True) and effect.verdict is Verdict.INERT
    return found


def _end(assumed: float, outwards: dict[Set, list[float]], safe: dict[Set, Factors]) -> tuple[float, str | None]:
    """One end: by the first set with a factor on that side, going outwards; what is assumed where none says more."""
    for weights, factors in outwards.items():
        if factors:
            return _last(assumed, factors, safe[weights], " + ".join(weights))
    return assumed, None


def _last(assumed: float, outwards: list[float], safe: Factors, by: str) -> tuple[float, str | None]:
    harmless = list(takewhile(lambda factor: safe[factor], outwards))
    if harmless:
        return harmless[-1], by
    nearer = abs(outwards[0] - 1) <= abs(assumed - 1)
    return (1.0, by) if nearer else (assumed, None)
