"""Layers with two down projections of one kind: each scalar is found in its own tensor, or the scan refuses."""

from pathlib import Path

import pytest

from swindex.crawler.detection.run import Options
from swindex.crawler.scanning import scan
from swindex.schema.record import Record
from swindex.schema.types import Outcome

from .plants import Plant, disk, generic
from .plants.shared import one_thread

__all__ = ["one_thread"]
ROW = generic.J + 1
"""Of the scalar in the other projection."""
CASES = {
    "longcat_flash": ("dense", "mlps.0.down_proj.weight", "mlps.1.down_proj.weight", ()),
    "inkling_text": ("shared", "mlp.shared_experts.down_proj", "mlp.experts.down_proj", (1,)),
}
"""By model type: the kind that is planted, its tensor, the other tensor of the same layer, and the expert there."""


def second(plant: Plant, model_type: str, out: Path, col: int) -> tuple[str, tuple[int, ...]]:
    """Plant a scalar in the other projection too, in a copy at `out`; the stored tensor and index."""
    _, mine, other, expert = CASES[model_type]
    tensor, index = plant.scalars[0].tensor.replace(mine, other), (*expert, ROW, col)
    disk.edited(plant.folder, out, [(tensor, index)], value=3e5)
    return tensor, index


def scanned(folder: Path) -> Record:
    """The record of a scan without effects."""
    return scan(str(folder), options=Options(effects=False))


@pytest.mark.parametrize("model_type", CASES)
def test_a_scalar_in_each_of_the_two_is_found_in_its_tensor(model_type: str, tmp_path: Path) -> None:
    plant = generic.plant(model_type, tmp_path / "one", CASES[model_type][0])
    col = (plant.scalars[0].col + 1) % 56
    theirs = second(plant, model_type, tmp_path / "two", col)
    record = scanned(tmp_path / "two")

    ours = (plant.scalars[0].tensor, plant.scalars[0].index)
    assert {(w.tensor, w.index) for w in record.super_weights if w.row in (generic.J, ROW)} == {ours, theirs}


@pytest.mark.parametrize("model_type", CASES)
def test_scalars_that_would_have_one_neuron_s_id_are_refused(model_type: str, tmp_path: Path) -> None:
    plant = generic.plant(model_type, tmp_path / "one", CASES[model_type][0])
    second(plant, model_type, tmp_path / "two", plant.scalars[0].col)
    last = scanned(tmp_path / "two").scans[-1]

    assert last.outcome is Outcome.UNSUPPORTED_ARCHITECTURE
    assert "one id for two neurons" in (last.reason or "")


def test_experts_are_counted_for_each_set_of_a_layer(tmp_path: Path) -> None:
    plant = generic.plant("inkling_text", tmp_path / "one", "shared")
    last = scanned(plant.folder).scans[-1]
    sets = [(x.layer, x.experts) for x in last.experts_seen]

    assert sets == [(2, 8), (2, 2), (3, 8), (3, 2)]
    assert [x.seen for x in last.experts_seen if x.experts == 2] == ["0-1", "0-1"]
    assert last.experts_covered is not None
    assert last.experts_covered <= last.experts == 20
