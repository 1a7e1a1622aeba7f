"""Figures of every stream of an ablator: the trials that say something, the matched controls, the outliers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from .ablate import Ablator, Residuals
from .measure import Figures, measure
from .peel import LayerSeen
from .treatments import Trial
from .weights import Place


@dataclass
class Measured:
    """Figures, each a list with one entry per corpus."""

    trials: dict[Trial, list[Figures]] = field(default_factory=dict)
    nulls: dict[Place, list[Figures]] = field(default_factory=dict)
    """On the first windows of each corpus."""
    outliers: list[Figures] = field(default_factory=list)
    """Empty if there was no peeled find."""


def measure_streams(
    model: PreTrainedModel,
    layers: nn.ModuleList,
    ablator: Ablator,
    seen: Sequence[LayerSeen],
    stopwords: Tensor,
    done: Callable[[int], None],
) -> Measured:
    """Figures of the final streams; `done` is told how many corpora are. Raise a Refusal as `measure` does."""
    trials, nulls = ablator.results(seen), ablator.nulls
    streams: list[Residuals] = [*trials.values(), *nulls.values(), *([ablator.outliers] if ablator.outliers else [])]
    figures: list[list[Figures]] = [[] for _ in streams]
    for number, batch in enumerate(ablator.batches):
        done(number)
        with torch.no_grad():
            made = measure(model, layers, batch, ablator.baseline[number], [s[number] for s in streams], stopwords)
        for mine, one in zip(figures, made, strict=True):
            mine.append(one)
    done(len(ablator.batches))
    rest = iter(figures)
    return Measured({t: next(rest) for t in trials}, {p: next(rest) for p in nulls}, next(rest, []))
