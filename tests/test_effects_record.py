"""What a record may say of an effect, what counts for its outcome, and what readers see of it."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from swindex.api.report import report
from swindex.api.results import LookupResult
from swindex.api.view import view
from swindex.schema.canonical import digest_of
from swindex.schema.effect import Control, Effect
from swindex.schema.record import Record
from swindex.schema.types import Intervention, Outcome, Verdict
from swindex.schema.weight import Coordinates

from . import records as make
from .documents import plain

ONE = "L1.R2.C3"
MANY = Control(kind="many", count=7000, digest="e" * 64, tokens=1000, worst_delta_nll=0.05)
AT = (Coordinates(layer=1, row=5, col=6),)


def record(*effects: Effect, outcome: Outcome = Outcome.FOUND) -> Record:
    """One weight, its group, and these effects."""
    return make.make(
        {
            "model": make.model(),
            "super_weights": (make.weight(group="neuron:L1.C3"),),
            "groups": (make.group("neuron:L1.C3", ONE),),
            "effects": effects,
            "scans": (make.scan(outcome=outcome),),
        }
    )


def other(kind: Intervention, delta: float | None, **more: Any) -> Effect:
    """Something else was done to the weight."""
    return make.effect(f"{kind}-{delta}", ONE, delta=delta, intervention=kind, **more)


REMOVED = make.effect("zero", ONE, delta=3.0, outliers=MANY)
RESTORED = other(Intervention.RESTORE, 1.5, recovery=0.5)


# --- what may be said ---


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"weights": AT, "count": 1, "digest": "e" * 64},
        {"count": 7000},
        {"digest": "e" * 64},
        {"weights": AT, "digest": "e" * 64},
    ],
)
def test_a_control_lists_its_weights_or_counts_them(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="lists its weights, or gives their count and digest"):
        Control(kind="x", worst_delta_nll=0.0, **fields)


def test_recovery_is_for_what_was_restored() -> None:
    with pytest.raises(ValidationError, match="recovery belongs to the intervention 'restore'"):
        make.effect("e", ONE, recovery=0.5)


def test_an_interval_runs_upwards() -> None:
    with pytest.raises(ValidationError, match="ends before it begins"):
        make.effect("e", ONE, delta_nll_ci95=(2.0, 1.0))


def test_the_many_others_are_no_part_of_the_verdict() -> None:
    ruinous = Control(kind="many", count=7000, digest="e" * 64, worst_delta_nll=None)

    assert make.effect("e", ONE, delta=3.0, outliers=ruinous).verdict is Verdict.CONFIRMED


def test_a_record_from_before_these_fields_is_read() -> None:
    data = plain(record(make.effect("zero", ONE, delta=3.0)))
    for effect in data["effects"]:
        for name in ("delta_nll_ci95", "recovery", "outliers"):
            del effect[name]
        for name in ("count", "digest", "tokens"):
            del effect["control"][name]
    data["provenance"]["digest"] = digest_of(data)

    assert Record.parse(json.dumps(data)).effects[0].verdict is Verdict.CONFIRMED


# --- what counts ---


@pytest.mark.parametrize("kind", [Intervention.MEAN, Intervention.CLASS_MEAN, Intervention.RESTORE])
@pytest.mark.parametrize("delta", [3.0, None])
def test_only_removal_decides_whether_something_was_found(kind: Intervention, delta: float | None) -> None:
    made = record(make.effect("zero", ONE, delta=0.0), other(kind, delta), outcome=Outcome.NONE_FOUND)

    assert made.status.weights[0].alone is Verdict.INERT
    assert made.status.outcome == "none_found"


# --- what is shown ---


def shown(made: Record, width: int = 100) -> list[str]:
    """The lines of the page."""
    return report(view(plain(made)), width=width).splitlines()


def test_the_page_compares_the_set_with_what_else_was_done() -> None:
    lines = shown(record(REMOVED, other(Intervention.MEAN, 0.5), other(Intervention.CLASS_MEAN, 0.0), RESTORED))
    at = lines.index("For comparison: L1[2,3] (ratio of perplexities)")

    assert [" ".join(line.split()) for line in lines[at + 1 : at + 6]] == [
        "DONE SLICE",
        "its mean over all tokens in its place x1.649",
        "its mean, over massive tokens and the others apart x1",
        "removed, but its super activation put back x4.482 (50% undone)",
        "the 7000 largest other weights removed x1.051",
    ]


def test_what_was_not_finite_is_said_so() -> None:
    lines = shown(record(REMOVED, other(Intervention.SCALE, None, scale=2.0)))

    assert any(line.split() == ["multiplied", "by", "2", "not", "finite"] for line in lines)


def test_a_single_text_is_pointed_out() -> None:
    second = make.corpus("second").model_copy(update={"sha256": "f" * 64})
    said = "One text was measured: a verdict to be relied on rests on two."

    assert said in shown(record(REMOVED))
    assert said not in shown(record(REMOVED, make.effect("other", ONE, delta=3.0, corpus=second)))


def test_a_record_with_removals_alone_has_no_comparison() -> None:
    assert not any(line.startswith("For comparison") for line in shown(record(make.effect("zero", ONE, delta=3.0))))


def test_the_document_has_what_else_was_done() -> None:
    document = view(plain(record(REMOVED, RESTORED)))
    group = document["groups"][0]

    assert [(t["intervention"], t["text"], t["recovery"]) for t in group["tried"]] == [("restore", "slice", 0.5)]
    assert [(o["removed"], o["finite"]) for o in group["outliers"]] == [(7000, True)]
    assert (group["texts"], document["super_weights"][0]["tried"]) == (1, group["tried"])
    assert LookupResult.of(document).model_dump(mode="json") == document


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_comparison_keeps_the_width_of_the_page(width: int) -> None:
    lines = shown(record(REMOVED, other(Intervention.CLASS_MEAN, 0.0), RESTORED), width)
    at = next(n for n, line in enumerate(lines) if line.startswith("For comparison"))

    assert max(len(line) for line in lines[at + 1 :]) <= width
