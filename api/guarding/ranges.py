"""How far a super weight may be scaled before that is known, or assumed, to do harm: its safe range.

A factor is safe where every effect that we measured at it is `inert`: 0 by zeroing, the others by `scan --scale`. The
range goes from 1 outwards over measured factors as long as they are safe, and ends at the last safe one. On a side
where nothing was measured but harm it is assumed: half to twice the recorded value, one step of the exponent. A factor
beyond all that were measured is never called safe.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ...schema.effect import Effect
from ...schema.record import Record
from ...schema.types import Intervention, Verdict
from ...schema.weight import SuperWeight

ASSUMED = (0.5, 2.0)
"""Factors of the recorded value between which nothing is said to break where nobody measured."""


@dataclass(frozen=True)
class SafeRange:
    """Factors of the recorded value, ends included, and for each end whether it was measured or is assumed."""

    low: float
    high: float
    low_basis: str = "assumed"
    high_basis: str = "assumed"
    measured_on: str | None = None
    """The weights that were scaled together; null if nothing was measured."""

    def holds(self, factor: float) -> bool:
        """Whether a factor lies in it."""
        return self.low <= factor <= self.high


def safe_range(record: Record, weight: SuperWeight) -> SafeRange:
    """The safe range of a scalar: by what was measured on it alone, else on the smallest set that holds it."""
    measured = {e.weights: _factors(e, record.effects) for e in record.effects if weight.id in e.weights}
    sets = sorted((w for w, factors in measured.items() if factors), key=lambda w: (len(w), w))
    if not sets:
        return SafeRange(*ASSUMED)
    factors = measured[sets[0]]
    low, low_basis = _end(ASSUMED[0], sorted((f for f in factors if f < 1), reverse=True), factors)
    high, high_basis = _end(ASSUMED[1], sorted(f for f in factors if f > 1), factors)
    return SafeRange(low, high, low_basis, high_basis, " + ".join(sets[0]))


def _factors(one: Effect, effects: Iterable[Effect]) -> dict[float, bool]:
    """Every factor that was measured on the weights of an effect -> whether it was harmless on every text."""
    found: dict[float, bool] = {}
    for effect in effects:
        factor = 0.0 if effect.intervention is Intervention.ZERO else effect.scale
        if effect.weights == one.weights and factor is not None:
            found[factor] = found.get(factor, True) and effect.verdict is Verdict.INERT
    return found


def _end(assumed: float, outwards: list[float], safe: dict[float, bool]) -> tuple[float, str]:
    """The last factor that is safe on the way outwards; if not even the first is, what is assumed, or 1 if that is not
    nearer than the first."""
    last = None
    for factor in outwards:
        if not safe[factor]:
            break
        last = factor
    if last is not None:
        return last, "measured"
    harmful = outwards[0] if outwards else None
    if harmful is not None and abs(harmful - 1) <= abs(assumed - 1):
        return 1.0, "measured"
    return assumed, "assumed"
