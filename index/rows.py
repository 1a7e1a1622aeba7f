"""How rows of flat tables are made from records: tables and columns are data (see `tables`), this reads them.

A row is made from a `Row`: the record it belongs to and the item of the record it is about. Knows nothing of DuckDB but
the names of its types.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from operator import attrgetter
from typing import Any

from ..schema.record import Record

Versions = Sequence[tuple[Record, bytes]]
"""All versions of one model, oldest first, with their lines in the log."""
Rows = Callable[[Versions], Iterable["Row"]]


@dataclass(slots=True)
class Row:
    """What the cells of one row are taken from."""

    record: Record
    item: Any = None
    parent: Any = None
    """What holds the item, or the item's derived status."""
    number: int = 0
    """Position of the item (or of its holder) among its kind, from 1."""
    line: str = ""

    def value(self, at: str) -> Any:
        """The value at a dotted path, null where a step is null; `#path` is the length of what is there."""
        held: Any = self
        for name in _steps(at):
            if held is None:
                break
            held = getattr(held, name)
        return len(held) if at[0] == "#" else held


@cache
def _steps(at: str) -> tuple[str, ...]:
    return tuple(at.removeprefix("#").split("."))


@dataclass(frozen=True)
class Column:
    """One column of a table: the kind of its values, the path to them from a `Row`, and what they mean."""

    name: str
    kind: str
    at: str
    meaning: str

    @property
    def type(self) -> str:
        """The SQL type."""
        return TYPES[self.kind]

    @property
    def storage(self) -> str:
        """How DuckDB is to store it, where not as it likes."""
        return _STORAGE.get(self.kind, "")


TYPES = {
    "text": "VARCHAR",
    "texts": "VARCHAR[]",
    "int": "BIGINT",
    "ints": "BIGINT[]",
    "float": "DOUBLE",
    "floats": "DOUBLE[]",
    "bool": "BOOLEAN",
    "time": "TIMESTAMP",
    "json": "VARCHAR",
    "long": "VARCHAR",
}
_STORAGE = {"long": "USING COMPRESSION zstd"}


Take = Callable[[Row], list[Any]]


def taker(columns: Iterable[Column]) -> tuple[list[Column], Take]:
    """These columns in an order in which all their values are taken at once, and what takes them."""
    by_holder: dict[str, list[Column]] = {}
    for column in columns:
        by_holder.setdefault(column.at.rpartition(".")[0], []).append(column)
    parts = [(holder.removeprefix("#"), len(held), _taken(held)) for holder, held in by_holder.items()]

    def take(row: Row) -> list[Any]:
        values: list[Any] = []
        for holder, count, get in parts:
            held = row.value(holder) if holder else row
            values += [None] * count if held is None else get(held)
        return values

    return [column for held in by_holder.values() for column in held], take


def _taken(columns: Sequence[Column]) -> Callable[[Any], Iterable[Any]]:
    """Takes the values of columns with one holder from it; of a path with `#`, the length."""
    names = [column.at.rpartition(".")[2].removeprefix("#") for column in columns]
    if columns[0].at[0] == "#":
        return lambda held: [len(getattr(held, name)) for name in names]
    taken = attrgetter(*names)
    return taken if len(names) > 1 else lambda held: (taken(held),)


@dataclass(frozen=True)
class Table:
    """One table: what a row of it is, its columns, and which rows the versions of a model give."""

    name: str
    meaning: str
    columns: tuple[Column, ...]
    rows: Rows

    def values(self, versions: Versions) -> Iterable[dict[str, Any]]:
        """Yield the rows of a model as plain JSON data, by column name."""
        names, objects, take = self._cells
        for row in self.rows(versions):
            cells = dict(zip(names, take(row), strict=True))
            for name in objects:
                cells[name] = None if cells[name] is None else json.dumps(cells[name], sort_keys=True)
            yield cells

    @cached_property
    def _cells(self) -> tuple[list[str], list[str], Take]:
        """The names of all columns, those of JSON objects among them, and what takes their values."""
        columns, take = taker(self.columns)
        return [c.name for c in columns], [c.name for c in columns if c.kind == "json"], take


def table(name: str, meaning: str, rows: Rows, columns: str) -> Table:
    """Make a table of columns written one a line, `name | type | path | meaning`; no path means `item.<name>`."""
    cells = [[cell.strip() for cell in line.split("|")] for line in columns.strip().splitlines()]
    made = (Column(name, kind, at or f"item.{name}", meaning) for name, kind, at, meaning in cells)
    return Table(name, meaning, (_MODEL_ID, *made), rows)


_MODEL_ID = Column("model_id", "text", "record.model.id", "the model, org/name")


def newest(versions: Versions) -> Iterable[Row]:
    """One row: the newest version; its number is how many there are."""
    yield Row(versions[-1][0], number=len(versions))


def each_version(versions: Versions) -> Iterable[Row]:
    """One row for each version, oldest first."""
    return (Row(record, number=number, line=line.decode()) for number, (record, line) in enumerate(versions, 1))


def items(path: str) -> Rows:
    """One row for each item at this path of the newest record."""

    def rows(versions: Versions) -> Iterable[Row]:
        record = versions[-1][0]
        return (Row(record, item=item, number=n) for n, item in enumerate(Row(record).value(f"record.{path}"), 1))

    return rows


def parts(path: str, inner: str) -> Rows:
    """One row for each part `inner` of each item at this path of the newest record."""

    def rows(versions: Versions) -> Iterable[Row]:
        for row in items(path)(versions):
            yield from (Row(row.record, part, row.item, row.number) for part in getattr(row.item, inner))

    return rows


def with_status(path: str) -> Rows:
    """One row for each item at this path beside its derived status, which stands in the same order."""

    def rows(versions: Versions) -> Iterable[Row]:
        record = versions[-1][0]
        statuses = record.status.weights if path == "super_weights" else record.status.groups
        for row, status in zip(items(path)(versions), statuses, strict=True):
            yield Row(row.record, row.item, status, row.number)

    return rows
