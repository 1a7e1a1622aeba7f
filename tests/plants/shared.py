"""What several test files look at: each plant is built once and scanned once in a session."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from swindex.crawler.checkpoint.local import LocalCheckpoint
from swindex.crawler.detection.lockstep import logits
from swindex.crawler.detection.resident import Weights
from swindex.crawler.detection.run import Findings, Options, run
from swindex.crawler.parts.whole import assemble
from swindex.crawler.scanning import quiet
from swindex.schema.effect import Effect
from swindex.schema.record import Record
from swindex.schema.types import Intervention

from . import Plant, disk

_SCANNED: dict[tuple[str, int, int], "Scanned"] = {}


@dataclass(frozen=True)
class Scanned:
    """A plant, what the detector saw, and the record made of it."""

    plant: Plant
    checkpoint: LocalCheckpoint
    findings: Findings
    record: Record
    ids: Tensor
    """The windows (B, T) that effects were measured on, made without the detector."""

    def effect(self, *weights: str) -> Effect:
        """The effect of removing exactly these."""
        return next(e for e in self.removals if set(e.weights) == set(weights))

    @property
    def removals(self) -> list[Effect]:
        """The effects of zeroing."""
        return [e for e in self.record.effects if e.intervention is Intervention.ZERO]

    def stream_logits(self, residuals: list[Tensor]) -> Tensor:
        """Logits (B, T, V) of a final residual stream of the one corpus."""
        findings = self.findings
        batch, keep = findings.corpora[0][1], torch.arange(self.ids.shape[1])
        model, layers = findings.skeleton.model, findings.skeleton.layers
        with Weights(findings.skeleton, self.checkpoint).outside():
            return logits(model, layers, batch, residuals[0], keep)


def options(windows: int, window: int) -> Options:
    """Effects on the test text."""
    return Options(texts=(str(disk.TEXT),), windows=windows, window=window)


def scanned(
    name: str, make: Callable[[Path], Plant], factory: pytest.TempPathFactory, windows: int = 4, window: int = 101
) -> Scanned:
    """Build and scan a plant, once for each name and size."""
    key = (name, windows, window)
    if key not in _SCANNED:
        quiet()
        plant = make(factory.mktemp("plants") / name)
        chosen = options(windows, window)
        checkpoint = LocalCheckpoint(plant.folder)
        findings = run(checkpoint, chosen)
        record = assemble(checkpoint, findings, chosen).record("test")
        _SCANNED[key] = Scanned(plant, checkpoint, findings, record, disk.windows(windows, window))
    return _SCANNED[key]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    """Tiny matrices are fastest on one thread."""
    torch.set_num_threads(1)
