"""An index of many models: python -m tests.bench.scale grow FOLDER FROM TO | append FOLDER NAME COUNT |
build FOLDER | check FOLDER | update FOLDER NAME COUNT | lookups FOLDER MODELS COUNT.

`grow` writes three versions of each model and the feed that goes with them without a sync, as no writer would; its
records are those of the tests with other ids, so their digests are right. What is measured is printed as JSON: wall and
processor seconds after the imports, those of other processes it starts apart, and the peak memory of the largest.
"""

import json
import random
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from swindex.index import feed
from swindex.index.check import check as find
from swindex.index.database import build as build_file
from swindex.index.database import update as update_file
from swindex.index.store import Index
from swindex.index.versions import with_scan
from swindex.schema.canonical import canonical_bytes
from swindex.schema.record import Record
from swindex.schema.types import Outcome
from tests import records as make
from tests.bench.listing import peak_mb

MODEL, PER_ORG, VERSIONS = "org/placeholder", 20, 3


def model_id(number: int) -> str:
    """The id of a model."""
    return f"o{number // PER_ORG:06d}/m{number:07d}"


class Template:
    """The lines of a history, of whatever model: two scans that could not be made, one that was."""

    def __init__(self, last: Callable[..., Record]) -> None:
        first = make.failed(MODEL, scan_id="scan-1")
        second = make.failed(MODEL, previous=first, scan_id="scan-2", outcome=Outcome.TOO_LARGE)
        self.lines, self.digests = [], [None, first.provenance.digest, second.provenance.digest]
        for record in (first, second, last(MODEL, previous=second, scan_id="scan-3")):
            data = record.model_dump(mode="json")
            del data["provenance"]["digest"]
            self.lines.append((canonical_bytes(data), record.status.outcome))

    def history(self, name: str) -> Iterator[tuple[bytes, feed.Entry]]:
        """Line and change (at no place yet) of each version of a model."""
        before = b""
        for number, (line, outcome) in enumerate(self.lines, 1):
            line = line.replace(MODEL.encode(), name.encode())
            line = line.replace(str(self.digests[number - 1]).encode(), before) if before else line
            digest = sha256(line).hexdigest()
            before = digest.encode()
            whole = line.replace(b'"provenance":{', b'"provenance":{"digest":"' + before + b'",')
            yield whole, feed.Entry(feed.START, digest, name, outcome, 1, make.TIME, number, False)


def grow(folder: str, start: str, end: str) -> dict[str, Any]:
    """Write the models of these numbers."""
    plain, rich = Template(make.none_found), Template(make.found)
    directory, seq = Path(folder), feed.newest(Path(folder))
    (directory / feed.FOLDER).mkdir(parents=True, exist_ok=True)
    lines: list[bytes] = []
    for number in range(int(start), int(end)):
        path = directory / "records" / f"{model_id(number)}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        history = list((plain if number % 10 else rich).history(model_id(number)))
        path.write_bytes(b"".join(line + b"\n" for line, _ in history))
        for _, entry in history:
            seq = feed.place(seq, entry)
            lines.append(feed.line_of(seq))
            if seq.seq % feed.SEGMENT == 0:
                _put(directory, seq.seq - 1, lines)
    if lines and seq:
        _put(directory, seq.seq - 1, lines)
    return {}


def _put(directory: Path, at: int, lines: list[bytes]) -> None:
    with feed.segment(directory, at // feed.SEGMENT).open("ab") as file:
        file.write(b"".join(line + b"\n" for line in lines))
    lines.clear()


def append(folder: str, name: str, count: str) -> dict[str, Any]:
    """Append a version to so many new models, one by one."""
    index = Index(Path(folder))
    for number in range(int(count)):
        _add(index, f"{name}/m{number}")
    return {"versions": int(count)}


def _add(index: Index, name: str) -> None:
    made = index.add(name, lambda p: with_scan(p, model=make.model(name), scan=SCAN), "bench", make.TIME)
    assert made is not None


SCAN = make.scan(outcome=Outcome.NONE_FOUND)


def build(folder: str) -> dict[str, Any]:
    """Make the DuckDB file."""
    return {"bytes": build_file(Index(Path(folder))).stat().st_size}


def check(folder: str) -> dict[str, Any]:
    """Check everything."""
    return {"errors": [f.message for f in find(Index(Path(folder))) if f.severity == "error"][:3]}


def update(folder: str, name: str, count: str) -> dict[str, Any]:
    """Append so many versions and bring the DuckDB file up to them; of the update alone: seconds and bytes written."""
    append(folder, name, count)
    index, (wall, used, written) = Index(Path(folder)), (time.perf_counter(), time.process_time(), _written())
    update_file(index)
    return {
        "update_seconds": time.perf_counter() - wall,
        "update_cpu_seconds": time.process_time() - used,
        "update_mb_written": (_written() - written) / 1e6,
    }


def _written() -> int:
    return int(re.findall(r"wchar: (\d+)", Path("/proc/self/io").read_text())[0])


def lookups(folder: str, models: str, count: str) -> dict[str, Any]:
    """Look models up at random in one process; milliseconds."""
    from swindex.api import Client

    client, draw, walls, used = Client(folder), random.Random(0), [], []
    for _ in range(int(count)):
        name = model_id(draw.randrange(int(models)))
        wall, cpu = time.perf_counter(), time.process_time()
        found = client.lookup(name)
        used.append(1e3 * (time.process_time() - cpu))
        walls.append(1e3 * (time.perf_counter() - wall))
        assert found.model.id == name
    return {**_percentiles("", walls), **_percentiles("cpu_", used)}


def _percentiles(name: str, times: list[float]) -> dict[str, float]:
    times.sort()
    return {f"p50_{name}ms": times[len(times) // 2], f"p99_{name}ms": times[len(times) * 99 // 100]}


WORK: dict[str, Callable[..., dict[str, Any]]] = {f.__name__: f for f in (grow, append, build, check, update, lookups)}


def main(what: str, *arguments: str) -> None:
    """Do it, and print what it took."""
    started, used = time.perf_counter(), time.process_time()
    found = WORK[what](*arguments)
    times = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - used}
    print(json.dumps({**times, **others(), **found}))


def others() -> dict[str, float]:
    """What the processes took that were started and have ended, and the peak memory of the largest of all."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = max(peak_mb(), children.ru_maxrss * 1024 / 1e6)
    return {"other_cpu_seconds": children.ru_utime + children.ru_stime, "peak_mb": peak}


if __name__ == "__main__":
    main(*sys.argv[1:])
