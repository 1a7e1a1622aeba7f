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
SAMPLE = 10_000
"""Models of which all are checked."""


def scale(bench: Bench, models: int = 0) -> None:
    """Three versions each of so many models: append, build, check, update by one, look up."""
    models = models or bench.models
    folder, tenth = bench.folder / f"scale-{models}" / "index", models // 10
    steps: dict[str, Any] = {}

    def step(name: str, what: str, *arguments: object) -> None:
        timed = Timed(name, [sys.executable, "-m", "tests.bench.scale", what, str(folder), *map(str, arguments)])
        timed.run()
        steps[name] = json.loads(timed.output)

    step("the first tenth written", "grow", 0, tenth)
    step("appends in the first tenth", "append", "first", APPENDS)
    step("the others written", "grow", tenth, models)
    step("appends in the last tenth", "append", "last", APPENDS)
    step("build", "build")
    if models <= SAMPLE:
        step("check", "check")
    step("one append and update", "update", "later/one")
    step("look-ups in one process", "lookups", models, LOOKUPS)
    cold = Timed("a look-up", [SWINDEX, "lookup", model_id(models // 2), "--index", str(folder)])
    in_turn([cold, bare := Timed("the shipped index", [SWINDEX, "lookup", "mistralai/Mistral-7B-v0.1"])], 5)
    _tell(bench, models, steps, cold, bare, _sizes(folder))
    shutil.rmtree(folder.parent)


def _tell(bench: Bench, models: int, steps: dict[str, Any], cold: Timed, bare: Timed, sizes: dict[str, float]) -> None:
    report, versions = bench.report, VERSIONS * models
    rows = [(name, s["seconds"], s["cpu_seconds"], s["peak_mb"]) for name, s in steps.items()]
    report.table(f"{models} models, {versions} versions", ("", "wall s", "CPU s", "peak MB"), rows)
    first, last = (APPENDS / steps[f"appends in the {t} tenth"]["seconds"] for t in ("first", "last"))
    found, build = steps["look-ups in one process"], steps["build"]
    report.say(f"{first:.0f} appends a second in the first tenth, {last:.0f} in the last")
    report.say(f"a build takes {1e3 * build['cpu_seconds'] / versions:.2f} ms of the processor a version")
    report.say(
        f"look-ups: median {found['p50_ms']:.2f} ms, 99th percentile {found['p99_ms']:.2f} ms; MB on disk: {sizes}"
    )
    targets = [
        report.target("seconds of an append in the last tenth against the first", first / last, 2),
        report.target("99th percentile of a look-up in one process, ms of the processor", found["p99_cpu_ms"], 1),
        report.target("peak memory of the build, MB", build["peak_mb"], 2000),
        report.target("a cold look-up against the same of the shipped index", cold.wall / bare.wall, 1.2),
    ]
    report.keep(f"scale-{models}", steps=steps, cold=[cold.as_json(), bare.as_json()], sizes_mb=sizes, targets=targets)


def _sizes(folder: Path) -> dict[str, float]:
    """MB on disk, whole blocks."""
    return {
        each.name: round(sum(p.stat().st_blocks * 512 for p in (each, *each.rglob("*"))) / 1e6, 1)
        for each in sorted(folder.iterdir())
    }


def scale_large(bench: Bench) -> None:
    """The same with a million models."""
    scale(bench, 1_000_000)
