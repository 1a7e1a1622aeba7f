"""Float32 products by bfloat16 hardware are as exact as float32, and nobody can tell that a weight is held narrow."""

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from swindex.crawler.architectures.watch import Watch
from swindex.crawler.checkpoint.local import LocalCheckpoint
from swindex.crawler.detection import resident
from swindex.crawler.detection.lockstep import logits
from swindex.crawler.detection.run import Findings, Options, run
from swindex.crawler.parts.whole import assemble
from swindex.crawler.products import split
from swindex.crawler.products.narrow import Narrow, held, narrow, widened
from swindex.schema.record import Record
from swindex.schema.types import Intervention

from .plants import disk, families, trained
from .plants.shared import one_thread

__all__ = ["one_thread"]
FLOAT32 = 2.0**-24
"""Relative error of one rounding."""
SAME = 1e-6
"""Difference of losses with and without, nat per token."""
LOGITS = 5e-6
"""Largest difference of two logits, relative to the largest logit."""
hardware = pytest.mark.skipif(not split.available(), reason="no product of bfloat16 in hardware here")


def drawn(rows: int, inner: int, columns: int, seed: int, size: float = 1.0) -> tuple[Tensor, Tensor]:
    """x (N, K) float32 with a few zeros, and W (M, K) bfloat16."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, inner, generator=draw) * size
    x[torch.rand(rows, inner, generator=draw) < 0.1] = 0.0
    return x, (torch.randn(columns, inner, generator=draw) * 0.02).bfloat16()


@hardware
@settings(max_examples=60, deadline=None)
@given(
    rows=st.sampled_from([1, 2, 3, 17, 64, 300]),
    inner=st.sampled_from([1, 2, 31, 64, 257]),
    columns=st.sampled_from([1, 5, 16, 130]),
    exponent=st.integers(-30, 30),
    seed=st.integers(0, 1 << 16),
)
def test_a_product_is_as_exact_as_in_float32(rows: int, inner: int, columns: int, exponent: int, seed: int) -> None:
    x, w = drawn(rows, inner, columns, seed, 10.0**exponent)
    exact, size = x.double() @ w.double().T, x.double().abs() @ w.double().abs().T
    made = split.MM(x, w.T)

    assert made.dtype == torch.float32
    assert bool(((made - exact).abs() <= (inner + 3) * FLOAT32 * size + inner * 2.0**-126).all())


@hardware
@pytest.mark.parametrize(("rows", "inner"), [(32, 512), (128, 2048), (300, 1000)])
def test_the_error_is_no_larger_than_that_of_float32(rows: int, inner: int) -> None:
    x, w = drawn(rows, inner, 256, rows)
    exact = x.double() @ w.double().T

    assert float((split.MM(x, w.T) - exact).norm()) <= float((x @ w.float().T - exact).norm())


@hardware
def test_every_bit_of_an_input_counts() -> None:
    x = torch.tensor([[1.0 + 2.0**-23, -3.0 - 2.0**-22, 2.0**-20 + 2.0**-43]])

    assert torch.equal(split.MM(x.T.contiguous(), torch.ones(1, 1).bfloat16()), x.T)


@hardware
@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_what_is_not_finite_stays_so(value: float) -> None:
    x, w = drawn(4, 64, 40, 0)
    x[2, 5] = value
    made = split.MM(x, w.T)

    assert not bool(made[2].isfinite().any())
    assert bool(made[[0, 1, 3]].isfinite().all())


@hardware
@pytest.mark.parametrize("turned", [False, True])
def test_weights_may_lie_either_way_and_inputs_anyhow(turned: bool) -> None:
    x, w = drawn(6, 64, 40, 1)
    right = w.T.contiguous() if turned else w.T
    wide = torch.stack([x, x], dim=2)[..., 0]

    assert not wide.is_contiguous()
    assert torch.equal(split.MM(wide, right), split.MM(x, w.T))


@hardware
@pytest.mark.parametrize(("first", "second"), [((64, 300), (64, 300)), ((200, 90), (7, 40)), ((3, 40), (300, 300))])
def test_a_product_is_left_alone_by_the_next(first: tuple[int, int], second: tuple[int, int]) -> None:
    x, w = drawn(*first, 24, 2)
    made = split.MM(x, w.T)
    alone = made.clone()
    split.MM(*(t.T if t.dtype == torch.bfloat16 else t for t in drawn(*second, 24, 3)))

    assert torch.equal(made, alone)


@hardware
def test_threads_do_not_share_memory() -> None:
    cases = [drawn(200, 512, 256, seed) for seed in range(16)]
    alone = [split.MM(x, w.T) for x, w in cases]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: split.MM(one[0], one[1].T), cases * 4))

    assert all(torch.equal(made, alone[n % 16]) for n, made in enumerate(together))


@pytest.fixture
def linear() -> nn.Linear:
    """A linear module with a narrow weight (40, 64) and a bias."""
    torch.manual_seed(0)
    module = nn.Linear(64, 40)
    module.weight = narrow(module.weight.data.bfloat16())
    return module.requires_grad_(False)


@hardware
def test_a_linear_module_gives_what_it_gives_in_float32(linear: nn.Linear) -> None:
    x = torch.randn(2, 3, 64)

    assert torch.allclose(linear(x), functional.linear(x, held(linear.weight).float(), linear.bias), atol=1e-6)
    assert linear(x).shape == (2, 3, 40)
    assert linear(torch.zeros(0, 64)).shape == (0, 40)


@hardware
def test_a_watch_sees_the_product_as_it_sees_others(linear: nn.Linear) -> None:
    x = torch.randn(2, 3, 64)
    with Watch([("weight", linear.weight)], 40) as watch:
        out = linear(x)
    [seen] = watch.seen
    seen.layout.of(linear.weight)[7] = 0.0

    assert torch.equal(seen.x, x.view(6, 64))
    assert torch.equal(seen.y, out.view(6, 40))
    assert torch.equal(linear(x)[..., 7], linear.bias[7].expand(2, 3))


USES: dict[str, Callable[[Tensor], Any]] = {
    "its dtype": lambda w: torch.zeros(1).to(w.dtype),
    "as a model": lambda w: torch.zeros(1).to(w),
    "type_as": lambda w: torch.zeros(1).type_as(w),
    "a part": lambda w: w[3:5],
    "a view": lambda w: w.view(8, 5, 64),
    "turned": lambda w: w.t(),
    "data": lambda w: w.data,
    "detached": lambda w: w.detach(),
    "added": lambda w: torch.zeros(40, 64).add_(w),
    "multiplied": lambda w: torch.randn(3, 64) @ w.T,
    "in a list": lambda w: torch.cat([w, w]),
    "by another dtype": lambda w: functional.linear(torch.randn(3, 64).double(), w.double()).float(),
    "like it": torch.empty_like,
    "new": lambda w: w.new_zeros(3),
}


@pytest.mark.parametrize("use", USES)
def test_every_other_use_sees_float32(linear: nn.Linear, use: str) -> None:
    assert linear.weight.dtype == torch.float32
    assert isinstance(linear.weight, nn.Parameter)
    assert USES[use](linear.weight).dtype == torch.float32
    assert type(USES[use](linear.weight)) is Tensor


def test_other_uses_see_the_same_numbers(linear: nn.Linear) -> None:
    x = torch.randn(3, 64)

    assert torch.equal(x @ linear.weight.T, x @ held(linear.weight).float().T)
    assert torch.equal(linear.state_dict()["weight"], held(linear.weight).float())


WRITES: dict[str, Callable[[Tensor], Any]] = {
    "mul_": lambda w: w.mul_(2),
    "item": lambda w: w.__setitem__(0, 0.0),
    "copy_": lambda w: w.copy_(torch.zeros(40, 64)),
    "data": lambda w: setattr(w, "data", torch.zeros(40, 64)),
    "out": lambda w: torch.mul(torch.ones(40, 64), 2, out=w),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_write_that_would_be_lost_is_an_error(linear: nn.Linear, write: str) -> None:
    with pytest.raises(TypeError, match="cannot be written to"):
        WRITES[write](linear.weight)


def test_a_widened_weight_takes_any_number_and_comes_back_as_it_was(linear: nn.Linear) -> None:
    before, parameter = held(linear.weight).clone(), linear.weight
    with widened(linear, "weight"):
        linear.weight.data[0, 0] *= 1.001

        assert float(linear.weight[0, 0]) == pytest.approx(float(before[0, 0]) * 1.001, rel=1e-7)
    assert linear.weight is parameter
    assert torch.equal(held(linear.weight), before)


CASES: dict[str, Callable[[Path], Any]] = {
    "trained": lambda folder: trained.repacked("llama", trained.PAIR, (172, 173), folder),
    "biases, parallel": lambda folder: families.make("phi", folder),
    "tied head": lambda folder: families.make("qwen3", folder),
}
FACTOR = 0.7
WINDOWS = (2, 64)
Both = tuple[Path, Findings, Record, Record]
_SCANNED: dict[str, Both] = {}


@pytest.fixture(params=CASES)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    """A plant stored in bfloat16, scanned with the smallest matrix narrow, and in plain float32."""
    name: str = request.param
    if name not in _SCANNED:
        to = tmp_path_factory.mktemp("products")
        made = CASES[name](to / "made").folder
        folder = disk.write(to / "narrow", disk.config_of(made), {n: t.bfloat16() for n, t in disk.read(made).items()})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(resident, "NARROW", 1)
            findings, with_it = scanned(folder)
            patch.setenv(split.PLAIN, "1")
            _SCANNED[name] = folder, findings, with_it, scanned(folder)[1]
    return _SCANNED[name]


def scanned(folder: Path) -> tuple[Findings, Record]:
    """A scan with effects."""
    windows, window = WINDOWS
    options = Options(texts=(str(disk.TEXT),), windows=windows, window=window, factors=(FACTOR,))
    checkpoint = LocalCheckpoint(folder)
    findings = run(checkpoint, options)
    return findings, assemble(checkpoint, findings, options).record("test")


@hardware
def test_a_scan_says_the_same_with_and_without(both: Both) -> None:
    _, _, with_it, without = both

    assert facts(with_it) == facts(without)
    for ours, theirs in zip(with_it.effects, without.effects, strict=True):
        assert ours.nll_before == pytest.approx(theirs.nll_before, abs=SAME)
        assert ours.nll_after == pytest.approx(theirs.nll_after, abs=SAME)


def facts(record: Record) -> list[tuple[Any, ...]]:
    """What a record says of where its weights are and what they hold."""
    return [
        (w.id, w.tensor, w.index, w.bits, w.value, w.dtype, w.role, w.group, w.rank, w.round, w.token)
        for w in record.super_weights
    ] + [(e.id.split(":", 1)[1], e.verdict, e.control and e.control.weights) for e in record.effects]


@hardware
def test_streams_are_those_of_the_plain_models(both: Both, tmp_path: Path) -> None:
    folder, findings, record, _ = both
    ids, keep = disk.windows(*WINDOWS), torch.arange(WINDOWS[1])
    model, layers, batch = findings.skeleton.model, findings.skeleton.layers, findings.corpora[0][1]
    assert findings.ablator is not None
    for number, (places, residuals) in enumerate(findings.ablator.sets.items()):
        edits = [(w.tensor, w.index) for w in record.super_weights if w.id in {p.id for p in places}]
        theirs = disk.plain_logits(disk.plain(disk.edited(folder, tmp_path / f"zeroed{number}", edits)), ids)
        with resident.Weights(findings.skeleton, LocalCheckpoint(folder)).outside():
            ours = logits(model, layers, batch, residuals[0], keep)

        assert float((ours - theirs).abs().max() / theirs.abs().max()) <= LOGITS


@hardware
def test_a_factor_is_not_rounded(both: Both, tmp_path: Path) -> None:
    folder, _, record, _ = both
    [effect] = [e for e in record.effects if e.intervention is Intervention.SCALE]
    tensors = {n: t.float() for n, t in disk.read(folder).items()}
    for weight in [w for w in record.super_weights if w.id in effect.weights]:
        tensors[weight.tensor][weight.index] *= FACTOR
    ids = disk.windows(*WINDOWS)
    model = disk.plain(disk.write(tmp_path / "scaled", disk.config_of(folder), tensors))

    assert effect.nll_after == pytest.approx(disk.plain_nll(disk.plain_logits(model, ids), ids), abs=SAME)


@hardware
def test_weights_are_narrow_while_they_are_resident(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, findings, _, _ = both
    monkeypatch.setattr(resident, "NARROW", 1)
    with resident.Weights(findings.skeleton, LocalCheckpoint(folder)).layer(0) as layer:
        narrows = [n for n, p in layer.named_parameters() if isinstance(p, Narrow)]

        assert len(narrows) == sum(isinstance(m, nn.Linear) for m in layer.modules())


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize("at", [0, 1023, 1024, (1 << 20) - 1])
def test_one_number_of_a_large_matrix_is_noticed_that_is_none(value: float, at: int) -> None:
    matrix = torch.randn(1024, 1024).bfloat16()
    matrix.view(-1)[at] = value

    assert not bool(resident._sums(matrix).isfinite().all())


@hardware
def test_numbers_whose_sum_is_too_large_are_numbers(both: Both) -> None:
    folder, findings, _, _ = both
    checkpoint = LocalCheckpoint(folder)
    info, matrix = next(iter(checkpoint.tensors.values())), torch.full((1024, 1024), 3e38).bfloat16()

    assert not bool(resident._sums(matrix).isfinite().all())
    resident.Weights(findings.skeleton, checkpoint).check_finite(info, matrix, matrix)


def test_the_switch_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(split.PLAIN, "1")

    assert not split.available()


def test_without_the_library_nothing_is_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split, "_gemm", lambda: None)

    assert not split._works.__wrapped__()


@hardware
def test_a_library_that_is_wrong_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = split._parts
    monkeypatch.setattr(split, "_parts", lambda left: parts(left.bfloat16().float()))

    assert not split._works.__wrapped__()


def test_a_copy_is_narrow_too(linear: nn.Linear) -> None:
    assert isinstance(copy.deepcopy(linear).weight, Narrow)
