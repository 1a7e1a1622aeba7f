"""The constants of the criterion, in one place; every scan records them. Source: DETECTION.md section 7.

All are dimension-free. ROUNDS, LEAD and LEAD_KAPPA were set after seeing the cases of the tests (two groups missed, the
candidates of noise), the others before. None has met a large model.
"""

from typing import Final

KAPPA: Final = 1.0
"""A channel is massive if its energy is at least this much of all weaker channels' together."""
MASSIVE_MAX: Final = 16
"""Channels admitted at most per token."""
EVENT: Final = 0.2
"""Part of a massive value that one layer must write to count as an event."""
CREATE: Final = 0.5
"""Below this part of it present before the layer, the writer is a creator, else an amplifier."""
REMOVE: Final = 0.7
"""A remover leaves at most this part."""
TOKENS: Final = 4
"""Tokens looked at per channel and role in a layer: those where most was written."""
TEXT_KAPPA: Final = 10.0
"""KAPPA at a token of a text. So many more tokens are looked at there that channels of heavy-tailed noise are massive
at some of them by chance: at 10 about 20 to 40 times more rarely than at 1 (Student-t(3), LOG.md)."""
TEXT_CHANNELS: Final = 4
"""Channels explained in a layer and a window of a text at most, where the most was written: each takes a run of the
layer on the window."""
STARTLESS: Final = 128
"""Tokens of the one window without `<s>` on which effects are measured of what is found only where `<s>` is absent."""
PERSIST: Final = 0.5
"""A find is persistent if its channel stays massive in this part of the later layers (the last excepted)."""
COVER: Final = 0.8
"""Part of the MLP's write that the members of a find must explain."""
MIN_SHARE: Final = 0.1
"""Part that each member must explain."""
MAX_MEMBERS: Final = 4
"""Up to so many products: concentrated."""
MAX_GROUP: Final = 8
"""Up to so many: a neuron group; beyond: distributed."""
LEAD: Final = 0.25
"""A product of this share or more is named even where the rest of the write is spread: its effect decides. Beyond
DETECTION.md, which names none there, and so passed over a scalar with 77 % of a write (LOG.md, 2026-11-22)."""
LEAD_KAPPA: Final = 10.0
"""KAPPA for that. At 1 the writes of noise have leads too: 48 wrong candidates in place of 26 (LOG.md)."""
ROUNDS: Final = 10
"""Streams with finds removed, at most. DETECTION.md has 4, which lost a chain of six; a round is only run when the one
before it found something, so what converges early pays nothing (LOG.md, 2026-11-22)."""
CONTROLS: Final = 8
"""Largest other weights of the same matrix that are removed one at a time for comparison."""
SINGLES: Final = 12
"""Scalars whose effect alone is measured, at most."""
SCREEN_QUIET: Final = 4
"""A screen stops so many layers behind its last find."""
SCREEN_PART: Final = 0.5
"""Without a find it stops after this part of the layers."""
CONTROL_WINDOWS: Final = 1
"""Windows of each text on which the controls are measured, at most: they are most of the streams."""
OUTLIERS: Final = 7000
"""Largest other weights that are removed together for comparison (Yu et al. 2024, Table 1; see `outliers`)."""
OUTLIER_PART: Final = 0.001
"""Part of a layer's weights that this takes at most: 7,000 would be a whole layer of a small model."""
APART: Final = 4
"""Layers with finds, the first ones, for which the finds of all other layers are also removed: if theirs turn out
transient, that is the joint effect of the rest."""
RESAMPLES: Final = 2000
"""Bootstrap samples of the windows behind an interval."""
INTERVAL_WINDOWS: Final = 4
"""Windows below which no interval is given."""
FLOAT16_MAX: Final = 65504.0
POST_NORM: Final = 1e-3
"""Relative movement of other channels above which a norm stands behind the write."""


def as_settings() -> dict[str, float | int | str]:
    """All constants by name."""
    return {k.lower(): v for k, v in globals().items() if k.isupper() and isinstance(v, int | float)}
