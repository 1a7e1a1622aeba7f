"""What the lines of each model give, row by row, against the DuckDB and the Parquet tables of a release."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple, Self

import duckdb

from ..comparing import Span
from ..errors import StoreError
from ..rows import Column, Table
from ..site import Root
from ..tables import LAYOUT, TABLES
from . import expected
from .disagree import differ, equal
from .facts import about
from .parquet import FOLDER, columns_of
from .readback import Grouped, Rows, duckdb_rows, parquet_rows
from .staging import Staging

DATABASE = "index.duckdb"


class _Form(NamedTuple):
    """One table in one form."""

    name: str
    table: Table
    columns: Sequence[Column]
    rows: Grouped


class TablesAgainst:
    """The tables of a release, all open, that the models of a span are compared with one by one, in their order."""

    def __init__(self, staging: Staging, root: Root, span: Span) -> None:
        self._stack = ExitStack()
        self._forms: list[_Form] = []
        self._staging, self._root, self._span = staging, root, span

    def __enter__(self) -> Self:
        told = {"layout": LAYOUT, "seq": str(self._root.seq), "chain": self._root.chain}
        equal(DATABASE, "what it says of itself", about(self._staging.where(DATABASE)), told)
        try:
            con = self._stack.enter_context(duckdb.connect())
            path = str(self._staging.where(DATABASE)).replace("'", "''")
            con.execute(f"ATTACH '{path}' AS d (READ_ONLY)")
        except duckdb.Error as error:
            self._stack.close()
            raise StoreError(f"{DATABASE}: DuckDB: {str(error).strip().partition(chr(10))[0]}") from None
        for table in TABLES:
            paths = [self._staging.where(path) for path in self._paths(table)]
            self._forms += (
                _Form(DATABASE, table, list(table.columns), Grouped(duckdb_rows(con, table, self._span))),
                _Form(FOLDER, table, columns_of(table), Grouped(parquet_rows(paths, table, self._span))),
            )
        return self

    def __exit__(self, kind: object, *_: Any) -> None:
        if kind is None:
            for form in self._forms:
                if form.rows.coming is not None:
                    differ(f"{form.name}: {form.table.name}", f"rows of {form.rows.coming} are not in versions/")
        self._stack.close()

    def compare(self, model_id: str, lines: Sequence[bytes]) -> None:
        """Hold the rows of a model against what its lines give; raise Disagreement, StoreError."""
        versions = expected.parse(lines)
        before, given = None, Counter[tuple[Any, ...]]()
        for form in self._forms:
            if (form.table, form.columns) != before:
                given = expected.rows_of(form.table, form.columns, versions)
            before = (form.table, form.columns)
            found = form.rows.take(model_id)
            if given != found:
                differ(f"{form.name}: {form.table.name}: {model_id}", _how(given, found))

    def _paths(self, table: Table) -> Iterator[str]:
        return (path for path in sorted(self._root.files) if path.startswith(f"{FOLDER}/{table.name}/"))


def _how(given: Rows, found: Rows) -> str:
    return f"{(given - found).total()} rows only in versions/, {(found - given).total()} rows only here"
