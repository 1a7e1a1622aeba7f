"""What a scan makes of each plant of each family, once in a session; and the page of families made of it.

`python -m tests.plants.matrix` writes the page, crawler/architectures/FAMILIES.md; a test holds it against the scans.
"""

import re
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from swindex.crawler.checkpoint.local import LocalCheckpoint
from swindex.crawler.detection.lockstep import logits
from swindex.crawler.detection.resident import Weights
from swindex.crawler.detection.run import Findings, Options, run
from swindex.crawler.parts.result import Result, refused
from swindex.crawler.parts.whole import assemble
from swindex.crawler.refusal import Refusal
from swindex.crawler.scanning import quiet

from . import Plant, generic
from .coverage import KINDS_OF
from .summary import Measured, measure
from .tiny import tiny_model

CASES = [(name, kind) for name, kinds in KINDS_OF.items() for kind in kinds]
PAGE = Path(__file__).resolve().parents[2] / "crawler" / "architectures" / "FAMILIES.md"
UNPLANTED = ("zamba", "zamba2")
"""Types that no plant can be made of: no down projection of theirs writes to the residual."""
DETECT = Options(effects=False)


@dataclass(frozen=True)
class Row:
    """A plant and what the scan found, or why it was refused."""

    model_type: str
    kind: str
    measured: Measured
    """The plant as anybody would look at it, without the detector."""
    result: Result
    post_norm: bool = False
    logits: tuple[Tensor, Tensor] | None = None
    """Without the planted scalar: of the stream in which it was removed, and of the file that holds a zero there."""

    @property
    def plant(self) -> Plant:
        """What was planted, and where."""
        return self.measured.plant

    @property
    def reason(self) -> str | None:
        """Why it was not scanned."""
        return self.result.scan.reason

    @property
    def found(self) -> list[tuple[str, str, tuple[int, ...]]]:
        """Id, stored tensor and index of every scalar that was found."""
        return [(w.id, w.tensor, w.index) for w in self.result.super_weights]

    @property
    def planted(self) -> list[tuple[str, str, tuple[int, ...]]]:
        """The same of what was planted."""
        return [(s.id, s.tensor, s.index) for s in self.plant.scalars]


@cache
def row(model_type: str, kind: str) -> Row:
    """Plant, look at it plainly, scan, and compare with the file in which the scalar is zero."""
    quiet()
    with tempfile.TemporaryDirectory(prefix="swindex-plants-") as name:
        measured = measure(model_type, kind, Path(name) / model_type)
        checkpoint = LocalCheckpoint(measured.plant.folder)
        try:
            findings = run(checkpoint, DETECT)
        except Refusal as refusal:
            return Row(model_type, kind, measured, refused(checkpoint.model_id, None, refusal, checkpoint))
        result = assemble(checkpoint, findings, DETECT)
        both = _logits(checkpoint, findings, measured.zeroed) if len(findings.peeler.streams) > 1 else None
        return Row(model_type, kind, measured, result, findings.peeler.post_norm, both)


def _logits(checkpoint: LocalCheckpoint, findings: Findings, zeroed: Path) -> tuple[Tensor, Tensor]:
    batch, residual = findings.peeler.batch, findings.peeler.streams[1].residual
    with Weights(findings.skeleton, checkpoint).outside():
        keep = torch.arange(batch.ids.shape[1])
        ours = logits(findings.skeleton.model, findings.skeleton.layers, batch, residual, keep)
    with torch.no_grad():
        theirs: Tensor = generic.loaded(zeroed)(input_ids=batch.ids, use_cache=False).logits
    return ours, theirs


@cache
def refusal(model_type: str) -> str:
    """Why a tiny model without a plant is not scanned; empty if it is."""
    quiet()
    with tempfile.TemporaryDirectory(prefix="swindex-plants-") as name:
        folder = Path(name) / model_type
        generic.save(tiny_model(model_type, 1), model_type, folder)
        try:
            run(LocalCheckpoint(folder), DETECT)
        except Refusal as refusal:
            return str(refusal)
        return ""


HEAD = """# Families of models

Made by `python -m tests.plants.matrix` from scans of tiny models with one planted super weight each; a test holds this
page against the scans. `found`: the planted scalar, at its place in the file, and nothing else. Stored: how the tensor
lies on disk (D residual channels, F neurons, E experts). A family that is not here is scanned if the experiment
on its layers succeeds (`prove.py`), and refused with the reason if not.
"""


def page() -> str:
    """The page, from all scans."""
    rows = [row(*case) for case in CASES]
    found = [r for r in rows if r.reason is None]
    lines = [HEAD, "| model type | kind | stored tensor | stored | norm behind | |", "|---|---|---|---|---|---|"]
    lines += [_line(r) for r in sorted(found, key=lambda r: (r.model_type, r.kind))]
    lines += ["", "## Refused", "", "| model type | why |", "|---|---|"]
    reasons = {r.model_type: r.reason for r in rows if r.reason is not None} | {t: refusal(t) for t in UNPLANTED}
    lines += [f"| {name} | {_general(reason.partition(': ')[2])} |" for name, reason in sorted(reasons.items())]
    return "\n".join(lines) + "\n"


def _line(r: Row) -> str:
    [scalar] = r.plant.scalars
    state = "found" if r.found == r.planted else "not found"
    norm = "yes" if r.post_norm else ""
    return f"| {r.model_type} | {r.kind} | `{_general(scalar.tensor)}` | {_stored(r)} | {norm} | {state} |"


def _general(name: str) -> str:
    return re.sub(r"\.\d+\.", ".N.", re.sub(r"\.\d+\.", ".N.", name))


def _stored(r: Row) -> str:
    """The axes of the stored tensor, from where the planted scalar lies."""
    [scalar] = r.plant.scalars
    if scalar.index[-2:] == (scalar.row, scalar.col):
        axes = "D, F"
    elif scalar.index[-2:] == (scalar.col, scalar.row):
        axes = "F, D"
    else:
        return "E F, D" if scalar.index[-1] == scalar.row else "E D, F"
    return f"E, {axes}" if len(scalar.index) == 3 else axes


if __name__ == "__main__":
    torch.set_num_threads(1)
    PAGE.write_text(page(), encoding="utf-8")
