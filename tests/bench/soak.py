"""The service under load for minutes, while the index behind it is replaced: python -m tests.bench.soak [--seconds N]

`wrk` asks for every model, its history, pages of the list and the newest changes, on so many connections; meanwhile a
release of an index that grows by a version each time takes the place of the one that is served. What is measured is
the server's memory, minute by minute, how many releases it took up, and what it answered with an error.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from urllib.request import urlopen

from swindex.api.reading import shipped
from swindex.index import copying
from swindex.index.release import release
from swindex.index.store import Index
from swindex.index.versions import with_scan
from swindex.schema.types import Outcome
from tests import records as make
from tests.bench.report import machine
from tests.bench.service import _wrk as wrk
from tests.bench.service import running

PORT = 8792
_SCRIPT = """
local paths = {%s}
local n = 0
request = function()
  n = n + 1
  return wrk.format("GET", paths[n %% #paths + 1])
end
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--every", type=float, default=10.0, help="seconds from one release to the next")
    parser.add_argument("--connections", type=int, default=16)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="swindex-soak-") as folder:
        index, site = _copied(Path(folder) / "index"), Path(folder) / "site"
        release(index, site)
        command = [sys.executable, "-m", "swindex.api", "serve", "--port", str(PORT), "--index", str(site)]
        with running(command, PORT) as process:
            report = _soak(process, index, site, wanted)
    report["machine"] = machine()
    print(json.dumps(report, indent=1))


def _copied(folder: Path) -> Index:
    index = Index(folder)
    for path in sorted((shipped() / "records").rglob("*.jsonl")):
        target = index.records / path.relative_to(shipped() / "records")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    for path in (shipped() / "changes").iterdir():
        (folder / "changes").mkdir(exist_ok=True)
        (folder / "changes" / path.name).write_bytes(path.read_bytes())
    assert copying.is_sound(index)
    return index


def _soak(process: int, index: Index, site: Path, wanted: argparse.Namespace) -> dict[str, object]:
    load = _load(index, site.parent / "paths.lua", wanted)
    memory, released, end = [], 0, time.monotonic() + wanted.seconds
    due = time.monotonic() + wanted.every
    while load.poll() is None:
        memory.append(_megabytes(process))
        if due <= time.monotonic() < end - wanted.every:
            _grow(index, released)
            release(index, site, prune=True)
            released, due = released + 1, due + wanted.every
        time.sleep(1)
    said = load.communicate()[0]
    size = max(1, len(memory) // (wanted.seconds // 60 or 1))
    return {
        "seconds": wanted.seconds,
        "releases": released,
        "served at the end": json.load(urlopen(f"http://127.0.0.1:{PORT}/healthz"))["seq"],
        "expected at the end": released + 70,
        "requests/s": float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]),  # type: ignore[index]
        "requests": int(re.search(r"(\d+) requests in", said)[1]),  # type: ignore[index]
        "errors": sum(map(int, re.findall(r"(?:Non-2xx or 3xx responses|timeout|read|connect|write):? (\d+)", said))),
        "memory MB, median of each minute": [round(median(memory[n : n + size])) for n in range(0, len(memory), size)],
        "memory MB, most": round(max(memory)),
    }


def _load(index: Index, script: Path, wanted: argparse.Namespace) -> subprocess.Popen[str]:
    paths = [f"/v1/models/{m}" for m in index.models()]
    paths += [f"{path}/history" for path in paths] + ["/v1/changes", "/v1/models?limit=20", "/v1/models?query=llama"]
    script.write_text(_SCRIPT % ", ".join(f'"{path}"' for path in paths))
    program = wrk()
    if program is None:
        raise SystemExit("wrk is not installed: apt-get install wrk")
    options = ["-t1", f"-c{wanted.connections}", f"-d{wanted.seconds}s", "--latency", "-s", str(script)]
    return subprocess.Popen([program, *options, f"http://127.0.0.1:{PORT}"], stdout=subprocess.PIPE, text=True)


def _grow(index: Index, number: int) -> None:
    name, scan = f"soak/m{number}", make.scan(outcome=Outcome.NONE_FOUND)
    index.add(name, lambda p: with_scan(p, model=make.model(name), scan=scan), "soak", make.TIME)


def _megabytes(process: int) -> float:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    main()
