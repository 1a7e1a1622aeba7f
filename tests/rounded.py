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

WINDOWS, WINDOW = 4, 200
WANTED = StudyOptions(only=("quantization",), bits=(8, 4, 3), blocks=(16, 64, 0), draws=2)
CASES = (
    ("stories260k-one", "down_proj", True),
    ("stories260k-one", None, True),
    ("stories260k-pair", "down_proj", True),
    ("stories260k-pair", None, True),
    ("stories260k-one", "down_proj", False),
    ("stories260k", None, True),
    ("stories260k", None, False),
    ("aidreams260k", None, True),
)
"""Checkpoint, which tensors are rounded, and whether the grid is symmetric."""
INTRO = """# The paper's quantization on the trained checkpoints

Written by `make rounding` (`python -m tests.rounded`), which studies the checkpoints of `tests/checkpoints` as
`swindex study DIR --only quantization --bits 8 --bits 4 --bits 3 --block 16 --block 64 --block 0` does, with and
without `--tensors down_proj` and `--asymmetric`. Nothing below is typed in but the next section.
"""
READING = """(to be written)"""


def case(name: str, tensors: str | None, symmetric: bool) -> dict[str, Any]:
    """The document of one case."""
    options = Options(windows=WINDOWS, window=WINDOW, texts=(str(disk.TEXT),))
    wanted = replace(WANTED, tensors=tensors, symmetric=symmetric)
    made = make_study(str(disk.CHECKPOINTS / name), options=options, wanted=wanted)
    return document_of(made.model_dump(mode="json"), None)


def report() -> str:
    """The report."""
    lines = [INTRO, READING.strip(), ""]
    notes: dict[str, None] = {}
    for name, tensors, symmetric in CASES:
        print(name, tensors or "", file=sys.stderr, flush=True)
        section = rounding(case(name, tensors, symmetric))
        notes |= dict.fromkeys(section.notes[:-2])
        parts = "all matrices" if tensors is None else "down projections only"
        title = f"{name}, {parts}, {'symmetric' if symmetric else 'asymmetric'}"
        lines += ["", *section_lines(section._replace(title=title, figures=(), notes=section.notes[-2:]))]
    return "\n".join([*lines, "## How", "", "\n\n".join(notes)]) + "\n"


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(report(), end="")
