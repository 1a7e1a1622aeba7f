"""Effects where `<s>` is absent: for scalars whose spike stands only in a sequence that does not begin with it.

Behind `<s>` such a scalar looks harmless. One short window without it goes through the layers too, and the sets of such
scalars are treated there as well. Their effects say that `<s>` was absent; those behind `<s>` stand beside them.
"""

from collections.abc import Iterable

from .peel import Peeler, Seen
from .weights import Find, Place


def only_startless(peeler: Peeler, number: int, new: Iterable[Find]) -> list[Find]:
    """Those of a layer's new finds that explain no change in a sequence that begins with `<s>`.

    For a peeler whose first sequence begins with `<s>` and whose second does not, as texts do.
    """
    seen = [s for s in peeler.seen if s.layer == number]
    started = peeler.in_texts | {p for s in seen if _begins(peeler, s) for p in _places(s)}
    return [f for f in new if f.place not in started]


def _begins(peeler: Peeler, seen: Seen) -> bool:
    """Whether the sequence in which a change was seen begins with `<s>`."""
    length = peeler.batch.ids.shape[1]
    return seen.text is not None or seen.explained.change.at < length * peeler.copies


def _places(seen: Seen) -> list[Place]:
    return [Place(seen.layer, m.site, m.expert, m.row, m.col) for m in seen.explained.members]
