"""Walk a long listing in which nothing changed, and the same pages with the client alone: python -m tests.bench.listing
serve N | prepare FOLDER N | ours FOLDER | plan FOLDER | bare.

The client is that of huggingface_hub with the same `expand`. `serve` is a loopback Hub that makes N models up, page by
page; `prepare` writes a crawl's state that knows all of them. What is measured is printed as JSON: wall and processor
seconds after the imports, and peak resident memory; the Hub's own are no part of it.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.request import Request, urlopen

from huggingface_hub import HfApi

from swindex.crawler.crawling import plan as planning
from swindex.crawler.crawling.policy import Policy
from swindex.crawler.crawling.row import EXPAND
from swindex.crawler.crawling.run import crawl
from swindex.crawler.crawling.state import Known, State
from swindex.crawler.parts.result import DETECTOR
from swindex.index.store import Index
from tests.hub import Hub
from tests.hub.synthetic import Synthetic


def serve(count: str) -> None:
    """Serve until standard input ends."""
    with Hub(synthetic=int(count)) as hub:
        print(hub.url, flush=True)
        sys.stdin.read()


def prepare(folder: str, count: str) -> None:
    """Write the state of an index in which every one of the models is known at its commit."""
    index, models = Index(Path(folder)), Synthetic(int(count))
    index.ensure()
    with State.open(index) as state:
        for start in range(0, len(models), 10_000):
            some = [models.facts(n) for n in range(start, min(start + 10_000, len(models)))]
            with state.file.together():
                state.learn(*(Known(f["id"], f["sha"], DETECTOR, "none_found", "", "") for f in some))


def ours(folder: str) -> dict[str, Any]:
    """A whole crawl: ask, check, look up, decide, remember the place, and find that nothing is left to do."""
    status = crawl([], index=Path(folder), policy=Policy()).status
    assert status.listed is not None
    assert status.indexed is not None
    assert status.eligible is not None
    return {"models": status.listed, "indexed": status.indexed, "queued": status.eligible - status.indexed}


def plan(folder: str) -> dict[str, Any]:
    """What `crawl --plan` does."""
    with State.read(Index(Path(folder))) as state:
        made = planning.plan(Policy(), state, Index(Path(folder)))
    return {"models": made.skipped.total(), "pages": made.pages, "indexed": made.skipped.total(), "queued": 0}


def bare() -> dict[str, Any]:
    """The client's own walk through the same pages."""
    said, expand = Policy().listing, cast(Any, list(EXPAND))
    sort = cast(Any, said.sort)
    models = HfApi().list_models(filter=said.filters, pipeline_tag=said.pipeline_tag, sort=sort, expand=expand)
    return {"models": sum(1 for _ in models)}


@contextmanager
def serving(count: int) -> Iterator[str]:
    """The address of such a Hub, which runs in a process of its own meanwhile."""
    command = [sys.executable, "-m", "tests.bench.listing", "serve", str(count)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.communicate()


def requests(url: str, *, reset: bool = False) -> list[str]:
    """The paths that the Hub was asked for since the last reset."""
    with urlopen(Request(f"{url}/_log", method="DELETE" if reset else "GET")) as answer:
        return [entry["path"] for entry in json.load(answer)["entries"]]


def peak_mb() -> float:
    """This process's peak of resident memory; what `wait4` states may be that of the process it was forked from."""
    (line,) = (n for n in Path("/proc/self/status").read_text().splitlines() if n.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6


SETTING_UP: dict[str, Callable[..., None]] = {"serve": serve, "prepare": prepare}
MEASURED: dict[str, Callable[..., dict[str, Any]]] = {"ours": ours, "plan": plan, "bare": bare}


def main(what: str, *arguments: str) -> None:
    """Do it, and print what a measured part took."""
    if what in SETTING_UP:
        SETTING_UP[what](*arguments)
        return
    started, used = time.perf_counter(), time.process_time()
    found = MEASURED[what](*arguments)
    times = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - used}
    print(json.dumps({**times, "peak_mb": peak_mb(), **found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
