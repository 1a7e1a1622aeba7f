"""Rounding: known properties, an independent implementation, and the same as rounding a loaded model's weights."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from torch import Tensor

from swindex.crawler.checkpoint.local import LocalCheckpoint
from swindex.crawler.detection.corpora import read_corpus
from swindex.crawler.detection.run import Options, run
from swindex.crawler.quantization.compare import Comparison
from swindex.crawler.quantization.holding import RANDOM, SUPER, on_disk, random_others, rounded_tensors, super_weights
from swindex.crawler.quantization.rounding import Rounding, round_matrix, round_rows, spans
from swindex.crawler.quantization.variants import Variant, blocks_of, weights_only
from swindex.crawler.quantization.view import ReadOnce, Rounded
from swindex.crawler.stored.view import in_floats
from swindex.schema.errors import UsageError

from .plants import Plant, disk, stored, trained

FINITE = st.floats(-100, 100, width=32)
MATRICES = npst.arrays(np.float32, npst.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=FINITE)
BLOCKS = st.sampled_from([1, 2, 3, 4, 16, None])
GRIDS = st.builds(Rounding, bits=st.integers(2, 8), block=BLOCKS, symmetric=st.booleans())


def by_numpy(matrix: np.ndarray, rounding: Rounding, held: list[tuple[int, int]]) -> np.ndarray:
    """Round to nearest written anew: tile by tile, float64, the formula of the paper's equation 1."""
    out, side = matrix.astype(np.float64), rounding.block or max(matrix.shape)
    for top in range(0, matrix.shape[0], side):
        for left in range(0, matrix.shape[1], side):
            tile = out[top : top + side, left : left + side]
            free = np.ones(tile.shape, bool)
            for row, col in held:
                if 0 <= row - top < tile.shape[0] and 0 <= col - left < tile.shape[1]:
                    free[row - top, col - left] = False
            if not free.any():
                continue
            low, high = tile[free].min(), tile[free].max()
            if rounding.clip is not None:
                mean, far = tile[free].mean(), rounding.clip * tile[free].std()
                low, high = max(low, mean - far), min(high, mean + far)
            count = 2**rounding.bits - 1
            if rounding.symmetric:
                high = max(abs(low), abs(high))
                low, count = -high, 2**rounding.bits - 2
            delta = (high - low) / count
            codes = np.rint((np.clip(tile, low, high) - low) / delta) if delta else np.zeros_like(tile)
            tile[free] = (codes * delta + low)[free]
    return out


@settings(max_examples=150, deadline=None)
@given(MATRICES, GRIDS, st.sampled_from([None, 0.5, 1.5, 3.0]), st.integers(0, 2**32 - 1))
def test_a_matrix_is_rounded_as_an_independent_implementation_rounds_it(
    matrix: np.ndarray, grid: Rounding, clip: float | None, seed: int
) -> None:
    rounding = Rounding(grid.bits, grid.block, clip, grid.symmetric)
    chosen = np.random.default_rng(seed).integers(0, matrix.shape, (2, 2))
    held = sorted({(int(r), int(c)) for r, c in chosen})
    expected = by_numpy(matrix, rounding, held)

    found = round_matrix(torch.from_numpy(matrix), rounding, torch.tensor(held)).double().numpy()

    # Where a value lies midway between two points either is nearest: a float32 may fall to the other side.
    step = (np.abs(expected).max() + np.abs(matrix).max()) * 2 / (2**rounding.bits - 2)
    off = np.abs(found - expected)
    midway = np.abs(np.abs(found - matrix) - np.abs(expected - matrix)) < 1e-4
    assert bool(((off < 1e-4) | (midway & (off <= step + 1e-4))).all())


def test_torch_s_own_fake_quantization_gives_the_same_on_a_whole_matrix() -> None:
    matrix = torch.randn(33, 65, generator=torch.Generator().manual_seed(0))
    scale = float(matrix.abs().max()) / 7

    theirs = torch.fake_quantize_per_tensor_affine(matrix, scale, 0, -7, 7)

    torch.testing.assert_close(round_matrix(matrix, Rounding(4)), theirs, atol=1e-6, rtol=1e-6)


