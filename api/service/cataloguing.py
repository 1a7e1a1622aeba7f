"""Reads the catalogue of an index: out of its DuckDB file and the changes after that, else out of every record.

The file is some seconds' work for a million models, the records are minutes'. Both give the same rows. A file that is
missing, of another index or of another version of swindex is no error.
"""

from collections.abc import Iterator
from pathlib import Path

from ...index.database import filed, open_file
from ...index.errors import StoreError
from ...index.store import Index
from ...schema.rules import STRENGTH
from ..reader import as_record
from ..view import view
from .catalogue import Catalogue, Row, named, row_of
from .held import Held

_ROWS = 10_000
_STRENGTHS = ", ".join(f"'{each.value}'" for each in STRENGTH)
_BASES = (None, "reported", "measured")
"""Of equal verdicts the one that rests on our figures goes first."""


def _rank(name: str) -> str:
    """A verdict by its strength, then by its basis."""
    bases = f"coalesce(list_position(['reported', 'measured'], {name}_basis), 0)"
    return f"(list_position([{_STRENGTHS}], {name}) * {len(_BASES)} + {bases})"


_SQL = f"""
SELECT m.model_id, m.revision, m.architecture, m.model_type, m.outcome, w.standing, w.strongest,
       strftime(m.time, '%Y-%m-%dT%H:%M:%SZ'), m.base_model, w.tensors, w.layers
FROM models AS m LEFT JOIN (
    SELECT model_id,
        count(*) FILTER (location <> 'refuted') AS standing,
        max(greatest({_rank("alone")}, {_rank("grouped")})) FILTER (location <> 'refuted') AS strongest,
        list_sort(list(DISTINCT layer) FILTER (location <> 'refuted')) AS layers,
        list(DISTINCT tensor) AS tensors
    FROM super_weights GROUP BY model_id
) AS w USING (model_id)
"""


def read_catalogue(directory: Path, held: Held) -> Catalogue:
    """The catalogue of what is held; raise StoreError."""
    try:
        return _filed(directory, held)
    except StoreError:
        return Catalogue(row_of(found.record) for found in held.reader.everything())


def changed_rows(held: Held, model_ids: list[str]) -> list[Row]:
    """The rows of models that changed, each of which must give a document; raise StoreError."""
    return [_changed(held, model_id) for model_id in dict.fromkeys(model_ids)]


def _filed(directory: Path, held: Held) -> Catalogue:
    index = Index(directory)
    seq, chain = filed(index)
    later = held.entries(max(seq, 1), held.head.seq)
    if seq == 0 or not later or later[0].chain != chain:
        raise StoreError(f"{index.database}: not of this index")
    return Catalogue(_rows(index)).changed(changed_rows(held, [entry.model_id for entry in later[1:]]))


def _rows(index: Index) -> Iterator[Row]:
    with open_file(index.database) as con:
        con.execute(_SQL)
        while some := con.fetchmany(_ROWS):
            yield from (_row(*values) for values in some)


def _row(
    model_id: str,
    revision: str | None,
    architecture: str | None,
    model_type: str | None,
    outcome: str,
    standing: int | None,
    strongest: int | None,
    time: str,
    base_model: str | None,
    tensors: list[str] | None,
    layers: list[int] | None,
) -> Row:
    place, basis = divmod(strongest or len(_BASES), len(_BASES))
    verdict = STRENGTH[place - 1].value
    names = (architecture, model_type, base_model, *(tensors or ()))
    more = (_BASES[basis], tuple(layers or ()))
    return named(model_id, revision, architecture, model_type, outcome, standing or 0, verdict, time, names, *more)


def _changed(held: Held, model_id: str) -> Row:
    found = held.reader.newest(model_id)
    if found is None:
        raise StoreError(f"{held.reader.name}: {model_id}: changed, but not there; run `swindex index check`")
    with as_record(model_id):
        view(found.record)
    return row_of(found.record)
