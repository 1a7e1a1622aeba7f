"""Kill `swindex crawl` itself at random moments: python -m tests.kill_commands DIR TIMES [SEED]

The real command on a listing of the loopback Hub, workers and all, up to six kills for each index and then a run to
the end. Prints as JSON what was lost after an acknowledgement, doubled or damaged. `kills` does the same to parts.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from swindex.index import database
from swindex.index.check import check
from swindex.index.store import Index

from .bench.faults import fill
from .hub import Hub

MODELS = 12
IN_A_ROW = 6
POLICY = '[listing]\nfilters = []\npipeline_tag = ""\n\n[workers]\ncount = 2\n'
SWINDEX = str(Path(sys.executable).parent / "swindex")


def start(folder: Path) -> "subprocess.Popen[str]":
    """The command, in a process group of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "policy.toml").write_text(POLICY)
    command = [SWINDEX, "crawl", "--policy", str(folder / "policy.toml"), "--index", str(folder / "index")]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def killed(folder: Path, moment: float) -> list[str]:
    """Kill it after some seconds; models that it had told of and that the index lacks."""
    process = start(folder)
    with suppress(subprocess.TimeoutExpired):
        process.wait(moment)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    _, told = process.communicate()
    named = {line.split()[1] for line in told.splitlines() if line.startswith("[")}
    index = Index(folder / "index")
    return sorted(named - (set() if index.vacant else set(index.models())))


def said(folder: Path) -> dict[str, Any]:
    """What the index holds when a run has come to its end, and what is wrong with it."""
    index = Index(folder / "index")
    records = {m: index.history(m) for m in index.models()}
    waiting = folder / "index" / "crawl" / "outbox"
    return {
        "versions": {m: len(r) for m, r in records.items()},
        "scans": {m: [(s.id, s.outcome.value) for s in r[-1].scans] for m, r in records.items()},
        "weights": {m: [(w.id, w.bits) for w in r[-1].super_weights] for m, r in records.items()},
        "left": sorted(p.name for p in waiting.iterdir()) if waiting.is_dir() else [],
        "damage": [f.message for f in check(index) if f.severity == "error"],
        "database": [str(d) for d in database.verify(index)],
    }


def main(folder: str, times: str, seed: str = "0") -> None:
    """Kill and judge."""
    root, draw, wrong, kills, runs = Path(folder), random.Random(int(seed)), list[str](), 0, 0
    with Hub() as hub:
        fill(hub, MODELS)
        os.environ["HF_ENDPOINT"] = hub.url
        began = time.monotonic()
        start(root / "usual").communicate()
        usual, expected = time.monotonic() - began, said(root / "usual")
        while kills < int(times):
            here = root / str(runs)
            for _ in range(min(IN_A_ROW, int(times) - kills)):
                wrong += [f"{runs}: lost {m}" for m in killed(here, draw.uniform(0, usual))]
                kills += 1
            start(here).communicate()
            if (found := said(here)) != expected:
                wrong.append(f"{runs}: {found}")
            runs += 1
    models = len(expected["versions"])
    print(json.dumps({"kills": kills, "runs": runs, "models": models, "usual_s": round(usual, 1), "wrong": wrong}))


if __name__ == "__main__":
    main(*sys.argv[1:])
