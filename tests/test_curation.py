"""Decisions on claims: what they leave of a record, that nothing is lost, the misprinted layer of the launch data."""

from __future__ import annotations

import re
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swindex.index import curation, launch
from swindex.index.claimed import named, sets_of, told_value, weight_of
from swindex.index.curation import Order, preview, with_claims, with_decision
from swindex.index.store import Index
from swindex.index.versions import with_scan, withdraw
from swindex.schema.canonical import canonical_bytes
from swindex.schema.decision import Decision, DecisionKind, claim_id, taken_out
from swindex.schema.errors import RecordError, UsageError
from swindex.schema.observation import Observation, Stance
from swindex.schema.record import Record
from swindex.schema.weight import Coordinates

from . import records as make

LATER = "2026-11-22T07:00:00Z"
OLMO = "allenai/OLMo-1B-0724-hf"


def order(kind: DecisionKind | str, *claims: Observation, **more: Any) -> Order:
    """An order about these claims, of a curator called me."""
    ids = tuple(claim_id(c)[:8] for c in claims)
    return Order(kind=DecisionKind(kind), claims=ids, **{"reason": "misread", "by": "me", "time": LATER, **more})


def decided(record: Record, *orders: Order) -> Record:
    """The version after these decisions, each on the one before."""
    history = [record]
    for each in orders:
        history.append(preview(history[-1], each, history))
    return history[-1]


def moved(claim: Observation, layer: int, **more: Any) -> Observation:
    """The claim about the same rows and columns of another layer."""
    targets = tuple(t.model_copy(update={"layer": layer, "tensor": make.tensor(layer)}) for t in claim.targets)
    return Observation(**{**dict(claim), "targets": targets, **more})


def claimed(*observations: Observation, **parts: Any) -> Record:
    """A record of claims alone, its scalars and sets made as an import makes them."""
    groups = tuple(sets_of(observations, ()))
    places = {t.weight_id: t for o in observations for t in o.targets if t.weight_id}
    weights = tuple(
        weight_of(p, ()).model_copy(
            update={
                "value": told_value(str(p.weight_id), observations),
                "group": next((g.id for g in groups if p.weight_id in g.members), None),
            }
        )
        for p in places.values()
    )
    said: dict[str, Any] = {"model": make.model(revision=None, files=()), "super_weights": weights, "groups": groups}
    return make.make({**said, "observations": observations, **parts})


def scanned(scan_id: str) -> dict[str, Any]:
    """What a scan that found two scalars adds to a record."""
    parts = make.found_parts(scan_id=scan_id)
    [scan] = parts.pop("scans")
    return {**parts, "scan": scan}


ONE, TWO = make.observation((1, 2, 3)), make.observation((2, 4, 3), origin="sun-2025")
BOTH = make.observation((1, 2, 3), (2, 4, 3), origin="arctos", stance=Stance.NOTES, ppl=(10.0, 1000.0))


# --- one decision ---


def test_a_claim_that_is_withdrawn_stands_in_the_decision_and_nowhere_else() -> None:
    record = decided(claimed(ONE, TWO), order("withdraw", TWO))

    assert (record.observations, [d.claims for d in record.decisions]) == ((ONE,), [(TWO,)])


def test_with_its_last_claim_a_scalar_leaves_and_the_sets_that_hold_it() -> None:
    before = claimed(ONE, BOTH)

    after = decided(before, order("withdraw", BOTH))

    assert ([w.id for w in before.super_weights], len(before.groups)) == (["L1.R2.C3", "L2.R4.C3"], 1)
    assert ([(w.id, w.group) for w in after.super_weights], after.groups) == ([("L1.R2.C3", None)], ())


def test_a_scalar_that_somebody_else_names_stays_and_so_does_its_set() -> None:
    after = decided(claimed(ONE, TWO, BOTH), order("withdraw", TWO))

    assert ([w.id for w in after.super_weights], len(after.groups)) == (["L1.R2.C3", "L2.R4.C3"], 1)


