"""The benchmarks of the crawler: a long listing, many workers, many faults."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from tests.bench import listing as walks
from tests.bench.bench import Bench
from tests.bench.processes import Timed, in_turn
from tests.bench.workers import one_and_two, ratio


def listing(bench: Bench, models: int = 1_000_000) -> None:
    """A listing in which nothing changed, against the client alone on the same pages; the Hub shares this machine."""
    folder, module = bench.folder / "listing", [sys.executable, "-m", "tests.bench.listing"]
    subprocess.run([*module, "prepare", str(folder), str(models)], check=True)
    with walks.serving(models) as url:
        environment = {"HF_ENDPOINT": url}
        names = {"swindex crawl": ["ours", str(folder)], "swindex crawl --plan": ["plan", str(folder)]}
        arguments = {**names, "HfApi.list_models": ["bare"]}
        rows = [Timed(n, [*module, *a], environment=environment) for n, a in arguments.items()]
        in_turn(rows, bench.runs, warm=False)
        walks.requests(url, reset=True)
        rows[0].run(count=False)
        asked = [path for path in walks.requests(url) if path not in CLIENTS_OWN]
    ours, plan, bare = (json.loads(row.output) for row in rows)
    bench.report.table(
        f"A listing of {models} models, all known at their commits, {bench.runs} runs each, after imports",
        ("", "models/s", "wall s", "CPU s, last run", "peak MB"),
        [(t.name, models / t.inside, t.inside, f["cpu_seconds"], f["peak_mb"])
         for t, f in zip(rows, (ours, plan, bare), strict=True)],
    )  # fmt: skip
    targets = [
        bench.report.target("wall time against the client alone", rows[0].inside / rows[2].inside, 1 / 0.7),
        bench.report.target("CPU time against the client alone", ours["cpu_seconds"] / bare["cpu_seconds"], 1 / 0.7),
        bench.report.target("peak memory, MB", max(ours["peak_mb"], plan["peak_mb"]), 300),
        bench.report.target("requests beyond the listing's pages", len(asked) - models / 1000, 0),
        bench.report.target("requests for anything else", sum(path != "/api/models" for path in asked), 0),
        bench.report.target("models not told to be known", models - ours["indexed"], 0),
    ]
    kept = [{**row.as_json(), "last": json.loads(row.output)} for row in rows]
    bench.report.keep("listing", rows=kept, targets=targets)


CLIENTS_OWN = ("/api/agent-harnesses",)
"""What huggingface_hub asks for on its own account, once a day."""


def workers(bench: Bench) -> None:
    """Sixteen small models through one worker process and through two, a thread each."""
    crawls = one_and_two(bench.runs)
    columns = ("workers", "wall s, warm", "wall s, with start", "processor s of the busiest, warm")
    rows = [(str(c.workers), median(c.seconds), median(c.whole), median(c.busiest)) for c in crawls]
    bench.report.table(f"Worker processes, {bench.runs} runs each", columns, rows)
    wall, whole, busiest = (ratio(crawls, f) for f in (lambda c: c.seconds, lambda c: c.whole, lambda c: c.busiest))
    targets = [
        bench.report.target("time of two workers against one, warm", 1 / wall, 1 / 1.7),
        bench.report.target("the same where each has a core to itself (processor time)", 1 / busiest, 1 / 1.7),
    ]
    bench.report.say(
        f"two are x{wall:.2f} as fast warm, x{whole:.2f} with their start, x{busiest:.2f} by processor time"
    )
    bench.report.keep("workers", rows=[c.as_json() for c in crawls], targets=targets)


def faults(bench: Bench) -> None:
    """500 small checkpoints, crawled with and without a tenth of all answers faulty."""
    from tests.bench.faults import compare, ends  # imports torch, which the others leave to processes of their own

    with tempfile.TemporaryDirectory(prefix="swindex-faults-") as folder:
        both = compare(500, Path(folder))
    report, (asked, asked_faulty) = bench.report, both.requests
    rows = [("without", asked, 0, both.clean.seconds), ("with", asked_faulty, both.repeated, both.faulty.seconds)]
    report.table(
        "500 checkpoints, a tenth of all answers faulty",
        ("faults", "requests", "repeated before the body", "wall s"),
        rows,
    )
    report.table("What struck", ("fault", "times"), sorted(both.faults.items()))
    report.say(", ".join(f"{n} {o}" for o, n in both.faulty.outcomes.items()))
    wrong = ends(both.clean).items() ^ ends(both.faulty).items()
    targets = [
        report.target("models with another outcome", len(wrong), 0),
        report.target("models with another record", len(both.differing), 0),
    ]
    kept = {"faults": dict(both.faults), "outcomes": both.faulty.outcomes, "requests": both.requests}
    seconds = {"clean_s": both.clean.seconds, "faulty_s": both.faulty.seconds, "repeated": both.repeated}
    report.keep("faults", **kept, **seconds, targets=targets)
