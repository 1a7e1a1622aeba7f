"""Kill a download and see what is left: python -m tests.kill_downloads operations|moments DIR [TIMES [SEED]]

`operations`: at each operation on the disk, of a first download and of an update. `moments`: the command itself, at
random moments. Prints as JSON how often it was killed and what was wrong then: in what a reader sees right after the
kill, or in the copy once the same download was run again. A program of its own, since it forks.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from swindex.api.download import download
from swindex.index import feed
from swindex.index.check import check
from swindex.index.store import Index

from .copies import LATER, content, filled, grow, published
from .kills import Killing, child

STARTS = ("nothing", "older")


def prepared(root: Path, models: int) -> None:
    """An index, a release of it before and after it grew, and a copy of the first."""
    index = filled(root / "index")
    for number in range(models):
        grow(index, number, f"first/m{number}")
    published(index, root / "before")
    shutil.copytree(root / "before", root / "site")
    for number in range(models):
        grow(index, number, f"first/m{number // 2}" if number % 2 else f"later/m{number}")
    published(index, root / "site", LATER)
    download(str(root / "before"), root / "older")


def wrong(root: Path, copy: Path, *, whole: bool) -> list[str]:
    """What is wrong with a copy: lines that the index has not, or versions without change, or not all of them."""
    if not (copy / "records").is_dir():
        return ["not there"] if whole else []
    found = [f.message for f in check(Index(copy)) if f.severity == "error" and f.code != "feed-dangling"]
    source = root / "index"
    for path, data in content(copy).items():
        known, lines = (source / path).read_bytes(), data.rpartition(b"\n")[0]
        found += [] if known.startswith(lines) and (not whole or known == data) else [f"{path} differs"]
    newest = feed.newest(copy)
    versions = sum(len(Index(copy).versions(m)) for m in Index(copy).models())
    return found + ([] if newest and versions == newest.seq else [f"{versions} versions at {newest}"])


def judged(root: Path, copy: Path) -> list[str]:
    """Look, run the download again, look again; in a child, since this process must not write."""
    report = root / f"{copy.name}.wrong"

    def judge() -> None:
        found = [f"killed: {w}" for w in wrong(root, copy, whole=False)]
        download(str(root / "site"), copy)
        report.write_text(json.dumps(found + [f"resumed: {w}" for w in wrong(root, copy, whole=True)]))

    child(judge)
    return [f"{copy.name}: {w}" for w in json.loads(report.read_text())]


def operations(root: Path) -> dict[str, Any]:
    """Kill a first download and an update before each operation, until one comes to its end."""
    child(lambda: prepared(root, 3))
    faults: list[str] = []
    kills: dict[str, int] = {}
    for start in STARTS:
        for at in count(1):
            copy = root / f"{start}-{at}"
            if start == "older":
                shutil.copytree(root / "older", copy)
            if child(lambda: download(str(root / "site"), copy, files=Killing(at))):  # noqa: B023
                break
            kills[start] = at
            faults += judged(root, copy)
    return {"kills": kills, "wrong": faults}


def moments(root: Path, times: str = "20", seed: str = "0") -> dict[str, Any]:
    """Kill the command, up to four times in a row, then let it come to its end."""
    draw, faults, killed, runs = random.Random(int(seed)), list[str](), 0, 0
    child(lambda: prepared(root, 150))
    began = time.monotonic()
    _command(root, root / "usual").wait()
    usual = time.monotonic() - began
    while killed < int(times):
        copy = root / f"{STARTS[runs % 2]}-{runs}"
        if runs % 2:
            shutil.copytree(root / "older", copy)
        for _ in range(min(4, int(times) - killed)):
            process = _command(root, copy)
            time.sleep(draw.uniform(0.3, usual))
            process.kill()
            process.wait()
            killed += 1
        faults += judged(root, copy)
        runs += 1
    return {"kills": killed, "runs": runs, "usual_s": round(usual, 2), "wrong": faults}


def _command(root: Path, copy: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "swindex.api", "download", "--from", str(root / "site"), "--to", str(copy)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main(kind: str, folder: str, *more: str) -> None:
    """Kill and judge."""
    os.fsync = lambda _: None  # a kill loses nothing that was written; power failures are another test
    work: dict[str, Callable[..., dict[str, Any]]] = {"operations": operations, "moments": moments}
    print(json.dumps(work[kind](Path(folder), *more)))


if __name__ == "__main__":
    main(*sys.argv[1:])
