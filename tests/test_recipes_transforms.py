"""A checkpoint in which the recorded coordinates no longer hold is recognised by name and refused; others are not.

The copies compute what the original computes, which is shown by their logits, so nothing but the stored numbers tells.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from swindex.api.main import main
from swindex.api.recipes.kept import Kept, chosen
from swindex.api.recipes.transforms import Transformed, is_folded, remarks
from swindex.crawler.checkpoint.local import LocalCheckpoint
from swindex.crawler.detection.run import Options
from swindex.crawler.scanning import scan
from swindex.index.store import Index
from swindex.schema.record import Record

from . import records as make
from . import transformed as to
from .plants import disk, padded
from .plants.shared import one_thread
from .plants.trained import NEURON, ONE, PAIR, J

__all__ = ["one_thread"]
IDS = disk.windows(2, 60)
ROTATIONS = {"Hadamard": to.hadamard(256), "orthogonal": to.orthogonal(256)}


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained checkpoint with two planted scalars, 256 channels wide, so that a Hadamard matrix fits."""
    return padded.padded("llama", PAIR, (NEURON, NEURON + 1), tmp_path_factory.mktemp("wide") / "model").folder


@pytest.fixture(scope="module")
def record(wide: Path) -> Record:
    """What a scan says of it."""
    return scan(str(wide), options=Options(effects=False))


