"""Ranks without copies are ranks."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swindex.crawler.detection.memory import rank_of


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_rank_is_one_more_than_there_are_larger_weights(data: st.DataObject) -> None:
    rows, cols = data.draw(st.sampled_from([1, 3, 255, 256, 257, 700])), data.draw(st.integers(1, 5))
    weight = torch.randint(-9, 9, (rows, cols), generator=torch.Generator().manual_seed(rows)).float()
    row, col = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, cols - 1))
    sizes = sorted((abs(x) for x in weight.flatten().tolist()), reverse=True)

    assert rank_of(weight, row, col) == sizes.index(abs(float(weight[row, col]))) + 1
    assert rank_of(weight.T, col, row) == rank_of(weight, row, col)
