"""`swindex verify`: the recorded scalars are re-read by their own bytes and compared."""

import math
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi
from safetensors.torch import load_file, save_file

from swindex.crawler.checkpoint.hub import HubCheckpoint
from swindex.crawler.checkpoint.local import LocalCheckpoint
from swindex.crawler.detection.run import Options
from swindex.crawler.refusal import Refusal
from swindex.crawler.scanning import scan
from swindex.crawler.verifying import Verification, verify
from swindex.schema import Coordinates, Granularity, Model, Observation, Record, Source, Stance, SuperWeight

from . import records as make
from .hub import Hub

PAIR = Path(__file__).parent / "checkpoints" / "stories260k-pair"


@pytest.fixture(scope="module")
def record() -> Record:
    """A scan of the pair, without effects."""
    return scan(str(PAIR), options=Options(effects=False))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the pair that may be damaged."""
    return Path(shutil.copytree(PAIR, tmp_path / "copy"))


def answers(verification: Verification) -> list[str]:
    return [str(c.answer) for c in verification.checks]


def damage(folder: Path, record: Record, number: int) -> None:
    """Flip the lowest bit of a recorded scalar in the file."""
    offset = record.super_weights[number].byte_offset
    assert offset is not None
    with open(folder / "model.safetensors", "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def test_the_scanned_checkpoint_has_the_same_bits(record: Record) -> None:
    done = verify(record, LocalCheckpoint(PAIR))

    assert (answers(done), done.exit_status) == (["same", "same"], 0)


def test_one_flipped_bit_is_seen(record: Record, copy: Path) -> None:
    damage(copy, record, 1)

    done = verify(record, LocalCheckpoint(copy))

    assert (answers(done), done.exit_status) == (["same", "drifted"], 1)


def test_a_model_of_another_shape_has_lost_them(record: Record) -> None:
    done = verify(record, LocalCheckpoint(PAIR.parent / "stories260k"))

    assert (answers(done), done.exit_status) == (["gone", "gone"], 1)


def test_a_reported_value_agrees_up_to_its_source_s_rounding(copy: Path) -> None:
    done = verify(_claimed(4.667), LocalCheckpoint(copy))

    assert (answers(done), done.exit_status) == (["agrees"], 0)


def test_a_reported_value_that_is_not_there_has_drifted(copy: Path) -> None:
    assert answers(verify(_claimed(1.5), LocalCheckpoint(copy))) == ["drifted"]


def test_the_hub_sends_headers_and_the_bytes_of_the_scalars(record: Record) -> None:
    with Hub() as hub:
        hub.add_folder("demo/pair", PAIR)
        done = verify(record, HubCheckpoint("demo/pair", None, HfApi(endpoint=hub.url)))

        sent = [e.bytes for e in hub.log.entries if e.range]
        assert (sent, done.header_bytes, done.scalar_bytes) == ([100_000, 8], 100_000, 8)


# --- what differs, and by how much ---


def test_a_drift_is_told_in_parts_of_the_recorded_value(record: Record, copy: Path) -> None:
    change(copy, record, lambda value: value * 1.25)

    done = verify(record, LocalCheckpoint(copy))

    assert [(c.answer, c.compared) for c in done.checks] == [("same", "bits"), ("drifted", "bits")]
    recorded = record.super_weights[1].value
    assert recorded is not None
    assert done.checks[1].drift == pytest.approx(0.25 if recorded > 0 else -0.25, rel=1e-6)
    assert done.checks[1].stored_value == pytest.approx(1.25 * recorded, rel=1e-6)


@pytest.mark.parametrize(("factor", "said"), [(0.0, "the value is 0 here"), (math.nan, "the value is nan here")])
def test_a_value_that_is_lost_is_gone(record: Record, copy: Path, factor: float, said: str) -> None:
    change(copy, record, lambda value: value * factor)

    found = verify(record, LocalCheckpoint(copy)).checks[1]

    assert (found.answer, said in str(found.reason)) == ("gone", True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_a_converted_copy_has_the_same_values(record: Record, copy: Path, dtype: torch.dtype) -> None:
    rewrite(copy, lambda name, tensor: {name: tensor.to(dtype)})

    done = verify(record, LocalCheckpoint(copy))

    assert ([(c.answer, c.compared) for c in done.checks], done.exit_status) == ([("same", "value")] * 2, 0)


def test_what_is_stored_in_another_way_is_not_checkable(record: Record, copy: Path) -> None:
    name = record.super_weights[0].tensor
    packed = name.replace(".weight", ".qweight")
    rewrite(copy, lambda n, t: {packed: t.to(torch.int32)} if n == name else {n: t})

    done = verify(record, LocalCheckpoint(copy))

    assert (answers(done), done.exit_status) == (["not_checkable"] * 2, 3)
    assert done.checks[0].reason == f"no tensor of that name, but {packed}: stored in another way"


def test_a_dtype_without_numbers_of_its_own_is_not_checkable(record: Record, copy: Path) -> None:
    rewrite(copy, lambda name, tensor: {name: tensor.to(torch.float8_e4m3fn)})

    assert answers(verify(record, LocalCheckpoint(copy))) == ["not_checkable"] * 2


def test_a_record_without_a_scalar_is_refused() -> None:
    with pytest.raises(Refusal, match="names no scalar"):
        verify(make.none_found("org/none"), LocalCheckpoint(PAIR))


def change(folder: Path, record: Record, how: Callable[[float], float]) -> None:
    """Replace the second recorded scalar, a float32, in the file."""
    offset = record.super_weights[1].byte_offset
    assert offset is not None
    with open(folder / "model.safetensors", "r+b") as file:
        file.seek(offset)
        [value] = struct.unpack("<f", file.read(4))
        file.seek(offset)
        file.write(struct.pack("<f", how(value)))


def rewrite(folder: Path, how: Callable[[str, torch.Tensor], dict[str, torch.Tensor]]) -> None:
    """Write the weight file anew, each tensor as `how` gives it."""
    tensors = load_file(folder / "model.safetensors")
    save_file({n: t for name, tensor in tensors.items() for n, t in how(name, tensor).items()},
              folder / "model.safetensors")  # fmt: skip


def _claimed(value: float) -> Record:
    """A record of an outside claim about the second scalar of the pair."""
    tensor = "model.layers.1.mlp.down_proj.weight"
    place = {"layer": 1, "row": 67, "col": 173, "tensor": tensor}
    said = Observation(
        source=Source(origin="somebody", title="A paper"),
        granularity=Granularity.SCALAR,
        stance=Stance.CLAIMS,
        targets=(Coordinates(**place),),  # type: ignore[arg-type]
    )
    weight = SuperWeight(id="L1.R67.C173", index=(67, 173), value=value, **place)  # type: ignore[arg-type]
    provenance = {"version": 1, "previous": None, "time": "2026-01-01T00:00:00Z", "submitter": "a test"}
    return Record.make(model=Model(id="a/b"), super_weights=(weight,), observations=(said,), provenance=provenance)
