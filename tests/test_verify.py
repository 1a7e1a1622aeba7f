"""`swindex verify`: the recorded scalars are re-read by their own bytes and compared."""

import shutil
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from swindex.crawler.checkpoint.hub import HubCheckpoint
from swindex.crawler.checkpoint.local import LocalCheckpoint
from swindex.crawler.detection.run import Options
from swindex.crawler.scanning import scan
from swindex.crawler.verifying import Verification, verify
from swindex.schema import Coordinates, Granularity, Model, Observation, Record, Source, Stance, SuperWeight

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


def test_the_hub_sends_headers_and_four_bytes_a_scalar(record: Record) -> None:
    with Hub() as hub:
        hub.add_folder("demo/pair", PAIR)
        verify(record, HubCheckpoint("demo/pair", None, HfApi(endpoint=hub.url)))

        small = [e for e in hub.log.entries if e.range and e.bytes == 4]
        assert len(small) == 2


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
