"""Massive channels and events of a layer are those of the definition, which looks at every number in float64."""

from __future__ import annotations

import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from swindex.crawler.detection import constants as c
from swindex.crawler.detection.massive import Change, changes, massive
from swindex.schema.types import Role


def defined(residual: Tensor) -> list[set[int]]:
    """DETECTION.md section 7, 1, row by row: for every n from the largest down, hold the n-th against all weaker."""
    found = []
    for row in residual.double().square():
        order = row.argsort(descending=True, stable=True)
        energy = row[order]
        sums = energy.flip(0).cumsum(0).flip(0)
        admitted = 0
        for n in range(1, min(c.MASSIVE_MAX, len(row) - 1) + 1):
            if energy[n - 1] > 0 and energy[n - 1] >= c.KAPPA * sums[n]:
                admitted = n
        found.append(set(order[:admitted].tolist()))
    return found


def columns(mask: Tensor) -> list[set[int]]:
    return [set(row.nonzero().flatten().tolist()) for row in mask]


@st.composite
def residuals(draw: st.DrawFn) -> Tensor:
    """Gaussian or heavy-tailed noise of any size, with spikes of any height."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    tokens, width = draw(st.integers(1, 6)), draw(st.sampled_from([2, 3, 17, 48, 300, 2048]))
    noise = torch.randn(tokens, width, generator=generator)
    if draw(st.booleans()):
        noise = noise / torch.randn(tokens, width, generator=generator).abs().clamp_min(1e-3)
    for _ in range(draw(st.integers(0, 20))):
        height = draw(st.floats(0.5, 3.0)) * width**0.5 * draw(st.sampled_from([1, -1]))
        noise[draw(st.integers(0, tokens - 1)), draw(st.integers(0, width - 1))] = height
    return noise * draw(st.sampled_from([1e-25, 1e-16, 1e-3, 1.0, 1e4, 1e18, 1e20]))


@settings(max_examples=400, deadline=None)
@given(residual=residuals())
@example(residual=torch.zeros(2, 5))
@example(residual=torch.tensor([[1.0] * 16 + [1e-3] * 400]))
@example(residual=torch.tensor([[3e-23] + [1e-24] * 800]))
@example(residual=torch.tensor([[2e19] + [1e18] * 50]))
@example(residual=torch.tensor([[1.0] * 17]))
def test_massive_channels_are_those_of_the_definition(residual: Tensor) -> None:
    found, expected = columns(massive(residual)), defined(residual)

    # Of channels of equal energy at the border of what is admitted, any may be named: compare their energies.
    energy = residual.double().square()
    for row, mine, theirs in zip(energy, found, expected, strict=True):
        assert sorted(row[list(mine)].tolist()) == sorted(row[list(theirs)].tolist())


def test_sixteen_near_equal_channels_are_all_massive() -> None:
    residual = torch.full((1, 4096), 1e-3)
    residual[0, 100:116] = 1.0

    assert columns(massive(residual)) == [set(range(100, 116))]


def test_seventeen_equal_channels_are_none_of_them_massive() -> None:
    residual = torch.zeros(1, 4096)
    residual[0, 100:117] = 1.0
    residual[0, 200:203] = 1.0

    assert columns(massive(residual)) == [set()]


def test_a_row_that_is_not_finite_has_no_massive_channel() -> None:
    residual = torch.ones(3, 100)
    residual[0, 5], residual[1, 6] = float("nan"), float("inf")

    assert columns(massive(residual)) == [set(), set(), set()]


def events(before: Tensor, after: Tensor) -> set[tuple[int, int, Role]]:
    """DETECTION.md section 7, 2, number by number; all tokens."""
    found = set()
    stood, stands = defined(before), defined(after)
    for token in range(before.shape[0]):
        for channel in range(before.shape[1]):
            old, new = float(before[token, channel]), float(after[token, channel])
            written = float(after[token, channel] - before[token, channel])
            if channel in stands[token] and abs(written) >= c.EVENT * abs(new) and written * new > 0:
                found.add((token, channel, Role.CREATOR if abs(old) < c.CREATE * abs(new) else Role.AMPLIFIER))
            if channel in stood[token] and written * old < 0 and abs(new) <= c.REMOVE * abs(old):
                found.add((token, channel, Role.REMOVER))
    return found


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_the_events_of_a_layer_are_those_of_the_definition(data: st.DataObject) -> None:
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    tokens, width = data.draw(st.integers(1, c.TOKENS)), data.draw(st.sampled_from([8, 40, 300]))
    before, after = (torch.randn(tokens, width, generator=generator) for _ in range(2))
    for _ in range(data.draw(st.integers(1, 6))):
        token, channel = data.draw(st.integers(0, tokens - 1)), data.draw(st.integers(0, width - 1))
        before[token, channel] = data.draw(st.sampled_from([0.0, 30.0, 77.0, -201.5, 400.0]))
        after[token, channel] = data.draw(st.sampled_from([0.0, 31.0, 99.0, -207.0, 1000.0]))
    found = changes(before, after)

    assert {(e.at, e.channel, e.role) for e in found} == events(before, after)
    assert all(e == Change(e.at, e.channel, e.role, *_pair(before, after, e)) for e in found)
    heights = [abs(e.after - e.before) for e in found]
    assert heights == sorted(heights, reverse=True)


def _pair(before: Tensor, after: Tensor, event: Change) -> tuple[float, float]:
    return float(before[event.at, event.channel]), float(after[event.at, event.channel])


def test_of_many_tokens_those_where_most_was_written_are_named() -> None:
    before, after = torch.zeros(10, 64), torch.zeros(10, 64)
    after[:, 3] = torch.arange(10, 20, dtype=torch.float32)

    assert [(e.at, e.channel) for e in changes(before, after)] == [(9, 3), (8, 3), (7, 3), (6, 3)]
