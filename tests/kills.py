"""Kill a crawl and see what is lost: python -m tests.kills operations DIR, moments|crawls DIR TIMES [SEED]

`operations`: the one writer at each of its operations. `moments`: the writer at random moments, `crawls`: a crawl with
its worker processes at random moments, as often as said.

Prints as JSON how often it was killed and what was then lost, doubled or damaged. A program of its own, since it forks,
which a process must not do that has DuckDB's threads: all work is done in children.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from itertools import count
from pathlib import Path
from typing import Any

from swindex.crawler.crawling.collect import Collector
from swindex.crawler.crawling.jobs import Done, Job
from swindex.crawler.crawling.outbox import Outbox
from swindex.crawler.parts.result import Result, refused
from swindex.crawler.refusal import failed, unsupported
from swindex.index import database
from swindex.index.check import check
from swindex.index.files import Files
from swindex.index.store import Index
from swindex.schema.canonical import strict_loads

from . import records as make
from .hub import Hub

MODELS = ("a/one", "b/two")
COMMIT = "a" * 40


def done(model_id: str, revision: str = COMMIT, reason: str = "no such family", *, lasting: bool = True) -> Done:
    """A scan that could not be made."""
    result = refused(model_id, revision, unsupported(reason) if lasting else failed(reason))
    return Done(Job(model_id, revision, 10), result, lasting=lasting, facts={"host": "here"})


def found(model_id: str) -> Done:
    """A scan with finds."""
    parts = make.found_parts()
    model, [scan] = make.model(model_id), parts["scans"]
    lists = {k: tuple(parts[k]) for k in ("super_weights", "groups", "effects")}
    return Done(Job(model_id, model.revision, 4096), Result(model, scan, **lists), seconds=1.5, bytes=7, requests=3)


def versions(index: Index) -> dict[str, int]:
    """How many each model has."""
    return {m: len(index.history(m)) for m in index.models()}


class Killing(Files):
    """Files that end the process as SIGKILL does, before the `at`-th operation."""

    def __init__(self, at: int) -> None:
        self.at, self.count = at, 0

    def step(self) -> None:
        """Count an operation."""
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def _killing(name: str) -> Callable[..., Any]:
    def operation(self: Killing, *arguments: Any) -> Any:
        self.step()
        return getattr(Files, name)(self, *arguments)

    return operation


for _name in ("open", "write", "fsync", "truncate", "close", "replace", "unlink", "mkdir"):
    setattr(Killing, _name, _killing(_name))


def child(work: Callable[[], Any], *, kill_after: float | None = None) -> bool:
    """Do it in a process of its own, killed after some seconds if so; whether it came to its end."""
    process = os.fork()
    if not process:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(process, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if status not in (0, -signal.SIGKILL):
        raise SystemExit(f"a child ended with {status}")
    return status == 0


def run(folder: Path, files: Files, *, filed: bool) -> None:
    """Put what is not known yet, append it, and note what was acknowledged; `filed`: with the database."""
    box, index = Outbox(folder / "outbox", files), Index(folder / "index", files=files)
    index.ensure()
    for each in (found(MODELS[0]), done(MODELS[1])):
        if each.job.model_id not in set(index.models()) and not box.has(each.job):
            box.put(each)
            acknowledge(folder, each.job.model_id)
    collector = Collector(box, index, told=lambda d, _: acknowledge(folder, d.job.model_id))
    with collector if filed else nullcontext():
        collector.take()


def acknowledge(folder: Path, model_id: str) -> None:
    """Note that a step said it was done: from now on the model must not be lost."""
    with (folder / "acknowledged").open("a") as file:
        file.write(f"{model_id}\n")


def lost(folder: Path) -> list[str]:
    """What was acknowledged and is neither waiting nor in the index, right after a kill."""
    known = folder / "acknowledged"
    index = Index(folder / "index")
    models = set() if index.vacant else set(index.models())
    here = models | {d.job.model_id for d in Outbox(folder / "outbox").waiting()}
    return sorted(set(known.read_text().split()) - here) if known.exists() else []


def faults(folder: Path, *, filed: bool) -> list[str]:
    """What is lost, doubled or damaged after a last run without a kill."""
    box, index = Outbox(folder / "outbox"), Index(folder / "index")
    wrong = [f.message for f in check(index) if f.severity == "error"]
    wrong += [] if versions(index) == dict.fromkeys(MODELS, 1) else [f"versions {versions(index)}"]
    wrong += [f"left {p.name}" for p in box.folder.iterdir()]
    return wrong + ([str(d) for d in database.verify(index)] if filed else [])


def judge(folder: Path, *, filed: bool) -> None:
    """Look, run to the end, look again; what is wrong goes to a file."""
    wrong = [f"lost {m}" for m in lost(folder)]
    run(folder, Files(), filed=filed)
    (folder / "wrong").write_text(json.dumps(wrong + faults(folder, filed=filed)))


def judged(folder: Path, *, filed: bool) -> list[str]:
    """The same, in a child."""
    child(lambda: judge(folder, filed=filed))
    found: list[str] = strict_loads((folder / "wrong").read_text())
    return [f"{folder.name}: {w}" for w in found]


def operations(root: Path) -> dict[str, Any]:
    """Kill it before its first operation, its second, and so on until it comes to its end; the log alone."""
    wrong: list[str] = []
    for at in count(1):
        folder = root / str(at)
        folder.mkdir()
        if child(lambda: run(folder, Killing(at), filed=False)):  # noqa: B023 (is done with when the next begins)
            return {"kills": at - 1, "wrong": wrong}
        wrong += judged(folder, filed=False)
    return {}


def moments(root: Path, kills: int, seed: int = 0) -> dict[str, Any]:
    """Kill it at random moments, some of them of the runs that resume, until it was killed so often."""
    draw, wrong, times = random.Random(seed), list[str](), 0
    (root / "usual").mkdir()
    started = time.monotonic()
    child(lambda: run(root / "usual", Files(), filed=True))
    usual = time.monotonic() - started
    for number in count():
        if times == kills:
            return {"kills": times, "runs": number, "wrong": wrong}
        folder = root / str(number)
        folder.mkdir()
        for moment in (draw.uniform(0, 1.1 * usual) for _ in range(min(3, kills - times))):
            if child(lambda: run(folder, Files(), filed=True), kill_after=moment):  # noqa: B023
                break
            times += 1
        wrong += judged(folder, filed=True)
    return {}


# --- a crawl with its workers ---

CHECKPOINTS = Path(__file__).parent / "checkpoints"
NAMES = ("stories260k-one", "aidreams260k", "relullama-260k")


def start_crawl(folder: Path, models: Sequence[str]) -> "subprocess.Popen[str]":
    """A crawl of these through two workers, in a program of its own."""
    command = [sys.executable, "-m", "tests.crawl_run", str(folder), "2", *models]
    return subprocess.Popen(command, cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE, text=True)


def killed_crawl(folder: Path, models: Sequence[str], moment: float) -> list[str]:
    """Kill such a crawl after some seconds; the models that it had told and that are not in the index."""
    process = start_crawl(folder, models)
    with suppress(subprocess.TimeoutExpired):
        process.wait(moment)
    process.kill()
    output, _ = process.communicate()
    index = Index(folder / "index")
    return sorted(_told(output) - (set() if index.vacant else set(index.models())))


def _told(output: str) -> set[str]:
    return {line.split()[1] for line in output.splitlines() if line.startswith("told ")}


def crawls(root: Path, kills: int, seed: int = 0) -> dict[str, Any]:
    """Kill crawls of three models at random moments, each up to four times and then resumed, so often in all."""
    draw, wrong, times, models = random.Random(seed), list[str](), 0, [f"demo/{n}" for n in NAMES]
    with Hub() as hub:
        for name in NAMES:
            hub.add_folder(f"demo/{name}", CHECKPOINTS / name)
        os.environ["HF_ENDPOINT"] = hub.url
        started = time.monotonic()
        start_crawl(root / "usual", models).communicate()
        usual = time.monotonic() - started
        expected = _said(root / "usual")
        for number in count():
            if times >= kills:
                return {"kills": times, "runs": number, "usual_s": round(usual, 2), "wrong": wrong}
            for _ in range(min(4, kills - times)):
                wrong += [
                    f"{number}: lost {m}" for m in killed_crawl(root / str(number), models, draw.uniform(0, usual))
                ]
                times += 1
            start_crawl(root / str(number), models).communicate()
            found = _said(root / str(number))
            wrong += [] if found == expected else [f"{number}: {found}"]
    return {}


def _said(folder: Path) -> dict[str, Any]:
    """What an index says of each model and how many versions it has, what is damaged, and what still waits."""
    index = Index(folder / "index")
    newest = {m: index.read(m) for m in index.models()}
    weights = {m: [(w.id, w.bits, str(w.role)) for w in r.super_weights] for m, r in newest.items()}
    scans = {m: [(s.id, s.outcome.value) for s in r.scans] for m, r in newest.items()}
    left = sorted(p.name for p in (folder / "outbox").iterdir())
    damage = [f.message for f in check(index) if f.severity == "error"]
    return {"versions": versions(index), "weights": weights, "scans": scans, "left": left, "damage": damage}


def main(kind: str, folder: str, *more: str) -> None:
    """Kill and judge."""
    root, numbers = Path(folder), [int(m) for m in more]
    work: dict[str, Callable[..., dict[str, Any]]] = {"operations": operations, "moments": moments, "crawls": crawls}
    print(json.dumps(work[kind](root, *numbers)))


if __name__ == "__main__":
    main(*sys.argv[1:])
