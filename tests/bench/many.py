"""The benchmarks of an index of many models: does anything grow with the number of models that should not?"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from tests.bench.bench import SWINDEX, Bench
from tests.bench.processes import Timed, in_turn
from tests.bench.scale import VERSIONS, model_id

LOOKUPS, APPENDS = 2000, 200
UPDATES = (1, 100)
SAMPLE = 10_000
"""Models of which all are checked and released."""
_PARTS = {"start": (0, 1), "middle": (1, 50), "end": (50, 100)}
"""Where versions are appended one by one: how many of a hundred models there are before and then."""


def scale(bench: Bench, models: int = 0) -> None:
    """Three versions each of so many models: append, build, check, update by one, look up."""
    models = models or bench.models
    folder = bench.folder / f"scale-{models}" / "index"
    steps: dict[str, Any] = {}

    def step(name: str, what: str, *arguments: object) -> None:
        program = "tests.bench.releases" if what == "release" else "tests.bench.scale"
        given = [str(folder), *map(str, arguments)]
        timed = Timed(name, [sys.executable, "-m", program, *([] if what == "release" else [what]), *given])
        timed.run()
        steps[name] = json.loads(timed.output)

    for at, (start, end) in _PARTS.items():
        step(f"written up to the {at}", "grow", models * start // 100, models * end // 100)
        step(f"appends at the {at}", "append", at, APPENDS)
    step("build", "build")
    if models <= SAMPLE:
        step("check", "check")
        step("release", "release", folder.parent / "release")
    for count in UPDATES:
        step(f"update by {count}", "update", f"later-{count}", count)
    step("look-ups in one process", "lookups", models, LOOKUPS)
    cold = Timed("a look-up", [SWINDEX, "lookup", model_id(models // 2), "--index", str(folder)])
    in_turn([cold, bare := Timed("the shipped index", [SWINDEX, "lookup", "mistralai/Mistral-7B-v0.1"])], 5)
    _tell(bench, models, steps, cold, bare, _sizes(folder))
    shutil.rmtree(folder.parent)


def _tell(bench: Bench, models: int, steps: dict[str, Any], cold: Timed, bare: Timed, sizes: dict[str, float]) -> None:
    report, versions = bench.report, VERSIONS * models
    rows = [(name, s["seconds"], cpu_seconds(s), s["peak_mb"]) for name, s in steps.items()]
    report.table(f"{models} models, {versions} versions", ("", "wall s", "CPU s", "peak MB"), rows)
    start, *_, end = (1e3 * steps[f"appends at the {at}"]["cpu_seconds"] / APPENDS for at in _PARTS)
    found, build = steps["look-ups in one process"], steps["build"]
    one, many = (steps[f"update by {count}"] for count in UPDATES)
    report.say(f"an append takes {start:.2f} ms of the processor at the start, {end:.2f} ms at the end")
    report.say(f"a build takes {1e3 * cpu_seconds(build) / versions:.2f} ms of the processor a version")
    for name, step in (("one change", one), (f"{UPDATES[1]} changes", many)):
        report.say(f"update by {name}: {step['update_seconds']:.2f} s, {step['update_mb_written']:.1f} MB written")
    report.say(
        f"look-ups: median {found['p50_ms']:.2f} ms, 99th percentile {found['p99_ms']:.2f} ms; MB on disk: {sizes}"
    )
    targets = [
        report.target("an append at the end against one at the start, by processor time", end / start, 1.5),
        report.target("99th percentile of a look-up in one process, ms of the processor", found["p99_cpu_ms"], 1),
        report.target("peak memory of the build, MB", build["peak_mb"], 2000),
        report.target("a cold look-up against the same of the shipped index", cold.wall / bare.wall, 1.2),
    ]
    report.keep(f"scale-{models}", steps=steps, cold=[cold.as_json(), bare.as_json()], sizes_mb=sizes, targets=targets)


def cpu_seconds(step: dict[str, Any]) -> float:
    """Of a step with all processes that it started."""
    return float(step["cpu_seconds"]) + float(step["other_cpu_seconds"])


def _sizes(folder: Path) -> dict[str, float]:
    """MB on disk, whole blocks."""
    return {
        each.name: round(sum(p.stat().st_blocks * 512 for p in (each, *each.rglob("*"))) / 1e6, 1)
        for each in sorted(folder.iterdir())
    }


def scale_large(bench: Bench) -> None:
    """The same with a million models."""
    scale(bench, 1_000_000)
