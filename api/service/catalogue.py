"""All models of an index in short, in memory: what a list of them is searched in, and whether one is there at all.

Rows are in the order of the lower-cased ids. A catalogue never changes; the next one shares its rows. Knows records
as plain data.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from operator import attrgetter
from sys import intern
from typing import Any, NamedTuple

from ..reader import as_record
from ..searching import basis_of, hit_of, layers_of, names_of

Json = dict[str, Any]
_FEW = 256
"""Changed models up to which each is put in its place; more are sorted in."""
_NEAR = 2000
"""Models up to which a misspelt id is looked for among all."""


class Row(NamedTuple):
    """A model in short."""

    key: str
    """Its id in lower case."""
    id: str
    revision: str | None
    architecture: str | None
    family: str | None
    outcome: str
    super_weights: int
    verdict: str
    time: str
    names: str
    """What a text is looked for in beside the id: in lower case, sorted, a line each."""
    basis: str | None = None
    """Whose figures the verdict rests on."""
    layers: tuple[int, ...] = ()
    """With weights that are not refuted."""

    @property
    def document(self) -> Json:
        """The row as plain data."""
        return {name: getattr(self, name) for name in _TOLD}


_TOLD = ("id", "revision", "architecture", "family", "outcome", "super_weights", "verdict", "time")


class Wanted(NamedTuple):
    """What rows are asked for; None is no condition."""

    query: str | None = None
    """A part of a name, in any case."""
    family: str | None = None
    """Model type or architecture, in any case."""
    verdict: str | None = None


def row_of(record: Json) -> Row:
    """A record in short; raise StoreError where it is none."""
    model_id = str(record["model"].get("id"))
    with as_record(model_id):
        hit, family = hit_of(record), record["model"].get("model_type")
        verdict, names = hit.verdict.value, names_of(record)[1:]
        said = (hit.id, hit.revision, hit.architecture, family, hit.outcome, hit.super_weights)
        return named(*said, verdict, hit.time, names, basis_of(record, hit.verdict), layers_of(record))


def named(
    model_id: str,
    revision: str | None,
    architecture: str | None,
    family: str | None,
    outcome: str,
    super_weights: int,
    verdict: str,
    time: str,
    names: Iterable[str | None],
    basis: str | None = None,
    layers: tuple[int, ...] = (),
) -> Row:
    """A row; what many rows have alike is kept once."""
    key, text = model_id.lower(), intern("\n".join(sorted({name.lower() for name in names if name})))
    own = model_id if key != model_id else key
    kinds = (architecture and intern(architecture), family and intern(family), intern(outcome))
    return Row(key, own, revision, *kinds, super_weights, intern(verdict), intern(time), text, basis, layers)


class Catalogue:
    """Rows, sorted."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._rows = sorted(rows, key=_KEY)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def find(self, model_id: str) -> Row | None:
        """The row of a model, in whatever case its id is written; None if there is none."""
        key = model_id.lower()
        at = self._at(key)
        return self._rows[at] if at < len(self._rows) and self._rows[at].key == key else None

    def changed(self, rows: Iterable[Row]) -> "Catalogue":
        """The catalogue with these rows, in place of others of the same models."""
        new = {row.key: row for row in rows}
        made = Catalogue()
        if len(new) > _FEW:
            made._rows = sorted([*(r for r in self._rows if r.key not in new), *new.values()], key=_KEY)
            return made
        made._rows = list(self._rows)
        for key, row in new.items():
            at = made._at(key)
            there = at < len(made._rows) and made._rows[at].key == key
            made._rows[at : at + there] = [row]
        return made

    def page(self, wanted: Wanted, after: str, limit: int) -> tuple[list[Row], bool]:
        """At most `limit` rows that are wanted, after the model `after`; and whether there are more."""
        query, family = (text and text.lower() for text in (wanted.query, wanted.family))
        found: list[Row] = []
        for at in range(self._after(after), len(self._rows)):
            row = self._rows[at]
            if _fits(row, query, family, wanted.verdict):
                if len(found) == limit:
                    return found, True
                found.append(row)
        return found, False

    def near(self) -> list[str]:
        """The ids among which a misspelt one is looked for; none where they are too many."""
        return [row.id for row in self._rows] if len(self) <= _NEAR else []

    def _at(self, key: str) -> int:
        return bisect_left(self._rows, key, key=_KEY)

    def _after(self, model_id: str) -> int:
        at = self._at(model_id.lower())
        return at + (at < len(self._rows) and self._rows[at].key == model_id.lower())


_KEY = attrgetter("key")


def _fits(row: Row, query: str | None, family: str | None, verdict: str | None) -> bool:
    if verdict is not None and row.verdict != verdict:
        return False
    if family is not None and family not in ((row.family or "").lower(), (row.architecture or "").lower()):
        return False
    return query is None or query in row.key or query in row.names
