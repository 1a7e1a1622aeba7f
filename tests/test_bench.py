"""Checkpoints that lie on no disk: what the Hub streams is what a folder would hold, and a scan sees no difference."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
from huggingface_hub import HfApi
from hypothesis import given, settings
from hypothesis import strategies as st

from swindex.crawler.checkpoint import base
from swindex.crawler.checkpoint.hub import HubCheckpoint
from swindex.crawler.detection.run import Options
from swindex.crawler.parts.result import Result
from swindex.crawler.scanning import scan_checkpoint
from swindex.schema.types import Outcome

from .bench.content import SPIKE, WeightFile, files
from .bench.generate import generate
from .bench.shapes import SHAPES, Shape
from .hub import Hub
from .plants import disk
from .plants.shared import one_thread

__all__ = ["one_thread"]
SHAPE = SHAPES["llama-20m"]
TINY = Shape("tiny", 8, 12, 2, 2, 1, 16)
OPTIONS = Options(texts=(str(disk.TEXT),), windows=1, window=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(SHAPE, tmp_path_factory.mktemp("made") / "m")


@pytest.mark.parametrize(
    ("name", "millions"),
    [("llama-20m", 20), ("llama-0.1b", 134), ("llama-0.35b", 374), ("llama-1.1b", 1100), ("llama-7b", 6738)],
)
def test_a_shape_has_the_parameters_of_its_name(name: str, millions: int) -> None:
    assert SHAPES[name].parameters / 1e6 == pytest.approx(millions, rel=0.03)


def test_the_largest_shape_is_that_of_a_llama_of_70_billion() -> None:
    assert SHAPES["llama-70b"].parameters == 68_976_648_192  # as its model card says, 69 B
    assert max(WeightFile(SHAPES["llama-70b"], f).size for f in SHAPES["llama-70b"].files) < 5_001_000_000


def test_a_written_file_is_one_of_the_format(folder: Path) -> None:
    tensors = safetensors.torch.load_file(folder / "model.safetensors")

    assert {n: tuple(t.shape) for n, t in tensors.items()} == SHAPE.tensors
    assert float(tensors[SPIKE[0]][SPIKE[1], SPIKE[2]]) == SPIKE[3]
    assert all(bool((t == 1).all()) for t in tensors.values() if t.dim() == 1)


def test_the_noise_of_a_matrix_is_noise(folder: Path) -> None:
    matrix = safetensors.torch.load_file(folder / "model.safetensors")["model.layers.0.mlp.gate_proj.weight"].float()

    assert float(matrix.mean()) == pytest.approx(0, abs=1e-3)
    assert float(matrix.std()) == pytest.approx(0.6 / SHAPE.width**0.5, rel=0.01)
    assert len(matrix.unique(dim=0)) == SHAPE.mlp


def test_no_two_rows_of_the_widest_matrix_begin_alike() -> None:
    shape = SHAPES["llama-70b"]
    name = "model.layers.3.mlp.gate_proj.weight"
    [file] = [f for f, held in shape.files.items() if name in held]
    content = WeightFile(shape, file)
    header = json.loads(content.head[8:])
    start = len(content.head) + header[name]["data_offsets"][0]
    rows = [start + 2 * shape.width * n for n in range(shape.mlp)]

    assert len({b"".join(content.pieces(at, at + 32)) for at in rows}) == shape.mlp


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_range_of_a_file_is_that_of_the_whole(data: st.DataObject) -> None:
    content = WeightFile(TINY, "model.safetensors")
    whole = b"".join(content.pieces(0, content.size))
    start = data.draw(st.integers(0, content.size))
    stop = data.draw(st.integers(start, content.size))

    assert len(whole) == content.size
    assert b"".join(content.pieces(start, stop)) == whole[start:stop]


def test_a_tensor_longer_than_the_noise_goes_round(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = SHAPES["llama-1.1b"]
    content = WeightFile(shape, "model.safetensors")
    offsets = json.loads(content.head[8:])["lm_head.weight"]["data_offsets"]
    start = len(content.head) + offsets[0]
    period = 2 * 8_388_593

    assert offsets[1] - offsets[0] == 2 * prod(shape.tensors["lm_head.weight"]) > 2 * period
    assert b"".join(content.pieces(start + 10, start + 90)) == b"".join(
        content.pieces(start + period + 10, start + period + 90)
    )


def test_shards_hold_every_tensor_once() -> None:
    shape = SHAPES["llama-7b"]

    assert [n for held in shape.files.values() for n in held] == list(shape.tensors)
    assert json.loads(shape.small_files["model.safetensors.index.json"])["weight_map"].keys() == shape.tensors.keys()


def scanned(**repository: Any) -> Result:
    with Hub() as hub:
        for add, given in repository.items():
            getattr(hub, add)("bench/m", given)
        return scan_checkpoint(HubCheckpoint("bench/m", None, HfApi(endpoint=hub.url, token=False)), OPTIONS)


@pytest.mark.usefixtures("one_thread")
def test_a_streamed_checkpoint_gives_the_record_of_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "MIN_READ", 1 << 16)
    streamed, held = scanned(add=files(SHAPE)), scanned(add_folder=folder)
    changing = {"cost", "time"}

    assert streamed.scan.outcome in (Outcome.FOUND, Outcome.NONE_FOUND)
    assert [(w.layer, w.row, w.col, w.value) for w in streamed.super_weights] == [(1, *SPIKE[1:])]
    assert streamed.scan.id == held.scan.id
    assert streamed.scan.model_dump(exclude=changing) == held.scan.model_dump(exclude=changing)
    assert (streamed.model, streamed.super_weights, streamed.effects) == (held.model, held.super_weights, held.effects)
