"""Requests per second and latencies of the service beside a bare Starlette application that returns a constant.

    python -m tests.bench.service [--index DIR] [--seconds N] [--connections N]

Both run on uvicorn and h11 in a process of their own, one after the other, several times in turn; the constant has the
size of the answer it stands beside. `wrk` is used where it is installed, else a client of our own (one process).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.bench.report import Report, machine

MODEL = "/v1/models/huggyllama/llama-7b"
_BARE = """
import sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
body = b"x" * int(sys.argv[1])
async def constant(request): return Response(body, media_type="application/json")
app = Starlette(routes=[Route("/v1/models/{org}/{name}", constant)])
print("ready", file=sys.stderr, flush=True)
uvicorn.run(app, port=int(sys.argv[2]), http="h11", loop="asyncio", access_log=False, log_level="warning")
"""


class Load(NamedTuple):
    """What a load measured."""

    rate: float
    """Requests per second."""
    p50: float
    p99: float
    """Seconds."""
    errors: int
    cpu: float = 0.0
    """Seconds of the server's processor time for a request."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--index", default=None)
    parser.add_argument("--model", default=MODEL.removeprefix("/v1/models/"))
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--runs", type=int, default=3)
    wanted = parser.parse_args()
    report, path = Report("service"), f"/v1/models/{wanted.model}"
    index = ["--index", wanted.index] if wanted.index else []
    ours = [sys.executable, "-m", "swindex.api", "serve", "--port", "8790", *index]
    with running(ours, 8790):
        size = _size(8790, path)
        print(f"the list of all models was ready after {_ready(8790):.1f} s")
    bare = [sys.executable, "-c", _BARE, str(size), "8791"]
    found: dict[str, list[Load]] = {"swindex serve": [], "bare Starlette": []}
    for _ in range(wanted.runs):
        for name, command, port in (("swindex serve", ours, 8790), ("bare Starlette", bare, 8791)):
            with running(command, port) as process:
                if port == 8790:
                    _ready(port)
                load(port, path, 1, wanted.connections)
                before = _cpu(process)
                loaded = load(port, path, wanted.seconds, wanted.connections)
                spent = _cpu(process) - before
                found[name].append(loaded._replace(cpu=spent / (loaded.rate * wanted.seconds)))
    rows = [(name, *(median(each[n] for each in loads) for n in range(5))) for name, loads in found.items()]
    shown = [(name, rate, 1e3 * p50, 1e3 * p99, errors, 1e6 * cpu) for name, rate, p50, p99, errors, cpu in rows]
    columns = ("", "requests/s", "p50 ms", "p99 ms", "errors", "CPU us/request")
    title = f"A model's document of {size} bytes, {wanted.connections} connections, {'wrk' if _wrk() else 'own client'}"
    report.table(title, columns, shown)
    target = report.target("bare Starlette's rate over ours", rows[1][1] / rows[0][1], 1 / 0.6)
    report.keep("service", rows=[dict(zip(columns[1:], row[1:], strict=True)) for row in shown], targets=[target])
    print(machine())


@contextmanager
def running(command: list[str], port: int) -> Iterator[int]:
    """A server meanwhile."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        _await(port)
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def load(port: int, path: str, seconds: float, connections: int) -> Load:
    """Ask for a path on so many connections for so long."""
    wrk = _wrk()
    return (
        _by_wrk(wrk, port, path, seconds, connections) if wrk else asyncio.run(_own(port, path, seconds, connections))
    )


def _wrk() -> str | None:
    return shutil.which("wrk")


def _by_wrk(wrk: str, port: int, path: str, seconds: float, connections: int) -> Load:
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", f"http://127.0.0.1:{port}{path}"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])  # type: ignore[index]
    errors = sum(map(int, re.findall(r"(?:Non-2xx or 3xx responses|timeout|read|connect|write):? (\d+)", text)))
    return Load(rate, _percentile(text, 50), _percentile(text, 99), errors)


def _percentile(text: str, which: int) -> float:
    value, unit = re.search(rf"{which}%\s+([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]
    return float(value) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[unit]


async def _own(port: int, path: str, seconds: float, connections: int) -> Load:
    times: list[float] = []
    errors = 0
    end = time.perf_counter() + seconds

    async def ask() -> None:
        nonlocal errors
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        while (began := time.perf_counter()) < end:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(re.search(rb"content-length: (\d+)", head)[1]))  # type: ignore[index]
            errors += not head.startswith(b"HTTP/1.1 200")
            times.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(ask() for _ in range(connections)))
    times.sort()
    return Load(len(times) / seconds, times[len(times) // 2], times[len(times) * 99 // 100], errors)


def _ready(port: int) -> float:
    """Wait until the service has listed all models, which takes a core meanwhile; seconds."""
    from urllib.request import urlopen

    began = time.monotonic()
    while json.load(urlopen(f"http://127.0.0.1:{port}/healthz"))["catalogue"] != "ready":
        time.sleep(0.2)
    return time.monotonic() - began


def _size(port: int, path: str) -> int:
    from urllib.request import urlopen

    with urlopen(urlsplit(f"http://127.0.0.1:{port}{path}").geturl()) as answer:
        return len(answer.read())


def _cpu(process: int) -> float:
    """Seconds of processor time that a process took so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _await(port: int) -> None:
    import socket

    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


if __name__ == "__main__":
    main()