@pytest.fixture(scope="module")
def made(wide: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Copies of it, by what was done."""
    folder = tmp_path_factory.mktemp("copies")
    copies = {name: to.rotated(wide, folder / name, matrix) for name, matrix in ROTATIONS.items()}
    copies["folded"] = to.folded(wide, folder / "folded")
    copies["partly folded"] = to.partly_folded(wide, folder / "partly")
    copies["rescaled"] = to.scaled(wide, folder / "rescaled", 1, NEURON, 4.0)
    copies["bfloat16"] = to.cast(wide, folder / "bf16", torch.bfloat16)
    copies["float16"] = to.cast(wide, folder / "f16", torch.float16)
    copies["fine-tuned"] = to.tuned(wide, folder / "tuned")
    return copies


def seen(record: Record, folder: Path) -> list[str]:
    """What a recipe says of the checkpoint; raise Transformed."""
    return remarks(record, chosen(record).kept, LocalCheckpoint(folder))


# --- what moves coordinates ---


@pytest.mark.parametrize("name", [*ROTATIONS, "folded", "partly folded", "rescaled"])
def test_the_copy_computes_the_same(name: str, wide: Path, made: dict[str, Path]) -> None:
    before = disk.plain_logits(disk.plain(wide), IDS)

    assert torch.allclose(disk.plain_logits(disk.plain(made[name]), IDS), before, atol=1e-3)


@pytest.mark.parametrize("name", list(ROTATIONS))
def test_a_rotated_checkpoint_is_refused_by_name(name: str, record: Record, made: dict[str, Path]) -> None:
    with pytest.raises(Transformed, match=r"FOLDED AND ROTATED: L1\.R67\.C172 .* is 5 in the record") as refused:
        seen(record, made[name])

    assert "channels of the residual stream were mixed (QuaRot, SpinQuant R1)" in str(refused.value)
    assert "make the recipe for the checkpoint as published" in str(refused.value)


def test_a_folded_checkpoint_is_refused_by_name_though_its_scalars_are_in_place(
    record: Record, made: dict[str, Path]
) -> None:
    stored = disk.read(made["folded"])["model.layers.1.mlp.down_proj.weight"]

    assert float(stored[J, NEURON]) == 5.0
    with pytest.raises(Transformed, match=": FOLDED: all gains of its norms are exactly one"):
        seen(record, made["folded"])


def test_gains_that_are_stored_less_one_are_zero_where_they_were_folded(tmp_path: Path) -> None:
    names = [f"model.layers.{n}.input_layernorm.weight" for n in range(2)]
    save_file({name: torch.zeros(8) for name in names}, tmp_path / "model.safetensors")

    assert is_folded(LocalCheckpoint(tmp_path))


def test_a_model_without_gains_is_not_taken_for_folded(tmp_path: Path) -> None:
    save_file({"model.layers.0.mlp.down_proj.weight": torch.ones(8, 8)}, tmp_path / "model.safetensors")

    assert not is_folded(LocalCheckpoint(tmp_path))


def test_a_rotation_of_the_neurons_is_told_from_one_of_the_channels(record: Record, wide: Path, tmp_path: Path) -> None:
    state = disk.read(wide)
    name = "model.layers.1.mlp.down_proj.weight"
    state[name] = state[name] @ to.hadamard(256).float()

    with pytest.raises(Transformed, match=r": ROTATED: .* its row has the length still, so neurons were mixed"):
        seen(record, disk.write(tmp_path / "model", disk.config_of(wide), state))


def test_a_rotation_on_both_sides_leaves_nothing_that_stands_out(record: Record, wide: Path, tmp_path: Path) -> None:
    state = disk.read(wide)
    name = "model.layers.1.mlp.down_proj.weight"
    state[name] = to.orthogonal(256, 1).float() @ state[name] @ to.hadamard(256).float()

    with pytest.raises(Transformed, match=r": ROTATED OR REPLACED: .* nothing stands out there"):
        seen(record, disk.write(tmp_path / "model", disk.config_of(wide), state))


def test_a_column_that_was_scaled_is_refused_as_rescaled(record: Record, made: dict[str, Path]) -> None:
    with pytest.raises(Transformed, match=r": RESCALED: .* is 5 in the record and 1\.25 here: it stands out still"):
        seen(record, made["rescaled"])


def test_a_checkpoint_without_the_tensor_is_refused(record: Record) -> None:
    with pytest.raises(Transformed, match=r"NOT COMPARABLE: no tensor model\.layers\.9"):
        remarks(record, [Kept("model.layers.9.mlp.down_proj.weight", 9, None)], LocalCheckpoint(ONE))


def test_a_checkpoint_of_another_shape_is_refused(record: Record) -> None:
    with pytest.raises(Transformed, match=r"NOT COMPARABLE: .* the tensor has shape \[72, 176\]"):
        seen(record, PAIR)


# --- what does not ---


@pytest.mark.parametrize("name", ["bfloat16", "float16", "partly folded"])
def test_a_cast_or_a_folded_last_norm_is_no_reason_to_refuse(name: str, record: Record, made: dict[str, Path]) -> None:
    assert seen(record, made[name]) == [f"2 recorded scalars were read in {made[name]} and are in place"]


def test_a_fine_tune_is_no_reason_to_refuse_and_its_drift_is_told(record: Record, made: dict[str, Path]) -> None:
    _, drift = seen(record, made["fine-tuned"])

    assert drift.startswith("they differ from the record's a little, as after a fine-tune: L1.R67.C172 ")


def test_the_checkpoint_itself_is_in_place(record: Record, wide: Path) -> None:
    assert seen(record, wide) == [f"2 recorded scalars were read in {wide} and are in place"]


# --- a source that gives no value ---


def told(wide: Path) -> Record:
    """What a source says that names the places and no number."""
    weights = tuple(
        make.weight(1, J, col, scan=None, group=None, tensor="model.layers.1.mlp.down_proj.weight")
        for col in (NEURON, NEURON + 1)
    )
    parts = {"model": make.model(files=()), "super_weights": weights}
    return make.make({**parts, "observations": (make.observation((1, J, NEURON), (1, J, NEURON + 1)),)})


def test_without_a_recorded_value_an_outlier_at_the_place_will_do(wide: Path) -> None:
    assert len(seen(told(wide), wide)) == 1


@pytest.mark.parametrize("name", list(ROTATIONS))
def test_without_a_recorded_value_a_place_that_does_not_stand_out_is_refused(
    name: str, wide: Path, made: dict[str, Path]
) -> None:
    with pytest.raises(Transformed, match="FOLDED AND ROTATED OR REPLACED"):
        seen(told(wide), made[name])


# --- the command ---


def test_the_command_refuses_in_one_line_and_writes_nothing(
    record: Record, made: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Index(tmp_path / "index").append(record)
    target = tmp_path / "recipe.yaml"
    arguments = [record.model.id, "--for", "llm-compressor", "--index", str(tmp_path / "index"), "-o", str(target)]

    status = main(["recipe", *arguments, "--checkpoint", str(made["Hadamard"])])

    out, err = capsys.readouterr()
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert not target.exists()


def test_the_command_says_what_it_read_and_counts_all_bits(
    record: Record, wide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Index(tmp_path / "index").append(record)
    arguments = [record.model.id, "--for", "gptqmodel", "--index", str(tmp_path / "index"), "--json"]

    main(["recipe", *arguments, "--checkpoint", str(wide)])

    told = json.loads(capsys.readouterr().out)
    stored = disk.read(wide)
    assert told["bits_per_weight"]["weights"] == sum(t.numel() for t in stored.values())
    assert told["bits_per_weight"]["kept"] == 256 * 256
    assert f"Checked: 2 recorded scalars were read in {wide} and are in place." in told["comment"]
