"""`make rounding`: crawler/quantization/REPORT.md, the paper's quantization on the trained checkpoints.

Figures are those of `swindex study --only quantization`; the prose says what they showed when it was written.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from swindex.api.study.document import document_of
from swindex.api.study.markdown import section_lines, table_lines
from swindex.api.study.rounding import rounding
from swindex.api.study.shapes import Table, ppl
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
READING = """
## Where it helps, and where not

**It helps** where the matrix that holds the super weight is rounded to 4 or 3 bits in whole tensors or large blocks.
Down projections only, 4 bits, whole tensors: perplexity 13.54 plain, 8.28 clipped, 5.60 with the super weight held
out, 4.98 clipped and held out, against 4.97 unrounded; 3 bits: 49.4 plain, 5.62 clipped and held out. Clipping alone
cannot do it: a z that spares the super weight spares every other outlier. Holding out as many of the largest other
weights, or of random ones, changes nothing, so it is this scalar that matters. The pair, whose two are harmless
alone, behaves the same. With 8 bits for weights and activations, restoring the super activation undoes a half (one)
and a third (pair) of a small loss.

**It does not help**
- at 8 bits, and at 4 bits in blocks of 16²: few weights share a grid with the super weight;
- where other outliers cost more. The planted checkpoints have columns of k and v up to 79 (other weights: 0.05 to
  0.3), for which no scalar stands. All matrices rounded, 4 bits, whole tensors: 387.8 plain, 52.5 clipped, 60.4
  clipped and held out: the method is worse than clipping alone there;
- where there is no super weight: in `stories260k` clipping by itself takes 38.9 to 7.47 (4 bits, whole tensors);
- always with z: tuned on another text it is sometimes worse than no clipping, 18.8 against 14.3 (8 bits, whole
  tensors).

**The paper's grid** (asymmetric, equation 1) has no point at zero. The planted checkpoints have many weights that are
exactly zero, which it turns into noise: 66,786 against 13.54 (4 bits, whole tensors, down projections only). Holding
the super weight out helps there too (8 bits: 10.31 to 5.45) but does not save 4 bits (629.7). In `stories260k`, which
has no such zeros, it is the better of the two grids without clipping and the worse one with it. Figures are on a
symmetric grid unless said otherwise.

**What this does not show.** These are models of 260,000 parameters, and their super weights were planted.
`aidreams260k` is measured on a text that is not its own, where perplexity moves either way. No large model was
rounded here; that takes `swindex study ORG/NAME --only quantization`.
"""
SHORT = ("checkpoint, whole tensors", "bits", "unrounded", "plain", "clipped", "held out", "clipped, held out")


def case(name: str, tensors: str | None, symmetric: bool) -> dict[str, Any]:
    """The document of one case."""
    options = Options(windows=WINDOWS, window=WINDOW, texts=(str(disk.TEXT),))
    wanted = replace(WANTED, tensors=tensors, symmetric=symmetric)
    made = make_study(str(disk.CHECKPOINTS / name), options=options, wanted=wanted)
    return document_of(made.model_dump(mode="json"), None)


def in_short(title: str, document: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """A row for each number of bits."""
    measured = document["quantization"]
    rows = [r for r in measured["rows"] if r["table"] == "weights" and r["block"] is None]
    for bits in dict.fromkeys(r["bits"] for r in rows):
        by = {(r["held"], r["clip"] is not None): r["ppl"] for r in rows if r["bits"] == bits and not r["draw"]}
        kinds = [(held, clipped) for held in ("none", "super weights") for clipped in (False, True)]
        cells = [ppl(by[kind]) if kind in by else "" for kind in kinds]
        yield title, str(bits), ppl(measured["ppl"]), *cells


def report() -> str:
    """The report."""
    details: list[str] = []
    short: list[tuple[str, ...]] = []
    notes: dict[str, None] = {}
    for name, tensors, symmetric in CASES:
        parts = "all matrices" if tensors is None else "down projections only"
        title = f"{name}, {parts}, {'symmetric' if symmetric else 'asymmetric'}"
        print(title, file=sys.stderr, flush=True)
        document = case(name, tensors, symmetric)
        section = rounding(document)
        notes |= dict.fromkeys(section.notes[:-2])
        short += in_short(title, document)
        details += ["", *section_lines(section._replace(title=title, figures=(), notes=section.notes[-2:]))]
    table = table_lines(Table("Perplexities", SHORT, tuple(short)))
    return "\n".join([INTRO, READING.strip(), "", *table, *details, "", "## How", "", "\n\n".join(notes)]) + "\n"


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(report(), end="")
