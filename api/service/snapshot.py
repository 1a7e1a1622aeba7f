"""An index up to one change, as the service answers from it: it never changes, and is replaced as a whole.

Models are looked for in the catalogue first, so that an unknown id costs no look at the disk. Knows nothing of HTTP
but that answers are kept here, for they are worth nothing once the snapshot is replaced.
"""

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ...index.feed import Entry
from ..reader import Found, Json, Reader
from .catalogue import Catalogue
from .held import Held
from .offered import Offered

if TYPE_CHECKING:
    from .answer import Answer


class Snapshot:
    """What is served. `name` is what the index is called where its own name is a path of this machine."""

    def __init__(self, held: Held, catalogue: Catalogue | None, name: str, offered: Offered | None, cache: int) -> None:
        self.held, self.catalogue, self.name, self.offered = held, catalogue, name, offered
        self.head = held.head
        facts = held.reader.facts()
        self.facts: Json = {**facts, "source": name if facts["source"] == held.reader.name else facts["source"]}
        self.reader: Reader = Facing(held.reader, catalogue, self.facts)
        self.kept = Kept(cache)

    @property
    def models(self) -> int | None:
        """How many models it holds; None while that is not known."""
        if self.catalogue is not None:
            return len(self.catalogue)
        return self.held.root.models if self.held.root else None

    @property
    def newest(self) -> str | None:
        """Time of its last change."""
        time = self.facts["time"]
        return None if time is None else str(time)


class Facing:
    """A reader that finds models by the catalogue and calls the index what the service calls it; see `Reader`."""

    directory: Path | None = None

    def __init__(self, reader: Reader, catalogue: Catalogue | None, facts: Json) -> None:
        self._reader, self._catalogue, self._facts = reader, catalogue, facts
        self.name = str(facts["source"])

    def newest(self, model_id: str) -> Found | None:
        """As `Reader.newest`."""
        known = self._known(model_id)
        return self._reader.newest(known) if known else None

    def history(self, model_id: str) -> list[Found]:
        """As `Reader.history`."""
        known = self._known(model_id)
        return self._reader.history(known) if known else []

    def model_ids(self) -> list[str]:
        """As `Reader.model_ids`."""
        return self._reader.model_ids()

    def near_ids(self) -> list[str]:
        """As `Reader.near_ids`; none where they are too many to be compared in a request."""
        return self._catalogue.near() if self._catalogue else []

    def everything(self) -> Iterator[Found]:
        """As `Reader.everything`."""
        return self._reader.everything()

    def back(self) -> Iterator[Entry]:
        """As `Reader.back`."""
        return self._reader.back()

    def facts(self) -> Json:
        """As `Reader.facts`, as of the snapshot."""
        return self._facts

    def _known(self, model_id: str) -> str | None:
        """The id as the index writes it; None if it has no such model."""
        if self._catalogue is None:
            return model_id
        row = self._catalogue.find(model_id)
        return row.id if row else None


class Kept:
    """Answers by the address they answer, the ones used last, up to a size. For one thread."""

    def __init__(self, most: int) -> None:
        self._most, self._size = most, 0
        self._answers: OrderedDict[bytes, Answer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, address: bytes) -> "Answer | None":
        """The answer for an address; None if it is not kept."""
        found = self._answers.get(address)
        if found is not None:
            self._answers.move_to_end(address)
        return found

    def put(self, address: bytes, answer: "Answer") -> None:
        """Keep an answer, unless it is large."""
        if answer.size * 8 > self._most or address in self._answers:
            return
        self._answers[address] = answer
        self._size += answer.size
        while self._size > self._most:
            self._size -= self._answers.popitem(last=False)[1].size
