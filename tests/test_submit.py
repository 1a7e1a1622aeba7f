"""Submitting to a dataset repository and to a service, and what curators see of it, with the unmodified Hub client."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants

from swindex.api.dataset import NotPublished
from swindex.api.main import main
from swindex.api.service.settings import Settings
from swindex.api.submitting.incoming import Taken, fetch, tell
from swindex.api.submitting.posting import NotSent, Refused, Service
from swindex.api.submitting.pulls import PATH, Opened, Pulls
from swindex.api.submitting.verdicts import comment, mark_of
from swindex.crawler.judging.decide import rejected
from swindex.crawler.judging.judge import Judge
from swindex.crawler.judging.rescan import Bounds
from swindex.index.store import Index
from swindex.index.submissions.codes import Said
from swindex.index.submissions.document import MOST, Submission, make
from swindex.index.submissions.entry import Entry, Pull, Sender, Step
from swindex.index.submissions.limits import Limits
from swindex.index.submissions.states import State
from swindex.index.submissions.store import Store
from swindex.index.submissions.tokens import Tokens
from swindex.schema.errors import UsageError
from swindex.schema.record import Record

from . import records as parts
from .hub import Hub
from .served import serving
from .submitted import Ticks

REPO = "org/index"
SHA = parts.REVISION
ALICE, CURATOR = "alice-secret-token", "curator-secret-token"
COMMIT = r"/api/datasets/org/index/commit/"
COMMENT = r"/discussions/\d+/comment"


def record() -> Record:
    """The record of a scan that nobody could re-check."""
    made = parts.found_parts("org/tiny")
    made["scans"] = (parts.scan("scan-1", revision=SHA),)
    return parts.make(made)


def sent(note: str | None = None) -> Submission:
    return make("org/tiny", SHA, record=record().model_dump(mode="json"), note=note)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        hub.add_user(ALICE, "alice")
        hub.add_user(CURATOR, "curator")
        hub.add(REPO, {"README.md": "An index.\n", "records/a.jsonl": "{}\n"}, kind="datasets")
        yield hub


@pytest.fixture
def pulls(hub: Hub) -> Callable[..., Pulls]:
    def pulls(token: str = ALICE) -> Pulls:
        return Pulls(REPO, HfApi(endpoint=hub.url, token=token), pause=lambda _: None)

    return pulls


def tree(hub: Hub, num: int | None = None) -> dict[str, bytes]:
    repo = hub.repo(REPO, kind="datasets")
    found = repo.head.tree if num is None else repo.pulls[num].tree
    return {path: blob.read() for path, blob in found.items()}


def count(hub: Hub) -> int:
    return len(hub.repo(REPO, kind="datasets").discussions)


def discussion(hub: Hub, num: int = 1) -> Any:
    return hub.repo(REPO, kind="datasets").discussions[num - 1]


def comments(hub: Hub, num: int = 1, by: str = "curator") -> list[str]:
    events = discussion(hub, num).events
    return [e["data"]["latest"]["raw"] for e in events if e["type"] == "comment" and e["author"]["name"] == by]


# --- a pull request ---


def test_a_pull_request_adds_exactly_one_file_at_an_allowed_path(hub: Hub, pulls: Any) -> None:
    done = pulls().offer(sent())

    before, after = tree(hub), tree(hub, 1)
    assert (done.num, done.is_new) == (1, True)
    assert {p: after[p] for p in after.keys() - before.keys()} == {sent().path: sent().to_bytes()}
    assert {p: after[p] for p in before} == before
    assert PATH.fullmatch(sent().path)


def test_offered_again_it_is_the_same_pull_request(hub: Hub, pulls: Any) -> None:
    first, second = pulls().offer(sent()), pulls().offer(sent())

    assert (second.num, second.is_new, count(hub)) == (first.num, False, 1)


def test_a_pull_request_whose_answer_was_lost_is_found_and_not_opened_twice(hub: Hub, pulls: Any) -> None:
    hub.fault("lost", COMMIT, method="POST", status=500, times=1)

    done = pulls().offer(sent())

    assert (done, count(hub)) == (Opened(f"{hub.url}/datasets/{REPO}/discussions/1", 1, True), 1)


def test_an_outage_before_the_commit_opens_one_in_the_end(hub: Hub, pulls: Any) -> None:
    hub.fault("status", COMMIT, method="POST", status=503, times=2)

    assert (pulls().offer(sent()).num, count(hub)) == (1, 1)


def test_what_main_has_already_opens_nothing(hub: Hub, pulls: Any) -> None:
    hub.repo(REPO, kind="datasets").write({sent().path: sent().to_bytes()})

    assert (pulls().offer(sent()), count(hub)) == (Opened(None, None, False), 0)


def test_somebody_else_s_pull_request_of_that_title_is_not_taken_for_ours(hub: Hub, pulls: Any) -> None:
    pulls(CURATOR).offer(sent())

    assert pulls(ALICE).offer(sent()).num == 2


def test_when_main_moves_meanwhile_the_pull_request_still_adds_one_file(hub: Hub, pulls: Any, tmp_path: Path) -> None:
    hub.fault("move_main", "preupload", repo=REPO, of="datasets", files={"LICENSE": "CC0"}, times=1)
    pulls().offer(sent())

    [entry] = take(hub, pulls, tmp_path).new

    assert "LICENSE" in tree(hub)
    assert (entry.sender.name, entry.model, entry.steps[0].said) == ("hf:alice", "org/tiny", ())


def test_a_token_that_may_not_write_is_told_so_and_not_shown(hub: Hub, pulls: Any) -> None:
    hub.add_user("reader-secret-token", "reader", approved=False)

    with pytest.raises(NotPublished) as refused:
        pulls("reader-secret-token").offer(sent())
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


# --- fetching ---


def take(hub: Hub, pulls: Any, folder: Path, **more: Any) -> Taken:
    return fetch(pulls(CURATOR), Store(folder / "submissions", **more), Ticks())


def test_what_is_fetched_is_what_was_sent_by_whom_the_hub_names(hub: Hub, pulls: Any, tmp_path: Path) -> None:
    pulls().offer(sent())

    first, second = take(hub, pulls, tmp_path), take(hub, pulls, tmp_path)

    [entry] = first.new
    assert entry.sender == Sender("hf:alice", Pull(REPO, 1, hub.repo(REPO, kind="datasets").pulls[1].sha))
    assert Store(tmp_path / "submissions").document(entry) == sent()
    assert (second.new, second.known) == ([], 1)


def test_a_closed_pull_request_is_not_fetched(hub: Hub, pulls: Any, tmp_path: Path) -> None:
    pulls().offer(sent())
    discussion(hub).status = "closed"

    assert take(hub, pulls, tmp_path).new == []


def add(path: str, data: bytes | str = b"{}") -> CommitOperationAdd:
    return CommitOperationAdd(path, data.encode() if isinstance(data, str) else data)


def own() -> CommitOperationAdd:
    return add(sent().path, sent().to_bytes())  # a new one each time: the client commits each once


ELSEWHERE = "submissions/org--tiny/0123456789abcdef.json"
WRONG: dict[str, tuple[list[Any], str]] = {
    "two files": ([own(), add("submissions/org--tiny/0000000000000000.json")], "not-one-file"),
    "a change beside it": ([own(), add("README.md", "Mine.")], "not-one-file"),
    "a removal beside it": ([own(), CommitOperationDelete("records/a.jsonl")], "not-one-file"),
    "a change alone": ([add("records/a.jsonl", "{}{}")], "not-one-file"),
    "a removal alone": ([CommitOperationDelete("README.md")], "not-one-file"),
    "a record put in place": ([add("records/org/tiny.jsonl")], "path"),
    "a workflow": ([add(".github/workflows/x.yml")], "path"),
    "a hidden file": ([add("submissions/.gitattributes")], "path"),
    "two folders down": ([add("submissions/a/b/0123456789abcdef.json")], "path"),
    "another name": ([add("submissions/org--tiny/latest.json", sent().to_bytes())], "path"),
    "a name of other content": ([add(ELSEWHERE, sent().to_bytes())], "path"),
    "another model's folder": (
        [add(sent().path.replace("org--tiny", "org--other"), sent().to_bytes())],
        "path",
    ),
    "no submission": ([add(ELSEWHERE, "<script>alert(1)</script>")], "malformed"),
    "a huge file": ([add(ELSEWHERE, b" " * (MOST + 1))], "too-large"),
}


def test_of_a_pull_request_of_many_files_only_some_are_listed(hub: Hub, pulls: Any, tmp_path: Path) -> None:
    many = [add(f"spam/{number:05}.json") for number in range(1_000)]
    made = HfApi(endpoint=hub.url, token=ALICE).create_commit(
        REPO, many, commit_message="x", repo_type="dataset", create_pr=True
    )
    hub.state.tree_page_size = 50
    hub.log.reset()

    [entry] = fetch(pulls(CURATOR), Store(tmp_path / "submissions"), Ticks()).new

    assert [(s.code, s.message) for s in entry.last.said] == [("not-one-file", "it adds at least 100 files")]
    assert 1 <= hub.log.count(f"/tree/{made.oid}") <= 4


@pytest.mark.parametrize("name", WRONG)
def test_a_pull_request_that_is_no_submission_is_rejected_told_why_and_closed(
    hub: Hub, pulls: Any, tmp_path: Path, name: str
) -> None:
    operations, code = WRONG[name]
    api = HfApi(endpoint=hub.url, token=ALICE)
    api.create_commit(REPO, operations, commit_message="x", repo_type="dataset", create_pr=True)
    store, index = Store(tmp_path / "submissions"), Index(tmp_path / "index")
    [entry] = fetch(pulls(CURATOR), store, Ticks()).new

    done = Judge(store, index, HfApi(endpoint=hub.url, token=False), now=Ticks()).check(entry, "curator")
    told = tell(pulls(CURATOR), [done])

    assert (done.state, [s.code for s in done.last.said], told) == (State.REJECTED, [code], 1)
    assert discussion(hub).status == "closed"
    assert "<script" not in "".join(comments(hub))
    assert code in comments(hub)[0]
    assert tree(hub) == {**tree(hub), "README.md": b"An index.\n", "records/a.jsonl": b"{}\n"}


def test_a_pull_request_that_changes_after_its_check_is_another_submission(
    hub: Hub, pulls: Any, tmp_path: Path
) -> None:
    pulls().offer(sent())
    [first] = take(hub, pulls, tmp_path).new
    HfApi(endpoint=hub.url, token=ALICE).create_commit(
        REPO, [add("README.md", "Mine.")], commit_message="x", repo_type="dataset", revision="refs/pr/1"
    )

    [second] = take(hub, pulls, tmp_path).new

    assert (first.id != second.id, [s.code for s in second.last.said]) == (True, ["not-one-file"])
    assert Store(tmp_path / "submissions").document(first) == sent()


def test_one_that_cannot_be_read_holds_up_no_other(hub: Hub, pulls: Any, tmp_path: Path) -> None:
    pulls().offer(sent())
    pulls().offer(sent("another"))

    taken = take(hub, pulls, tmp_path, limits=Limits(pending=1))

    assert (len(taken.new), len(taken.failed)) == (1, 1)
    assert "org/index#2" in taken.failed[0]


# --- verdicts ---


def judged(hub: Hub, pulls: Any, folder: Path) -> Entry:
    """A pull request that was looked at and rejected by a curator."""
    pulls().offer(sent())
    store = Store(folder / "submissions")
    [entry] = fetch(pulls(CURATOR), store, Ticks()).new
    return rejected(store, entry, "curator", "<img src=x onerror=alert(1)> @everyone `rm`", now=Ticks())


def test_a_verdict_is_told_once_though_its_answer_is_lost(hub: Hub, pulls: Any, tmp_path: Path) -> None:
    entry = judged(hub, pulls, tmp_path)
    hub.fault("lost", COMMENT, method="POST", status=500, times=1)

    tell(pulls(CURATOR), [entry])
    tell(pulls(CURATOR), [entry])

    assert (len(comments(hub)), discussion(hub).status) == (1, "closed")


def test_nobody_else_s_comment_keeps_a_verdict_back(hub: Hub, pulls: Any, tmp_path: Path) -> None:
    entry = judged(hub, pulls, tmp_path)
    HfApi(endpoint=hub.url, token=ALICE).comment_discussion(REPO, 1, mark_of(entry), repo_type="dataset")

    assert tell(pulls(CURATOR), [entry]) == 1


def test_what_a_submitter_wrote_is_no_markup_in_a_verdict(hub: Hub, pulls: Any, tmp_path: Path) -> None:
    text = comment(judged(hub, pulls, tmp_path))

    said = next(line for line in text.splitlines() if "reason" in line)
    assert said.startswith("    ")
    assert not set(said) & set("<>@`&")


def test_nothing_is_ever_merged(hub: Hub, pulls: Any, tmp_path: Path) -> None:
    before = tree(hub)
    tell(pulls(CURATOR), [judged(hub, pulls, tmp_path)])

    assert tree(hub) == before
    assert [e.path for e in hub.log.select("/merge")] == []


# --- a service ---


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "submissions"


def token_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    secret, _ = Tokens(folder).create("alice", ("record", "request"), "2026-11-21T00:00:00Z")
    monkeypatch.setenv("SWINDEX_TOKEN", secret)
    return secret


def test_a_service_keeps_what_is_sent_and_sent_twice_it_is_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(submissions=folder) as served:
        token_of(folder, monkeypatch)
        first, second = (Service(served.url).send(sent()) for _ in range(2))

    assert (first.is_new, second.is_new, first.page) == (True, False, second.page)
    assert [e.sender.name for e in Store(folder).entries()] == ["alice"]


def test_a_refusal_is_told_in_the_service_s_words_and_shows_no_token(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWINDEX_TOKEN", "swx_" + "C" * 43)
    with serving(settings=Settings(hourly=1), submissions=folder) as served:
        with pytest.raises(Refused, match="SWINDEX_TOKEN") as unknown:
            Service(served.url).send(sent())
        with pytest.raises(Refused, match="come back in") as often:
            Service(served.url).send(sent())

    assert "CCC" not in f"{unknown.value}{often.value}"


class Odd(BaseHTTPRequestHandler):
    """Answers as `answers` says, and notes what it was sent."""

    answers: list[tuple[int, dict[str, str], bytes]]
    seen: list[dict[str, str]]

    def do_POST(self) -> None:
        """Answer."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append(dict(self.headers))
        status, headers, body = self.answers.pop(0)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def odd(*answers: tuple[int, dict[str, str], bytes]) -> tuple[HTTPServer, str]:
    handler = type("Handler", (Odd,), {"answers": list(answers), "seen": []})
    server = HTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}"