def test_what_a_scan_found_stays_whoever_takes_back_a_claim() -> None:
    record = make.make(
        {
            **make.found_parts(),
            "observations": (ONE, TWO),
            "super_weights": (*make.found_parts()["super_weights"], make.weight(2, 4, 3, scan=None)),
        }
    )

    after = decided(record, order("withdraw", ONE, TWO))

    assert [w.id for w in after.super_weights] == ["L1.R2.C3", "L1.R7.C3"]


def test_the_status_is_that_of_the_claims_that_are_left() -> None:
    denied = make.observation((1, 2, 3), origin="fab", stance=Stance.DENIES)
    before = claimed(ONE, denied)

    after = decided(before, order("withdraw", denied))

    assert [r.status.weights[0].location for r in (before, after)] == ["disputed", "reported"]
    assert [len(r.status.conflicts) for r in (before, after)] == [1, 0]


def test_a_value_goes_with_the_claim_that_gave_it() -> None:
    exact, rounded = (make.observation((1, 2, 3), origin=o, value=v) for o, v in (("a", -0.2734375), ("b", -0.27)))
    before = claimed(exact, rounded)

    after = decided(before, order("withdraw", exact))

    assert [r.super_weights[0].value for r in (before, after)] == [-0.2734375, -0.27]


def test_a_settled_claim_is_replaced_where_it_stood() -> None:
    right = moved(ONE, 2, caveat="The paper prints layer 1.")

    record = decided(claimed(ONE, TWO), order("settle", ONE, instead=(right,)))

    assert record.observations == (right, TWO)
    assert [w.id for w in record.super_weights] == ["L2.R4.C3", "L2.R2.C3"]


def test_a_split_puts_the_parts_in_the_place_of_the_whole() -> None:
    pair = make.observation((1, 2, 3), (2, 4, 3))
    parts = (ONE, make.observation((2, 4, 3)))

    record = decided(claimed(pair), order("split", pair, instead=parts))

    assert (record.observations, record.decisions[0].claims) == (parts, (pair,))


def test_a_new_reading_of_a_set_makes_the_set() -> None:
    wrong = make.observation((1, 2, 3), (2, 4, 5), ppl=(10.0, 1000.0))
    right = make.observation((1, 2, 3), (2, 4, 3), ppl=(10.0, 1000.0))

    record = decided(claimed(wrong), order("settle", wrong, instead=(right,)))

    assert [(g.members, g.reported) for g in record.groups] == [(("L1.R2.C3", "L2.R4.C3"), True)]
    assert record.status.groups[0].verdict == "confirmed"


def test_a_conflict_is_settled_by_name_and_may_leave_every_claim_standing() -> None:
    denied = make.observation((1, 2, 3), origin="fab", stance=Stance.DENIES)
    before = claimed(ONE, denied)

    after = decided(before, order("settle", conflict="location:L1.R2.C3"))

    assert (after.observations, after.status) == (before.observations, before.status)
    assert after.decisions[0].conflict is not None
    assert after.decisions[0].conflict.is_of(after.status.conflicts[0])


def test_a_version_with_a_decision_has_schema_1_2_and_others_keep_theirs() -> None:
    before = claimed(ONE, TWO)

    after = decided(before, order("withdraw", TWO))

    assert [r.provenance.schema_version for r in (before, after)] == ["1.0", "1.2"]
    assert "decisions" not in before.model_dump(mode="json")


def test_decisions_under_an_older_schema_are_refused() -> None:
    parts = with_decision(claimed(ONE, TWO), order("withdraw", TWO))

    with pytest.raises(RecordError, match=r"schema 1\.1 is stated, and decisions are newer"):
        make.make(parts, schema_version="1.1")


# --- putting back ---


def test_a_claim_that_is_put_back_brings_its_scalars_and_sets() -> None:
    before = claimed(ONE, TWO, BOTH)

    after = decided(before, order("withdraw", TWO, BOTH), order("settle", restore=(claim_id(TWO), claim_id(BOTH))))

    assert set(after.observations) == set(before.observations)
    assert (set(after.super_weights), set(after.groups)) == (set(before.super_weights), set(before.groups))
    assert [d.kind for d in after.decisions] == ["withdraw", "settle"]


