"""Verdicts on sets of weights, from our own effects and from what sources report; which of them counts.

Ours count where there are any, else the sources'; on several texts or from several sources, the weakest. What we
measured both behind `<s>` and without it is judged by the condition under which it does more: some act under one only.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from . import rules
from .effect import Effect
from .observation import Granularity, Observation
from .types import Basis, Intervention, Verdict


def reported_delta_nll(observation: Observation) -> float | None:
    """Change of the mean NLL (nat per token) that a source's own figures give; None if they give none."""
    before, after = observation.ppl_before, observation.ppl_after
    if before and after:
        return math.log(after / before)
    if observation.ppl_ratio:
        return math.log(observation.ppl_ratio)
    if observation.nll_before is not None and observation.nll_relative_change is not None:
        return observation.nll_before * observation.nll_relative_change
    return None


def reported_verdict(observation: Observation) -> Verdict | None:
    """The verdict on a source's figures for zeroing scalars; None if it is about something else or has no figure."""
    if observation.changed is not Granularity.SCALAR or observation.intervention is not Intervention.ZERO:
        return None
    if observation.finite is False:
        return Verdict.NON_FINITE
    delta = reported_delta_nll(observation)
    return None if delta is None else rules.verdict_of(delta, None, controlled=False)


class Verdicts:
    """Verdicts on sets of weights, by whose figures."""

    def __init__(self, effects: Sequence[Effect], observations: Sequence[Observation]) -> None:
        self.measured: dict[frozenset[str], list[Effect]] = defaultdict(list)
        self.reported: dict[frozenset[str], list[tuple[Verdict, Observation]]] = defaultdict(list)
        newest = effects[-1].scan if effects else None
        for effect in effects:
            if effect.intervention is Intervention.ZERO and effect.scan == newest:
                self.measured[frozenset(effect.weights)].append(effect)
        for observation in observations:
            verdict = reported_verdict(observation)
            if verdict is not None and not observation.second_hand:
                self.reported[frozenset(observation.weights)].append((verdict, observation))

    def of(self, members: Iterable[str]) -> tuple[Verdict, Basis | None]:
        """The verdict that counts, and whose figures it rests on."""
        key = frozenset(members)
        if key in self.measured:
            return rules.weakest([e.verdict for e in self.deciding(key)]), Basis.MEASURED
        if key in self.reported:
            return rules.weakest([v for v, _ in self.reported[key]]), Basis.REPORTED
        return Verdict.UNTESTED, None

    def deciding(self, key: frozenset[str]) -> list[Effect]:
        """Our effects under the condition, behind `<s>` or without it, whose verdict is the stronger; else behind."""
        conditions = [[e for e in self.measured[key] if e.corpus.bos is bos] for bos in (True, False)]
        strength = [rules.STRENGTH.index(rules.weakest([e.verdict for e in es])) for es in conditions]
        return conditions[strength.index(max(strength))]

    def perplexities(self, members: Iterable[str]) -> tuple[float | None, float | None]:
        key = frozenset(members)
        if key in self.measured:
            effect = min(self.deciding(key), key=lambda e: math.inf if e.delta_nll is None else e.delta_nll)
            return effect.ppl_before, effect.ppl_after
        if key in self.reported:
            verdict = rules.weakest([v for v, _ in self.reported[key]])
            found = next(o for v, o in self.reported[key] if v is verdict)
            return found.ppl_before, found.ppl_after
        return None, None

    def delta(self, members: Iterable[str]) -> float | None:
        key = frozenset(members)
        if key in self.measured:
            return max((math.inf if e.delta_nll is None else e.delta_nll for e in self.measured[key]), default=None)
        deltas = [math.inf if v is Verdict.NON_FINITE else reported_delta_nll(o) for v, o in self.reported.get(key, [])]
        return max((d for d in deltas if d is not None), default=None)

    def gain(self, members: Iterable[str], weight: str) -> float | None:
        """What removing `weight` adds to removing the rest (nat per token); None if not known on one basis."""
        rest = [m for m in members if m != weight]
        whole_delta, rest_delta = self.delta(members), self.delta(rest)
        if whole_delta is None or rest_delta is None or math.isinf(rest_delta):
            return None
        return whole_delta - rest_delta if self.of(members)[1] is self.of(rest)[1] else None