GOOD = json.dumps({"id": "0123456789abcdef", "state": "received"}).encode()
ANSWERS: dict[str, tuple[list[tuple[int, dict[str, str], bytes]], type[Exception] | None]] = {
    "again after 503": ([(503, {}, b""), (502, {}, b""), (201, {}, GOOD)], None),
    "always 503": ([(503, {}, b"")] * 4, NotSent),
    "a redirect": ([(307, {"Location": "http://127.0.0.1:9/"}, b"")], Refused),
    "no JSON": ([(201, {}, b"<html>")], NotSent),
    "another JSON": ([(201, {}, b"[]")], NotSent),
    "an endless answer": ([(201, {}, b" " * (2 << 20))], NotSent),
    "a hostile reason": ([(422, {}, json.dumps({"detail": "\x1b[2J\n" * 500}).encode())], Refused),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_odd_answers_end_in_one_line_or_in_success(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    answers, error = ANSWERS[name]
    monkeypatch.setenv("SWINDEX_TOKEN", "swx_" + "D" * 43)
    server, url = odd(*answers)
    try:
        if error is None:
            assert Service(url, pause=lambda _: None).send(sent()).is_new
            return
        with pytest.raises(error) as refused:
            Service(url, pause=lambda _: None).send(sent())
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 500
        assert "DDD" not in str(refused.value)
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "address",
    [
        "http://index.example",
        "ftp://127.0.0.1",
        "https://user:pass@host",
        "https://h/?x=1",
        "http://[",
        "/etc/passwd",
        "",
    ],
)
def test_a_token_goes_over_https_or_stays_on_this_machine(address: str) -> None:
    with pytest.raises(UsageError):
        Service(address)


# --- the command line ---


@pytest.fixture
def run(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    template = "{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{hub.url}/{template}")
    monkeypatch.setenv("SWINDEX_SUBMISSIONS", str(folder))

    def run(*arguments: str, token: str = ALICE) -> tuple[int, str, str]:
        monkeypatch.setenv("HF_TOKEN", token)
        status = main([*arguments])
        said = capsys.readouterr()
        assert "secret" not in said.out + said.err
        return status, said.out, said.err

    return run


def in_file(tmp_path: Path, made: Record | None = None) -> str:
    path = tmp_path / "RECORD.json"
    path.write_text(json.dumps((made or record()).model_dump(mode="json"), indent=1))
    return str(path)


def test_a_record_in_a_file_is_shown_and_offered(run: Any, hub: Hub, tmp_path: Path) -> None:
    status, out, _ = run("submit", in_file(tmp_path), "--repo", REPO, "--yes")

    assert status == 0
    assert "L1.R2.C3" in out
    assert "be8c" in out
    assert f"{hub.url}/datasets/{REPO}/discussions/1" in out
    assert tree(hub, 1)[sent().path] == sent().to_bytes()


def test_a_record_in_a_file_is_sent_to_a_service(
    run: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(submissions=folder) as served:
        secret = token_of(folder, monkeypatch)
        status, out, err = run("submit", in_file(tmp_path), "--to", served.url, "--yes", "--note", "hello", "--json")

    told = json.loads(out)
    [entry] = Store(folder).entries()
    assert (status, told["id"], told["url"]) == (0, entry.id, f"{served.url}/submissions/{entry.id}")
    assert Store(folder).document(entry) == sent("hello")
    assert secret not in out + err
    assert "hello" in run("review", "show", entry.id)[1]


def test_a_dry_run_and_nobody_to_ask_send_nothing(run: Any, hub: Hub, tmp_path: Path) -> None:
    dry = run("submit", in_file(tmp_path), "--repo", REPO, "--dry-run", "--json")
    unasked = run("submit", in_file(tmp_path), "--repo", REPO)

    assert (dry[0], json.loads(dry[1])["sent"], json.loads(dry[1])["path"]) == (0, False, sent().path)
    assert (unasked[0], "--yes" in unasked[2], unasked[2].count("\n")) == (2, True, 1)
    assert count(hub) == 0


def test_a_model_too_large_for_this_machine_becomes_a_request(run: Any, hub: Hub, folder: Path) -> None:
    hub.add_folder("demo/large", Path(__file__).parent / "checkpoints" / "aidreams260k")
    status, out, _ = run("submit", "demo/large", "--repo", REPO, "--yes", "--max-bytes", "1000", "--json")

    told = json.loads(out)
    assert (status, told["kind"], told["revision"]) == (0, "request", hub.repo("demo/large").head.sha)
    assert hub.log.count("demo/large/resolve/.*safetensors") == 0


UNFIT = {
    "no such file": (["nowhere.json"], 2),
    "no model": (["no model"], 2),
    "no such model": (["demo/absent"], 3),
    "two places": (["demo/absent", "--to", "http://127.0.0.1:9"], 2),
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_cannot_be_submitted_is_told_in_one_line(run: Any, name: str) -> None:
    arguments, expected = UNFIT[name]
    status, _, err = run("submit", *arguments, "--repo", REPO, "--yes")

    assert (status, err.count("\n")) == (expected, 1)


def test_without_a_place_it_goes_nowhere(run: Any, tmp_path: Path) -> None:
    status, _, err = run("submit", in_file(tmp_path), "--yes")

    assert (status, "--repo ORG/NAME" in err) == (2, True)


def test_a_scan_of_a_folder_or_one_that_failed_is_not_submitted(run: Any, tmp_path: Path) -> None:
    folders = run("submit", in_file(tmp_path, parts.found("org/tiny")), "--repo", REPO, "--yes")
    failed = run("submit", in_file(tmp_path, parts.failed("org/tiny")), "--repo", REPO, "--yes")

    assert ([s for s, _, _ in (folders, failed)], "names no commit" in folders[2]) == ([3, 3], True)


def test_curators_see_decide_and_tell(run: Any, hub: Hub, folder: Path, tmp_path: Path) -> None:
    run("submit", in_file(tmp_path), "--repo", REPO, "--yes")
    fetched = run("review", "fetch", REPO, token=CURATOR)
    assert fetched[2] == ""
    [entry] = Store(folder).entries()
    rejected = run("review", "reject", entry.id[:6], "--by", "carol", "--reason", "not now", token=CURATOR)
    listed = run("review", "list"), run("review", "list", "--all", "--json")
    shown = run("review", "show", entry.id)

    assert (fetched[0], rejected[0]) == (0, 0)
    assert "1 new" in fetched[1]
    assert (listed[0][1], json.loads(listed[1][1])["submissions"][0]["state"]) == ("", "rejected")
    assert "not now" in shown[1]
    assert "not now" in comments(hub)[0]


def test_a_check_without_a_hub_waits_and_says_so(run: Any, hub: Hub, folder: Path, tmp_path: Path, clock: Any) -> None:
    Store(folder).receive(make("demo/x", SHA).to_bytes(), Sender("alice"), "2026-11-21T00:00:00Z")
    hub.fault("status", "/api/models/", status=503)

    status, out, _ = run("review", "check", "--index", str(tmp_path / "index"))

    assert (status, "unasked" in out, Store(folder).entries()[0].state) == (3, True, State.RECEIVED)


def test_tokens_are_made_listed_and_revoked(run: Any, folder: Path) -> None:
    _, made, _ = run("token", "create", "bob", "--scope", "request", "--days", "3")
    listed = run("token", "list")[1]
    [token] = Tokens(folder).all()
    revoked = run("token", "revoke", token.id)

    assert Tokens(folder).find(made.strip(), "2026-11-21T00:00:00Z") is None
    assert (token.name, token.scopes, "bob" in listed, made.strip() in listed) == ("bob", ("request",), True, False)
    assert (revoked[0], run("token", "revoke", "00000000")[0]) == (0, 1)


def test_hostile_texts_steer_no_terminal(run: Any, folder: Path) -> None:
    store = Store(folder)
    note = "\x1b[2J\x1b]0;owned\x07\u202e"
    entry, _ = store.receive(make("org/tiny", SHA, record={"a": note}, note=note).to_bytes(), Sender("alice"), SEND)
    entry = store.step(entry, Step(State.CHECKING, SEND, "x"))
    store.step(entry, Step(State.NEEDS_REVIEW, SEND, note, note, (Said("bits-differ", note),), {"bytes": 1}))

    printed = run("review", "show", entry.id)[1] + run("review", "list")[1]

    assert not [c for c in printed if not (c.isprintable() or c == "\n")]


SEND = "2026-11-21T12:00:00Z"


def test_a_check_of_many_goes_on_after_a_bad_one(run: Any, hub: Hub, folder: Path, tmp_path: Path) -> None:
    store = Store(folder)
    store.receive(make("demo/absent", SHA).to_bytes(), Sender("alice"), "2026-11-21T12:00:00Z")
    store.receive(sent().to_bytes(), Sender("bob"), "2026-11-21T12:00:01Z")

    status, out, _ = run("review", "check", "--index", str(tmp_path / "index"), "--max-bytes", "0", "--json")

    assert (status, [s["state"] for s in json.loads(out)["submissions"]]) == (1, ["rejected", "rejected"])


def test_bounds_of_a_check_have_defaults() -> None:
    assert (Bounds().bytes, Bounds().seconds) == (4_000_000_000, 900.0)