def test_only_what_was_taken_out_can_be_put_back() -> None:
    with pytest.raises(UsageError, match="stands: there is nothing to put back"):
        decided(claimed(ONE, TWO), order("settle", restore=(claim_id(TWO),)))


def test_with_the_last_claim_the_record_is_withdrawn_and_counts_again_when_it_is_back() -> None:
    gone = decided(claimed(ONE), order("withdraw", ONE))
    back = decided(gone, order("settle", restore=(claim_id(ONE),)))

    assert gone.provenance.withdrawn is not None
    assert (gone.provenance.withdrawn.reason, gone.observations) == ("misread", ())
    assert (back.provenance.withdrawn, back.observations) == (None, (ONE,))


def test_a_record_that_was_withdrawn_for_another_reason_stays_so() -> None:
    parts = withdraw(claimed(ONE), "a wrong checkpoint", make.TIME)
    assert parts is not None
    gone = decided(make.make(parts), order("withdraw", ONE), order("settle", restore=(claim_id(ONE),)))

    assert gone.provenance.withdrawn is not None
    assert gone.provenance.withdrawn.reason == "a wrong checkpoint"


# --- what cannot be decided ---

UNKNOWN = make.observation((3, 3, 3))
PLACELESS = Observation(**{**dict(ONE), "targets": (Coordinates(layer=3, row=1, col=1),)})


