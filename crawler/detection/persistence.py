"""Whether what a scalar writes lasts: known only when all layers were seen (DETECTION.md section 7.2)."""

from collections.abc import Sequence

from . import constants as c
from .peel import PEELED, LayerSeen
from .weights import Find


def is_transient(find: Find, layers: Sequence[LayerSeen]) -> bool:
    """Whether a peeled find's channel does not stay massive in the later layers (the last excepted)."""
    later = layers[find.place.layer + 1 : -1]
    stays = sum(layer.stands(find.place.row, find.text) for layer in later)
    return find.role in PEELED and bool(later) and stays < c.PERSIST * len(later)
