"""The quarantine: the states of a submission, what is on disk at every moment, limits, and tokens."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swindex.index.errors import DamagedLog, NotInIndex, StoreError
from swindex.index.findings import CODES as LINT
from swindex.index.submissions.codes import CODES, ENDS, Effect, Said, strongest
from swindex.index.submissions.document import MOST, Submission, make, read
from swindex.index.submissions.entry import Entry, Pull, Sender, Step
from swindex.index.submissions.limits import Limits, TooMany
from swindex.index.submissions.states import MEANING, NEXT, State, WrongState
from swindex.index.submissions.store import Store
from swindex.index.submissions.tokens import Tokens
from swindex.schema.errors import UsageError

from .kills import Killing

SHA = "a" * 40
TIME = "2026-11-21T12:00:00Z"
ALICE, BOB = Sender("alice"), Sender("bob")


def wish(model: str = "org/one", **more: Any) -> Submission:
    return make(model, SHA, **more)


def received(store: Store, model: str = "org/one", sender: Sender = ALICE, time: str = TIME) -> Entry:
    return store.receive(wish(model).to_bytes(), sender, time)[0]


# --- the machine ---


def test_every_state_has_followers_and_a_meaning() -> None:
    assert set(NEXT) == {None, *State}
    assert set(MEANING) == set(State)


def test_every_state_can_be_reached_and_nothing_follows_accepted() -> None:
    reached, border = {State.RECEIVED}, {State.RECEIVED}
    while border := {after for state in border for after in NEXT[state]} - reached:
        reached |= border

    assert reached == set(State)
    assert NEXT[State.ACCEPTED] == frozenset()


def test_every_effect_leads_from_a_check_to_a_state_that_may_follow_it() -> None:
    assert set(ENDS) == set(Effect)
    assert set(ENDS.values()) <= NEXT[State.CHECKING]


def test_the_strongest_finding_decides() -> None:
    assert strongest([Said("bits-same", ""), Said("too-large-here", ""), Said("bits-differ", "")]) is Effect.REJECT
    assert strongest([Said("unasked", ""), Said("same-scan", "")]) is Effect.DUPLICATE
    assert strongest([]) is Effect.NOTE


def test_rules_for_records_keep_their_codes_and_an_error_rejects() -> None:
    assert {Said(code, "").effect for code in LINT.keys() - CODES.keys()} == {Effect.REJECT, Effect.NOTE}
    assert (Said("beyond-file", "").effect, Said("uncontrolled", "").effect) == (Effect.REJECT, Effect.NOTE)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(wanted=st.lists(st.sampled_from(list(State)), max_size=12))
def test_a_store_takes_the_steps_of_the_table_and_no_other(tmp_path: Path, wanted: list[State]) -> None:
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    store = Store(folder)
    entry, model = received(store), [State.RECEIVED]

    for state in wanted:
        if state in NEXT[model[-1]]:
            store.step(entry, Step(state, TIME, "x"))
            model.append(state)
        else:
            with pytest.raises(WrongState):
                store.step(entry, Step(state, TIME, "x"))

    [kept] = Store(folder).entries()
    assert [step.state for step in kept.steps] == model


# --- documents ---

BAD = {
    "an address in place of a model": b'{"format":"swindex-submission-1","kind":"request","model":"http://10.0.0.1/x"'
    b',"revision":"' + SHA.encode() + b'"}',
    "a branch": wish().to_bytes().replace(SHA.encode(), b"main"),
    "a field that there is not": wish().to_bytes().replace(b'{"format"', b'{"url":"http://10.0.0.1/","format"'),
    "a key twice": wish().to_bytes().replace(b'{"format"', b'{"kind":"record","format"'),
    "a path as a model": wish().to_bytes().replace(b"org/one", b"../etc"),
    "not a number": wish().to_bytes().replace(b"null", b"NaN", 1),
    "a record without a record": wish().to_bytes().replace(b'"request"', b'"record"'),
    "half a surrogate": wish(note="x").to_bytes().replace(b'"x"', rb'"\ud800"'),
    "a long note": wish(note="x").to_bytes().replace(b'"x"', b'"' + b"x" * 501 + b'"'),
    "many levels": b'{"record":' + b"[" * 50_000,
    "levels that a parser bears": b'{"record":' + b"[" * 900 + b"]" * 900 + b"}",
    "a number of 5000 digits": b'{"record":{"a":' + b"9" * 5000 + b"}}",
    "a list": b"[]",
    "nothing": b"",
    "no text": b"\xff\xfe\x00",
    "too much": b" " * (MOST + 1),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_submission_is_refused_in_one_line_and_nothing_is_kept(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError) as refused:
        Store(tmp_path).receive(BAD[name], ALICE, TIME)

    assert "\n" not in str(refused.value)
    assert list(tmp_path.rglob("*.json*")) == []


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_submission_or_a_usage_error(data: bytes) -> None:
    with suppress(UsageError):
        assert read(data).to_bytes()


def test_a_document_is_read_as_it_was_written() -> None:
    made = wish(note="please", parent="b" * 64)

    assert read(made.to_bytes()) == made
    assert made.path == f"submissions/org--one/{made.digest[:16]}.json"


# --- the store ---


def test_the_same_from_the_same_sender_is_one_submission(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, second = (store.receive(wish().to_bytes(), ALICE, TIME) for _ in range(2))
    other = store.receive(wish().to_bytes(), BOB, TIME)

    assert (first[1], second[1], other[1]) == (True, False, True)
    assert first[0] == second[0]
    assert len(store.entries()) == 2


def test_a_pull_request_is_part_of_who_sends(tmp_path: Path) -> None:
    store = Store(tmp_path)
    pulls = [Sender("hf:alice", Pull("org/index", num, SHA)) for num in (1, 2)]
    entries = [store.receive(wish().to_bytes(), each, TIME)[0] for each in pulls]

    assert [e.sender for e in map(Store(tmp_path).find, [e.id for e in entries]) if e] == pulls


def test_a_changed_document_is_noticed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    entry = received(store)
    [path] = tmp_path.rglob("document.json")
    path.write_bytes(wish("org/two").to_bytes())

    with pytest.raises(StoreError, match="was changed"):
        store.document(entry)


def test_a_state_that_was_taken_out_is_noticed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    entry = received(store)
    for state in (State.CHECKING, State.NEEDS_REVIEW, State.REJECTED):
        store.step(entry, Step(state, TIME, "x"))
    [path] = tmp_path.rglob("states.jsonl")
    lines = path.read_bytes().splitlines(True)
    path.write_bytes(b"".join([*lines[:2], *lines[3:]]))

    with pytest.raises(DamagedLog, match="line 3"):
        Store(tmp_path).entries()


def test_a_torn_state_is_dropped_and_cut_off_by_the_next(tmp_path: Path) -> None:
    store = Store(tmp_path)
    entry = received(store)
    [path] = tmp_path.rglob("states.jsonl")
    with path.open("ab") as file:
        file.write(b'{"by":"x","fig')

    assert store.get(entry.id).state is State.RECEIVED
    store.step(entry, Step(State.CHECKING, TIME, "x"))
    assert [s.state for s in Store(tmp_path).get(entry.id[:6]).steps] == [State.RECEIVED, State.CHECKING]


@pytest.mark.parametrize("name", ["..", "../../etc", "A" * 16, "", "0" * 17, "0" * 15 + "/"])
def test_an_id_is_no_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotInIndex):
        Store(tmp_path).find(name)


# --- kills ---


class Died(BaseException):
    """The process is gone: nothing that follows is done either."""


class Dying(Killing):
    """Files that do nothing more from the `at`-th operation on."""

    def step(self) -> None:
        """Count an operation."""
        self.count += 1
        if self.count >= self.at:
            raise Died


def until_it_lives(work: Callable[[int], bool]) -> int:
    """How many kills it takes until it is through."""
    return next(at - 1 for at in count(1) if work(at))


def test_a_submission_is_whole_or_not_there_wherever_receiving_it_is_killed(tmp_path: Path) -> None:
    def killed(at: int) -> bool:
        folder, told = tmp_path / str(at), False
        try:
            received(Store(folder, files=Dying(at)))
            told = True
        except Died:
            pass
        there = Store(folder).entries()
        entry = received(Store(folder))

        assert told is False or len(there) == 1
        assert [e.id for e in Store(folder).entries()] == [entry.id]
        assert Store(folder).document(entry) == wish()
        return told

    assert until_it_lives(killed) > 10


def test_a_state_is_there_or_not_wherever_a_step_is_killed(tmp_path: Path) -> None:
    def killed(at: int) -> bool:
        folder, told = tmp_path / str(at), False
        entry = received(Store(folder))
        try:
            Store(folder, files=Dying(at)).step(entry, Step(State.CHECKING, TIME, "x"))
            told = True
        except Died:
            pass
        state = Store(folder).get(entry.id).state

        assert state is State.CHECKING if told else state in (State.RECEIVED, State.CHECKING)
        assert Store(folder).step(entry, Step(State.CHECKING, TIME, "x")).state is State.CHECKING
        return told

    assert until_it_lives(killed) > 3


class Failing(Killing):
    """Files whose `at`-th operation fails; all others are done."""

    def step(self) -> None:
        """Count an operation."""
        self.count += 1
        if self.count == self.at:
            raise OSError(28, "No space left on device")


def test_wherever_the_disk_fails_nobody_is_told_that_it_was_kept_and_the_next_try_is_right(tmp_path: Path) -> None:
    def failed(at: int) -> bool:
        folder, told, files = tmp_path / str(at), 0, Failing(at)
        with suppress(StoreError):
            entry = received(Store(folder, files=files))
            told = 1
            Store(folder, files=files).step(entry, Step(State.CHECKING, TIME, "x"))
            told = 2
        states = [s.state for e in Store(folder).entries() for s in e.steps]

        assert len(states) >= told
        entry = received(Store(folder))
        assert Store(folder).step(entry, Step(State.CHECKING, TIME, "x")).state is State.CHECKING
        return files.count < at  # nothing failed

    assert until_it_lives(failed) > 10


# --- limits ---


def test_a_sender_has_so_many_that_wait_and_no_more(tmp_path: Path) -> None:
    store = Store(tmp_path, limits=Limits(pending=2))
    entries = [received(store, f"org/m{n}") for n in range(2)]

    with pytest.raises(TooMany):
        received(store, "org/m2")
    assert received(store, "org/m2", BOB).sender == BOB
    store.step(entries[0], Step(State.REJECTED, TIME, "x"))
    assert received(store, "org/m2").sender == ALICE


def test_a_sender_has_so_many_a_day_whatever_became_of_them(tmp_path: Path) -> None:
    store = Store(tmp_path, limits=Limits(daily=2))
    for number in range(2):
        store.step(received(store, f"org/m{number}"), Step(State.REJECTED, TIME, "x"))

    with pytest.raises(TooMany) as refused:
        received(store, "org/m2", time="2026-11-21T13:00:00Z")
    assert refused.value.wait == 23 * 3600
    assert received(store, "org/m2", time="2026-11-22T12:00:00Z").state is State.RECEIVED


def test_all_together_have_so_many_that_wait(tmp_path: Path) -> None:
    store = Store(tmp_path, limits=Limits(waiting=1))
    received(store)

    with pytest.raises(TooMany):
        received(store, sender=BOB)


def test_what_is_there_already_is_no_more_however_many_wait(tmp_path: Path) -> None:
    store = Store(tmp_path, limits=Limits(pending=1))

    assert received(store) == received(store)


# --- tokens ---


def test_a_token_is_kept_as_its_digest_alone(tmp_path: Path) -> None:
    secret, made = Tokens(tmp_path).create("alice", ("record",), TIME)

    held = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert secret.encode() not in held
    assert secret[4:].encode() not in held
    assert Tokens(tmp_path).find(secret, TIME) == made
    assert (tmp_path / "tokens.json").stat().st_mode & 0o077 == 0


def test_a_token_counts_until_it_is_revoked(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    (secret, made), (other, _) = (tokens.create(name, ("record",), TIME) for name in ("alice", "bob"))

    tokens.revoke(made.id, TIME)

    assert tokens.find(secret, TIME) is None
    assert tokens.find(other, TIME) is not None


def test_a_token_counts_until_it_expires(tmp_path: Path) -> None:
    secret, _ = Tokens(tmp_path).create("alice", ("record",), TIME, expires="2026-11-22T00:00:00Z")

    assert Tokens(tmp_path).find(secret, "2026-11-21T23:59:59Z") is not None
    assert Tokens(tmp_path).find(secret, "2026-11-22T00:00:00Z") is None


@pytest.mark.parametrize(
    "token", ["", "swx_", "swx_" + "a" * 43, "x" * 10_000, "swx_\x00" + "a" * 42, "swx_" + "é" * 43]
)
def test_what_is_no_token_is_none(tmp_path: Path, token: str) -> None:
    Tokens(tmp_path).create("alice", ("record",), TIME)

    assert Tokens(tmp_path).find(token, TIME) is None


@pytest.mark.parametrize(
    ("name", "scopes"), [("hf:alice", ("record",)), ("<b>", ("record",)), ("a", ()), ("a", ("x",))]
)
def test_a_token_has_a_plain_name_and_known_scopes(tmp_path: Path, name: str, scopes: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        Tokens(tmp_path).create(name, scopes, TIME)


def test_damaged_tokens_let_nobody_in(tmp_path: Path) -> None:
    secret, _ = Tokens(tmp_path).create("alice", ("record",), TIME)
    (tmp_path / "tokens.json").write_text(json.dumps({"tokens": [{"name": "alice"}]}))

    with pytest.raises(StoreError):
        Tokens(tmp_path).find(secret, TIME)
