"""The lookup client: an index, asked from Python. The same methods and results wherever the index is.

Knows no files: a reader has them. Answers come from `answer`, as those of the command line do.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..index.errors import NotInIndex, StoreError
from ..schema.errors import RecordError, UsageError
from ..schema.record import Record
from .answer import answer, not_in_index
from .changes import Change, history
from .names import Asked, parse_asked, parse_model_id, parse_revision, parse_time
from .reader import find, open_reader
from .recent import LIMIT, Changes, recent
from .results import LookupResult
from .searching import Hit, search

if TYPE_CHECKING:
    from .plotting import Plot


class Client:
    """An index to ask: a directory, a release of one, `https://...`, or `hf://datasets/ORG/NAME[@REVISION]`.

    Without `source` it is $SWINDEX_INDEX if that is set, else the one shipped with swindex. `offline` asks nobody and
    answers from what was read before. What is read from elsewhere is checked by its digests; an index that went back or
    was forked since it was read last is an error. It is asked once what is newest: to see what came later, make another
    Client. Methods raise StoreError where the index cannot be read.
    """

    def __init__(self, source: str | Path | None = None, *, offline: bool = False) -> None:
        self._reader = open_reader(source, offline)
        self.source = self._reader.name
        self.directory = self._reader.directory

    def __repr__(self) -> str:
        return f"Client({self.source!r})"

    def lookup(
        self, model_id: str, revision: str | None = None, *, base: str | None = None, as_of: str | None = None
    ) -> LookupResult:
        """What is known of `ORG/NAME` (or `ORG/NAME@REVISION`); raise NotInIndex, UsageError or StoreError.

        `base` names a model whose weights are given, marked as inherited, where the index has none of the model itself.
        `as_of`, a UTC date or a time with its zone, answers with the newest version appended by then.
        """
        return LookupResult.of(answer(_asked(model_id, revision, as_of), self._reader, base))

    def plot(
        self, model_id: str, revision: str | None = None, *, base: str | None = None, as_of: str | None = None
    ) -> "Plot":
        """The charts of a model, which show themselves in a notebook; asked as `lookup`, drawn at once.

        Raise NothingToDraw, MissingExtraError without `swindex[serve]`, and what `lookup` raises.
        """
        from .plotting import Plot

        plot = Plot(self.lookup(model_id, revision, base=base, as_of=as_of).model_dump(mode="json"))
        plot.draw("svg")
        return plot

    def record(self, model_id: str, revision: str | None = None, *, as_of: str | None = None) -> Record:
        """The newest record of a model (at a commit, as of a time); raise NotInIndex, UsageError or StoreError."""
        found = find(self._reader, _asked(parse_model_id(model_id), revision, as_of))
        if found is None:
            raise NotInIndex(not_in_index(model_id, self._reader))
        try:
            return Record.parse(found.line, tolerant=True)
        except RecordError as error:
            raise StoreError(f"{self.source}: {error}; `swindex index check` says where") from None

    def history(self, model_id: str) -> list[Change]:
        """The versions of a model's record, oldest first, and what changed; raise NotInIndex, StoreError."""
        return history(parse_model_id(model_id), self._reader)

    def search(self, text: str) -> list[Hit]:
        """Models whose id, architecture, type, base or tensor names contain the text, in any case, sorted by id.

        Reads the newest version of every model. From elsewhere that is fetched, in ranges of several megabytes, and
        kept: the first search costs about as many bytes as the records have, a later one what changed since.
        """
        return search(text, self._reader)

    def models(self) -> Iterator[str]:
        """The ids of all models in the index, sorted. From elsewhere, one small file per 256 models is read."""
        return iter(self._reader.model_ids())

    def changes(self, since: int | None = None, limit: int | None = LIMIT) -> Changes:
        """Versions that were appended, newest first: the last ones, or the first ones after change number `since`.

        `next` of the result is the `since` that goes on from there. Reads what was changed after `since`.
        """
        return recent(self._reader, since, limit)


def lookup(
    model_id: str, revision: str | None = None, *, base: str | None = None, as_of: str | None = None
) -> LookupResult:
    """What the shipped index (or $SWINDEX_INDEX) knows of a model; as `Client().lookup`."""
    return Client().lookup(model_id, revision, base=base, as_of=as_of)


def _asked(model_id: str, revision: str | None, as_of: str | None) -> Asked:
    asked = parse_asked(model_id)
    if revision is not None and asked.revision is not None:
        raise UsageError(f"{model_id!r} names a revision already")
    commit = asked.revision if revision is None else parse_revision(revision)
    return Asked(asked.model_id, commit, None if as_of is None else parse_time(as_of))
