"""What a download reads: python -m tests.bench.downloads FOLDER MODELS [MODELS ...]

Of indexes of so many models (three versions each, as `scale` makes them): the first download, and updates after one
change and after a hundred, of the lines and of a DuckDB file that has no lines beside it. Prints JSON a line: bytes,
requests, wall and processor seconds, peak resident memory of the process so far.
"""

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from swindex.api.download import Format, download
from swindex.index import database
from swindex.index.store import Index
from tests.bench.listing import peak_mb
from tests.bench.scale import append, grow
from tests.copies import published, with_files

FILE = "index.duckdb"


def measured(what: str, models: int, *arguments: Any) -> None:
    """Download, and print what it took."""
    started, used = time.perf_counter(), time.process_time()
    report = download(*arguments)
    told = {"wall_s": time.perf_counter() - started, "cpu_s": time.process_time() - used, "peak_mb": peak_mb()}
    said = {"what": what, "models": models, "format": arguments[2].value, "how": report.how, "seq": report.seq}
    print(json.dumps({**said, "changes": report.changes, "bytes": report.bytes, "requests": report.requests, **told}))


def made(index: Index, site: Path) -> str:
    """A release of lines and DuckDB."""
    published(index, site)
    return str(with_files(site, {FILE: database.update(index).read_bytes()}))


def bench(folder: Path, models: int) -> None:
    """Measure an index of so many models."""
    shutil.rmtree(folder, ignore_errors=True)
    grow(str(folder / "index"), "0", str(models))
    index, formats = Index(folder / "index"), (Format.JSONL, Format.DUCKDB)
    source = made(index, folder / "site")
    for kind in formats:
        measured("first", models, source, folder / kind, kind)
    for changes in (1, 100):
        append(str(index.directory), f"new-{changes}", str(changes))
        made(index, folder / "site")
        for kind in formats:
            measured(f"{changes} more", models, source, folder / kind, kind)
    measured("nothing", models, source, folder / Format.JSONL, Format.JSONL)


def main(folder: str, *models: str) -> None:
    """Measure each."""
    for each in models:
        bench(Path(folder) / each, int(each))


if __name__ == "__main__":
    main(*sys.argv[1:])
