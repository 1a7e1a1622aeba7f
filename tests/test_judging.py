"""The verdict on a submission: each way that one can end, by real scans of checkpoints on a loopback Hub."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import HfApi
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors import safe_open

from swindex.crawler.crawling.jobs import Job
from swindex.crawler.detection.options import Options
from swindex.crawler.judging.decide import accepted, accepted_if_confirmed, rejected
from swindex.crawler.judging.known import orphans
from swindex.crawler.judging.rescan import Bounds, in_worker
from swindex.crawler.parts.result import scan_id_of
from swindex.index.check import check
from swindex.index.store import Index
from swindex.index.submissions.accepting import NothingToAppend, confirmations
from swindex.index.submissions.document import Submission, make
from swindex.index.submissions.entry import Entry
from swindex.index.submissions.states import State, WrongState
from swindex.index.versions import withdraw
from swindex.schema.canonical import digest_of
from swindex.schema.errors import SwindexError
from swindex.schema.model import Model
from swindex.schema.record import Record
from swindex.schema.scan import LayerProfile, Settings
from swindex.schema.types import Outcome

from .hub import Hub
from .submitted import (
    CHECKPOINTS,
    CURATOR,
    FOLDERS,
    NONE,
    ONE,
    OURS,
    PAIR,
    THEIRS,
    Desk,
    altered,
    codes,
    document,
    fill,
    lies,
    record_of,
    request,
    scanned,
    sha_of,
)

SPIKE = "L1.R67.C172"
BOBS = Options(window=56)
SMALL = Bounds(bytes=1000)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield fill(hub)


@pytest.fixture
def desk(hub: Hub, tmp_path: Path) -> Desk:
    return Desk(hub, tmp_path)


def whole(desk: Desk) -> list[str]:
    """What is wrong with the index."""
    return [f.message for f in check(desk.index) if f.severity == "error"]


# --- accepted ---


def test_a_scan_that_ours_confirms_becomes_a_version_that_credits_its_submitter(desk: Desk, hub: Hub) -> None:
    checked = desk.check(document(hub), "alice")

    done = accepted(desk.store, desk.index, checked, CURATOR, now=desk.now)

    record = desk.index.read(ONE)
    assert (codes(checked), checked.state) == (["bits-same", "rescan-agrees"], State.NEEDS_REVIEW)
    assert (done.state, done.last.figures["version"]) == (State.ACCEPTED, 1)
    assert (record.provenance.submitter, record.status.outcome) == ("alice", "found")
    assert whole(desk) == []


def test_what_is_appended_is_our_own_scan_and_the_submitter_s_is_a_claim_beside_it(desk: Desk, hub: Hub) -> None:
    theirs = record_of(hub).scans[0].id
    desk.accept(document(hub))

    record = desk.index.read(ONE)
    assert theirs not in {s.id for s in record.scans}
    assert {w.scan for w in record.super_weights} == {record.scans[0].id}
    assert {o.source.origin for o in record.observations} == {"submitter-alice"}
    assert confirmations(record) == {SPIKE: {"ours": True, "submitters": ["submitter-alice"]}}


def test_a_second_submitter_s_own_scan_counts_as_a_confirmation_and_ours_is_not_made_again(
    desk: Desk, hub: Hub
) -> None:
    desk.accept(document(hub), "alice")

    second = desk.accept(document(hub, options=BOBS), "bob")

    assert second.state is State.ACCEPTED
    assert confirmations(desk.index.read(ONE))[SPIKE]["submitters"] == ["submitter-alice", "submitter-bob"]
    assert len(desk.scans) == 1
    assert [r.provenance.submitter for r in desk.index.history(ONE)] == ["alice", "bob"]


def test_two_scans_of_one_submitter_count_once(desk: Desk, hub: Hub) -> None:
    desk.accept(document(hub), "alice")
    desk.accept(document(hub, options=BOBS), "alice")

    assert confirmations(desk.index.read(ONE))[SPIKE]["submitters"] == ["submitter-alice"]


def test_that_nothing_is_found_is_a_result_too(desk: Desk, hub: Hub) -> None:
    checked = desk.check(document(hub, NONE))
    accepted(desk.store, desk.index, checked, CURATOR, now=desk.now)

    record = desk.index.read(NONE)
    assert codes(checked) == ["nothing-to-read", "rescan-agrees"]
    assert (record.status.outcome, record.observations[0].detector_found) == ("none_found", False)


def test_free_words_of_a_submitter_go_into_no_record(desk: Desk, hub: Hub) -> None:
    """Every text of the record that the schema leaves free, and the note."""
    harm = lies("x")

    def hostile(record: dict[str, Any]) -> None:
        record["model"].update(dtype=harm, architecture=harm, model_type=harm)
        scan = record["scans"][0]
        scan.update(device=harm, libraries={harm: harm})
        scan["settings"].update(corpora=[harm], compute_dtype=harm, constants={harm: harm})
        for prompt in scan["settings"]["prompts"]:
            prompt["name"] = harm
        for each in scan["events"]:
            each["token"]["text"] = harm
        for effect in record["effects"]:
            effect["corpus"]["name"] = harm
        record["provenance"]["submitter"] = harm
        named_anew(record)

    sent = altered(document(hub), hostile)
    done = accepted(desk.store, desk.index, desk.check(sent, "alice"), CURATOR, now=desk.now)

    held = "".join(p.read_text() for p in desk.index.directory.rglob("*.jsonl"))
    states = "".join(p.read_text() for p in desk.store.folder.rglob("states.jsonl"))
    assert done.state is State.ACCEPTED
    assert harm in json.loads(desk.store.content(done))["record"]["model"]["dtype"]
    assert [word for word in ("script", "DROP TABLE", "alert(") if word in held + states] == []


# --- duplicate ---


def test_a_copy_of_a_submission_that_waits_is_a_duplicate(desk: Desk, hub: Hub) -> None:
    first = desk.check(document(hub), "alice")

    copy = desk.check(document(hub, note="mine, really"), "bob")

    assert (copy.state, codes(copy)) == (State.DUPLICATE, ["same-scan"])
    assert first.id in copy.last.said[0].message


def test_a_copy_of_an_accepted_submission_is_a_duplicate_and_confirms_nothing(desk: Desk, hub: Hub) -> None:
    desk.accept(document(hub), "alice")

    copy = desk.check(document(hub, note="mine, really"), "bob")

    assert (copy.state, codes(copy)[0]) == (State.DUPLICATE, "same-scan")
    assert confirmations(desk.index.read(ONE))[SPIKE]["submitters"] == ["submitter-alice"]


def test_a_copy_cannot_be_given_another_id(desk: Desk, hub: Hub) -> None:
    def renamed(record: dict[str, Any]) -> None:
        text = json.dumps(record).replace(record["scans"][0]["id"], "f" * 64)
        record.update(json.loads(text))

    done = desk.check(altered(document(hub), renamed))

    assert (done.state, codes(done)) == (State.REJECTED, ["scan-id"])


def test_who_was_forestalled_by_a_bad_copy_is_checked_again_once_that_is_refused(desk: Desk, hub: Hub) -> None:
    first = desk.receive(altered(document(hub), other_bits), "mallory")
    second = desk.check(document(hub), "alice")
    before = orphans(desk.store)

    refused = desk.judge.check(first, CURATOR)
    [again] = orphans(desk.store)

    assert (second.state, before, refused.state) == (State.DUPLICATE, [], State.REJECTED)
    assert again.id == second.id
    assert desk.judge.check(again, CURATOR).state is State.NEEDS_REVIEW
    assert orphans(desk.store) == []


def test_a_scan_that_the_index_has_is_a_duplicate(desk: Desk, hub: Hub) -> None:
    result = scanned(Job(ONE, sha_of(hub, ONE)), THEIRS, desk.api).result
    desk.index.append(result.record("crawler"))

    done = desk.check(document(hub))

    assert (done.state, codes(done)[0]) == (State.DUPLICATE, "same-scan")


# --- stale, and upon what is newer ---


def next_commit(hub: Hub, model: str = ONE) -> None:
    """The model gets another README, and so another commit."""
    hub.repo(model).write({"README.md": b"# news\n"})


def test_one_about_an_older_commit_than_the_index_has_by_now_is_stale(desk: Desk, hub: Hub) -> None:
    older = document(hub)
    next_commit(hub)
    desk.accept(document(hub), "bob")

    done = desk.check(older)

    assert (done.state, codes(done)) == (State.STALE, ["index-moved-on"])


def test_one_that_takes_the_place_of_another_commit_s_scan_needs_a_look(desk: Desk, hub: Hub) -> None:
    desk.accept(document(hub))
    next_commit(hub)

    done = desk.check(document(hub, parent=desk.index.read(ONE).provenance.digest), "bob")

    assert (done.state, codes(done)[0]) == (State.NEEDS_REVIEW, "other-commit")


def test_one_that_became_stale_between_check_and_acceptance_is_stale(desk: Desk, hub: Hub) -> None:
    checked = desk.check(document(hub))
    next_commit(hub)
    desk.accept(document(hub, options=BOBS), "bob")

    done = accepted(desk.store, desk.index, checked, CURATOR, now=desk.now)

    assert (done.state, codes(done)) == (State.STALE, ["index-moved-on"])
    assert len(desk.index.history(ONE)) == 1


def test_two_at_once_of_one_commit_are_both_right_in_either_order(desk: Desk, hub: Hub) -> None:
    one, two = desk.check(document(hub), "alice"), desk.check(document(hub, options=BOBS), "bob")

    ends = [accepted(desk.store, desk.index, each, CURATOR, now=desk.now).state for each in (two, one)]

    assert ends == [State.ACCEPTED, State.ACCEPTED]
    assert confirmations(desk.index.read(ONE))[SPIKE]["submitters"] == ["submitter-alice", "submitter-bob"]
    assert len(desk.index.read(ONE).scans) == 1
    assert whole(desk) == []


# --- rejected ---


def _of(record: dict[str, Any]) -> dict[str, Any]:
    weight: dict[str, Any] = record["super_weights"][0]
    return weight


def other_bits(record: dict[str, Any]) -> None:
    _of(record).update(bits="40c00000", value=6.0)


def other_place(record: dict[str, Any]) -> None:
    """The true bits of the weight, claimed one row further on."""
    text = json.dumps(record).replace(SPIKE, "L1.R66.C172")
    record.update(json.loads(text))
    weight = _of(record)
    weight.update(row=66, index=[66, 172] if weight["index"][0] == 67 else [172, 66])


def of_a_source(record: dict[str, Any]) -> None:
    record["groups"][0]["reported"] = True


def named_anew(record: dict[str, Any]) -> None:
    """Give the scan the id that follows from its content, everywhere."""
    scan = record["scans"][0]
    model = Model.model_validate_json(json.dumps(record["model"]))
    told = Settings.model_validate_json(json.dumps(scan["settings"]))
    profile = [LayerProfile.model_validate_json(json.dumps(p)) for p in scan["profile"]]
    record.update(json.loads(json.dumps(record).replace(scan["id"], scan_id_of(model, told, profile))))


def refiled(record: dict[str, Any]) -> None:
    record["model"]["files"][0]["sha256"] = "0" * 64
    named_anew(record)


def far_away(record: dict[str, Any]) -> None:
    _of(record)["byte_offset"] = 10**15


LIES = {
    "other bits": (other_bits, "bits-differ"),
    "another place": (other_place, "bits-differ"),
    "a set of a source": (of_a_source, "scan-only"),
    "another file": (refiled, "file-differs"),
    "beyond the file": (far_away, "beyond-file"),
}


@pytest.mark.parametrize("name", LIES)
def test_what_is_not_so_is_rejected_by_its_code(desk: Desk, hub: Hub, name: str) -> None:
    change, code = LIES[name]
    done = desk.check(altered(document(hub), change))

    assert done.state is State.REJECTED
    assert code in codes(done)
    assert desk.scans == []
    assert list(desk.index.models()) == []


def test_a_scalar_that_ours_does_not_find_is_rejected_though_its_bits_are_true(desk: Desk, hub: Hub) -> None:
    """The neighbour of the planted weight, with its own bits and the effects of the planted one."""

    def forged(record: dict[str, Any]) -> None:
        other_place(record)
        at = _of(record)
        with safe_open(CHECKPOINTS / FOLDERS[ONE] / at["file"], "pt") as file:
            value = file.get_tensor(at["tensor"])[tuple(at["index"])].item()
        at.update(value=value, bits=struct.pack(">f", value).hex())

    done = desk.check(altered(document(hub), forged))

    assert done.state is State.REJECTED
    assert [c for c in codes(done) if c in ("bits-same", "rescan-misses")] == ["bits-same", "rescan-misses"]


def test_a_scan_that_ours_contradicts_is_rejected(desk: Desk, hub: Hub) -> None:
    theirs = json.loads(document(hub, NONE).to_bytes())["record"]
    empty = altered(document(hub), lambda r: r.update(super_weights=[], groups=[], effects=[], scans=_none(r, theirs)))

    done = desk.check(empty)

    assert done.state is State.REJECTED
    assert "rescan-outcome" in codes(done)


def _none(record: dict[str, Any], other: dict[str, Any]) -> list[dict[str, Any]]:
    scan = {**record["scans"][0], "outcome": other["scans"][0]["outcome"], "events": [], "norm_gains": []}
    return [scan]


def test_a_record_that_was_changed_is_rejected(desk: Desk, hub: Hub) -> None:
    record = record_of(hub).model_dump(mode="json")
    record["scans"][0]["time"] = "2026-01-01T00:00:00Z"

    done = desk.check(make(ONE, sha_of(hub, ONE), record=record))

    assert (done.state, codes(done)) == (State.REJECTED, ["schema"])


def test_a_verdict_that_was_typed_in_is_rejected(desk: Desk, hub: Hub) -> None:
    record = record_of(hub, NONE).model_dump(mode="json")
    record["status"]["outcome"] = "found"

    assert codes(desk.check(make(NONE, sha_of(hub, NONE), record=record))) == ["schema"]


def test_another_model_s_record_is_rejected(desk: Desk, hub: Hub) -> None:
    record = record_of(hub).model_dump(mode="json")

    assert codes(desk.check(make(PAIR, sha_of(hub, PAIR), record=record))) == ["wrong-model"]


def test_a_record_of_a_thousand_scalars_is_rejected_before_it_is_read(desk: Desk, hub: Hub) -> None:
    record = record_of(hub).model_dump(mode="json")
    record["super_weights"] *= 1000

    assert codes(desk.check(make(ONE, sha_of(hub, ONE), record=record))) == ["too-many"]


def test_a_model_that_the_hub_does_not_have_is_rejected(desk: Desk) -> None:
    done = desk.check(make("demo/absent", "a" * 40))

    assert (done.state, codes(done)) == (State.REJECTED, ["not-on-hub"])


def test_what_a_curator_rejects_keeps_the_reason_and_can_be_checked_again(desk: Desk, hub: Hub) -> None:
    gone = rejected(desk.store, desk.check(document(hub)), CURATOR, "not now", now=desk.now)

    assert (gone.state, gone.last.why, gone.last.by) == (State.REJECTED, "not now", CURATOR)
    assert desk.judge.check(gone, CURATOR).state is State.NEEDS_REVIEW


# --- whatever is changed ---


def leaves(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values of a document that hold no others."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else None
    if inner is None:
        yield path
    else:
        for key, value in inner:
            yield from leaves(value, (*path, key))


ANY = st.none() | st.booleans() | st.integers(0, 300) | st.floats(-10, 10) | st.sampled_from(["x", "40a00000", SPIKE])


PARTS = ("super_weights", "effects", "groups", "scans", "model")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PARTS), st.integers(0, 10**4), ANY)
def test_whatever_is_changed_in_a_record_what_counts_as_measured_is_our_own_scan(
    hub: Hub, tmp_path: Path, part: str, where: int, value: Any
) -> None:
    def changed(record: dict[str, Any]) -> None:
        paths = [p for p in leaves(record) if p[0] == part]
        *parents, last = paths[where % len(paths)]
        held: Any = record
        for key in parents:
            held = held[key]
        held[last] = value

    desk = Desk(hub, tmp_path / str(len(list(tmp_path.iterdir()))))
    try:
        sent = altered(document(hub), changed)
    except (SwindexError, ValidationError):  # it cannot be made whole: then as it is, under a digest that fits
        record = record_of(hub).model_dump(mode="json")
        changed(record)
        record["provenance"]["digest"] = digest_of(record)
        sent = make(ONE, sha_of(hub, ONE), record=record)
    done = at_once(desk, sent)
    event(f"{done.state}: {', '.join(codes(done))}" if done.state is not State.ACCEPTED else "accepted")

    ours = scanned(Job(ONE, sha_of(hub, ONE)), OURS, desk.api).result
    held = list(desk.index.read(ONE).super_weights) if done.state is State.ACCEPTED else []
    assert done.state in (State.ACCEPTED, State.REJECTED, State.NEEDS_REVIEW)
    assert [w for w in held if w.scan is not None] == (list(ours.super_weights) if held else [])
    assert {w.id for w in held} <= {SPIKE}


# --- what cannot be told yet ---


def test_an_outage_says_nothing_of_a_submission(desk: Desk, hub: Hub, clock: Any) -> None:
    hub.fault("status", r"/api/models/demo/one", status=503)
    waiting = desk.check(document(hub))
    hub.clear()

    assert (waiting.state, codes(waiting)) == (State.RECEIVED, ["unasked"])
    assert desk.judge.check(waiting, CURATOR).state is State.NEEDS_REVIEW


def test_a_check_that_was_killed_begins_again(desk: Desk, hub: Hub) -> None:
    def killed(job: Job) -> Any:
        raise KeyboardInterrupt

    entry = desk.receive(document(hub))
    with pytest.raises(KeyboardInterrupt):
        Desk(hub, desk.store.folder.parent, scan=killed).judge.check(entry, CURATOR)

    assert desk.store.get(entry.id).state is State.CHECKING
    assert desk.judge.check(desk.store.get(entry.id), CURATOR).state is State.NEEDS_REVIEW


def test_a_gated_model_waits_for_a_curator(desk: Desk, hub: Hub) -> None:
    sent = document(hub)
    hub.repo(ONE).meta["gated"] = "manual"

    assert (codes(done := desk.check(sent)), done.state) == (["closed"], State.NEEDS_REVIEW)


# --- too large to scan here ---


def test_one_too_large_to_scan_here_has_its_bits_compared_and_stays_a_claim(hub: Hub, tmp_path: Path) -> None:
    desk = Desk(hub, tmp_path, SMALL)
    checked = desk.check(document(hub))

    accepted(desk.store, desk.index, checked, CURATOR, now=desk.now)

    [status] = desk.index.read(ONE).status.weights
    assert (codes(checked), desk.scans) == (["bits-same", "too-large-here"], [])
    assert (status.location, status.alone_basis, status.origins) == ("reported", "reported", ("submitter-alice",))
    assert desk.index.read(ONE).scans == ()
    assert whole(desk) == []


def test_a_request_is_scanned_and_credits_who_asked(desk: Desk, hub: Hub) -> None:
    done = desk.accept(request(hub), "carol")

    record = desk.index.read(ONE)
    assert (done.state, record.provenance.submitter, record.status.outcome) == (State.ACCEPTED, "carol", "found")
    assert record.observations == ()


def test_a_request_that_is_too_large_waits_until_a_crawl_has_answered_it(hub: Hub, tmp_path: Path) -> None:
    desk = Desk(hub, tmp_path, SMALL)
    waiting = desk.check(request(hub))
    with pytest.raises(NothingToAppend):
        accepted(desk.store, desk.index, waiting, CURATOR, now=desk.now)

    crawled = scanned(Job(ONE, sha_of(hub, ONE)), OURS, desk.api).result.record("crawler").model_dump(mode="json")
    index_with(desk.index, crawled, "2026-11-21T13:00:00Z")
    done = desk.judge.check(waiting, CURATOR)

    assert (waiting.state, codes(waiting)) == (State.NEEDS_REVIEW, ["too-large-here"])
    assert (done.state, codes(done)[0]) == (State.ACCEPTED, "fulfilled")


def index_with(index: Index, record: dict[str, Any], time: str) -> None:
    """Append a record as of a time."""
    parsed = Record.parse(json.dumps(record))
    parts = {n: getattr(parsed, n) for n in ("model", "super_weights", "groups", "effects", "scans")}
    index.add(parsed.model.id, lambda _: dict(parts), "crawler", time)


def test_a_request_for_what_the_index_has_is_a_duplicate(desk: Desk, hub: Hub) -> None:
    desk.accept(document(hub))

    assert codes(desk.check(request(hub), "bob"))[0] == "known-already"


def test_a_second_request_for_the_same_is_a_duplicate(hub: Hub, tmp_path: Path) -> None:
    desk = Desk(hub, tmp_path, SMALL)
    desk.check(request(hub), "alice")

    assert codes(desk.check(request(hub), "bob")) == ["same-request"]


# --- steps in order ---


def test_only_what_was_checked_can_be_accepted(desk: Desk, hub: Hub) -> None:
    entry = desk.receive(document(hub))

    with pytest.raises(WrongState):
        accepted(desk.store, desk.index, entry, CURATOR, now=desk.now)


def test_an_acceptance_that_was_killed_after_the_append_is_repeated_without_a_second_version(
    desk: Desk, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = desk.check(document(hub))

    def killed(*_: Any) -> Entry:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(desk.store, "step", killed)
        with pytest.raises(KeyboardInterrupt):
            accepted(desk.store, desk.index, checked, CURATOR, now=desk.now)
    again = accepted(desk.store, desk.index, desk.store.get(checked.id), CURATOR, now=desk.now)

    assert (again.state, again.last.figures["version"]) == (State.ACCEPTED, 1)
    assert len(desk.index.history(ONE)) == 1


# --- without a curator ---


def at_once(desk: Desk, sent: Submission, by: str = "alice") -> Entry:
    return accepted_if_confirmed(desk.store, desk.index, desk.check(sent, by), CURATOR, now=desk.now)


def test_what_our_own_scan_confirms_can_be_accepted_at_once(desk: Desk, hub: Hub) -> None:
    assert (at_once(desk, document(hub)).state, at_once(desk, request(hub, NONE)).state) == (State.ACCEPTED,) * 2


def test_what_was_not_scanned_here_waits_for_a_curator(hub: Hub, tmp_path: Path) -> None:
    desk = Desk(hub, tmp_path, SMALL)

    assert at_once(desk, document(hub)).state is State.NEEDS_REVIEW


def test_what_takes_another_commit_s_place_waits_for_a_curator(desk: Desk, hub: Hub) -> None:
    desk.accept(document(hub))
    next_commit(hub)

    done = at_once(desk, document(hub, parent=desk.index.read(ONE).provenance.digest), "bob")

    assert (done.state, "rescan-agrees" in codes(done)) == (State.NEEDS_REVIEW, True)


def test_what_would_bring_back_a_withdrawn_record_waits_for_a_curator(desk: Desk, hub: Hub) -> None:
    desk.accept(document(hub))
    desk.index.add(ONE, lambda p: p and withdraw(p, "a mistake", "2026-11-21T14:00:00Z"), "me", "2026-11-21T14:00:00Z")

    assert codes(done := at_once(desk, document(hub, options=BOBS), "bob"))[0] == "withdrawn"
    assert done.state is State.NEEDS_REVIEW


def test_a_check_that_breaks_off_is_a_finding_and_holds_up_no_other(hub: Hub, tmp_path: Path) -> None:
    def broken(_: Job) -> Any:
        raise LookupError("as nobody foresaw")

    done = Desk(hub, tmp_path, scan=broken).check(document(hub))

    assert (done.state, codes(done)) == (State.NEEDS_REVIEW, ["bits-same", "broke-off"])


# --- our own scan ---


def test_our_own_scan_in_a_process_apart_is_the_scan_that_it_would_be_here(hub: Hub) -> None:
    api = HfApi(endpoint=hub.url, token=False)
    job = Job(ONE, sha_of(hub, ONE), (CHECKPOINTS / FOLDERS[ONE] / "model.safetensors").stat().st_size)

    done = in_worker(OURS, Bounds(), api)(job)

    here = scanned(Job(ONE, sha_of(hub, ONE)), OURS, api).result
    assert (done.result.scan and done.result.scan.outcome) == Outcome.FOUND
    assert [(w.id, w.bits) for w in done.result.super_weights] == [(w.id, w.bits) for w in here.super_weights]
