"""The measured effect of an intervention: which weights, how, on which text, against which control.

An effect is ours: it names the scan that measured it. What outside sources measured stands in `observation`.
"""

import math
from typing import Annotated, Self

from pydantic import Field, model_validator

from . import rules
from .types import Intervention, Part, Sha256, Share, Text, Verdict, WeightId
from .weight import Coordinates


class Corpus(Part):
    """The text an effect was measured on."""

    name: Text
    sha256: Sha256
    tokens: Annotated[int, Field(ge=1)]
    """Predicted tokens over which means are taken."""
    windows: Annotated[int, Field(ge=1)]
    window: Annotated[int, Field(ge=2)]
    """Tokens in a window, `<s>` included."""
    bos: bool
    """Whether each window begins with the model's `<s>`."""


class Control(Part):
    """Zeroing other weights: the largest |W| of the same matrix outside the find, or of all layers (`kind` says).

    Many weights are given by their count and a digest of the list, in place of the list.
    """

    kind: Text
    weights: tuple[Coordinates, ...] = ()
    count: Annotated[int, Field(ge=1)] | None = None
    """Weights that were removed, where they are not listed."""
    digest: Sha256 | None = None
    """sha256 over the list of them; `kind` says how it is written."""
    tokens: Annotated[int, Field(ge=1)] | None = None
    """Predicted tokens it was measured on, the first of the effect's corpus; null: all of them."""
    worst_delta_nll: float | None
    """Largest change of the mean NLL (nat per token); null if one was not finite."""

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if bool(self.weights) == (self.count is not None) or (self.count is None) != (self.digest is None):
            raise ValueError("a control lists its weights, or gives their count and digest")
        return self


Interval = tuple[float, float]


class Effect(Part):
    """What changing `weights` did. NLL in nat per predicted token, KL(before||after) in nat, both float64 means."""

    id: Text
    scan: Text
    weights: Annotated[tuple[WeightId, ...], Field(min_length=1)]
    intervention: Intervention
    scale: float | None = None
    """Factor put on the weights; only for `scale`."""
    corpus: Corpus
    finite: bool
    """False if any logit after the intervention was NaN or infinite; the figures after are then null."""
    nll_before: Annotated[float, Field(ge=0)]
    nll_after: Annotated[float, Field(ge=0)] | None
    ppl_before: Annotated[float, Field(ge=1)]
    ppl_after: Annotated[float, Field(ge=1)] | None
    kl: float | None = None
    top1_agreement: Share | None = None
    stopword_before: Share | None = None
    stopword_after: Share | None = None
    delta_nll_windows: tuple[float, ...] = ()
    """Change of the mean NLL per window."""
    delta_nll_ci95: Interval | None = None
    """95 % interval of the change of the mean NLL: percentiles of a seeded bootstrap over the windows, if there are
    at least four."""
    recovery: float | None = None
    """Only for `restore`: 1 - change of the mean NLL / that of zeroing alone; null if either is not finite."""
    control: Control | None = None
    """What the verdict is held against."""
    outliers: Control | None = None
    """What removing many large weights of all layers together does, for scale; no part of the verdict."""
    verdict: Verdict

    @property
    def delta_nll(self) -> float | None:
        """Change of the mean NLL in nat per token; None if not finite."""
        return None if self.nll_after is None else self.nll_after - self.nll_before

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.finite != (self.nll_after is not None):
            raise ValueError("nll_after must be null exactly when the effect is not finite")
        if self.recovery is not None and self.intervention is not Intervention.RESTORE:
            raise ValueError("recovery belongs to the intervention 'restore' and to no other")
        if self.delta_nll_ci95 is not None and self.delta_nll_ci95[0] > self.delta_nll_ci95[1]:
            raise ValueError(f"interval {self.delta_nll_ci95} ends before it begins")
        if (self.scale is not None) != (self.intervention is Intervention.SCALE):
            raise ValueError("scale belongs to the intervention 'scale' and to no other")
        for name in ("before", "after"):
            _check_ppl(name, getattr(self, f"nll_{name}"), getattr(self, f"ppl_{name}"))
        worst = self.control.worst_delta_nll if self.control else None
        expected = rules.verdict_of(self.delta_nll, worst, controlled=self.control is not None)
        if self.verdict is not expected:
            raise ValueError(f"verdict {self.verdict} is not what the rule gives, {expected}")
        return self


def _check_ppl(name: str, nll: float | None, ppl: float | None) -> None:
    if nll is None or ppl is None:
        if ppl is not None or (nll is not None and nll < rules.MAX_NLL):
            raise ValueError(f"ppl_{name} does not go with nll_{name}")
        return
    if not math.isclose(math.log(ppl), nll, rel_tol=1e-6, abs_tol=1e-6):
        raise ValueError(f"ppl_{name} {ppl} is not exp(nll_{name} {nll})")
