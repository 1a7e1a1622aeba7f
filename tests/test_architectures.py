"""Every family that transformers can build: the planted scalar is found in the file, or the refusal says why."""

import pytest

from swindex.schema.types import Outcome

from .plants import matrix
from .plants.shared import one_thread

__all__ = ["one_thread"]
LOGITS = 5e-6
"""Largest difference of two logits, relative to the largest logit."""
UNLIKE = "does not show that it writes to the residual"
REFUSED = {
    "rwkv": "no layer holds a down projection",
}
"""Why these are not covered; LIMITS of README.md says what that means."""
SCANNED = [case for case in matrix.CASES if case[0] not in REFUSED]


@pytest.mark.parametrize(("model_type", "kind"), SCANNED)
def test_the_planted_scalar_is_found_in_the_file_and_nothing_else(model_type: str, kind: str) -> None:
    row = matrix.row(model_type, kind)

    assert (row.reason, row.found) == (None, row.planted)


@pytest.mark.parametrize(("model_type", "kind"), SCANNED)
def test_the_stream_without_it_gives_the_logits_of_the_file_with_a_zero(model_type: str, kind: str) -> None:
    both = matrix.row(model_type, kind).logits

    assert both is not None
    ours, theirs = both
    assert float((ours - theirs).abs().max() / theirs.abs().max()) <= LOGITS


@pytest.mark.parametrize(("model_type", "kind"), [case for case in matrix.CASES if case[0] in REFUSED])
def test_what_cannot_be_proven_is_refused_with_the_reason(model_type: str, kind: str) -> None:
    scan = matrix.row(model_type, kind).result.scan

    assert scan.outcome is Outcome.UNSUPPORTED_ARCHITECTURE
    assert REFUSED[model_type] in (scan.reason or "")


@pytest.mark.parametrize("model_type", matrix.UNPLANTED)
def test_a_shared_mlp_that_feeds_a_mixer_is_refused_by_experiment(model_type: str) -> None:
    assert "feed_forward.down_proj.weight" in matrix.refusal(model_type)
    assert UNLIKE in matrix.refusal(model_type)


def test_the_page_of_families_is_what_the_scans_gave() -> None:
    assert matrix.PAGE.read_text(encoding="utf-8") == matrix.page()
