"""What the benchmarks share: where their checkpoints are, how `swindex` and the usual way are run, and the report."""

import sys
from pathlib import Path

from tests.bench.generate import generate
from tests.bench.processes import Timed
from tests.bench.report import Report
from tests.bench.shapes import SHAPES

SWINDEX = str(Path(sys.executable).parent / "swindex")
TEXT = Path(__file__).parents[2] / "crawler" / "texts" / "wikitext2.txt"
RESERVE = 500.0
"""MB that a scan may take beside two layers in float32 and its streams."""
TIMES = ("", "wall s", "after imports s", "peak MB")
PROMPT = 2 * 64
"""Tokens watched."""


class Bench:
    """The benchmarks, and where their checkpoints are."""

    def __init__(self, folder: Path, runs: int, report: Report, models: int = 10_000) -> None:
        self.folder, self.runs, self.report, self.models = folder, runs, report, models

    def made(self, name: str) -> Path:
        """The generated checkpoint, written if it is not there."""
        return generate(SHAPES[name], self.folder / name)

    def scan(self, title: str, target: str, *options: str, environment: dict[str, str] | None = None) -> Timed:
        """A scan of a folder or a model."""
        record = self.folder / f"record-{abs(hash((title, target)))}.json"
        command = [SWINDEX, "scan", target, "--json", *options, "--out", str(record)]
        return Timed(title, command, record, environment or {})

    def usual(self, title: str, name: str, *arguments: str) -> Timed:
        """The usual way on a folder."""
        return Timed(title, [sys.executable, "-m", "tests.bench.usual", str(self.folder / name), *arguments])

    def show(self, title: str, rows: list[Timed]) -> None:
        """A table of processes."""
        self.report.table(title, TIMES, [(t.name, t.wall, t.inside, t.memory) for t in rows])
