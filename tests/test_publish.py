"""Publishing a release to a dataset repository: one commit, a tag, never back, and whatever goes wrong on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from swindex.api.dataset import NotPublished
from swindex.api.publishing import Published, Refused, Wish, publish, publish_index
from swindex.index.errors import StoreError
from swindex.index.release import release
from swindex.index.site import Root
from swindex.index.store import Index
from swindex.schema.errors import UsageError

from . import records as make
from .hub import Hub
from .published import Releases, releases

REPO = "org/swindex"
CREATE = Wish(create=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Releases:
    return releases(tmp_path_factory.mktemp("releases"))


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


@pytest.fixture
def waits() -> list[float]:
    """The pauses that were made, of no length."""
    return []


@pytest.fixture
def put(hub: Hub, waits: list[float]) -> Any:
    """Publish a directory to the loopback Hub."""

    def put(directory: Path, wish: Wish = CREATE, token: str | None = hub.token, repo: str = REPO) -> Published:
        return publish(directory, repo, wish, api=HfApi(endpoint=hub.url, token=token), pause=waits.append)

    return put


def files(hub: Hub, repo: str = REPO) -> dict[str, bytes]:
    """What is on `main`, without what the Hub itself puts there."""
    return {p: b.read() for p, b in hub.repo(repo, kind="datasets").head.tree.items() if p != ".gitattributes"}


def on_disk(directory: Path) -> dict[str, bytes]:
    paths = (p for p in directory.rglob("*") if p.is_file() and not p.name.startswith("."))
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in paths}


def commits(hub: Hub) -> int:
    return len(hub.repo(REPO, kind="datasets").commits) - 1


def tags(hub: Hub) -> dict[str, str]:
    return {name: commit.sha for name, commit in hub.repo(REPO, kind="datasets").tags.items()}


# --- one commit and a tag ---


def test_the_repository_holds_the_release_byte_for_byte(hub: Hub, put: Any, made: Releases) -> None:
    put(made.first)

    assert files(hub) == on_disk(made.first)


def test_it_is_one_commit_with_a_tag_of_its_day(hub: Hub, put: Any, made: Releases) -> None:
    done = put(made.first)

    assert (commits(hub), tags(hub)) == (1, {"v2026.11.21": done.revision})


def test_publishing_again_does_nothing(hub: Hub, put: Any, made: Releases) -> None:
    first = put(made.first)
    hub.log.reset()

    again = put(made.first)

    assert (again.revision, again.tag, again.new_tag, again.change.files) == (first.revision, first.tag, False, {})
    assert [e.path for e in hub.log.entries if e.method != "GET"] == []


def test_the_next_release_sends_only_what_is_new(hub: Hub, put: Any, made: Releases) -> None:
    put(made.first)
    before = files(hub)

    done = put(made.second)

    after = on_disk(made.second)
    assert set(done.change.files) == {p for p, held in after.items() if before.get(p) != held}
    assert files(hub) == {**before, **after}
    assert (commits(hub), done.tag, done.before and done.before.seq, done.head.seq) == (2, "v2026.11.22", 2, 3)


def test_what_older_releases_name_stays_until_it_is_pruned(hub: Hub, put: Any, made: Releases) -> None:
    put(made.first)
    put(made.second)
    assert "changes/000000.2.jsonl" in files(hub)

    done = put(made.second, Wish(prune=True))

    named = {"changes/000000.3.jsonl", "versions/000000.3.jsonl"}
    assert {p for p in files(hub) if p.startswith(("changes/", "versions/"))} == named
    assert "changes/000000.2.jsonl" in done.change.removed


def test_a_parquet_file_that_no_root_names_goes_in_the_same_commit(hub: Hub, put: Any, made: Releases) -> None:
    put(made.first)
    hub.repo(REPO, kind="datasets").write({"parquet/models/00001.parquet": b"old"})

    done = put(made.second)

    assert done.change.removed == ("parquet/models/00001.parquet",)
    assert commits(hub) == 3


def test_files_that_are_not_ours_stay(hub: Hub, put: Any, made: Releases) -> None:
    put(made.first)
    hub.repo(REPO, kind="datasets").write({"LICENSE": b"CC0"})

    put(made.second)

    assert files(hub)["LICENSE"] == b"CC0"


def test_a_second_release_of_a_day_gets_a_number(hub: Hub, put: Any, made: Releases, tmp_path: Path) -> None:
    put(made.first)
    shutil.copytree(made.first, tmp_path / "same-day")
    release(Index(made.index), tmp_path / "same-day", released="2026-11-21T09:00:00Z")

    assert put(tmp_path / "same-day").tag == "v2026.11.21.1"


def test_the_caller_may_name_the_tag(hub: Hub, put: Any, made: Releases) -> None:
    done = put(made.first, Wish(create=True, tag="launch"))

    assert tags(hub) == {"launch": done.revision}


def test_a_tag_does_not_move(hub: Hub, put: Any, made: Releases) -> None:
    put(made.first, Wish(create=True, tag="launch"))

    with pytest.raises(Refused, match="tags do not move"):
        put(made.second, Wish(tag="launch"))


def test_a_dry_run_changes_nothing(hub: Hub, put: Any, made: Releases) -> None:
    done = put(made.first, Wish(create=True, dry_run=True))

    assert (set(done.change.files), done.tag, done.revision) == (set(on_disk(made.first)), "v2026.11.21", None)
    assert {e.method for e in hub.log.entries} == {"GET"}


def test_large_files_go_by_their_digest_and_only_once(made: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    with Hub(lfs_uploads=True) as hub:
        api = HfApi(endpoint=hub.url, token=hub.token)
        publish(made.first, REPO, CREATE, api=api)
        hub.log.reset()
        publish(made.second, REPO, api=api)

        assert files(hub).items() >= on_disk(made.second).items()
        sent = {e.path.rpartition("/")[2] for e in hub.log.select("/_lfs/", "PUT")}
        digests = {p: f.sha256 for p, f in root_of(made.first).files.items()}
        assert sent == {f.sha256 for p, f in root_of(made.second).files.items() if p.endswith((".parquet", ".duckdb"))
                        and digests.get(p) != f.sha256}  # fmt: skip


def root_of(directory: Path) -> Root:
    return Root.parse((directory / "root.json").read_bytes())


# --- never back, and nothing of others ---


def test_an_older_release_is_refused(hub: Hub, put: Any, made: Releases) -> None:
    put(made.second)

    with pytest.raises(Refused, match=r"is ahead \(change 3, here 2\)"):
        put(made.first)
    assert commits(hub) == 1


@pytest.mark.parametrize("ours", ["second", "forked"])
def test_another_index_s_changes_are_refused(hub: Hub, put: Any, made: Releases, ours: str) -> None:
    theirs = {"second": "forked", "forked": "second"}[ours]
    put(getattr(made, theirs))

    with pytest.raises(Refused, match=r"holds other changes|is ahead"):
        put(getattr(made, ours))
    assert commits(hub) == 1


def test_an_older_release_of_the_same_changes_is_refused(hub: Hub, put: Any, made: Releases, tmp_path: Path) -> None:
    put(made.second)
    release(Index(made.index), tmp_path / "older", released="2026-11-21T23:00:00Z")

    with pytest.raises(Refused, match="holds a newer release of the same changes"):
        put(tmp_path / "older")


@pytest.mark.parametrize("kind", ["datasets", "models"])
def test_a_repository_of_something_else_is_refused(hub: Hub, put: Any, made: Releases, kind: str) -> None:
    hub.add(REPO, {".gitattributes": "", "data.csv": "a,b\n"}, kind=kind)

    if kind == "models":
        with pytest.raises(NotPublished, match="no such dataset"):
            put(made.first, Wish())
    else:
        with pytest.raises(Refused, match=r"holds data\.csv and no release"):
            put(made.first)
        assert files(hub) == {"data.csv": b"a,b\n"}


def test_a_root_that_is_none_is_refused(hub: Hub, put: Any, made: Releases) -> None:
    hub.add(REPO, {"root.json": "{}"}, kind="datasets")

    with pytest.raises(NotPublished, match="holds what is no release"):
        put(made.first)
    assert files(hub) == {"root.json": b"{}"}


def test_a_repository_that_is_not_there_is_made_on_request_only(hub: Hub, put: Any, made: Releases) -> None:
    with pytest.raises(NotPublished, match="--create makes it"):
        put(made.first, Wish())
    assert len(hub.state.repos) == 0


@pytest.mark.parametrize("path", ["root.json", "changes/000000.2.jsonl", "versions/000000.2.jsonl", "index.duckdb"])
def test_a_directory_that_is_not_whole_is_refused(
    hub: Hub, put: Any, made: Releases, tmp_path: Path, path: str
) -> None:
    shutil.copytree(made.first, tmp_path / "broken")
    (tmp_path / "broken" / path).unlink()

    with pytest.raises(StoreError):
        put(tmp_path / "broken")
    assert len(hub.log) == 0


def test_a_file_that_was_changed_is_not_published(hub: Hub, put: Any, made: Releases, tmp_path: Path) -> None:
    shutil.copytree(made.first, tmp_path / "broken")
    (tmp_path / "broken" / "README.md").write_text("better")

    with pytest.raises(StoreError, match=r"not the file that root\.json names"):
        put(tmp_path / "broken")


@pytest.mark.parametrize("tag", ["", "a b", "-x", "../x", "v1\n"])
def test_a_tag_that_is_none_is_wrong_usage(put: Any, made: Releases, tag: str) -> None:
    with pytest.raises(UsageError):
        put(made.first, Wish(tag=tag))


def test_a_repository_that_leaves_files_out_gets_no_tag(hub: Hub, put: Any, made: Releases) -> None:
    put(made.first)
    hub.repo(REPO, kind="datasets").write({".gitignore": "versions/*"})

    with pytest.raises(NotPublished, match=r"did not take versions/000000\.3\.jsonl"):
        put(made.second)
    assert set(tags(hub)) == {"v2026.11.21"}


# --- tokens ---


def test_a_token_that_may_not_write_is_told(hub: Hub, put: Any, made: Releases) -> None:
    hub.add(REPO, {".gitattributes": ""}, kind="datasets")

    with pytest.raises(NotPublished, match="does not let this token write") as raised:
        put(made.first, token=hub.stranger)
    assert hub.stranger not in str(raised.value)


def test_no_token_is_told(hub: Hub, put: Any, made: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(REPO, {".gitattributes": ""}, kind="datasets")
    api = HfApi(endpoint=hub.url, token=False)

    with pytest.raises(NotPublished, match="HF_TOKEN"):
        publish(made.first, REPO, api=api, pause=lambda _: None)


# --- trouble ---

COMMIT, TAG, PREUPLOAD, CREATED = r"/commit/main", r"/tag/", r"/preupload/main", r"/api/repos/create"


@pytest.mark.parametrize("status", [500, 503, None], ids=str)
@pytest.mark.parametrize("path", [COMMIT, TAG, CREATED], ids=["commit", "tag", "create"])
def test_a_success_whose_answer_was_lost_is_not_repeated(
    hub: Hub, put: Any, made: Releases, path: str, status: int | None
) -> None:
    hub.fault("lost", path, method="POST", status=status, times=1)

    done = put(made.first)

    assert (commits(hub), tags(hub), files(hub)) == (1, {"v2026.11.21": done.revision}, on_disk(made.first))
    assert (set(done.change.files), done.new_tag) == (set(on_disk(made.first)), True)


@pytest.mark.parametrize("path", [COMMIT, TAG, PREUPLOAD, CREATED, "validate-yaml"])
@pytest.mark.parametrize(
    ("kind", "more"), [("status", {"status": 429, "reset": 0}), ("status", {"status": 502}), ("cut", {})]
)
def test_passing_trouble_passes(hub: Hub, put: Any, made: Releases, path: str, kind: str, more: dict[str, Any]) -> None:
    hub.fault(kind, path, method="POST", times=2, **more)

    done = put(made.first)

    assert (commits(hub), tags(hub), files(hub)) == (1, {"v2026.11.21": done.revision}, on_disk(made.first))


def test_a_rate_limit_is_waited_for(hub: Hub, put: Any, made: Releases, waits: list[float]) -> None:
    hub.fault("status", COMMIT, status=429, headers={"Retry-After": "7"}, times=1)

    put(made.first)

    assert len(waits) == 1
    assert 7 <= waits[0] <= 9


def test_an_outage_that_stays_is_one_line(hub: Hub, put: Any, made: Releases, waits: list[float]) -> None:
    hub.fault("status", COMMIT, status=503)

    with pytest.raises(NotPublished, match="answered 503") as raised:
        put(made.first)
    assert ("\n" in str(raised.value), len(waits), commits(hub)) == (False, 5, 0)


def test_somebody_s_commit_in_between_is_kept(hub: Hub, put: Any, made: Releases) -> None:
    put(made.first)
    hub.fault("move_main", PREUPLOAD, repo=REPO, of="datasets", files={"LICENSE": "CC0"}, times=1)

    put(made.second)

    assert (files(hub)["LICENSE"], commits(hub)) == (b"CC0", 3)
    assert files(hub).items() >= on_disk(made.second).items()


def test_a_release_that_somebody_else_put_there_meanwhile_is_not_overwritten(
    hub: Hub, put: Any, made: Releases
) -> None:
    put(made.first)
    theirs = {"root.json": on_disk(made.forked)["root.json"]}
    hub.fault("move_main", PREUPLOAD, repo=REPO, of="datasets", files=theirs, times=1)

    with pytest.raises(Refused, match="is ahead"):
        put(made.second)
    assert files(hub)["root.json"] == (made.forked / "root.json").read_bytes()


def test_two_publishers_of_one_release_make_one_commit(hub: Hub, put: Any, made: Releases) -> None:
    hub.add(REPO, {".gitattributes": ""}, kind="datasets")
    hub.fault("move_main", PREUPLOAD, repo=REPO, of="datasets", files=on_disk(made.first), times=1)

    done = put(made.first)

    assert (commits(hub), tags(hub)) == (1, {"v2026.11.21": done.revision})


def test_a_tag_made_by_somebody_else_meanwhile_will_do(hub: Hub, put: Any, made: Releases) -> None:
    hub.fault("status", TAG, method="POST", status=409, times=1)

    assert put(made.first).tag == "v2026.11.21"


@pytest.mark.parametrize("nth", range(1, 5))
def test_killed_between_two_requests_the_next_run_finishes(hub: Hub, put: Any, made: Releases, nth: int) -> None:
    """The process is killed while its nth writing request is on the way; that of the tag is the fifth."""
    hub.fault("lost" if nth % 2 else "status", "", method="POST", nth=nth, times=1000, status=500)
    command = [sys.executable, "-m", "swindex.api", "publish", REPO, "--release", str(made.first), "--create"]
    told = {**os.environ, "HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token}
    with subprocess.Popen(command, env=told, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while len([e for e in hub.log.entries if e.method == "POST" and e.status]) < nth:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    hub.state.faults.clear()

    done = put(made.first)

    assert (commits(hub), tags(hub), files(hub)) == (1, {"v2026.11.21": done.revision}, on_disk(made.first))


# --- an index ---


def test_an_index_is_released_upon_what_is_there(hub: Hub, made: Releases, put: Any) -> None:
    put(made.first)
    api = HfApi(endpoint=hub.url, token=hub.token)

    done = publish_index(Index(made.index), REPO, api=api)

    root = Root.parse(files(hub)["root.json"])
    assert (done.head.seq, root.seq, root.previous) == (3, 3, root_of(made.first).head)
    assert {p for p in files(hub) if p.startswith("changes/")} == {"changes/000000.2.jsonl", "changes/000000.3.jsonl"}


def test_an_index_without_news_makes_no_commit(hub: Hub, made: Releases) -> None:
    api = HfApi(endpoint=hub.url, token=hub.token)
    publish_index(Index(made.index), REPO, CREATE, api=api)

    again = publish_index(Index(made.index), REPO, api=api)

    assert (commits(hub), again.change.files, again.new_tag) == (1, {}, False)


@pytest.mark.parametrize(("theirs", "said"), [("forked", "is ahead"), ("first", "holds other changes")])
def test_an_index_that_lacks_their_changes_is_refused(
    hub: Hub, put: Any, made: Releases, tmp_path: Path, theirs: str, said: str
) -> None:
    put(getattr(made, theirs))
    other = Index(tmp_path / "index")
    for name in ("org/six", "org/seven", "org/eight"):
        other.append(make.found(name))

    with pytest.raises(Refused, match=said):
        publish_index(other, REPO, api=HfApi(endpoint=hub.url, token=hub.token))
    assert commits(hub) == 1


def test_an_index_is_not_published_over_something_else(hub: Hub, made: Releases) -> None:
    hub.add(REPO, {"data.csv": "a\n"}, kind="datasets")

    with pytest.raises(Refused, match=r"holds data\.csv"):
        publish_index(Index(made.index), REPO, api=HfApi(endpoint=hub.url, token=hub.token))


# --- the command ---


def run(hub: Hub, *arguments: str) -> subprocess.CompletedProcess[str]:
    told = {**os.environ, "HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token}
    command = [sys.executable, "-m", "swindex.api", "publish", *arguments]
    return subprocess.run(command, env=told, capture_output=True, text=True, check=False, timeout=120)


def test_the_command_says_what_it_did(hub: Hub, made: Releases) -> None:
    done = run(hub, REPO, "--release", str(made.first), "--create", "--json")

    shown = json.loads(done.stdout)
    assert (done.returncode, shown["tag"], shown["seq"], shown["before"]) == (0, "v2026.11.21", 2, None)
    assert shown["revision"] == hub.repo(REPO, kind="datasets").head.sha
    assert hub.token not in done.stdout + done.stderr


def test_the_command_in_words(hub: Hub, made: Releases) -> None:
    shown = run(hub, REPO, "--release", str(made.first), "--create", "--dry-run").stdout

    assert "from nothing to change 2" in shown
    assert "Would commit" in shown


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["swindex", "--release", "."], 2),
        ([REPO, "--release", ".", "--index", "."], 2),
        ([REPO, "--release", "/nowhere"], 3),
        ([REPO, "--index", "/nowhere"], 3),
    ],
)
def test_an_error_of_the_command_is_one_line(hub: Hub, arguments: list[str], status: int) -> None:
    done = run(hub, *arguments)

    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (status, "", 1)
