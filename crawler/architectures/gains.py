"""Which norm stands behind a down projection, and its gain at one channel: found by experiment on the resident layer.

A gain is a stored vector (D,) whose entry j, changed a little, changes channel j in proportion to what the projection
wrote there and no other channel. A norm before the projection would move others or something else; a bias would move
all tokens alike. Gains are stored as w or, in some families, as 1 + w: the proportion tells (DETECTION.md section 8).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .prove import changed_to

OFFSETS = (0.0, 1.0)
"""What is added to a stored gain: nothing, or one."""
AGREES = 1e-3
"""Relative difference between what moves and what is predicted."""


@dataclass(frozen=True)
class Gain:
    """A norm's gain at one channel."""

    parameter: str
    """Name inside the layer."""
    channel: int
    stored: float
    offset: float
    ratio_to_median: float
    """|gain| over the median |gain| of the norm."""


def gain_behind(layer: nn.Module, run: Callable[[], Tensor], written: Tensor, channel: int) -> Gain | None:
    """The gain that scales what reached `channel` through a projection, `written` (N,); None if no norm is behind.

    `run` gives the residual (N, D) behind the layer as it stands.
    """
    out = run()
    vectors = [(n, p.data) for n, p in layer.named_parameters() if p.dim() == 1 and p.numel() == out.shape[-1]]
    for name, vector in vectors:
        stored = float(vector[channel])
        step = 0.5 * max(abs(stored), 1.0)
        with changed_to(vector[channel : channel + 1], stored + step):
            moved = run() - out
        for offset in OFFSETS:
            if stored + offset and _is_gain(moved, written * step / (stored + offset), channel):
                gains = (vector + offset).abs()
                return Gain(name, channel, stored, offset, float(gains[channel] / gains.median()))
    return None


def _is_gain(moved: Tensor, predicted: Tensor, channel: int) -> bool:
    limit = AGREES * float(predicted.abs().amax())
    others = moved.clone()
    others[:, channel] = 0
    agrees = bool(((moved[:, channel] - predicted).abs() <= limit).all())
    return limit > 0 and agrees and float(others.abs().amax()) <= limit and bool(torch.isfinite(moved).all())