@settings(max_examples=100, deadline=None)
@given(MATRICES, GRIDS)
def test_rounding_again_changes_nothing(matrix: np.ndarray, rounding: Rounding) -> None:
    once = round_matrix(torch.from_numpy(matrix), rounding)

    assert torch.equal(round_matrix(once, rounding), once)


@settings(max_examples=100, deadline=None)
@given(MATRICES, GRIDS)
def test_no_element_moves_by_more_than_half_a_step(matrix: np.ndarray, rounding: Rounding) -> None:
    values = torch.from_numpy(matrix)
    grid = spans(values, rounding)
    wide = torch.stack([grid.of_columns(r // grid.sides[0], values.shape[1])[1] for r in range(len(values))])
    narrow = torch.stack([grid.of_columns(r // grid.sides[0], values.shape[1])[0] for r in range(len(values))])
    step = (wide.double() - narrow.double()) / rounding.steps

    moved = (round_matrix(values, rounding).double() - values.double()).abs()

    assert bool((moved <= step / 2 * (1 + 1e-5) + 1e-5).all())


@settings(max_examples=100, deadline=None)
@given(MATRICES, GRIDS, st.data())
def test_what_is_held_out_keeps_its_bits(matrix: np.ndarray, rounding: Rounding, data: st.DataObject) -> None:
    values = torch.from_numpy(matrix)
    row, col = (data.draw(st.integers(0, n - 1)) for n in values.shape)

    assert torch.equal(round_matrix(values, rounding, torch.tensor([[row, col]]))[row, col], values[row, col])


def test_what_is_held_out_does_not_widen_the_grid_of_its_block() -> None:
    values = torch.tensor([[0.0, 0.3, 1.0, 1000.0]])

    found = round_matrix(values, Rounding(2, symmetric=False), torch.tensor([[0, 3]]))

    assert found.tolist() == [[0.0, pytest.approx(1 / 3), 1.0, 1000.0]]


def test_zero_stays_zero_on_a_symmetric_grid_and_not_on_the_paper_s() -> None:
    values = torch.tensor([[0.0, -0.31, 1.0]])

    assert float(round_matrix(values, Rounding(4))[0, 0]) == 0.0
    assert float(round_matrix(values, Rounding(4, symmetric=False))[0, 0]) != 0.0


def test_blocks_are_rounded_each_by_itself() -> None:
    values = torch.randn(5, 7, generator=torch.Generator().manual_seed(1))
    values[0, 0] = 100.0

    found = round_matrix(values, Rounding(4, block=3))

    tiles = [(slice(a, a + 3), slice(b, b + 3)) for a in (0, 3) for b in (0, 3, 6)]
    for tile in tiles:
        torch.testing.assert_close(found[tile], round_matrix(values[tile], Rounding(4)), atol=0, rtol=0)
    assert sum(values[t].numel() for t in tiles) == values.numel()


def test_a_matrix_larger_than_a_chunk_is_rounded_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    values = torch.randn(40, 30, generator=torch.Generator().manual_seed(2))
    at_once = [round_matrix(values, Rounding(4, b, 2.0)) for b in (None, 16)]

    monkeypatch.setattr("swindex.crawler.quantization.rounding.CHUNK", 64)

    torch.testing.assert_close([round_matrix(values, Rounding(4, b, 2.0)) for b in (None, 16)], at_once)


def test_a_nan_is_not_rounded_away() -> None:
    values = torch.tensor([[1.0, math.nan, 2.0]])

    assert bool(round_matrix(values, Rounding(4)).isnan().any())


@settings(max_examples=60, deadline=None)
@given(MATRICES, st.integers(2, 8))
def test_each_token_has_a_grid_of_its_own(matrix: np.ndarray, bits: int) -> None:
    values = torch.from_numpy(matrix)

    found = round_rows(values, bits)

    for row, out in zip(values, found, strict=True):
        torch.testing.assert_close(out[None], round_matrix(row[None], Rounding(bits, symmetric=True)), atol=0, rtol=0)


def test_a_super_activation_is_replaced_by_the_median_and_restored() -> None:
    values = torch.tensor([[0.0, 0.1, 0.2, 0.3, 500.0]])
    held = values > 100

    found = round_rows(values, 8, held)

    plain = round_rows(torch.tensor([[0.0, 0.1, 0.2, 0.3, 0.2]]), 8)
    assert found.tolist() == [[*plain[0, :4].tolist(), 500.0]]


@pytest.mark.parametrize("wrong", [{"bits": 1}, {"bits": 9}, {"block": 0}, {"clip": 0.0}, {"clip": math.inf}])
def test_what_is_no_grid_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Rounding(**wrong)  # type: ignore[arg-type]


def test_blocks_as_large_as_the_largest_matrix_are_the_whole_tensor() -> None:
    assert blocks_of([(64, 172), (172, 64)], (32, 128, 256, None)) == (32, 128, None)


# --- a checkpoint ---

SHORT_ROW = "stories260k-one, down projections only, symmetric"
OPTIONS = Options(windows=2, window=64, texts=(str(disk.TEXT),))


def tensors_of(view: Rounded | ReadOnce) -> dict[str, Tensor]:
    """All tensors as they are read."""
    found: dict[str, bytearray] = {}
    for info, at, data in view.read(list(view.tensors)):
        found.setdefault(info.name, bytearray(info.size))[at : at + len(data)] = data
    return {
        n: torch.frombuffer(b, dtype=getattr(torch, str(view.tensors[n].dtype))).view(view.tensors[n].shape)
        for n, b in found.items()
    }


@pytest.fixture(scope="module")
def one() -> Comparison:
    torch.set_num_threads(1)
    checkpoint = LocalCheckpoint(trained.ONE)
    return Comparison(run(checkpoint, OPTIONS), checkpoint, OPTIONS)


@pytest.fixture(scope="module")
def experts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plant, Comparison]:
    plant = trained.repacked("mixtral", trained.ONE, (trained.NEURON,), tmp_path_factory.mktemp("mixtral"))
    checkpoint = LocalCheckpoint(plant.folder)
    return plant, Comparison(run(checkpoint, OPTIONS), checkpoint, OPTIONS)


def test_a_view_rounds_the_linear_weights_of_the_layers_and_nothing_else(one: Comparison) -> None:
    plain = disk.read(trained.ONE)
    view = Rounded(LocalCheckpoint(trained.ONE), one.names, Rounding(4, block=32), one.held)

    found = tensors_of(view)

    held = torch.tensor([[trained.J, trained.NEURON]])
    planted = trained.DOWN.format(1)
    for name, tensor in plain.items():
        rounded = name.endswith("proj.weight")
        here = held if name == planted else None
        expected = round_matrix(tensor, Rounding(4, block=32), here) if rounded else tensor
        assert torch.equal(found[name], expected), name
    assert float(found[planted][trained.J, trained.NEURON]) == 5.0


def test_perplexity_is_that_of_the_loaded_model_with_its_weights_really_rounded(one: Comparison) -> None:
    rounding = Rounding(6, block=48, clip=8.0, symmetric=False)
    variant = Variant(rounding, SUPER)
    ids = disk.windows(2, 64)
    model = disk.plain(trained.ONE)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            held = torch.tensor([[trained.J, trained.NEURON]]) if f"{name}.weight" == trained.DOWN.format(1) else None
            module.weight.data = round_matrix(module.weight.data, rounding, held)

    figures = one.run(read_corpus(disk.TEXT), [variant], lambda *_: None, "").figures[variant]

    expected = disk.plain_nll(disk.plain_logits(model, ids), ids)
    assert sum(figures.nll) / figures.tokens == pytest.approx(expected, rel=1e-5)


def test_rounded_activations_are_those_of_linear_modules_with_rounded_inputs(one: Comparison) -> None:
    variant = Variant(Rounding(8), activations=8)
    ids = disk.windows(2, 64)
    model = disk.plain(trained.ONE)

    def rounded(_: torch.nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
        return (round_rows(args[0].flatten(0, 1), 8).view(args[0].shape),)

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            module.weight.data = round_matrix(module.weight.data, Rounding(8))
            module.register_forward_pre_hook(rounded)  # type: ignore[arg-type]

    figures = one.run(read_corpus(disk.TEXT), [variant], lambda *_: None, "").figures[variant]

    expected = disk.plain_nll(disk.plain_logits(model, ids), ids)
    assert sum(figures.nll) / figures.tokens == pytest.approx(expected, rel=1e-4)


def test_all_variants_together_read_each_layer_once(one: Comparison) -> None:
    meter = one.once.meter
    variants = list(weights_only(Rounding(), {"none": 3.0, SUPER: 3.0}, held=True, draws=2))
    before = meter.bytes
    one.run(read_corpus(disk.TEXT), variants[:1], lambda *_: None, "")
    single = meter.bytes - before

    one.run(read_corpus(disk.TEXT), variants, lambda *_: None, "")

    assert meter.bytes - before == 2 * single


def test_holding_the_super_weight_out_of_a_clipped_grid_is_what_saves_the_model(one: Comparison) -> None:
    """Only down projections are rounded: the planted columns of k and v are outliers that no scalar stands for."""
    only = Comparison(one.findings, LocalCheckpoint(trained.ONE), OPTIONS, "down_proj")
    clipped = Rounding(8, clip=5.0)
    variants = [Variant(clipped), Variant(clipped, SUPER), Variant(clipped, RANDOM)]

    found = only.run(read_corpus(disk.TEXT), variants, lambda *_: None, "").figures

    change = {v.held: (sum(f.nll) - sum(f.nll_baseline)) / f.tokens for v, f in found.items()}
    assert change[SUPER] < 0.05
    assert min(change["none"], change[RANDOM]) > 1.0


def test_a_scalar_of_an_expert_is_held_where_it_lies_on_disk(experts: tuple[Plant, Comparison]) -> None:
    plant, comparison = experts
    [scalar] = plant.scalars

    assert comparison.held == {scalar.tensor: [scalar.index]}
    assert not [n for n in comparison.names if n.endswith("gate.weight")]
    assert len([n for n in comparison.names if ".experts." in n]) == 5 * 4 * 3


def test_fused_experts_are_rounded_with_their_inputs(experts: tuple[Plant, Comparison]) -> None:
    _, comparison = experts
    variants = [Variant(Rounding(8, block=16), SUPER), Variant(Rounding(8, block=16), SUPER, activations=2)]

    found = comparison.run(read_corpus(disk.TEXT), variants, lambda *_: None, "").figures

    weights, both = (sum(f.nll) / f.tokens for f in found.values())
    assert both - weights > 0.5


def test_two_scalars_of_one_matrix_in_another_layout_are_held(tmp_path: Path) -> None:
    plant = trained.repacked("phi3", trained.PAIR, (172, 173), tmp_path / "phi3")
    checkpoint = LocalCheckpoint(plant.folder)
    findings = run(checkpoint, Options(windows=1, window=32, texts=(str(disk.TEXT),)))

    held = on_disk(findings, super_weights(findings))

    assert held == {trained.DOWN.format(1): [(67, 172), (67, 173)]}
    assert set(held) <= set(rounded_tensors(findings.skeleton))


def test_a_remover_and_a_transient_are_not_held(tmp_path: Path) -> None:
    plant = trained.transient(tmp_path / "transient")
    findings = run(LocalCheckpoint(plant.folder), Options(windows=1, window=32, texts=(str(disk.TEXT),)))

    assert len(findings.peeler.finds) == 2
    assert super_weights(findings) == []


def test_others_drawn_by_chance_are_as_many_and_none_of_those_held() -> None:
    checkpoint = LocalCheckpoint(trained.ONE)
    held = {trained.DOWN.format(1): [(67, 172), (67, 173)]}

    [first, again, other] = [random_others(checkpoint.tensors, held, draw) for draw in (0, 0, 1)]

    assert first == again != other
    assert len(set(first[trained.DOWN.format(1)]) - set(held[trained.DOWN.format(1)])) == 2


@pytest.mark.parametrize(
    ("names", "held"),
    [
        (["no.such"], {}),
        (["model.norm.weight"], {}),
        ([trained.DOWN.format(1)], {trained.DOWN.format(1): [(72, 0)]}),
        ([trained.DOWN.format(1)], {trained.DOWN.format(2): [(0, 0)]}),
    ],
)
def test_what_is_not_there_is_neither_rounded_nor_held(
    names: list[str], held: dict[str, list[tuple[int, ...]]]
) -> None:
    with pytest.raises(UsageError):
        Rounded(LocalCheckpoint(trained.ONE), names, Rounding(), held)


REPORT = (Path(__file__).parent.parent / "crawler" / "quantization" / "REPORT.md").read_text(encoding="utf-8")


def test_the_report_says_what_rounding_costs_and_what_holding_out_saves(one: Comparison) -> None:
    """One of its rows anew, on as many tokens: 4 bits, whole tensors, down projections only."""
    [row] = [line for line in REPORT.splitlines() if line.startswith(f"| {SHORT_ROW} | 4 |")]
    stated = [float(cell) for cell in row.split("|")[3:-1]]
    several = Options(windows=4, window=200, texts=OPTIONS.texts)
    only = Comparison(one.findings, LocalCheckpoint(trained.ONE), several, "down_proj")
    variants = [Variant(Rounding(4)), Variant(Rounding(4), SUPER), Variant(Rounding(4, clip=3.0), SUPER)]

    found = only.run(read_corpus(disk.TEXT), variants, lambda *_: None, "").figures

    measured = [math.exp(sum(found[v].nll) / found[v].tokens) for v in variants]
    base = found[variants[0]]
    assert [stated[0], stated[1], *stated[3:]] == pytest.approx(
        [math.exp(sum(base.nll_baseline) / base.tokens), *measured], rel=1e-3
    )
    assert "make rounding" in REPORT


@pytest.mark.parametrize("name", ["fp8 blocks", "gptq", "awq"])
def test_a_checkpoint_that_is_quantized_is_rounded_as_what_its_codes_mean(name: str, tmp_path: Path) -> None:
    made = stored.packed(name)
    there = in_floats(LocalCheckpoint(disk.write(tmp_path / "packed", made.config, made.tensors)))
    meant = LocalCheckpoint(stored.as_floats(name, tmp_path / "floats"))
    names, held = list(made.means), {trained.DOWN.format(1): [(67, 172)]}

    found, expected = (tensors_of(Rounded(c, names, Rounding(4, block=32), held)) for c in (there, meant))

    for weight in names:
        torch.testing.assert_close(found[weight], expected[weight], atol=1e-6, rtol=1e-6)


def test_experts_that_are_one_tensor_are_rounded_each_by_itself_however_it_is_read(tmp_path: Path) -> None:
    values = torch.randn(3, 8, 10, generator=torch.Generator().manual_seed(3)).to(torch.bfloat16)
    disk.write(tmp_path / "fused", disk.config_of(trained.ONE), {"experts.down_proj": values})
    checkpoint = LocalCheckpoint(tmp_path / "fused")
    checkpoint.max_read = 64  # bytes: pieces end within a matrix
    view = Rounded(checkpoint, ["experts.down_proj"], Rounding(3), {"experts.down_proj": [(1, 2, 3), (2, 7, 9)]})

    [found] = tensors_of(view).values()

    held = [None, torch.tensor([[2, 3]]), torch.tensor([[7, 9]])]
    assert torch.equal(found, torch.stack([round_matrix(v, Rounding(3), h) for v, h in zip(values, held, strict=True)]))
    assert found[1, 2, 3] == values[1, 2, 3].float()
