"""Quantized checkpoints: the planted scalar is found under its stored name, with the number that its format means."""

from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import HfApi

from swindex.crawler.checkpoint.hub import HubCheckpoint
from swindex.crawler.checkpoint.local import LocalCheckpoint
from swindex.crawler.detection.run import Options
from swindex.crawler.scanning import scan, scan_checkpoint
from swindex.crawler.stored.view import in_floats
from swindex.crawler.verifying import Answer, verify
from swindex.schema.record import Record
from swindex.schema.types import Outcome, Verdict

from .hub import Hub
from .plants import disk, packers
from .plants.shared import one_thread
from .plants.stored import CASES, COL, DOWN, ROW, as_floats, packed
from .plants.trained import ONE, repacked
from .plants.views import decoded

__all__ = ["one_thread"]
QUICK = Options(effects=False)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each format on disk."""
    root = tmp_path_factory.mktemp("stored")
    return {name: packed(name).write(root / str(n)) for n, name in enumerate(CASES)}


@pytest.fixture(scope="module")
def records(folders: dict[str, Path]) -> dict[str, Record]:
    """Each format, scanned once."""
    return {name: scan(str(folder), options=QUICK) for name, folder in folders.items()}


@pytest.mark.parametrize("name", CASES)
def test_a_weight_is_what_its_format_means(folders: dict[str, Path], name: str) -> None:
    got, means = decoded(folders[name]), packed(name).means

    assert set(got) == set(disk.read(ONE))
    for key, mean in means.items():
        np.testing.assert_array_equal(got[key].numpy(), mean.astype(np.float32), key)


@pytest.mark.parametrize("name", CASES)
def test_plain_tensors_stay_as_they_are(folders: dict[str, Path], name: str) -> None:
    got, plain = decoded(folders[name]), disk.read(ONE)

    assert all(torch.equal(got[n], t) for n, t in plain.items() if n not in packed(name).means)


@pytest.mark.parametrize("name", CASES)
def test_the_planted_scalar_is_found_where_its_code_is(records: dict[str, Record], name: str) -> None:
    case, record = CASES[name], records[name]

    assert (record.scans[0].outcome, record.scans[0].reason) == (Outcome.UNTESTED, None)
    found = record.super_weights[0]
    index = (COL, ROW) if case.transposed else (ROW, COL)
    assert (found.id, found.tensor, found.index) == (f"L1.R{ROW}.C{COL}", DOWN + case.codes, index)
    assert found.value == pytest.approx(packed(name).means[f"{DOWN}.weight"][ROW, COL], rel=1e-15)
    assert (found.dtype, found.packed) == (case.dtype, case.dtype if case.packed else None)
    assert found.shape == (tuple(reversed(SHAPE)) if case.transposed else SHAPE)


SHAPE = tuple(disk.read(ONE)[f"{DOWN}.weight"].shape)


@pytest.mark.parametrize("name", CASES)
def test_the_recorded_bits_are_the_bytes_at_the_offset(
    folders: dict[str, Path], records: dict[str, Record], name: str
) -> None:
    found = records[name].super_weights[0]
    data = (folders[name] / "model.safetensors").read_bytes()
    bits = bytes.fromhex(found.bits or "")[::-1]

    assert data[found.byte_offset :][: len(bits)] == bits
    assert len(bits) == (4 if "pack" in CASES[name].codes or "qw" in CASES[name].codes else 1)


@pytest.mark.parametrize("name", [n for n in CASES if not CASES[n].packed])
def test_a_scale_joins_bits_and_value(records: dict[str, Record], name: str) -> None:
    found = records[name].super_weights[0]
    byte = int(found.bits or "", 16)
    code = packers.e4m3(byte) if found.dtype == "float8_e4m3fn" else (byte ^ 128) - 128

    assert found.scale is not None
    assert found.value == pytest.approx(code * found.scale, rel=1e-15)


@pytest.mark.parametrize("name", CASES)
def test_the_scan_equals_that_of_the_floats_it_means(records: dict[str, Record], tmp_path: Path, name: str) -> None:
    plain, quantized = scan(str(as_floats(name, tmp_path / "m")), options=QUICK), records[name]

    assert quantized.scans[0].profile == plain.scans[0].profile
    assert [(w.id, w.role, w.share) for w in quantized.super_weights] == [
        (w.id, w.role, w.share) for w in plain.super_weights
    ]
    assert quantized.model.parameters == plain.model.parameters
    assert quantized.model.dtype == CASES[name].dtype


@pytest.mark.parametrize("name", CASES)
def test_each_byte_is_read_once(folders: dict[str, Path], name: str) -> None:
    checkpoint = LocalCheckpoint(folders[name])
    view = in_floats(checkpoint)
    list(view.read(list(view.tensors)))

    read = checkpoint.meter.bytes - (folders[name] / "config.json").stat().st_size
    assert read == (folders[name] / "model.safetensors").stat().st_size


@pytest.mark.parametrize("name", CASES)
def test_verify_finds_the_same_bits(folders: dict[str, Path], records: dict[str, Record], name: str) -> None:
    checks = verify(records[name], LocalCheckpoint(folders[name])).checks

    assert {(c.answer, c.reason) for c in checks} == {(Answer.SAME, None)}


@pytest.mark.parametrize("name", [n for n in CASES if CASES[n].packed])
def test_verify_looks_at_one_code_of_a_word(
    folders: dict[str, Path], records: dict[str, Record], tmp_path: Path, name: str
) -> None:
    found = records[name].super_weights[0]
    packed(name).write(tmp_path / "m")
    data = bytearray((folders[name] / "model.safetensors").read_bytes())
    start, size, answers = found.byte_offset or 0, len(found.bits or "") // 2, []
    for bit in range(8 * size):
        data[start : start + size] = (int(found.bits or "", 16) ^ 1 << bit).to_bytes(size, "little")
        (tmp_path / "m" / "model.safetensors").write_bytes(data)
        answers.append(str(verify(records[name], LocalCheckpoint(tmp_path / "m")).checks[0].answer))

    width = int("".join(c for c in str(found.packed)[-2:] if c.isdigit()))
    assert (answers.count("drifted"), answers.count("same")) == (width, 8 * size - width)


@pytest.mark.parametrize("name", [n for n in CASES if not CASES[n].packed])
def test_verify_sees_a_changed_code(
    folders: dict[str, Path], records: dict[str, Record], tmp_path: Path, name: str
) -> None:
    found = records[name].super_weights[0]
    data = bytearray((folders[name] / "model.safetensors").read_bytes())
    data[found.byte_offset or 0] ^= 2
    packed(name).write(tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").write_bytes(data)

    checks = verify(records[name], LocalCheckpoint(tmp_path / "m")).checks
    assert checks[0].answer is Answer.DRIFTED


@pytest.mark.parametrize("name", CASES)
def test_a_record_of_it_survives_being_written_and_read(records: dict[str, Record], name: str) -> None:
    assert Record.parse(records[name].model_dump_json()) == records[name]


@pytest.mark.parametrize("name", ["fp8 blocks", "ct int4", "gptq", "awq"])
def test_the_find_of_a_quantized_expert_names_its_own_tensor(tmp_path: Path, name: str) -> None:
    case, plant = CASES[name], repacked("mixtral", ONE, (COL,), tmp_path / "plain")
    tensors = {}
    for key, tensor in disk.read(plant.folder).items():
        stem, _, last = key.rpartition(".")
        made = case.packer(tensor.numpy().astype(np.float64))[0] if ".experts." in key else {f".{last}": tensor}
        tensors |= {stem + suffix: each for suffix, each in made.items()}
    config = {**disk.config_of(plant.folder), "quantization_config": case.config}

    record = scan(str(disk.write(tmp_path / "m", config, tensors)), options=QUICK)

    found, planted = record.super_weights[0], plant.scalars[0]
    assert (found.id, found.tensor) == (planted.id, planted.tensor.removesuffix(".weight") + case.codes)
    assert found.index == ((COL, ROW) if case.transposed else (ROW, COL))
    assert verify(record, LocalCheckpoint(tmp_path / "m")).exit_status == 0


@pytest.mark.parametrize("name", ["fp8 blocks", "gptq"])
def test_removing_the_quantized_scalar_destroys_the_model(folders: dict[str, Path], name: str) -> None:
    record = scan(str(folders[name]), options=Options(texts=(str(disk.TEXT),), windows=4, window=201))

    confirmed = [e.weights for e in record.effects if e.verdict is Verdict.CONFIRMED]
    assert (record.scans[0].outcome, (f"L1.R{ROW}.C{COL}",) in confirmed) == (Outcome.FOUND, True)


@pytest.mark.parametrize("name", ["fp8 blocks", "gptq", "ct int4"])
def test_the_hub_gives_the_same_finds(folders: dict[str, Path], records: dict[str, Record], name: str) -> None:
    with Hub() as hub:
        hub.add("org/m", {p.name: p.read_bytes() for p in folders[name].iterdir()})
        checkpoint = HubCheckpoint("org/m", None, HfApi(endpoint=hub.url, token=False))
        result = scan_checkpoint(checkpoint, QUICK)

    local = records[name]
    assert [w.model_copy(update={"scan": None}) for w in result.super_weights] == [
        w.model_copy(update={"scan": None}) for w in local.super_weights
    ]
    assert result.scan.profile == local.scans[0].profile
