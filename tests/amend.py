"""Append models to an index and update its DuckDB file until killed: python -m tests.amend forever INDEX NAME.

`half` leaves what a crash between DuckDB's commit and its checkpoint leaves; `hold` has the file open to write for a
second. A program of its own, since it is to be killed.
"""

import os
import signal
import sys
import time
from itertools import count
from pathlib import Path

import duckdb

from swindex.index import database, opening
from swindex.index.store import Index
from swindex.index.versions import with_scan
from swindex.schema.types import Outcome

from . import records as make

SCAN = make.scan(outcome=Outcome.NONE_FOUND)


def add(index: Index, name: str) -> None:
    """Append the first version of a model."""
    index.add(name, lambda newest: with_scan(newest, model=make.model(name), scan=SCAN), "tester", make.TIME)


def forever(index: Index, name: str) -> None:
    """Append and update, one by one."""
    for number in count():
        add(index, f"{name}/m{number}")
        database.update(index)


def half(index: Index, name: str) -> None:
    """Append and update, and be killed after the commit."""
    add(index, f"{name}/half")
    with opening.private(index.directory) as folder, duckdb.connect() as con:
        con.execute(f"ATTACH {opening.quoted(index.database)} AS d; USE d; BEGIN")
        database.renew(con, folder, index, [f"{name}/half"])
        con.execute("COMMIT")
        os.kill(os.getpid(), signal.SIGKILL)


def hold(index: Index, name: str) -> None:
    """Have the file open as an amendment does."""
    with duckdb.connect() as con:
        con.execute(f"ATTACH {opening.quoted(index.database)} AS d")
        print(name, flush=True)
        time.sleep(1)


if __name__ == "__main__":
    print("ready", flush=True)
    {"forever": forever, "half": half, "hold": hold}[sys.argv[1]](Index(Path(sys.argv[2])), sys.argv[3])
