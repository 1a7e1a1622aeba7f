"""The criterion against every case with a known answer: nothing false is confirmed, nothing true is missed."""

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from swindex.crawler import scan
from swindex.schema import rules
from swindex.schema.effect import Effect
from swindex.schema.types import Intervention, Outcome, Role, Verdict

from .plants import Plant, disk
from .plants.cases import CASES
from .plants.confusion import WINDOW, WINDOWS, Ids, Seen, agreement, of_candidates, of_groups, seen, smallest
from .plants.shared import one_thread, options

__all__ = ["one_thread"]
FIRST_TOKEN = [
    n for n in CASES if not n.startswith(("on a", "no <s>", "only", "two spikes", "beside", "late", "in a late"))
]
"""Cases whose spike is on the first token, in the first half of the layers."""


# --- the cases are what they say: read plainly, without the detector ---


class Plain:
    """A case's checkpoint loaded as anybody would, and with stored elements set to zero."""

    def __init__(self, plant: Plant, *, bos: bool) -> None:
        self.plant = plant
        self.model = disk.plain(plant.folder)
        ids = disk.windows(WINDOWS, WINDOW)
        self.ids = ids if bos else ids[:, 1:]
        self.before = disk.plain_nll(disk.plain_logits(self.model, self.ids), self.ids)

    def costs(self, members: Iterable[int], folder: Path) -> float:
        """What zeroing these of the plant's scalars costs, nat per token; infinite where it is not finite."""
        edits = [(self.plant.scalars[n].tensor, self.plant.scalars[n].index) for n in members]
        model = disk.plain(disk.edited(self.plant.folder, folder, edits))
        after = disk.plain_nll(disk.plain_logits(model, self.ids), self.ids)
        return after - self.before if math.isfinite(after) else math.inf


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case.roles])
def test_a_case_is_what_it_says(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    plain = Plain(seen(name).plant, bos=case.bos)
    for number, group in enumerate(case.groups):
        assert plain.costs(group, tmp_path / f"group{number}") >= rules.CONFIRMED_NLL
        for member in group if len(group) > 1 else ():
            rest = [n for n in group if n != member]
            assert plain.costs(rest, tmp_path / f"group{number}-{member}") < rules.CONFIRMED_NLL
    for number, group in enumerate(case.weak):
        assert rules.PARTIAL_NLL < plain.costs(group, tmp_path / f"weak{number}") < rules.CONFIRMED_NLL
    idle = set(range(len(case.roles))) - {n for group in (*case.groups, *case.weak) for n in group}
    assert plain.costs(idle, tmp_path / "idle") < rules.PARTIAL_NLL


# --- the criterion ---


@pytest.mark.parametrize("name", CASES)
def test_exactly_the_super_weights_are_confirmed(name: str) -> None:
    assert seen(name).confirmed == seen(name).expected


@pytest.mark.parametrize("name", CASES)
def test_each_scalar_is_found_with_its_label(name: str) -> None:
    found = {w.id: w.role for w in seen(name).record.super_weights}

    assert {i: found.get(i) for i in seen(name).ids} == dict(
        zip(seen(name).ids, map(Role, seen(name).case.roles), strict=True)
    )


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case.weak])
def test_what_costs_less_than_a_nat_is_partial(name: str) -> None:
    one = seen(name)
    weak = {frozenset(one.ids[n] for n in group) for group in one.case.weak}

    assert {frozenset(e.weights) for e in removals(one) if e.verdict is Verdict.PARTIAL} == weak


@pytest.mark.parametrize("name", CASES)
def test_what_shares_nothing_with_a_super_weight_is_inert(name: str) -> None:
    one = seen(name)
    acting = {one.ids[n] for group in (*one.case.groups, *one.case.weak) for n in group}

    assert {e.verdict for e in removals(one) if not acting & set(e.weights)} <= {Verdict.INERT}


@pytest.mark.parametrize("name", CASES)
def test_the_outcome_says_whether_there_is_one(name: str) -> None:
    case, outcome = CASES[name], seen(name).record.scans[0].outcome
    acts = Outcome.FOUND if case.groups or case.weak else Outcome.NONE_FOUND

    assert outcome is (Outcome.UNSUPPORTED_ARCHITECTURE if case.refused else acts)


def test_a_search_that_ended_says_so() -> None:
    assert all(seen(n).record.scans[0].converged for n in ("one", "chain of six", "stories260k"))


def test_a_search_that_did_not_end_says_so() -> None:
    chain = seen("chain of six")
    record = scan(str(chain.plant.folder), options=replace(options(WINDOWS, WINDOW), rounds=4))

    assert (record.scans[0].outcome, record.scans[0].converged) == (Outcome.UNTESTED, False)
    assert set(chain.ids) & {w.id for w in record.super_weights} == set(chain.ids[:5])


def removals(one: Seen) -> list[Effect]:
    """The effects of zeroing."""
    return [e for e in one.record.effects if e.intervention is Intervention.ZERO]


# --- counts ---


def test_no_group_is_falsely_confirmed_and_none_missed() -> None:
    counts = of_groups([seen(name) for name in CASES])

    assert (counts["false positive"], counts["false negative"]) == (0, 0)
    assert counts["true positive"] == sum(len(case.groups) for case in CASES.values())
    assert counts["true negative"] == sum(not case.groups for case in CASES.values())


def test_every_scalar_of_a_super_weight_is_a_candidate() -> None:
    assert of_candidates([seen(name) for name in CASES])["false negative"] == 0


def test_the_smallest_sets_hold_no_other() -> None:
    sets: list[Ids] = [frozenset(s) for s in ("a", "ab", "bc", "abc", "a")]

    assert smallest(sets) == {frozenset("a"), frozenset("bc")}


# --- the screen ---


@pytest.mark.parametrize("name", FIRST_TOKEN)
def test_a_screen_agrees_where_the_first_token_shows_it(name: str) -> None:
    assert agreement(seen(name).record, seen(name).screen) == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("on a full stop", "not on the first token"),
        ("on a newline", "not on the first token"),
        ("on a repeated token", "not on the first token"),
        ("on a comma", "not on the first token"),
        ("only without <s>", "not on the first token"),
        ("in a late layer", "later layer"),
    ],
)
def test_a_screen_misses_what_it_does_not_look_at_and_says_untested(name: str, reason: str) -> None:
    assert reason in agreement(seen(name).record, seen(name).screen)
    assert seen(name).screen.scans[0].outcome is Outcome.UNTESTED


@pytest.mark.parametrize("name", CASES)
def test_a_screen_finds_nothing_that_the_scan_does_not(name: str) -> None:
    assert "extra" not in agreement(seen(name).record, seen(name).screen)
