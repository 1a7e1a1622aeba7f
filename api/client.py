"""The lookup client: an index, asked from Python. The same methods and results whatever the index is.

Knows indexes in directories, the shipped one first; answers come from `answer`, as those of the command line do.
"""

from collections.abc import Iterator
from pathlib import Path

from ..index.errors import NotInIndex
from ..index.store import Index
from ..schema.errors import UsageError
from ..schema.record import Record
from .answer import answer, not_in_index
from .changes import Change, history
from .names import Asked, parse_asked, parse_model_id, parse_revision
from .reading import records_dir
from .results import LookupResult
from .searching import Hit, search


class Client:
    """An index to ask. Without `source` it is $SWINDEX_INDEX if that is set, else the one shipped with swindex."""

    def __init__(self, source: str | Path | None = None) -> None:
        if "://" in str(source):
            raise UsageError(f"{source}: swindex reads an index in a directory, or the shipped one if none is named")
        self._records = records_dir(source)
        self.directory = self._records.parent
        self._index = Index(self.directory)

    def __repr__(self) -> str:
        return f"Client({str(self.directory)!r})"

    def lookup(self, model_id: str, revision: str | None = None, *, base: str | None = None) -> LookupResult:
        """What is known of `ORG/NAME` (or `ORG/NAME@REVISION`); raise NotInIndex, UsageError or StoreError.

        `base` names a model whose weights are given, marked as inherited, where the index has none of the model itself.
        """
        return LookupResult.of(answer(_asked(model_id, revision), self._records, base))

    def record(self, model_id: str, revision: str | None = None) -> Record:
        """The newest record of a model (at a full commit sha, if given); raise NotInIndex, UsageError or StoreError."""
        parse_model_id(model_id)
        try:
            return self._index.read(model_id, revision if revision is None else parse_revision(revision))
        except NotInIndex:
            if revision is None:
                raise NotInIndex(not_in_index(model_id, self._records)) from None
            raise

    def history(self, model_id: str) -> list[Change]:
        """The versions of a model's record, oldest first, and what changed; raise NotInIndex, StoreError."""
        return history(parse_model_id(model_id), self._records)

    def search(self, text: str) -> list[Hit]:
        """Models whose id, architecture, type, base or tensor names contain the text, in any case."""
        return search(text, self._records)

    def models(self) -> Iterator[str]:
        """The ids of all models in the index, sorted."""
        return self._index.models()


def lookup(model_id: str, revision: str | None = None, *, base: str | None = None) -> LookupResult:
    """What the shipped index (or $SWINDEX_INDEX) knows of a model; as `Client().lookup`."""
    return Client().lookup(model_id, revision, base=base)


def _asked(model_id: str, revision: str | None) -> Asked:
    asked = parse_asked(model_id)
    if revision is None:
        return asked
    if asked.revision is not None:
        raise UsageError(f"{model_id!r} names a revision already")
    return Asked(asked.model_id, parse_revision(revision))
