"""The trained checkpoints: what their PROVENANCE.md and truth.json say must come out, and nothing else."""

import json
import os
from pathlib import Path
from threading import Event

import pytest
import torch
from safetensors import safe_open

from swindex.crawler.checkpoint.local import LocalCheckpoint
from swindex.crawler.detection.run import Options
from swindex.crawler.scanning import scan, scan_checkpoint
from swindex.schema.effect import Effect
from swindex.schema.record import Record
from swindex.schema.types import Intervention, Outcome, Role, Verdict

from .plants import disk
from .plants.shared import one_thread

__all__ = ["one_thread"]
# PROVENANCE.md: perplexity on 24 windows of 200 tokens with `<s>` in front, float32.
OPTIONS = Options(texts=(str(disk.TEXT),), windows=24, window=201)
NAMES = ("stories260k", "stories260k-one", "stories260k-pair", "aidreams260k", "relullama-260k")


@pytest.fixture(scope="module")
def records() -> dict[str, Record]:
    """All five, scanned once."""
    return {name: scan(str(disk.CHECKPOINTS / name), options=OPTIONS) for name in NAMES}


def truth(name: str) -> list[dict[str, object]]:
    """The planted scalars as their maker wrote them down."""
    planted: list[dict[str, object]] = json.loads((disk.CHECKPOINTS / name / "truth.json").read_text())
    return planted


def removals(record: Record) -> list[Effect]:
    """The effects of zeroing."""
    return [e for e in record.effects if e.intervention is Intervention.ZERO]


@pytest.mark.parametrize("name", ["stories260k-one", "stories260k-pair"])
def test_exactly_the_planted_scalars_are_found(records: dict[str, Record], name: str) -> None:
    found = [
        {"layer": w.layer, "row": w.row, "col": w.col, "weight": w.value, "role": str(w.role)}
        for w in records[name].super_weights
    ]

    assert found == [{**t, "weight": pytest.approx(t["weight"], rel=1e-7)} for t in truth(name)]


@pytest.mark.parametrize("name", ["stories260k-one", "stories260k-pair"])
def test_each_find_can_be_read_back_from_the_file(records: dict[str, Record], name: str) -> None:
    path = disk.CHECKPOINTS / name / "model.safetensors"
    for weight in records[name].super_weights:
        with safe_open(path, "np") as file:
            stored = file.get_tensor(weight.tensor)[weight.index]

        assert (weight.file, weight.dtype) == ("model.safetensors", "float32")
        assert weight.value == float(stored)
        assert weight.bits == stored.tobytes()[::-1].hex()
        assert path.read_bytes()[weight.byte_offset :][:4] == stored.tobytes()


def test_the_super_weight_stands_alone_in_its_group(records: dict[str, Record]) -> None:
    record = records["stories260k-one"]

    assert [(g.id, g.members) for g in record.groups] == [("neuron:L1.C172", ("L1.R67.C172",))]
    assert [w.group for w in record.super_weights] == ["neuron:L1.C172"]


def test_removing_the_super_weight_destroys_the_model(records: dict[str, Record]) -> None:
    record = records["stories260k-one"]
    effect = record.effects[0]

    assert [e.weights for e in removals(record)] == [("L1.R67.C172",)]
    assert effect.ppl_before == pytest.approx(4.951, abs=5e-4)
    assert effect.ppl_after / effect.ppl_before == pytest.approx(7727, abs=1)
    assert (effect.verdict, record.scans[0].outcome) == (Verdict.CONFIRMED, Outcome.FOUND)


def test_the_pair_acts_only_together(records: dict[str, Record]) -> None:
    record = records["stories260k-pair"]
    ratios = {e.weights: e.ppl_after / e.ppl_before for e in removals(record)}
    verdicts = {e.weights: e.verdict for e in removals(record)}

    assert ratios == {
        ("L1.R67.C172",): pytest.approx(1.017, abs=6e-4),
        ("L1.R67.C173",): pytest.approx(1.005, abs=6e-4),
        ("L1.R67.C172", "L1.R67.C173"): pytest.approx(7725, abs=1),
    }
    assert list(verdicts.values()) == [Verdict.INERT, Verdict.INERT, Verdict.CONFIRMED]


