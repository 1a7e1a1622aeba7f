"""The DuckDB file of an index brought up to later changes where no log lies beside it.

Its own table `records` holds every version, so the rows of the models that changed are made anew from those and the new
ones, in the file itself (see `opening`). Knows nothing of where the new versions came from; they are checked.
"""

from collections.abc import Sequence

import duckdb

from ..schema.record import Record
from . import fill
from .errors import DamagedRelease, StaleDatabase
from .feed import Entry
from .opening import amended, open_file, private
from .rows import Versions
from .store import Index

New = tuple[Entry, bytes]
"""A change and its version's line."""


def bytes_of(index: Index, digests: Sequence[str]) -> int:
    """How many bytes these versions take, with newlines; raise StoreError."""
    return _number(index, "sum(strlen(line) + 1)", "WHERE list_contains(?, digest)", [list(digests)])


def usual_bytes(index: Index) -> int:
    """How many bytes a version of this file takes; raise StoreError."""
    return _number(index, "avg(strlen(line))", "", [])


def graft(index: Index, news: Sequence[New]) -> None:
    """Bring the file up by these versions, which follow the change that it is made up to, and publish it.

    Raise DamagedRelease if one does not follow what the file has of its model, StoreError.
    """
    with private(index.directory) as folder, amended(index.database, folder, index.files) as con:
        histories = _histories(con, news)
        fill.delete(con, [versions[-1][0].model.id for versions in histories])
        fill.insert(con, folder, histories)
        fill.note(con, news[-1][0])


def _histories(con: duckdb.DuckDBPyConnection, news: Sequence[New]) -> list[Versions]:
    added: dict[str, list[New]] = {}
    for entry, line in news:
        added.setdefault(entry.model_id, []).append((entry, line))
    return [_history(con, model_id, each) for model_id, each in added.items()]


def _history(con: duckdb.DuckDBPyConnection, model_id: str, added: Sequence[New]) -> Versions:
    """All versions of a model, the new ones last."""
    found = con.execute("SELECT line FROM d.records WHERE model_id = ? ORDER BY version", [model_id]).fetchall()
    versions = [(Record.parse(line, tolerant=True), line.encode()) for (line,) in found]
    for entry, line in added:
        record, last = Record.parse(line, tolerant=True), versions[-1][0].provenance if versions else None
        following = (last.version + 1, last.digest) if last else (1, None)
        if (record.provenance.version, record.provenance.previous) != following:
            raise DamagedRelease(
                f"change {entry.seq}, {model_id}: does not follow the version before; read another copy"
            )
        versions.append((record, line))
    return versions


def _number(index: Index, what: str, where: str, given: list[list[str]]) -> int:
    try:
        with open_file(index.database) as con:
            found = con.execute(f"SELECT coalesce({what}, 0) FROM records {where}", given).fetchone()
    except duckdb.Error as error:
        raise StaleDatabase(f"{index.database}: {str(error).partition(chr(10))[0]}") from None
    return int(found[0]) if found else 0
