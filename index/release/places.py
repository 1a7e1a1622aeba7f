"""Where the versions of each model stand in the segments, in a few hundred bytes a model."""

import struct
from collections.abc import Iterable, Iterator

from ..feed import Entry
from ..site import Place, Span

_SPAN = struct.Struct("<QQI")
_DIGEST = 32


class Places:
    """The places of models, by id."""

    def __init__(self) -> None:
        self._held: dict[str, bytes] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def add(self, entry: Entry, offset: int, length: int) -> None:
        """Note the next version of a model."""
        spans = self._held.get(entry.model_id, b"")[_DIGEST:]
        self._held[entry.model_id] = bytes.fromhex(entry.digest) + spans + _SPAN.pack(entry.seq, offset, length)

    def some(self, models: Iterable[str]) -> "Places":
        """The places of these models, in this order."""
        made = Places()
        made._held = {model_id: self._held[model_id] for model_id in models}
        return made

    def versions(self, model_id: str) -> int:
        """How many versions of a model are known; 0 for none."""
        return len(self._held.get(model_id, b"")[_DIGEST:]) // _SPAN.size

    def of(self, model_id: str) -> Place:
        """The place of a model."""
        held = self._held[model_id]
        return Place(held[:_DIGEST].hex(), tuple(Span(*span) for span in _SPAN.iter_unpack(held[_DIGEST:])))
