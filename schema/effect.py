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
    """The same intervention on other weights: the largest |W| of the same matrix outside the find."""

    kind: Text
    weights: Annotated[tuple[Coordinates, ...], Field(min_length=1)]
    worst_delta_nll: float | None
    """Largest change of the mean NLL (nat per token); null if one was not finite."""


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
    control: Control | None = None
    verdict: Verdict

    @property
    def delta_nll(self) -> float | None:
        """Change of the mean NLL in nat per token; None if not finite."""
        return None if self.nll_after is None else self.nll_after - self.nll_before

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.finite != (self.nll_after is not None):
            raise ValueError("nll_after must be null exactly when the effect is not finite")
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
