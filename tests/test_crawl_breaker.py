"""The circuit breaker of a crawl: what is a loss, and when a run stops."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swindex.crawler.crawling.breaker import Breaker
from swindex.crawler.crawling.jobs import Done, Job
from swindex.crawler.crawling.policy import BreakerRule
from swindex.crawler.parts.result import Result, refused
from swindex.crawler.refusal import Refusal
from swindex.schema.types import Outcome

from . import records as make

FOUND = make.found()


def done(outcome: Outcome, number: int = 0, *, lasting: bool = True) -> Done:
    if outcome is Outcome.FOUND:
        return Done(Job(f"org/m{number}"), Result(FOUND.model, FOUND.scans[-1]))
    return Done(Job(f"org/m{number}"), refused(f"org/m{number}", None, Refusal(outcome, "why")), lasting=lasting)


@pytest.mark.parametrize(
    "outcome", [Outcome.NOT_FOUND, Outcome.GATED, Outcome.CORRUPT, Outcome.UNSUPPORTED_ARCHITECTURE]
)
def test_a_known_positive_that_cannot_be_had_any_more_is_a_loss(outcome: Outcome) -> None:
    assert Breaker().note(FOUND, done(outcome)) is True


@pytest.mark.parametrize(
    ("previous", "now"),
    [(None, Outcome.NOT_FOUND), (FOUND, Outcome.FOUND), (make.failed(), Outcome.NOT_FOUND)],
)
def test_what_was_not_known_or_is_found_again_is_no_loss(previous: Any, now: Outcome) -> None:
    assert Breaker().note(previous, done(now)) is False


def test_a_failure_that_passes_is_no_loss() -> None:
    assert Breaker().note(FOUND, done(Outcome.FAILED, lasting=False)) is False


def test_many_losses_at_once_stop_a_run_and_name_some() -> None:
    breaker = Breaker(BreakerRule(least=3, share=0.5))
    for number in range(3):
        breaker.note(FOUND, done(Outcome.NOT_FOUND, number))
    assert breaker.tripped == (
        "3 of 3 models known to have super weights lost them at once (org/m0, org/m1, org/m2, ...)"
    )


def test_few_losses_among_many_do_not() -> None:
    breaker = Breaker(BreakerRule(least=3, share=0.2))
    for number in range(20):
        breaker.note(FOUND, done(Outcome.FOUND if number % 5 else Outcome.NOT_FOUND, number))
    assert (len(breaker.lost), breaker.tripped) == (4, None)


def test_a_row_of_passing_failures_is_an_outage() -> None:
    breaker = Breaker(BreakerRule(outage=3))
    for number in range(3):
        assert breaker.tripped is None
        breaker.note(None, done(Outcome.FAILED, number, lasting=False))
    assert breaker.tripped is not None
    assert "network seems to be down" in breaker.tripped


def test_one_success_ends_the_row() -> None:
    breaker = Breaker(BreakerRule(outage=2))
    for lasting in (False, True, False):
        breaker.note(None, done(Outcome.FAILED, lasting=lasting))
    assert breaker.tripped is None


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 5), st.floats(0.01, 1))
def test_it_trips_exactly_when_more_than_the_share_is_lost(lost: list[bool], least: int, share: float) -> None:
    breaker = Breaker(BreakerRule(least=least, share=share))
    for number, gone in enumerate(lost):
        breaker.note(FOUND, done(Outcome.NOT_FOUND if gone else Outcome.FOUND, number))
    assert (breaker.tripped is not None) == (sum(lost) >= least and sum(lost) > share * len(lost))