@pytest.mark.parametrize(
    ("given_order", "reason"),
    [
        (order("withdraw", UNKNOWN), "has no claim"),
        (order("withdraw"), "a withdrawal takes claims out"),
        (order("settle"), "a decision about no claim and no conflict"),
        (order("split", ONE, instead=(TWO,)), "a split puts two claims or more"),
        (order("withdraw", ONE, reason=""), "reason: String should have at least 1 character"),
        (order("settle", ONE, instead=(TWO,)), "sun-2025 said none of the claims"),
        (order("settle", ONE, instead=(ONE,)), "names a claim twice"),
        (order("settle", conflict="layer:L1.R2.C3"), "has no conflict 'layer:L1.R2.C3'; it has: none"),
        (Order(DecisionKind.WITHDRAW, "r", "me", LATER, claims=("abc",)), "8 or more hex digits"),
        (order("settle", ONE, instead=(PLACELESS,)), "the claim names no tensor"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_in_one_line(given_order: Order, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        decided(claimed(ONE, TWO), given_order)


def test_a_short_id_of_several_claims_lists_them(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [make.observation((1, n, 0)) for n in range(17)]  # one more than there are digits
    monkeypatch.setattr(curation, "_CLAIM", re.compile("[0-9a-f]+"))
    first = Counter(claim_id(o)[0] for o in many).most_common(1)[0][0]

    with pytest.raises(UsageError, match=f"{first} is short for several claims: {first}"):
        curation.find_claim(claimed(*many), first)


def test_a_claim_that_was_put_in_no_place_is_refused_in_a_record() -> None:
    made_up = Decision(kind=DecisionKind.SETTLE, reason="r", by="me", time=LATER, claims=(TWO,), instead=())

    with pytest.raises(RecordError, match="stands, though it was taken out"):
        claimed(ONE, TWO, decisions=(made_up,))


def test_a_claim_that_nobody_took_out_is_not_put_back_in_a_record() -> None:
    made_up = Decision(kind=DecisionKind.SETTLE, reason="r", by="me", time=LATER, instead=(TWO,))

    with pytest.raises(RecordError, match="put back, though nobody took it out"):
        claimed(ONE, TWO, decisions=(made_up,))


def test_a_replacement_that_does_not_stand_is_refused_in_a_record() -> None:
    gone = moved(ONE, 2)
    made_up = Decision(kind=DecisionKind.SETTLE, reason="r", by="me", time=LATER, claims=(ONE,), instead=(gone,))

    with pytest.raises(RecordError, match="does not stand, and nobody took it out"):
        claimed(TWO, decisions=(made_up,))


# --- an index ---


def test_of_two_curators_who_withdraw_one_claim_the_second_is_told(tmp_path: Path) -> None:
    index, told = Index(tmp_path), []
    index.append(claimed(ONE, TWO))

    def withdraw_it(name: str) -> None:
        wish = order("withdraw", TWO, by=name)
        try:
            index_of = Index(tmp_path)
            index_of.add(make.MODEL_ID, lambda p: with_decision(p, wish, index_of.history(make.MODEL_ID)), name, LATER)
        except UsageError as error:
            told.append(str(error))

    threads = [threading.Thread(target=withdraw_it, args=(name,)) for name in ("ann", "ben")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(index.history(make.MODEL_ID)), len(told)) == (2, 1)
    assert "was taken out on 2026-11-22 by" in told[0]


def test_a_later_scan_carries_decisions_along() -> None:
    before = decided(claimed(ONE, TWO), order("withdraw", TWO))
    parts = with_scan(before, **scanned("scan-1"))
    assert parts is not None

    assert make.make(parts, before).decisions == before.decisions


def test_a_withdrawn_claim_does_not_come_back_by_import() -> None:
    first = claimed(ONE, TWO)
    offered = {name: getattr(first, name) for name in ("model", "super_weights", "groups", "observations")}

    assert with_claims(decided(first, order("withdraw", TWO)), offered) is None


def test_an_import_adds_what_is_new_beside_what_was_decided() -> None:
    wider = claimed(ONE, TWO, BOTH)
    offered = {name: getattr(wider, name) for name in ("model", "super_weights", "groups", "observations")}
    before = decided(claimed(ONE, TWO), order("withdraw", TWO))

    parts = with_claims(before, offered)

    assert parts is not None
    after = make.make(parts, before)
    assert (after.observations, after.decisions) == ((ONE, BOTH), before.decisions)
    assert [w.group for w in after.super_weights] == ["arctos-set-1", "arctos-set-1"]


def test_a_new_claim_about_a_record_that_was_emptied_makes_it_count_again() -> None:
    wider = claimed(ONE, TWO)
    offered = {name: getattr(wider, name) for name in ("model", "super_weights", "groups", "observations")}
    before = decided(claimed(ONE), order("withdraw", ONE))

    parts = with_claims(before, offered)

    assert parts is not None
    assert (parts["observations"], parts["withdrawn"]) == ((TWO,), None)


def test_writing_the_launch_records_again_leaves_a_decision_alone(tmp_path: Path) -> None:
    index = Index(tmp_path)
    launch.write(tmp_path)
    claim = index.read(OLMO).observations[0]
    index.add(OLMO, lambda p: with_decision(p, order("withdraw", claim)), "me", LATER)

    assert launch.write(tmp_path) == 0
    assert claim not in index.read(OLMO).observations


# --- the misprinted layer: the paper's Table 2 says 1, its own code and three others say 2 ---


def test_the_misprinted_layer_is_settled(tmp_path: Path) -> None:
    before = launch.record_of(OLMO, launch.Published())
    wrong = next(o for o in before.observations if "L1.R1764.C8041" in o.weights and o.stance is Stance.CLAIMS)
    there = wrong.targets[0].model_copy(update={"layer": 2, "tensor": "model.layers.2.mlp.down_proj.weight"})
    right = Observation(**{**dict(wrong), "targets": (there,), "caveat": "Table 2 prints layer 1; the code has 2."})

    after = decided(before, order("settle", wrong, instead=(right,), conflict="layer:L1.R1764.C8041"))

    told = {w.weight: (w.location, w.origins) for w in after.status.weights}
    assert told["L1.R1764.C8041"] == ("refuted", ())
    assert told["L2.R1764.C8041"] == ("reported", ("arctos", "fab", "llmsuperweight-issue-6", "yu-2024"))
    assert {c.kind for c in before.status.conflicts} - {c.kind for c in after.status.conflicts} == {"location"}


# --- any sequence of decisions ---

PLACES = st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 1))


@st.composite
def claims(draw: st.DrawFn) -> Observation:
    places = draw(st.lists(PLACES, min_size=1, max_size=3, unique=True))
    return make.observation(
        *places,
        origin=draw(st.sampled_from(["yu-2024", "arctos", "fab"])),
        stance=draw(st.sampled_from(list(Stance))),
        ppl=draw(st.sampled_from([None, (10.0, 10.1), (10.0, 4000.0)])),
        value=draw(st.sampled_from([None, 0.5, -0.25])) if len(places) == 1 else None,
    )


def steps(record: Record) -> st.SearchStrategy[Order]:
    """An order that makes sense in this record."""
    standing, gone = list(record.observations), [o for o, _ in taken_out(record.decisions).values()]
    possible: list[st.SearchStrategy[Order]] = []
    if standing:
        one = st.sampled_from(standing)
        some = st.lists(one, min_size=1, max_size=3, unique=True)
        possible.append(some.map(lambda cs: order("withdraw", *cs)))
        layer = st.integers(0, 2)
        note = f"moved after {len(record.decisions)} decisions"
        possible.append(st.builds(lambda c, n: order("settle", c, instead=(moved(c, n, caveat=note),)), one, layer))
        possible.append(one.map(lambda c: order("split", c, instead=tuple(halves(c)))))
    if gone:
        possible.append(st.sampled_from(gone).map(lambda c: order("settle", restore=(claim_id(c),))))
    for c in record.status.conflicts:
        possible.append(st.just(order("settle", conflict=f"{c.kind}:{c.weights[0]}")))
    return st.one_of(possible)


def halves(claim: Observation) -> list[Observation]:
    return [Observation(**{**dict(claim), "statement": f"{claim.statement} Part {n}."}) for n in (1, 2)]


@settings(max_examples=30, deadline=None)
@given(st.lists(claims(), min_size=1, max_size=6, unique=True), st.data())
def test_any_sequence_of_decisions_gives_valid_records_and_loses_no_claim(
    said: list[Observation], data: st.DataObject
) -> None:
    history, ever = [claimed(*said)], set(said)
    for number in range(data.draw(st.integers(1, 6))):
        if data.draw(st.booleans()) and number:
            parts = with_scan(history[-1], **scanned(f"s{number}"))
            assert parts is not None
            history.append(make.make(parts, history[-1]))
        else:
            history.append(preview(history[-1], data.draw(steps(history[-1])), history))
        record = history[-1]
        ever |= set(record.observations)

        assert Record.parse(canonical_bytes(record.model_dump(mode="json"))) == record
        assert ever == set(record.observations) | {o for d in record.decisions for o in d.claims}
        assert record.decisions[: len(history[-2].decisions)] == history[-2].decisions
        assert {w.id for w in record.super_weights if w.scan is None} <= named(record.observations)
        assert named(record.observations) <= {w.id for w in record.super_weights}


@settings(max_examples=30, deadline=None)
@given(st.lists(claims(), min_size=2, max_size=6, unique=True), st.data())
def test_a_claim_taken_out_and_put_back_leaves_the_record_as_it_was(
    said: list[Observation], data: st.DataObject
) -> None:
    before = claimed(*said)
    some = data.draw(st.lists(st.sampled_from(said), min_size=1, max_size=3, unique=True))

    after = decided(before, order("withdraw", *some), order("settle", restore=tuple(claim_id(c) for c in some)))

    assert set(after.observations) == set(before.observations)
    assert {w.id: (w.tensor, w.index) for w in after.super_weights} == {
        w.id: (w.tensor, w.index) for w in before.super_weights
    }
    assert {frozenset(g.members) for g in after.groups} == {frozenset(g.members) for g in before.groups}
    assert {w.weight: (w.location, w.origins) for w in after.status.weights} == {
        w.weight: (w.location, w.origins) for w in before.status.weights
    }
