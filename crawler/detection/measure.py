"""From final residuals to figures: mean NLL, KL, top-1 agreement and stop-word mass against the unmodified model.

Logits are made a few positions at a time, so a large vocabulary costs no memory. Sums are float64. A NaN or infinity
in any logit makes the whole effect not finite: it is never "no effect".
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..refusal import failed
from .lockstep import Batch, logits

CHUNK = 32
"""Positions whose logits are held at once."""


@dataclass
class Figures:
    """Sums over predicted tokens of one batch, per window; figures of an ablated stream are against the baseline."""

    tokens: int
    nll: list[float]
    """Sum per window, nat."""
    nll_baseline: list[float]
    kl: float
    agree: int
    stopword: float
    stopword_baseline: float
    finite: bool


def measure(
    model: PreTrainedModel,
    layers: nn.ModuleList,
    batch: Batch,
    baseline: Tensor,
    streams: list[Tensor],
    stopwords: Tensor,
) -> list[Figures]:
    """Figures of each stream against the baseline (B, T, D) on a batch of token ids (B, T). `stopwords`: token ids.

    A stream of fewer windows is of the first ones. Raise a Refusal if the baseline's logits are not finite.
    """
    windows, length = batch.ids.shape
    sums = [_blank(len(stream), length - 1) for stream in streams]
    for window in range(windows):
        one = replace(batch, ids=batch.ids[window : window + 1], residual=None, calls={})
        for start in range(0, length - 1, CHUNK):
            keep = torch.arange(start, min(start + CHUNK, length - 1), device=batch.ids.device)
            target = one.ids[0, keep + 1]
            base = _log_probabilities(model, layers, one, baseline[window : window + 1], keep)
            if not _finite(base):
                raise failed("the unmodified model gives NaN or infinite logits: the weights or the sizes are damaged")
            for figures, stream in ((f, s) for f, s in zip(sums, streams, strict=True) if window < len(s)):
                changed = _log_probabilities(model, layers, one, stream[window : window + 1], keep)
                _add(figures, window, base, changed, target, stopwords)
    return sums


def _blank(windows: int, predicted: int) -> Figures:
    return Figures(windows * predicted, [0.0] * windows, [0.0] * windows, 0.0, 0, 0.0, 0.0, True)


def _log_probabilities(
    model: PreTrainedModel, layers: nn.ModuleList, batch: Batch, residual: Tensor, keep: Tensor
) -> Tensor:
    """Log probabilities (len(keep), V), float32; NaN where the logits were not finite."""
    return logits(model, layers, batch, residual, keep)[0].float().log_softmax(-1)


def _finite(values: Tensor) -> bool:
    """Whether all are finite; asking each one would take as much memory again."""
    return bool(values.sum(dtype=torch.float64).isfinite())


def _add(figures: Figures, window: int, base: Tensor, changed: Tensor, target: Tensor, stopwords: Tensor) -> None:
    pick = target[:, None]
    figures.nll_baseline[window] -= float(base.gather(-1, pick).double().sum())
    if not _finite(changed):
        figures.finite = False
        return
    figures.nll[window] -= float(changed.gather(-1, pick).double().sum())
    figures.kl += float((base - changed).mul_(base.exp()).sum(dtype=torch.float64))
    figures.agree += int((base.argmax(-1) == changed.argmax(-1)).sum())
    figures.stopword += float(changed[:, stopwords].exp().double().sum())
    figures.stopword_baseline += float(base[:, stopwords].exp().double().sum())