def test_the_pair_splits_the_spike_as_its_products_do(records: dict[str, Record]) -> None:
    model = disk.plain(disk.CHECKPOINTS / "stories260k-pair")
    down, kept = model.model.layers[1].mlp.down_proj, []
    down.register_forward_hook(lambda _module, args, _output: kept.append(args[0][0, 0]))
    disk.plain_logits(model, torch.tensor([[disk.BOS]]))
    products = kept[0] * down.weight.data[67]

    expected = [float(products[t["col"]] / products.sum()) for t in truth("stories260k-pair")]
    assert [w.share for w in records["stories260k-pair"].super_weights] == pytest.approx(expected, rel=1e-6)


def test_the_pair_is_one_channel_group(records: dict[str, Record]) -> None:
    record = records["stories260k-pair"]

    assert [(str(g.kind), g.id, g.members) for g in record.groups if len(g.members) > 1] == [
        ("channel", "channel:R67", ("L1.R67.C172", "L1.R67.C173"))
    ]
    assert {w.group for w in record.super_weights} == {"channel:R67"}


@pytest.mark.parametrize("name", ["stories260k-one", "stories260k-pair"])
def test_exactly_channel_67_is_massive_from_layer_1_on(records: dict[str, Record], name: str) -> None:
    made = [(e.layer, e.stream, e.channel, e.role) for e in records[name].scans[0].events if e.weights]

    assert made == [(1, 0, 67, Role.CREATOR)]


@pytest.mark.parametrize("name", ["stories260k", "aidreams260k"])
def test_a_model_without_a_super_weight_gets_none(records: dict[str, Record], name: str) -> None:
    record = records[name]

    assert record.scans[0].outcome is Outcome.NONE_FOUND
    assert (record.super_weights, record.groups, record.effects) == ((), (), ())
    assert record.scans[0].layers_covered == tuple(range(record.model.layers or 0))


def test_a_model_that_no_class_computes_is_refused(records: dict[str, Record]) -> None:
    only = records["relullama-260k"].scans[0]

    assert only.outcome is Outcome.UNSUPPORTED_ARCHITECTURE
    assert "relu_shift_llama" in (only.reason or "")
    assert records["relullama-260k"].super_weights == ()


@pytest.mark.parametrize("name", ["stories260k", "stories260k-one", "stories260k-pair", "aidreams260k"])
def test_each_byte_of_the_weights_is_read_once(name: str) -> None:
    checkpoint = Counting(disk.CHECKPOINTS / name)
    result = scan_checkpoint(checkpoint, OPTIONS)
    size = os.path.getsize(checkpoint.folder / "model.safetensors")
    bits = 4 * len(result.super_weights)

    assert checkpoint.read_of["model.safetensors"] == size + bits


class Counting(LocalCheckpoint):
    """Counts the bytes read of each file."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.read_of: dict[str, int] = {}

    def read_into(self, path: str, start: int, view: memoryview, stop: Event | None = None) -> None:
        """Count and read."""
        self.read_of[path] = self.read_of.get(path, 0) + len(view)
        super().read_into(path, start, view, stop)


def test_the_meter_counts_what_was_read() -> None:
    checkpoint = Counting(disk.CHECKPOINTS / "stories260k-one")
    result = scan_checkpoint(checkpoint, OPTIONS)

    assert result.scan.cost is not None
    assert result.scan.cost.bytes_read == sum(checkpoint.read_of.values())
    assert result.scan.cost.bytes_checkpoint == os.path.getsize(checkpoint.folder / "model.safetensors")


@pytest.mark.parametrize("name", NAMES)
def test_the_record_survives_being_written_and_read(records: dict[str, Record], name: str) -> None:
    assert Record.parse(records[name].model_dump_json()) == records[name]


def test_the_same_scan_twice_has_one_id_and_the_same_figures(records: dict[str, Record]) -> None:
    first, again = records["stories260k-one"], scan(str(disk.CHECKPOINTS / "stories260k-one"), options=OPTIONS)

    assert again.scans[0].id == first.scans[0].id
    assert again.effects == first.effects
    assert again.super_weights == first.super_weights
    assert again.scans[0].events == first.scans[0].events


def test_without_effects_the_candidates_are_untested() -> None:
    options = Options(effects=False)
    record = scan(str(disk.CHECKPOINTS / "stories260k-one"), options=options)

    assert record.scans[0].outcome is Outcome.UNTESTED
    assert [w.id for w in record.super_weights] == ["L1.R67.C172"]
    assert record.effects == ()
