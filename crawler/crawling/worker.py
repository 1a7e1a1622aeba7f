"""A process that does one job after the other: `python -P -m swindex.crawler.crawling.worker`, which `child` starts.

Reads settings and then jobs as JSON lines from its standard input until that ends; puts each `Done` in the outbox;
says on its standard output, one JSON object a line, what it is at. Dies with its parent. Knows no other worker.
"""

import ctypes
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO

from ...schema.errors import SwindexError, UsageError
from ..detection.options import Options
from .jobs import Job
from .outbox import Box, open_box

Say = Callable[[dict[str, Any]], None]
PARENT_LOOK = 1.0
"""Seconds between two looks whether the parent lives, where the kernel does not tell."""
_PR_SET_PDEATHSIG = 1


def settings_of(options: Options, outbox: str, threads: int, workers: int, share: float) -> dict[str, Any]:
    """The first line that a worker reads. `workers` and `share` are for its pacer."""
    pace = {"workers": workers, "share": share}
    told = {"options": dict(vars(options)), "outbox": outbox, "threads": threads, "pace": pace}
    return {**told, "parent": os.getpid()}


def main() -> None:
    """Work until the input ends."""
    jobs, say = _streams()
    settings = json.loads(jobs.readline() or b"null")
    if settings is None:
        return
    _die_with(settings["parent"])
    try:
        _work(jobs, say, settings)
    except SwindexError as error:
        kind = "usage" if isinstance(error, UsageError) else "store"
        say({"event": "broken", "kind": kind, "reason": str(error)})
    os._exit(0)  # what is done is in the outbox, and to take down torch takes most of a second


def _work(jobs: BinaryIO, say: Say, settings: dict[str, Any]) -> None:
    import torch

    from ..hub import transport
    from ..hub.budget import Budget
    from ..hub.pace import Pacer
    from ..scanning import quiet

    transport.install(Pacer(**settings["pace"]), Budget())
    torch.set_num_threads(settings["threads"])
    quiet()
    options, box = read_options(settings["options"]), open_box(settings["outbox"])
    _check_device(options.device)
    say({"event": "ready"})
    for line in jobs:
        say({"event": "finished", "key": _one(Job(**json.loads(line)), options, box, say)})


def read_options(data: dict[str, Any]) -> Options:
    """The options of a scan out of JSON, which knows no tuples."""
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    return Options(**fields)


def _one(job: Job, options: Options, box: Box, say: Say) -> str:
    from .task import do

    def progress(what: str, done: int, of: int) -> None:
        say({"event": "progress", "what": what, "done": done, "of": of})

    return box.put(do(job, options, progress))


def _check_device(name: str) -> None:
    """Raise UsageError if nothing can be computed there: no model is to blame for that."""
    import torch

    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"--device {name} cannot be used on this machine: {reason}") from None


def _streams() -> tuple[BinaryIO, Say]:
    """Input and output of its own: whatever a library reads or prints is not on them."""
    own_in, own_out = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    lock = threading.Lock()

    def say(what: dict[str, Any]) -> None:
        with lock:
            os.write(own_out, json.dumps(what).encode() + b"\n")

    return os.fdopen(own_in, "rb"), say


def _die_with(parent: int) -> None:
    """End when the process that started this one ends, however it does."""
    told = False
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            told = ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0
    if os.getppid() != parent:
        os._exit(1)
    if not told:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_LOOK)
    os._exit(1)


if __name__ == "__main__":
    main()
