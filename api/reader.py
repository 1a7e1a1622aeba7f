"""What an answer is read from: an index in a directory, or a release of one that lies anywhere. Standard library only.

`Reader` is what the two have in common; what a question means (a commit, a time) is said here once for both. Knows
neither files nor networks: `reading` has the index in a directory, `remote` the release.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ..index.errors import NotInIndex, StoreError
from ..index.feed import Entry
from ..schema.canonical import strict_loads
from ..schema.errors import RecordError, UsageError
from .names import Asked

Json = dict[str, Any]
_PARTS = {"model": dict, "status": dict, "provenance": dict}
"""What every version has."""


class Found(NamedTuple):
    """A version."""

    record: Json
    line: bytes
    """Its line in the log, without newline."""
    torn: bool = False
    """Whether the log ends in a half-written version that was left out."""


class Reader(Protocol):
    """An index to ask, wherever it is. Methods raise StoreError, and UsageError for a malformed model id."""

    name: str
    """What a person calls it."""
    directory: Path | None
    """Where its records lie; None if it is not an index in a directory."""

    def newest(self, model_id: str) -> Found | None:
        """The newest version of a model, in whatever case its id is written; None if there is none."""

    def history(self, model_id: str) -> list[Found]:
        """All versions of a model, oldest first; none if the index does not know it."""

    def model_ids(self) -> list[str]:
        """The ids of all models, sorted."""

    def near_ids(self) -> list[str]:
        """Ids among which a misspelt one is looked for: all, or none where reading them would cost too much."""

    def everything(self) -> Iterator[Found]:
        """The newest version of every model, in any order."""

    def back(self) -> Iterator[Entry]:
        """All changes of the index, newest first."""

    def facts(self) -> Json:
        """What `view` says of the index, see there: FACTS."""


FACTS: Json = {"time": None, "crawl": None, "source": None, "released": None, "checked": None}
"""What is said of an index of which nothing is known."""


def open_reader(source: str | Path | None = None, offline: bool = False) -> Reader:
    """The index of this name: a directory, `https://...`, `hf://datasets/ORG/NAME[@REVISION]`.

    Without a name $SWINDEX_INDEX, else the one shipped. `offline` answers from what was read before and asks nobody.
    Raise StoreError if there is none, UsageError for a name that cannot be one.
    """
    from .reading import Local, is_release, named_source, records_dir

    named = named_source(source)
    if named is None or not is_release(named):
        return Local(records_dir(source))
    from .remote.reader import open_remote

    return open_remote(named, offline)


def find(reader: Reader, asked: Asked) -> Found | None:
    """The version that is asked for: the newest, at a commit, as of a time; None if the index has none of the model.

    Raise NotInIndex if it has others but not that one, UsageError if the commit is ambiguous, StoreError.
    """
    if asked.revision is None and asked.as_of is None:
        return reader.newest(asked.model_id)
    history = reader.history(asked.model_id)
    if not history:
        return None
    known = history if asked.as_of is None else _until(history, asked.model_id, asked.as_of)
    return known[-1] if asked.revision is None else _at_revision(known, asked.model_id, asked.revision)


def parsed(line: bytes, model_id: str | None) -> Json:
    """A line as plain data that has the parts of a record of that model; raise RecordError."""
    record = strict_loads(line)
    if not isinstance(record, dict) or any(not isinstance(record.get(k), t) for k, t in _PARTS.items()):
        raise RecordError("not a record")
    if str(record["model"].get("id")).lower() != str(model_id).lower():
        raise RecordError(f"a record of {record['model'].get('id')!r:.120}")
    return record


@contextmanager
def as_record(model_id: str) -> Iterator[None]:
    """Within it a record that has not what a record has is StoreError: one from elsewhere may hold anything."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise StoreError(f"{model_id}: its record is damaged ({what}); `swindex index check` says where") from None


def _until(history: list[Found], model_id: str, time: str) -> list[Found]:
    known = [h for h in history if str(h.record["provenance"].get("time")) <= time]
    if not known:
        first = history[0].record["provenance"].get("time")
        raise NotInIndex(f"{model_id} is in the index, but was not yet as of {time}; its first version is of {first}")
    return known


def _at_revision(history: list[Found], model_id: str, wanted: str) -> Found:
    known = list(dict.fromkeys(r for h in history if isinstance(r := h.record["model"].get("revision"), str)))
    matching = [r for r in known if r.startswith(wanted)]
    if len(matching) > 1:
        raise UsageError(f"{wanted} is short for several commits of {model_id}: {', '.join(matching)}")
    if not matching:
        there = f"known commits: {', '.join(known)}" if known else "no version of it is pinned to a commit"
        raise NotInIndex(f"{model_id} is in the index, but not at {wanted}; {there}")
    return [h for h in history if h.record["model"].get("revision") == matching[0]][-1]
