"""The rows that a model's lines give, from the JSON alone: what the files of a release are held against.

Goes by the tables' own data (`index.tables`), and knows neither pydantic nor what wrote the files.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from operator import itemgetter
from typing import Any

from ..rows import Column, Row, Table, taker

Line = tuple[Any, bytes]
"""A version: what it says, and its line."""


class Said(dict[str, Any]):
    """A JSON object whose fields are attributes; those that are left out are null, and lists empty."""

    def __getattr__(self, name: str) -> Any:
        return _DERIVED[name](self) if name in _DERIVED else self.get(name, () if name in _LISTS else None)


def _weight_id(at: Said) -> str | None:
    expert = "" if at.expert is None else f".E{at.expert}"
    return None if at.row is None or at.col is None else f"L{at.layer}{expert}.R{at.row}.C{at.col}"


def _delta_nll(effect: Said) -> float | None:
    return None if effect.nll_after is None else float(effect.nll_after) - float(effect.nll_before)


def _weights(said: Said) -> Any:
    """The ids that an effect, a remark or a conflict names; of a claim those of its targets that are scalars."""
    return said["weights"] if "weights" in said else [t.weight_id for t in said.targets or () if t.weight_id]


_LISTS = {"survivals", "decisions"}
_DERIVED: dict[str, Callable[[Said], Any]] = {"delta_nll": _delta_nll, "weight_id": _weight_id, "weights": _weights}
"""What a table has and a record has not."""


def parse(lines: Sequence[bytes]) -> list[Line]:
    """The versions of these lines."""
    return [(json.loads(line, object_hook=Said), line) for line in lines]


def rows_of(table: Table, columns: Sequence[Column], versions: Sequence[Line]) -> "Counter[tuple[Any, ...]]":
    """How often each row stands in a table for a model."""
    take = _cells(tuple(columns))
    return Counter(take(row) for row in table.rows(versions))


def cell(value: Any) -> Any:
    """A value as it can be compared: lists as tuples."""
    return tuple(value) if isinstance(value, list) else value


@cache
def _cells(columns: tuple[Column, ...]) -> Callable[[Row], tuple[Any, ...]]:
    """Takes the cells of a row in the order of these columns."""
    ordered, take = taker(columns)
    made = [(at, _AS[column.type]) for at, column in enumerate(ordered) if column.type in _AS]
    made += [(at, _object) for at, column in enumerate(ordered) if column.kind == "json"]
    in_order = itemgetter(*map(ordered.index, columns))

    def cells(row: Row) -> tuple[Any, ...]:
        values = take(row)
        for at, as_cell in made:
            if values[at] is not None:
                values[at] = as_cell(values[at])
        return tuple(in_order(values))

    return cells


def _object(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


_AS: dict[str, Callable[[Any], Any]] = {
    "DOUBLE": float,
    "VARCHAR[]": tuple,
    "BIGINT[]": tuple,
    "DOUBLE[]": tuple,
    "TIMESTAMP": lambda text: datetime.fromisoformat(text.removesuffix("Z")),
}
