"""`make rounding`: crawler/quantization/REPORT.md, the paper's quantization on the trained checkpoints.

Figures are those of `swindex study --only quantization`; the prose says what they showed when it was written.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import torch

from swindex.api.study.document import document_of
from swindex.api.study.markdown import section_lines
from swindex.api.study.rounding import rounding
from swindex.crawler.detection.run import Options
from swindex.crawler.study.options import StudyOptions
from swindex.crawler.study.whole import make_study

from .plants import disk

WINDOWS, WINDOW = 8, 200
WANTED = StudyOptions(only=("quantization",), bits=(8, 4, 3), blocks=(16, 64, 0))
CASES = (
    ("stories260k-one", None),
    ("stories260k-one", "down_proj"),
    ("stories260k-pair", None),
    ("stories260k-pair", "down_proj"),
    ("stories260k", None),
    ("aidreams260k", None),
)
"""Checkpoint, and which tensors are rounded."""
INTRO = """# The paper's quantization on the trained checkpoints

Written by `make rounding` (`python -m tests.rounded`), which studies the checkpoints of `tests/checkpoints` as
`swindex study DIR --only quantization --bits 8 --bits 4 --bits 3 --block 16 --block 64 --block 0` does, with and
without `--tensors down_proj`. Nothing below is typed in but the next section.
"""


def case(name: str, tensors: str | None) -> dict[str, Any]:
    """The document of one case."""
    options = Options(windows=WINDOWS, window=WINDOW, texts=(str(disk.TEXT),))
    made = make_study(str(disk.CHECKPOINTS / name), options=options, wanted=replace(WANTED, tensors=tensors))
    return document_of(made.model_dump(mode="json"), None)


def report() -> str:
    """The report."""
    prose = (disk.HERE.parent / "crawler" / "quantization" / "reading.md").read_text(encoding="utf-8")
    lines = [INTRO, prose.strip(), ""]
    notes: tuple[str, ...] = ()
    for name, tensors in CASES:
        print(name, tensors or "", file=sys.stderr, flush=True)
        section = rounding(case(name, tensors))
        notes = section.notes[:1]
        title = f"{name}, {'all matrices' if tensors is None else 'down projections only'}"
        lines += ["", *section_lines(section._replace(title=title, figures=(), notes=section.notes[1:]))]
    return "\n".join([*lines, "## How", "", *notes]) + "\n"


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(report(), end="")
