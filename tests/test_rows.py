"""Of a large embedding the rows that are looked up are read, and nothing changes by it."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from swindex.crawler import Options, scan
from swindex.crawler.checkpoint.local import LocalCheckpoint
from swindex.crawler.detection import rows
from swindex.schema.record import Record

from .plants import disk
from .plants.shared import one_thread

__all__ = ["one_thread"]
ONE = disk.CHECKPOINTS / "stories260k-one"
VOCABULARY = 16_000
OPTIONS = Options(texts=(str(disk.TEXT),), windows=2, window=101)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> tuple[LocalCheckpoint, torch.Tensor]:
    """A stored bfloat16 table of 5,000 rows."""
    folder = tmp_path_factory.mktemp("table")
    values = torch.randn(5000, 33, generator=torch.Generator().manual_seed(0)).bfloat16()
    save_file({"before": torch.ones(3), "table": values}, folder / "model.safetensors")
    return LocalCheckpoint(folder), values


@settings(max_examples=60, derandomize=True)
@given(st.lists(st.integers(0, 4999), min_size=1, max_size=40, unique=True), st.sampled_from([0, 70, 700, 1 << 16]))
def test_rows_are_those_of_the_table(table, wanted: list[int], gap: int) -> None:
    checkpoint, values = table
    checkpoint.gap = gap
    known = torch.tensor(sorted(wanted))

    assert torch.equal(rows.read_rows(checkpoint, checkpoint.tensors["table"], known), values[known])


def padded(folder: Path, *, tied: bool) -> Path:
    """stories260k-one with many more tokens than its tokenizer gives."""
    tensors, config = disk.read(ONE), disk.config_of(ONE)
    name = "model.embed_tokens.weight"
    generator = torch.Generator().manual_seed(1)
    more = 0.01 * torch.randn(VOCABULARY - 512, tensors[name].shape[1], generator=generator)
    head = torch.cat([tensors.get("lm_head.weight", tensors[name]), more])
    tensors[name] = torch.cat([tensors[name], more])
    tensors.pop("lm_head.weight", None)
    if not tied:
        tensors["lm_head.weight"] = head
    return disk.write(folder, config | {"vocab_size": VOCABULARY, "tie_word_embeddings": tied}, tensors)


def figures(record: Record) -> list[tuple[object, ...]]:
    """What was found and measured."""
    return [(w.id, w.activation_in, w.activation_out) for w in record.super_weights] + [
        (e.weights, e.intervention, e.nll_before, e.nll_after) for e in record.effects
    ]


@pytest.mark.parametrize("tied", [True, False])
def test_a_scan_with_rows_alone_gives_what_one_with_the_whole_table_gives(tied, tmp_path, monkeypatch) -> None:
    folder = padded(tmp_path / "padded", tied=tied)
    few = scan(str(folder), options=OPTIONS)
    monkeypatch.setattr(rows, "FEW", VOCABULARY)
    whole = scan(str(folder), options=OPTIONS)

    assert figures(few) == figures(whole)
    assert few.scans[0].cost.bytes_read < whole.scans[0].cost.bytes_read * (1.03 if tied else 0.8)


def test_detection_alone_never_reads_the_vocabulary(tmp_path: Path) -> None:
    cost = scan(str(padded(tmp_path / "padded", tied=True)), options=Options(effects=False)).scans[0].cost

    assert cost.bytes_read < 0.3 * cost.bytes_checkpoint
