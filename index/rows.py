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


@dataclass(frozen=True)
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


def _taken(paths: Sequence[str]) -> Callable[[Any], Iterable[Any]]:
    """Takes what the last steps of paths lead to from what holds it; of a path with `#`, the length."""
    names = [path.rpartition(".")[2].removeprefix("#") for path in paths]
    if paths[0][0] == "#":
        return lambda held: [len(getattr(held, name)) for name in names]
    taken = attrgetter(*names)
    return taken if len(names) > 1 else lambda held: (taken(held),)


@cache
def _steps(at: str) -> tuple[str, ...]:
    return tuple(at.removeprefix("#").split("."))


@dataclass(frozen=True)
class Column:
    """One column of a table: its SQL type, the path to its value from a `Row`, and what it means."""

    name: str
    type: str
    at: str
    meaning: str
    storage: str = ""
    """How DuckDB is to store it, where not as it likes."""


@dataclass(frozen=True)
class Table:
    """One table: what a row of it is, its columns, and which rows the versions of a model give."""

    name: str
    meaning: str
    columns: tuple[Column, ...]
    rows: Rows

    def values(self, versions: Versions) -> Iterable[dict[str, Any]]:
        """Yield the rows of a model as plain JSON data, by column name."""
        for row in self.rows(versions):
            cells: dict[str, Any] = {}
            for holder, names, values in self._held:
                held = row.value(holder) if holder else row
                cells.update(zip(names, values(held), strict=True) if held is not None else dict.fromkeys(names))
            yield {name: _plain(value) for name, value in cells.items()}

    @cached_property
    def _held(self) -> list[tuple[str, list[str], Callable[[Any], Iterable[Any]]]]:
        """The columns by what holds their values: its path, their names, and how to take all of them at once."""
        by_holder: dict[str, list[Column]] = {}
        for column in self.columns:
            by_holder.setdefault(column.at.rpartition(".")[0], []).append(column)
        return [
            (holder.removeprefix("#"), [c.name for c in columns], _taken([c.at for c in columns]))
            for holder, columns in by_holder.items()
        ]


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


def table(name: str, meaning: str, rows: Rows, columns: str) -> Table:
    """Make a table of columns written one a line, `name | type | path | meaning`; no path means `item.<name>`."""
    cells = [[cell.strip() for cell in line.split("|")] for line in columns.strip().splitlines()]
    made = (
        Column(name, TYPES[kind], at or f"item.{name}", meaning, _STORAGE.get(kind, ""))
        for name, kind, at, meaning in cells
    )
    return Table(name, meaning, (_MODEL_ID, *made), rows)


_MODEL_ID = Column("model_id", "VARCHAR", "record.model.id", "the model, org/name")


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


def _plain(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, dict) else value
