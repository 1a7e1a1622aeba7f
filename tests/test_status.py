"""The status rule, branch by branch, on the smallest figures that tell it apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from swindex.schema.conflicts import Conflict, ConflictKind
from swindex.schema.effect import Effect
from swindex.schema.observation import Granularity, Observation, Stance
from swindex.schema.rules import perplexity, verdict_of, weakest
from swindex.schema.scan import Scan
from swindex.schema.status import GroupStatus, Status, WeightStatus, derive
from swindex.schema.types import Basis, Intervention, Location, Outcome, Verdict
from swindex.schema.weight import Group, SuperWeight

from . import records
from .records import effect, group, observation, scan

A, B, C = (1, 2, 3), (1, 4, 3), (2, 5, 6)
A_ID, B_ID, C_ID = "L1.R2.C3", "L1.R4.C3", "L2.R5.C6"


def outside(*at: tuple[int, int, int]) -> list[SuperWeight]:
    """Weights that only outside sources name."""
    return [records.weight(*a, scan=None) for a in at]


def ours(*at: tuple[int, int, int]) -> list[SuperWeight]:
    """Weights that our scan found."""
    return [records.weight(*a) for a in at]


def status(
    weights: Sequence[SuperWeight],
    *observations: Observation,
    groups: Sequence[Group] = (),
    effects: Sequence[Effect] = (),
    scans: Sequence[Scan] = (),
) -> Status:
    return derive(weights, groups, effects, scans, observations)


def first(*arguments: Any, **more: Any) -> WeightStatus:
    """The status of the first weight."""
    return status(*arguments, **more).weights[0]


def denies(*at: tuple[int, int, int], origin: str = "arctos", **more: Any) -> Observation:
    return observation(*at, origin=origin, stance=Stance.DENIES, **more)


def notes(*at: tuple[int, int, int], origin: str = "arctos", **more: Any) -> Observation:
    return observation(*at, origin=origin, stance=Stance.NOTES, **more)


# --- verdicts ---


@pytest.mark.parametrize(
    ("delta", "worst", "expected"),
    [
        (1.0, 0.05, Verdict.CONFIRMED),
        (1.0, 0.0501, Verdict.PARTIAL),
        (0.9999, 0.0, Verdict.PARTIAL),
        (0.05, 0.01, Verdict.PARTIAL),
        (0.05, 0.0101, Verdict.INERT),
        (0.0499, 0.0, Verdict.INERT),
        (-3.0, 0.0, Verdict.INERT),
        (1.0, -5.0, Verdict.CONFIRMED),
        (9.0, None, Verdict.INERT),
        (None, 0.0, Verdict.NON_FINITE),
        (None, None, Verdict.NON_FINITE),
    ],
)
def test_verdict_against_a_control(delta: float | None, worst: float | None, expected: Verdict) -> None:
    assert verdict_of(delta, worst, controlled=True) is expected


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        (1.0, Verdict.CONFIRMED),
        (0.99, Verdict.PARTIAL),
        (0.05, Verdict.PARTIAL),
        (0.049, Verdict.INERT),
        (None, Verdict.NON_FINITE),
    ],
)
def test_verdict_without_a_control_goes_by_size(delta: float | None, expected: Verdict) -> None:
    assert verdict_of(delta, None, controlled=False) is expected


def test_the_weakest_verdict_holds_and_none_at_all_is_untested() -> None:
    assert weakest([Verdict.NON_FINITE, Verdict.CONFIRMED, Verdict.PARTIAL]) is Verdict.PARTIAL
    assert weakest([]) is Verdict.UNTESTED


def test_a_perplexity_too_large_to_print_is_null() -> None:
    assert (perplexity(0.0), perplexity(701.0), perplexity(None)) == (1.0, None, None)


# --- location ---


def test_a_claim_that_nobody_denies_is_reported() -> None:
    expected = WeightStatus(
        weight=A_ID,
        location=Location.REPORTED,
        origins=("yu-2024",),
        alone=Verdict.UNTESTED,
        grouped=Verdict.UNTESTED,
    )

    assert first(outside(A), observation(A)) == expected


def test_a_paper_and_its_code_are_one_origin() -> None:
    assert first(outside(A), observation(A), observation(A), observation(A, origin="fab")).origins == ("fab", "yu-2024")


def test_a_note_is_no_claim() -> None:
    assert first(outside(A), observation(A), notes(A)).origins == ("yu-2024",)


def test_what_our_scan_found_is_confirmed_even_if_denied() -> None:
    assert first(ours(A), denies(A, ppl=(5.0, 5.0)), scans=[scan()]).location is Location.CONFIRMED


def test_denied_and_shown_to_do_nothing_is_refuted() -> None:
    assert first(outside(A), observation(A), denies(A, ppl=(5.0, 5.0))).location is Location.REFUTED


def test_a_candidate_that_its_own_test_did_not_bear_out_is_refuted_and_claimed_by_nobody() -> None:
    found = first(outside(A), observation(A, origin="arctos"), denies(A, ppl=(5.0, 5.0)))

    assert (found.location, found.origins) == (Location.REFUTED, ())


def test_denied_but_untested_is_disputed() -> None:
    assert first(outside(A), observation(A), denies(A)).location is Location.DISPUTED


def test_denied_but_damaging_is_disputed() -> None:
    assert first(outside(A), observation(A), denies(A, ppl=(5.0, 6.0))).location is Location.DISPUTED


def test_denied_against_two_origins_is_disputed() -> None:
    told = (observation(A), observation(A, origin="fab"), denies(A, ppl=(5.0, 5.0)))

    assert first(outside(A), *told).location is Location.DISPUTED


def test_inert_alone_but_damaging_in_a_set_is_not_refuted() -> None:
    told = (observation(A), denies(A, ppl=(5.0, 5.0)), notes(A, B, ppl=(5.0, 50.0)))

    found = first(outside(A, B), *told, groups=[group("g", A_ID, B_ID)])

    assert found.location is Location.DISPUTED


def test_inert_alone_and_adding_nothing_to_its_set_is_refuted() -> None:
    told = (observation(A), denies(A, ppl=(5.0, 5.0)), notes(B, ppl=(5.0, 50.0)), notes(A, B, ppl=(5.0, 50.0)))

    found = first(outside(A, B), *told, groups=[group("g", A_ID, B_ID)])

    assert found.location is Location.REFUTED


def test_one_place_claimed_in_two_layers_is_disputed_in_both() -> None:
    found = status(outside((1, 2, 3), (2, 2, 3)), observation((1, 2, 3)), observation((2, 2, 3), origin="fab"))

    assert [w.location for w in found.weights] == [Location.DISPUTED, Location.DISPUTED]


def test_a_refuted_layer_leaves_the_other_undisputed() -> None:
    told = (observation((1, 2, 3)), denies((1, 2, 3), ppl=(5.0, 5.0)), observation((2, 2, 3), origin="fab"))

    found = status(outside((1, 2, 3), (2, 2, 3)), *told)

    assert [w.location for w in found.weights] == [Location.REFUTED, Location.REPORTED]


# --- effect alone ---


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({"ppl_before": 5.0, "ppl_after": 500.0}, Verdict.CONFIRMED),
        ({"ppl_ratio": 1.2}, Verdict.PARTIAL),
        ({"nll_before": 2.0, "nll_relative_change": 0.5}, Verdict.CONFIRMED),
        ({"finite": False}, Verdict.NON_FINITE),
        ({"kl": 5.0}, Verdict.UNTESTED),
        ({}, Verdict.UNTESTED),
        ({"ppl_ratio": 9.0, "changed": Granularity.ROW}, Verdict.UNTESTED),
        ({"ppl_ratio": 9.0, "intervention": Intervention.MEAN}, Verdict.UNTESTED),
        ({"ppl_ratio": 9.0, "second_hand": True}, Verdict.UNTESTED),
    ],
)
def test_which_outside_figures_give_a_verdict(figures: dict[str, Any], expected: Verdict) -> None:
    zeroed = {"intervention": Intervention.ZERO, "changed": Granularity.SCALAR}

    assert first(outside(A), observation(A, **{**zeroed, **figures})).alone is expected


def test_the_weakest_of_several_sources_counts() -> None:
    found = first(outside(A), observation(A, ppl=(5.0, 500.0)), notes(A, ppl=(5.0, 6.0)))

    assert (found.alone, found.alone_basis) == (Verdict.PARTIAL, Basis.REPORTED)


def test_a_figure_for_a_set_says_nothing_of_a_member_alone() -> None:
    assert first(outside(A, B), observation(A, B, ppl=(5.0, 500.0))).alone is Verdict.UNTESTED


def test_our_own_effect_counts_and_not_the_reported_one() -> None:
    measured = [effect("e", A_ID, delta=0.01)]

    found = first(ours(A), observation(A, ppl=(5.0, 500.0)), effects=measured, scans=[scan()])

    assert (found.alone, found.alone_basis) == (Verdict.INERT, Basis.MEASURED)


def test_the_weakest_of_our_texts_counts() -> None:
    measured = [effect("prose", A_ID, delta=3.0), effect("code", A_ID, delta=0.3)]

    assert first(ours(A), effects=measured, scans=[scan()]).alone is Verdict.PARTIAL


def test_only_the_newest_scan_counts() -> None:
    measured = [effect("old", A_ID, scan="scan-1", delta=0.0), effect("new", A_ID, scan="scan-2", delta=3.0)]

    found = first(ours(A), effects=measured, scans=[scan("scan-1"), scan("scan-2")])

    assert found.alone is Verdict.CONFIRMED


def test_an_effect_that_was_not_finite_says_so() -> None:
    assert first(ours(A), effects=[effect("e", A_ID, delta=None)], scans=[scan()]).alone is Verdict.NON_FINITE


# --- effect together ---


def test_two_inert_weights_that_are_damaging_together() -> None:
    told = (notes(A, ppl=(5.0, 5.1)), notes(B, ppl=(5.0, 5.1)), notes(A, B, ppl=(5.0, 500.0)))

    found = status(outside(A, B), *told, groups=[group("g", A_ID, B_ID, reported=True)])

    assert [(w.alone, w.grouped, w.grouped_basis, w.grouped_in) for w in found.weights] == [
        (Verdict.INERT, Verdict.CONFIRMED, Basis.REPORTED, "g"),
        (Verdict.INERT, Verdict.CONFIRMED, Basis.REPORTED, "g"),
    ]
    assert found.groups == (
        GroupStatus(group="g", verdict=Verdict.CONFIRMED, basis=Basis.REPORTED, ppl_before=5.0, ppl_after=500.0),
    )


def test_a_weight_that_adds_nothing_to_its_set_is_inert_in_it() -> None:
    told = (notes(A, ppl=(5.0, 500.0)), notes(A, B, ppl=(5.0, 500.0)))

    found = status(outside(A, B), *told, groups=[group("g", A_ID, B_ID)])

    assert [(w.grouped, w.grouped_in) for w in found.weights] == [(Verdict.CONFIRMED, "g"), (Verdict.INERT, "g")]


def test_two_weights_each_sufficient_are_both_confirmed_together() -> None:
    told = (notes(A, ppl=(5.0, 500.0)), notes(B, ppl=(5.0, 500.0)), notes(A, B, ppl=(5.0, 500.0)))

    found = status(outside(A, B), *told, groups=[group("g", A_ID, B_ID)])

    assert [w.grouped for w in found.weights] == [Verdict.CONFIRMED, Verdict.CONFIRMED]


def test_what_a_weight_adds_is_not_judged_across_our_figures_and_theirs() -> None:
    measured = [effect("e", A_ID, delta=9.0)]

    found = status(
        ours(A, B),
        notes(A, B, ppl=(5.0, 500.0)),
        groups=[group("g", A_ID, B_ID)],
        effects=measured,
        scans=[scan()],
    )

    assert found.weights[1].grouped is Verdict.CONFIRMED


def test_what_a_weight_adds_to_something_not_finite_is_unknown() -> None:
    told = (notes(A, ppl=(5.0, 5.0), ppl_after=None, finite=False), notes(A, B, ppl=(5.0, 500.0)))

    found = status(outside(A, B), *told, groups=[group("g", A_ID, B_ID)])

    assert found.weights[1].grouped is Verdict.CONFIRMED


def test_the_strongest_of_several_groups_counts() -> None:
    told = (notes(A, B, ppl=(5.0, 6.0)), notes(A, C, ppl=(5.0, 500.0)))

    found = first(outside(A, B, C), *told, groups=[group("weak", A_ID, B_ID), group("strong", A_ID, C_ID)])

    assert (found.grouped, found.grouped_in) == (Verdict.CONFIRMED, "strong")


def test_a_group_of_one_is_no_company() -> None:
    found = first(outside(A), notes(A, ppl=(5.0, 500.0)), groups=[group("g", A_ID)])

    assert (found.grouped, found.grouped_in) == (Verdict.UNTESTED, None)


def test_a_measured_group_counts_over_a_reported_one() -> None:
    found = status(
        ours(A, B),
        notes(A, B, ppl=(5.0, 500.0)),
        groups=[group("g", A_ID, B_ID)],
        effects=[effect("e", A_ID, B_ID, delta=0.5)],
        scans=[scan()],
    )

    assert (found.groups[0].verdict, found.groups[0].basis) == (Verdict.PARTIAL, Basis.MEASURED)
    assert found.groups[0].ppl_after == pytest.approx(math.exp(2.5))


# --- missing members ---


@pytest.mark.parametrize(("after", "missing"), [(5.0 * 1.051, (B_ID,)), (5.0 * 1.049, ())])
def test_a_set_is_incomplete_if_a_larger_one_does_clearly_more(after: float, missing: tuple[str, ...]) -> None:
    told = (notes(A, ppl=(5.0, 5.0)), notes(A, B, ppl=(5.0, after)))

    found = status(outside(A, B), *told, groups=[group("published", A_ID), group("larger", A_ID, B_ID)])

    assert (found.groups[0].missing, found.groups[1].missing) == (missing, ())


def test_a_set_is_incomplete_if_a_larger_one_was_not_finite() -> None:
    broken = notes(A, B, intervention=Intervention.ZERO, changed=Granularity.SCALAR, finite=False)

    found = status(
        outside(A, B),
        notes(A, ppl=(5.0, 8.0)),
        broken,
        groups=[group("published", A_ID), group("larger", A_ID, B_ID)],
    )

    assert found.groups[0].missing == (B_ID,)
    assert found.groups[1].verdict is Verdict.NON_FINITE


def test_a_set_without_figures_is_not_called_incomplete() -> None:
    found = status(outside(A, B), notes(A, B, ppl=(5.0, 50.0)), groups=[group("p", A_ID), group("larger", A_ID, B_ID)])

    assert found.groups[0].missing == ()


# --- conflicts ---


def test_an_incomplete_set_is_a_conflict() -> None:
    told = (notes(A, ppl=(5.0, 5.0)), notes(A, B, ppl=(5.0, 50.0)))

    found = status(outside(A, B), *told, groups=[group("published", A_ID), group("larger", A_ID, B_ID)])

    assert [(c.kind, c.weights) for c in found.conflicts] == [(ConflictKind.SET, (B_ID,))]


def test_claimed_and_denied_is_a_conflict() -> None:
    sides = ("claimed by yu-2024", "denied by arctos")

    found = status(outside(A), observation(A), denies(A)).conflicts

    assert found == (Conflict(kind=ConflictKind.LOCATION, weights=(A_ID,), sides=sides),)


def test_our_find_that_somebody_denies_is_a_conflict() -> None:
    found = status(ours(A), denies(A), scans=[scan()]).conflicts

    assert [c.sides for c in found] == [("claimed by our scan", "denied by arctos")]


def test_what_nobody_claims_any_more_is_no_conflict() -> None:
    assert status(outside(A), observation(A, origin="arctos"), denies(A)).conflicts == ()


def test_one_place_in_two_layers_is_one_conflict() -> None:
    found = status(outside((2, 2, 3), (1, 2, 3)), observation((1, 2, 3)), notes((2, 2, 3))).conflicts

    expected = Conflict(
        kind=ConflictKind.LAYER, weights=("L1.R2.C3", "L2.R2.C3"), sides=("layer 1: yu-2024", "layer 2: nobody")
    )
    assert found == (expected,)


def test_verdicts_that_differ_are_a_conflict() -> None:
    told = (observation(A, ppl=(5.0, 500.0)), notes(A, ppl=(5.0, 5.0)))

    found = status(outside(A), *told).conflicts

    assert [c.sides for c in found] == [("confirmed: yu-2024 (perplexity x100)", "inert: arctos (perplexity x1)")]


def test_values_that_differ_are_a_conflict() -> None:
    found = status(outside(A), observation(A, value=-2.5), notes(A, value=-2.375)).conflicts

    expected = Conflict(kind=ConflictKind.VALUE, weights=(A_ID,), sides=("-2.5: yu-2024", "-2.375: arctos"))
    assert found == (expected,)


def test_one_value_read_in_two_dtypes_is_no_conflict() -> None:
    assert status(outside(A), observation(A, value=0.6322910189628601), notes(A, value=0.6328125)).conflicts == ()


def test_a_reported_value_that_is_not_ours_is_a_conflict() -> None:
    found = status(ours(A), observation(A, value=0.5), scans=[scan()]).conflicts

    assert [c.sides for c in found] == [("0.5: yu-2024", "-0.2734375: our scan")]


# --- outcome ---


def test_without_a_scan_the_outcome_is_reported() -> None:
    assert status(outside(A), observation(A)).outcome == "reported"


def test_the_outcome_is_that_of_the_newest_scan() -> None:
    scans = [scan("scan-1", Outcome.GATED), scan("scan-2", Outcome.NONE_FOUND)]

    assert status([], scans=scans).outcome == "none_found"
