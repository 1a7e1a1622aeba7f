"""The rule that turns figures into a verdict (DETECTION.md section 7.5). The only place where verdicts are made.

An intervention is judged by the change of the mean negative log-likelihood, in nat per predicted token, against
the worst of its controls. Zeroing is an upper bound of what a perturbation can do.
"""

import math

from .types import Verdict

CONFIRMED_NLL = 1.0
"""nat per token: perplexity x2.7."""
CONFIRMED_CONTROL = 20.0
PARTIAL_NLL = 0.05
"""nat per token: perplexity x1.05."""
PARTIAL_CONTROL = 5.0
MAX_NLL = 700.0
"""Above this exp(nll) is not a float64 worth printing; the perplexity is then null."""

STRENGTH = (Verdict.UNTESTED, Verdict.INERT, Verdict.PARTIAL, Verdict.CONFIRMED, Verdict.NON_FINITE)
"""Weakest first."""


def verdict_of(delta_nll: float | None, worst_control: float | None, *, controlled: bool) -> Verdict:
    """The verdict on one intervention.

    `delta_nll` is None when it was not finite; `worst_control` likewise. `controlled` is False for figures that
    come without a control (outside sources): they are judged by their size alone.
    """
    if delta_nll is None:
        return Verdict.NON_FINITE
    if controlled and worst_control is None:
        return Verdict.INERT
    null = max(worst_control or 0.0, 0.0)
    if delta_nll >= CONFIRMED_NLL and delta_nll >= CONFIRMED_CONTROL * null:
        return Verdict.CONFIRMED
    if delta_nll >= PARTIAL_NLL and delta_nll >= PARTIAL_CONTROL * null:
        return Verdict.PARTIAL
    return Verdict.INERT


def perplexity(nll: float | None) -> float | None:
    """exp(nll), or None where nll is None or too large to print."""
    return None if nll is None or nll > MAX_NLL else math.exp(nll)


def weakest(verdicts: list[Verdict]) -> Verdict:
    """The verdict that holds on every text: the weakest; `untested` for none at all."""
    return min(verdicts, key=STRENGTH.index, default=Verdict.UNTESTED)
