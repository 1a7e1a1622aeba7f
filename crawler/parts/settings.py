"""What of a scan's settings follows from its options alone. Without torch: a crawl compares it with what it has."""

from collections.abc import Iterable
from typing import Any

from ..detection import constants as c
from ..detection.corpora import Corpus
from ..detection.options import SCREEN, Options
from .result import DETECTOR


def asked(options: Options) -> dict[str, Any]:
    """The settings that follow from the options alone, whatever the model is."""
    return {
        "detector": DETECTOR,
        "constants": {**c.as_settings(), **_chosen(options)},
        "effects": options.effects and options.depth != SCREEN,
        "depth": options.depth,
        "compute_dtype": options.compute,
    }


def named(corpora: Iterable[Corpus]) -> tuple[str, ...]:
    """The texts as settings name them."""
    return tuple(f"{corpus.name} sha256:{corpus.sha256}" for corpus in corpora)


def _chosen(options: Options) -> dict[str, int | str]:
    """What takes the place of a constant."""
    factors = {"factors": ", ".join(f"{f:g}" for f in options.factors)} if options.factors else {}
    return {"rounds": options.rounds, "windows": options.windows, "window": options.window, **factors}
