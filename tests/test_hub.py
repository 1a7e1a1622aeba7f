"""The loopback Hub, asked by the unmodified clients.

huggingface_hub is asked from here; datasets and transformers in processes of their own, since they read
HF_ENDPOINT when they are imported.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, HfFileSystem, hf_hub_download
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import get_session, httpx, parse_ratelimit_headers  # type: ignore[attr-defined]

from .hub import Hub
from .hub.blobs import Blob

ROOT = Path(__file__).parents[1]
LLAMA = json.dumps({"architectures": ["LlamaForCausalLM"], "model_type": "llama"})
LETTERS = b"abcdefghijklmnopqrstuvwxyz"


def safetensors(**tensors: tuple[str, list[int], bytes]) -> bytes:
    """Return a safetensors file that holds these (dtype, shape, bytes)."""
    header, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(data for *_, data in tensors.values())


WEIGHTS = safetensors(w=("F32", [2, 3], bytes(24)), b=("BF16", [5], bytes(10)))


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as running:
        yield running


@pytest.fixture
def api(hub: Hub) -> HfApi:
    return HfApi(endpoint=hub.url, token=hub.token)


@pytest.fixture
def anonymous(hub: Hub) -> HfApi:
    return HfApi(endpoint=hub.url, token=False)


@pytest.fixture
def letters(hub: Hub) -> str:
    """The address of a file that holds the alphabet."""
    hub.add("org/text", {"letters.txt": LETTERS})
    return f"{hub.url}/org/text/resolve/main/letters.txt"


def get(url: str, **headers: str) -> httpx.Response:
    """Read an address with the client's own session, which does not retry."""
    return get_session().get(url, headers={"Accept-Encoding": "identity", **headers})


def ids(found: Any) -> list[str]:
    return [one.id for one in found]


# Listing


def fill(hub: Hub) -> None:
    hub.add("ada/small", {"config.json": LLAMA, "model.safetensors": WEIGHTS}, downloads=3)
    hub.add("ada/plain", {"README.md": "hello"}, downloads=9)
    hub.add("bob/closed", {"config.json": LLAMA}, downloads=5, gated="manual")


def test_a_listing_is_sorted_by_downloads(hub: Hub, api: HfApi) -> None:
    fill(hub)

    assert ids(api.list_models(sort="downloads")) == ["ada/plain", "bob/closed", "ada/small"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"author": "bob"}, ["bob/closed"]),
        ({"search": "SMALL"}, ["ada/small"]),
        ({"pipeline_tag": "text-generation"}, ["ada/small", "bob/closed"]),
        ({"filter": ["safetensors", "transformers"]}, ["ada/small"]),
        ({"gated": False}, ["ada/plain", "ada/small"]),
        ({"gated": True}, ["bob/closed"]),
        ({"num_parameters": "max:11"}, ["ada/small"]),
        ({"num_parameters": "min:1K"}, []),
        ({"limit": 1}, ["ada/plain"]),
    ],
    ids=str,
)
def test_a_listing_obeys_its_filters(hub: Hub, api: HfApi, query: dict[str, Any], expected: list[str]) -> None:
    fill(hub)

    assert ids(api.list_models(**query)) == expected


def test_a_listing_follows_its_pages(hub: Hub, api: HfApi) -> None:
    hub.state.page_size = 2
    for number in range(5):
        hub.add(f"org/m{number}", {"a": "b"})

    assert ids(api.list_models()) == [f"org/m{number}" for number in range(5)]
    assert hub.log.count(r"^/api/models\?") == 3


def test_the_last_full_page_has_no_next_link(hub: Hub, api: HfApi) -> None:
    hub.state.page_size = 1
    hub.add("org/only", {"a": "b"})

    assert "link" not in get(f"{hub.url}/api/models").headers


def test_expand_brings_the_fields_that_a_crawl_needs(hub: Hub, api: HfApi) -> None:
    repo = hub.add("org/m", {"config.json": LLAMA, "model.safetensors": WEIGHTS}, downloads=7)

    [found] = api.list_models(expand=["sha", "safetensors", "gated", "config", "downloads", "usedStorage"])

    assert found.safetensors is not None
    assert (found.sha, found.downloads, found.gated) == (repo.head.sha, 7, False)
    assert (found.safetensors.parameters, found.safetensors.total) == ({"F32": 6, "BF16": 5}, 11)
    assert found.config == json.loads(LLAMA)
    assert found.used_storage == len(LLAMA) + len(WEIGHTS)
    assert found.tags is None


def test_an_unknown_expand_is_a_bad_request(api: HfApi) -> None:
    with pytest.raises(HfHubHTTPError, match="Bad request"):
        list(api.list_models(expand=["weather"]))  # type: ignore[list-item]


def test_a_damaged_cursor_is_a_bad_request(hub: Hub) -> None:
    assert get(f"{hub.url}/api/models?cursor=zzz").status_code == 400


def test_datasets_are_listed_apart(hub: Hub, api: HfApi) -> None:
    hub.add("org/model", {"a": "b"})
    hub.add("org/data", {"a": "b"}, kind="datasets")

    assert ids(api.list_datasets()) == ["org/data"]


def test_private_repositories_are_listed_only_for_those_who_may_see_them(
    hub: Hub, api: HfApi, anonymous: HfApi
) -> None:
    hub.add("org/secret", {"a": "b"}, private=True)

    assert (ids(api.list_models()), ids(anonymous.list_models())) == (["org/secret"], [])


def test_a_million_synthetic_models_are_listed_a_page_at_a_time() -> None:
    with Hub(synthetic=1_000_000, page_size=50) as hub:
        found = ids(HfApi(endpoint=hub.url).list_models(limit=120, num_parameters="max:1M"))

        assert (found[0], found[-1]) == ("synthetic/model-0000000", "synthetic/model-0000476")
        assert hub.log.count() == 3


def test_a_synthetic_model_can_be_described_by_its_revision() -> None:
    with Hub(synthetic=10) as hub:
        api = HfApi(endpoint=hub.url)
        [first, *_] = api.list_models(expand=["sha"])

        assert api.model_info(first.id, revision=first.sha).downloads == 10


# One repository


def test_the_revision_follows_from_the_content_alone(hub: Hub) -> None:
    one = hub.add("org/one", {"b": "2", "a": "1"})
    other = hub.add("org/other", {"a": "1", "b": "2"})

    assert one.head.sha == other.head.sha
    assert len(one.head.sha) == 40


def test_model_info_tells_what_the_files_say(hub: Hub, api: HfApi) -> None:
    card = "---\nlicense: mit\nbase_model: org/base\nbase_model_relation: quantized\ntags: [tiny]\n---\nText\n"
    hub.add("org/m", {"README.md": card, "config.json": LLAMA, "model.safetensors": WEIGHTS}, likes=2)

    found = api.model_info("org/m")

    assert found.card_data is not None
    assert (found.likes, found.pipeline_tag, found.library_name) == (2, "text-generation", "transformers")
    assert found.card_data["base_model"] == "org/base"
    base: Any = found.base_models
    assert base == {"relation": "quantized", "models": [{"_id": "org/base", "id": "org/base"}]}
    assert found.tags == [
        *("transformers", "safetensors", "llama", "text-generation", "tiny"),
        *("base_model:org/base", "base_model:quantized:org/base", "license:mit", "region:us"),
    ]


def test_overrides_win_over_files(hub: Hub, api: HfApi) -> None:
    hub.add("org/m", {"config.json": LLAMA}, pipeline_tag="fill-mask", lastModified="2026-05-01T00:00:00.000Z")

    found = api.model_info("org/m")

    assert found.last_modified is not None
    assert (found.pipeline_tag, found.last_modified.month) == ("fill-mask", 5)


def test_a_long_history_has_revisions(hub: Hub) -> None:
    repo = hub.add("org/m", {"a": "0"})
    for number in range(1, 2000):
        repo.commit("main", {"a": Blob(str(number).encode())}, "next")

    assert len({commit.sha for commit in reversed(repo.commits)}) == 2000


def test_a_hostile_header_says_nothing_and_stops_nothing(hub: Hub, api: HfApi) -> None:
    hub.add("org/m", {"model.safetensors": struct.pack("<Q", 2**63) + b"{}"})

    assert api.model_info("org/m").safetensors is None


def test_files_metadata_brings_sizes_and_digests(hub: Hub, api: HfApi) -> None:
    hub.add("org/m", {"model.safetensors": WEIGHTS, "note.txt": "hello"})

    weights, note = api.model_info("org/m", files_metadata=True).siblings or []

    assert weights.lfs is not None
    assert weights.lfs.sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert (note.size, note.lfs, note.blob_id) == (5, None, "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0")


def test_security_status_is_told_when_asked(hub: Hub, api: HfApi) -> None:
    hub.add("org/m", {"a": "b"})

    assert api.model_info("org/m", securityStatus=True).security_repo_status is not None


def test_model_info_of_a_revision(hub: Hub, api: HfApi) -> None:
    repo = hub.add("org/m", {"a": "1"})
    old = repo.head.sha
    new = repo.write({"a": "2"})

    assert [api.model_info("org/m", revision=rev).sha for rev in (old, "main", None)] == [old, new, new]


def test_dataset_info(hub: Hub, api: HfApi) -> None:
    repo = hub.add("org/d", {"a": "1"}, kind="datasets", downloads=4)

    found = api.dataset_info("org/d")

    assert (found.sha, found.downloads) == (repo.head.sha, 4)


def test_a_renamed_repository_is_found_under_both_names(api: HfApi, hub: Hub, tmp_path: Path) -> None:
    hub.add("old/name", {"config.json": "{}"})
    hub.move("old/name", "new/name")

    found = hf_hub_download("old/name", "config.json", endpoint=hub.url, cache_dir=tmp_path)

    assert (api.model_info("old/name").id, api.model_info("new/name").id) == ("new/name", "new/name")
    assert Path(found).read_text() == "{}"


def test_an_id_without_an_organization_is_found(hub: Hub, api: HfApi) -> None:
    hub.add("gpt2", {"config.json": LLAMA})

    assert api.list_repo_files("gpt2") == ["config.json"]


def test_a_tree_shows_files_and_folders(hub: Hub, api: HfApi) -> None:
    hub.add("org/m", {"a.txt": "1", "sub/b.txt": "2", "sub/deep/c.txt": "3"})

    assert [entry.path for entry in api.list_repo_tree("org/m")] == ["a.txt", "sub"]
    assert [entry.path for entry in api.list_repo_tree("org/m", "sub")] == ["sub/b.txt", "sub/deep"]


def test_a_recursive_tree_comes_in_pages(hub: Hub, api: HfApi) -> None:
    hub.state.tree_page_size = 2
    hub.add("org/m", {"a.txt": "1", "sub/b.txt": "2", "sub/deep/c.txt": "3"})

    found = [entry.path for entry in api.list_repo_tree("org/m", recursive=True)]

    assert found == ["a.txt", "sub", "sub/b.txt", "sub/deep", "sub/deep/c.txt"]
    assert hub.log.count("/tree/main") == 3


def test_an_expanded_tree_names_the_commit_that_last_changed_a_file(hub: Hub, api: HfApi) -> None:
    repo = hub.add("org/m", {"a": "1", "b": "1"})
    first = repo.head.sha
    second = repo.write({"b": "2"})

    commits = [entry.last_commit for entry in api.list_repo_tree("org/m", expand=True)]

    assert [commit.oid for commit in commits if commit] == [first, second]


def test_a_missing_folder_is_a_missing_entry(hub: Hub, api: HfApi) -> None:
    hub.add("org/m", {"a": "1"})

    with pytest.raises(RemoteEntryNotFoundError):
        list(api.list_repo_tree("org/m", "nowhere"))


def test_paths_info_leaves_out_what_is_missing(hub: Hub, api: HfApi) -> None:
    hub.add("org/m", {"a": "1", "sub/b": "2"})

    assert [one.path for one in api.get_paths_info("org/m", ["sub", "a", "none"])] == ["sub", "a"]


def test_commits_are_listed_newest_first(hub: Hub, api: HfApi) -> None:
    repo = hub.add("org/m", {"a": "1"})
    repo.write({"a": "2"}, title="second")

    assert [one.title for one in api.list_repo_commits("org/m")] == ["second", "initial commit"]


def test_tags_and_branches_can_be_made_read_and_deleted(hub: Hub, api: HfApi) -> None:
    old = hub.add("org/m", {"a": "1"}).head.sha
    api.create_tag("org/m", tag="v1")
    api.create_branch("org/m", branch="work/it")
    hub.repo("org/m").write({"a": "2"})

    refs = api.list_repo_refs("org/m")

    assert [(one.name, one.target_commit) for one in refs.tags] == [("v1", old)]
    assert [one.name for one in refs.branches] == ["main", "work/it"]
    assert [api.model_info("org/m", revision=rev).sha for rev in ("v1", "work/it")] == [old, old]
    api.delete_tag("org/m", tag="v1")
    api.delete_branch("org/m", branch="work/it")
    assert [one.name for one in api.list_repo_refs("org/m").branches] == ["main"]


def test_a_tag_is_made_once(hub: Hub, api: HfApi) -> None:
    hub.add("org/m", {"a": "1"})
    api.create_tag("org/m", tag="v1")

    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_tag("org/m", tag="v1")


# Files


def test_a_file_is_downloaded_with_its_revision(hub: Hub, api: HfApi, tmp_path: Path) -> None:
    repo = hub.add("org/m", {"sub/a file.txt": "hello"})

    path = Path(api.hf_hub_download("org/m", "sub/a file.txt", cache_dir=tmp_path))

    assert path.read_text() == "hello"
    assert repo.head.sha in path.parts


def test_a_large_file_has_its_sha256_as_etag(hub: Hub, api: HfApi) -> None:
    repo = hub.add("org/m", {"model.safetensors": WEIGHTS})

    found = api.get_hf_file_metadata(url=f"{hub.url}/org/m/resolve/main/model.safetensors")

    assert found.etag == hashlib.sha256(WEIGHTS).hexdigest()
    assert (found.size, found.commit_hash) == (len(WEIGHTS), repo.head.sha)


def test_a_snapshot_holds_every_file_and_passes_its_checksums(hub: Hub, api: HfApi, tmp_path: Path) -> None:
    hub.add("org/m", {"a.txt": "1", "sub/model.safetensors": WEIGHTS})

    api.snapshot_download("org/m", local_dir=tmp_path / "copy")

    assert (tmp_path / "copy/sub/model.safetensors").read_bytes() == WEIGHTS
    assert not api.verify_repo_checksums("org/m", local_dir=tmp_path / "copy").mismatches


def test_a_redirect_to_the_second_port_drops_the_token(hub: Hub, api: HfApi, tmp_path: Path) -> None:
    hub.state.cdn = True
    hub.add("org/m", {"model.safetensors": WEIGHTS}, gated="auto")

    path = api.hf_hub_download("org/m", "model.safetensors", cache_dir=tmp_path)

    [entry] = hub.log.select("^/cdn/")
    assert Path(path).read_bytes() == WEIGHTS
    assert (entry.user, entry.status, entry.bytes) == (False, 200, len(WEIGHTS))


def test_a_range_goes_through_the_redirect(hub: Hub) -> None:
    hub.state.cdn = True
    hub.add("org/m", {"model.safetensors": WEIGHTS})

    found = get(f"{hub.url}/org/m/resolve/main/model.safetensors", Range="bytes=0-7")

    assert (found.status_code, found.content) == (206, WEIGHTS[:8])


@pytest.mark.parametrize(
    ("asked", "status", "content", "where"),
    [
        ("bytes=2-4", 206, b"cde", "bytes 2-4/26"),
        ("bytes=24-", 206, b"yz", "bytes 24-25/26"),
        ("bytes=24-99", 206, b"yz", "bytes 24-25/26"),
        ("bytes=-3", 206, b"xyz", "bytes 23-25/26"),
        ("bytes=26-", 416, b"", "bytes */26"),
        ("bytes=-0", 416, b"", "bytes */26"),
        ("bytes=4-2", 200, LETTERS, None),
        ("bytes=0-1,3-4", 200, LETTERS, None),
        ("lines=1-2", 200, LETTERS, None),
    ],
)
def test_ranges(letters: str, asked: str, status: int, content: bytes, where: str | None) -> None:
    found = get(letters, Range=asked)

    assert (found.status_code, found.content, found.headers.get("content-range")) == (status, content, where)


def test_a_file_system_reads_a_range(hub: Hub, letters: str) -> None:
    found = HfFileSystem(endpoint=hub.url).cat_file("org/text/letters.txt", start=3, end=6)

    assert found == b"def"


def test_a_big_file_on_disk_is_read_in_part(hub: Hub, tmp_path: Path) -> None:
    with (tmp_path / "big.bin").open("wb") as file:
        file.truncate(64 << 20)
        file.seek(50_000_000)
        file.write(b"here")
    hub.add_folder("org/big", tmp_path)

    found = get(f"{hub.url}/org/big/resolve/main/big.bin", Range="bytes=50000000-50000003")

    assert found.content == b"here"
    assert hub.log.sent() == 4


def test_a_reader_who_leaves_is_not_sent_the_rest(hub: Hub, letters: str, tmp_path: Path) -> None:
    with (tmp_path / "big.bin").open("wb") as file:
        file.truncate(64 << 20)
    hub.add_folder("org/big", tmp_path)
    with get_session().stream("GET", f"{hub.url}/org/big/resolve/main/big.bin") as response:
        next(response.iter_raw())

    assert get(letters).content == LETTERS
    assert hub.log.sent("big.bin") < 32 << 20


def test_duckdb_reads_a_file_system(hub: Hub) -> None:
    repo = hub.add("org/data", {"a.csv": "x\n1\n2\n"}, kind="datasets")
    repo.write({"a.csv": "x\n9\n"})
    first, last = (commit.sha for commit in repo.commits)
    con = duckdb.connect()
    con.register_filesystem(HfFileSystem(endpoint=hub.url))

    def total(revision: str) -> Any:
        return con.execute(f"select sum(x) from 'hf://datasets/org/data@{revision}/a.csv'").fetchone()

    assert (total(first), total(last)) == ((3,), (9,))


def test_a_safetensors_header_is_read_without_the_rest(hub: Hub, api: HfApi) -> None:
    hub.add("org/m", {"model.safetensors": safetensors(w=("F32", [50_000], bytes(200_000)))})

    found = api.get_safetensors_metadata("org/m")

    assert found.parameter_count == {"F32": 50_000}
    assert hub.log.sent("/resolve/") == 100_001


def test_all_headers_of_a_sharded_model_come_at_once(hub: Hub, api: HfApi) -> None:
    index = json.dumps({"metadata": {}, "weight_map": {"w": "1.safetensors", "b": "1.safetensors"}})
    hub.add("org/m", {"model.safetensors.index.json": index, "1.safetensors": WEIGHTS})

    found = api.get_sharded_safetensors_metadata("org/m")

    assert found.weight_map == {"w": "1.safetensors", "b": "1.safetensors"}


def test_a_missing_file_is_a_missing_entry_with_its_revision(hub: Hub, api: HfApi) -> None:
    repo = hub.add("org/m", {"a": "1"})

    with pytest.raises(RemoteEntryNotFoundError) as caught:
        api.hf_hub_download("org/m", "b")

    assert caught.value.response.headers["x-repo-commit"] == repo.head.sha
    assert not api.file_exists("org/m", "b")


# Who may see what


def test_a_missing_repository(api: HfApi, anonymous: HfApi) -> None:
    for client, status in ((api, 404), (anonymous, 401)):
        with pytest.raises(RepositoryNotFoundError) as caught:
            client.model_info("org/none")
        assert caught.value.response.status_code == status


def test_a_missing_revision(hub: Hub, api: HfApi) -> None:
    hub.add("org/m", {"a": "1"})

    with pytest.raises(RevisionNotFoundError):
        api.model_info("org/m", revision="v9")


def test_a_private_repository_is_missing_for_strangers(hub: Hub, api: HfApi) -> None:
    hub.add("org/m", {"a": "1"}, private=True)

    assert api.model_info("org/m").private
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("org/m", token=hub.stranger)


def test_a_gated_repository_is_described_but_not_read(hub: Hub, api: HfApi, anonymous: HfApi) -> None:
    hub.add("org/m", {"a": "1"}, gated="manual")

    assert anonymous.model_info("org/m").gated == "manual"
    for token, status in ((False, 401), (hub.stranger, 403)):
        with pytest.raises(GatedRepoError) as caught:
            api.get_hf_file_metadata(url=f"{hub.url}/org/m/resolve/main/a", token=token)
        assert caught.value.response.status_code == status
    assert api.file_exists("org/m", "a")


def test_auth_check(hub: Hub, api: HfApi, anonymous: HfApi) -> None:
    hub.add("org/m", {"a": "1"}, gated="auto")

    api.auth_check("org/m")
    with pytest.raises(GatedRepoError):
        anonymous.auth_check("org/m")


def test_a_disabled_repository(hub: Hub, api: HfApi) -> None:
    hub.add("org/m", {"a": "1"}, disabled=True)

    with pytest.raises(DisabledRepoError):
        api.model_info("org/m")


def test_whoami(api: HfApi) -> None:
    assert api.whoami()["name"] == "tester"


def test_a_token_that_nobody_holds(hub: Hub, api: HfApi) -> None:
    with pytest.raises(HfHubHTTPError, match=r"401|Invalid"):
        api.whoami(token="hf_nobody")


def test_a_stranger_may_not_write(hub: Hub, api: HfApi) -> None:
    hub.add("org/m", {"a": "1"})

    with pytest.raises(HfHubHTTPError, match="403"):
        api.create_tag("org/m", tag="v1", token=hub.stranger)


def test_a_new_user_is_let_in(hub: Hub, api: HfApi) -> None:
    hub.add_user("hf_new", "newcomer")

    assert api.whoami(token="hf_new")["name"] == "newcomer"


# Writing


def put(api: HfApi, path: str, content: bytes, **more: Any) -> Any:
    return api.create_commit("org/d", [CommitOperationAdd(path, content)], commit_message="put", **more)


@pytest.fixture
def data(hub: Hub) -> str:
    """The first revision of org/d."""
    return hub.add("org/d", {"a.txt": "one\n"}).head.sha


def test_a_repository_is_created_and_deleted(hub: Hub, api: HfApi) -> None:
    url = api.create_repo("org/new", repo_type="dataset", private=True)

    assert (url.repo_id, url.repo_type, str(url)) == ("org/new", "dataset", f"{hub.url}/datasets/org/new")
    assert api.dataset_info("org/new").private
    api.delete_repo("org/new", repo_type="dataset")
    assert not api.repo_exists("org/new", repo_type="dataset")


def test_creating_again_is_a_conflict_unless_that_is_fine(hub: Hub, api: HfApi) -> None:
    url = api.create_repo("org/new")

    assert api.create_repo("org/new", exist_ok=True) == url
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo("org/new")


def test_a_commit_moves_main(hub: Hub, api: HfApi, data: str) -> None:
    made = put(api, "b.txt", b"two\n", parent_commit=data)

    assert api.model_info("org/d").sha == made.oid != data
    assert get(f"{hub.url}/org/d/resolve/main/b.txt").content == b"two\n"


def test_a_commit_deletes_files_and_folders(hub: Hub, api: HfApi) -> None:
    hub.add("org/d", {"a": "1", "b": "2", "sub/c": "3"})

    api.create_commit("org/d", [CommitOperationDelete("a"), CommitOperationDelete("sub/")], commit_message="rm")

    assert api.list_repo_files("org/d") == ["b"]


def test_deleting_what_is_not_there_is_a_missing_entry(api: HfApi, data: str) -> None:
    with pytest.raises(RemoteEntryNotFoundError):
        api.create_commit("org/d", [CommitOperationDelete("none")], commit_message="rm")


def test_a_stale_parent_is_refused(hub: Hub, api: HfApi, data: str) -> None:
    hub.repo("org/d").write({"a.txt": "moved\n"})

    with pytest.raises(HfHubHTTPError) as caught:
        put(api, "b.txt", b"two\n", parent_commit=data)

    assert caught.value.response.status_code == 412


def test_a_commit_to_a_missing_branch_is_refused(api: HfApi, data: str) -> None:
    with pytest.raises(RevisionNotFoundError):
        put(api, "b.txt", b"two\n", revision="none")


def test_identical_content_opens_no_pull_request(hub: Hub, api: HfApi, data: str) -> None:
    made = put(api, "a.txt", b"one\n", create_pr=True)

    assert (made.pr_url, made.oid) == (None, data)
    assert hub.log.count("/commit/") == 0


def test_a_card_is_checked_before_it_is_committed(hub: Hub, api: HfApi, data: str) -> None:
    with pytest.raises(ValueError, match="Invalid metadata"):
        put(api, "README.md", b"---\na: [\n---\n")


def test_a_large_file_is_uploaded_by_its_digest(hub: Hub, api: HfApi, data: str, tmp_path: Path) -> None:
    hub.state.lfs_uploads = True
    (tmp_path / "w").write_bytes(WEIGHTS)
    with (tmp_path / "w").open("rb") as file:
        add = CommitOperationAdd("model.safetensors", file)
        api.create_commit("org/d", [add], commit_message="weights")

    assert hub.log.count("^/_lfs/", "PUT") == 1
    assert get(f"{hub.url}/org/d/resolve/main/model.safetensors").content == WEIGHTS


def test_an_upload_with_the_wrong_digest_is_refused(hub: Hub) -> None:
    assert get_session().put(f"{hub.url}/_lfs/{'0' * 64}", content=b"x").status_code == 400


def test_there_is_no_xet(hub: Hub, data: str) -> None:
    assert get(f"{hub.url}/api/models/org/d/xet-write-token/main").status_code == 404


def test_a_folder_is_uploaded(hub: Hub, api: HfApi, data: str, tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    (tmp_path / "records/x.jsonl").write_text("{}\n")

    api.upload_folder(repo_id="org/d", folder_path=tmp_path)

    assert api.list_repo_files("org/d") == ["a.txt", "records/x.jsonl"]


# Pull requests


def test_a_pull_request_leaves_main_alone(hub: Hub, api: HfApi, data: str) -> None:
    made = put(api, "b.txt", b"two\n", create_pr=True)

    assert (made.pr_num, made.pr_revision, made.pr_url) == (1, "refs/pr/1", f"{hub.url}/org/d/discussions/1")
    assert api.model_info("org/d").sha == data
    assert api.model_info("org/d", revision="refs/pr/1").sha == made.oid
    assert hub.log.count(r"/revision/refs%2Fpr%2F1\?")


def test_a_pull_request_is_listed_and_read(api: HfApi, data: str) -> None:
    made = put(api, "a.txt", b"two\n", create_pr=True, commit_description="why")

    [listed] = api.get_repo_discussions("org/d")
    found = api.get_discussion_details("org/d", 1)

    assert (listed.title, listed.status, listed.is_pull_request) == ("put", "open", True)
    assert [event.type for event in found.events] == ["comment", "commit"]
    assert (found.events[0].content, found.events[1].oid) == ("why", made.oid)  # type: ignore[attr-defined]
    assert found.diff is not None
    assert found.diff.endswith("@@ -1 +1 @@\n-one\n+two\n")
    assert [one.ref for one in api.list_repo_refs("org/d", include_pull_requests=True).pull_requests or []] == [
        "refs/pr/1"
    ]


def test_a_second_commit_goes_to_an_open_pull_request(api: HfApi, data: str) -> None:
    put(api, "b.txt", b"two\n", create_pr=True)
    put(api, "c.txt", b"three\n", revision="refs/pr/1")

    assert api.list_repo_files("org/d", revision="refs/pr/1") == ["a.txt", "b.txt", "c.txt"]


def test_merging_brings_the_changes_to_a_main_that_moved(hub: Hub, api: HfApi, data: str) -> None:
    put(api, "b.txt", b"two\n", create_pr=True)
    hub.repo("org/d").write({"c.txt": "three\n"})

    api.merge_pull_request("org/d", 1)

    assert api.list_repo_files("org/d") == ["a.txt", "b.txt", "c.txt"]
    assert api.get_discussion_details("org/d", 1).status == "merged"
    assert api.get_discussion_details("org/d", 1).merge_commit_oid == api.model_info("org/d").sha


def test_a_conflict_is_shown_and_not_merged(hub: Hub, api: HfApi, data: str) -> None:
    put(api, "a.txt", b"mine\n", create_pr=True)
    hub.repo("org/d").write({"a.txt": "yours\n"})

    assert api.get_discussion_details("org/d", 1).conflicting_files == ["a.txt"]
    with pytest.raises(HfHubHTTPError, match="409"):
        api.merge_pull_request("org/d", 1)


def test_a_pull_request_may_start_from_an_old_commit(hub: Hub, api: HfApi, data: str) -> None:
    hub.repo("org/d").write({"b.txt": "two\n"})

    put(api, "c.txt", b"three\n", create_pr=True, parent_commit=data)

    assert api.list_repo_files("org/d", revision="refs/pr/1") == ["a.txt", "c.txt"]


def test_a_closed_pull_request_is_not_merged(api: HfApi, data: str) -> None:
    put(api, "b.txt", b"two\n", create_pr=True)

    assert api.change_discussion_status("org/d", 1, "closed", comment="no").new_status == "closed"
    with pytest.raises(HfHubHTTPError, match="Bad request"):
        api.merge_pull_request("org/d", 1)


def test_a_discussion_is_opened_commented_and_renamed(api: HfApi, data: str) -> None:
    opened = api.create_discussion("org/d", "Question", description="What?")
    comment = api.comment_discussion("org/d", opened.num, "This.")
    renamed = api.rename_discussion("org/d", opened.num, "Answered")

    assert (comment.content, renamed.old_title, renamed.new_title) == ("This.", "Question", "Answered")
    assert api.get_discussion_details("org/d", 1).title == "Answered"


def test_a_draft_pull_request_is_opened(api: HfApi, data: str) -> None:
    opened = api.create_pull_request("org/d", "Later")

    assert (opened.status, opened.is_pull_request) == ("draft", True)


def test_discussions_are_listed_by_type_and_status_over_pages(api: HfApi, data: str) -> None:
    put(api, "b.txt", b"two\n", create_pr=True)
    for number in range(11):
        api.create_discussion("org/d", f"Talk {number}")
    api.change_discussion_status("org/d", 2, "closed")

    assert len(list(api.get_repo_discussions("org/d"))) == 12
    assert [one.num for one in api.get_repo_discussions("org/d", discussion_type="pull_request")] == [1]
    assert [one.num for one in api.get_repo_discussions("org/d", discussion_status="closed")] == [2]


# Faults


def test_a_status_strikes_at_the_nth_request_for_some_times(hub: Hub, letters: str) -> None:
    rule = hub.fault("status", r"letters", status=502, nth=2, times=2)

    assert [get(letters).status_code for _ in range(5)] == [200, 502, 502, 200, 200]
    assert (rule.seen, rule.hits) == (5, 2)


def test_a_fault_is_for_one_method(hub: Hub, letters: str) -> None:
    hub.fault("status", method="HEAD")

    assert (get_session().head(letters).status_code, get(letters).status_code) == (503, 200)


def test_chance_repeats_with_its_seed(hub: Hub, letters: str) -> None:
    def run() -> list[int]:
        hub.state.faults.clear()
        hub.fault("status", probability=0.5, seed=7)
        return [get(letters).status_code for _ in range(12)]

    first = run()

    assert set(first) == {200, 503}
    assert run() == first


def test_a_rate_limit_has_headers_that_the_client_reads(hub: Hub, letters: str) -> None:
    hub.fault("status", status=429, reset=55, bucket="resolvers", limit=3000)

    found = get(letters)
    limit = parse_ratelimit_headers(found.headers)

    assert limit is not None
    assert (limit.resource_type, limit.remaining, limit.reset_in_seconds, limit.limit) == (
        "resolvers",
        0,
        55,
        3000,
    )
    assert found.headers["retry-after"] == "55"


def test_a_listing_is_repeated_by_the_client_after_a_503(hub: Hub, api: HfApi) -> None:
    hub.add("org/m", {"a": "b"})
    hub.fault("status", "^/api/models", times=1)

    assert ids(api.list_models()) == ["org/m"]
    assert [entry.status for entry in hub.log.entries] == [503, 200]


def test_model_info_is_not_repeated_by_the_client(hub: Hub, api: HfApi) -> None:
    hub.add("org/m", {"a": "b"})
    hub.fault("status", "^/api/models", times=1)

    with pytest.raises(HfHubHTTPError, match="503"):
        api.model_info("org/m")


def test_a_connection_is_cut_before_any_answer(hub: Hub, letters: str) -> None:
    hub.fault("cut")

    with pytest.raises(httpx.RemoteProtocolError):
        get(letters)
    assert (hub.log.entries[-1].status, hub.log.sent()) == (None, 0)


@pytest.mark.parametrize("after", [0, 1, 10])
def test_a_connection_is_cut_inside_the_body(hub: Hub, letters: str, after: int) -> None:
    hub.fault("cut", after=after)
    got: list[bytes] = []

    with get_session().stream("GET", letters) as response, pytest.raises(httpx.RemoteProtocolError):
        got.extend(response.iter_raw())
    assert b"".join(got) == LETTERS[:after]
    assert hub.log.sent() == after


def test_a_small_download_starts_over_after_a_cut(hub: Hub, api: HfApi, letters: str, tmp_path: Path) -> None:
    hub.fault("cut", "/resolve/", method="GET", after=10, times=1)

    path = api.hf_hub_download("org/text", "letters.txt", cache_dir=tmp_path)

    assert Path(path).read_bytes() == LETTERS
    assert [entry.range for entry in hub.log.select("/resolve/", "GET")] == [None, None]


def test_a_slow_body_arrives_in_pieces(hub: Hub, letters: str) -> None:
    hub.fault("slow", delay=0.002, piece=10)

    with get_session().stream("GET", letters) as response:
        pieces = [bytes(piece) for piece in response.iter_raw()]

    assert b"".join(pieces) == LETTERS
    assert len(pieces) >= 2


def test_a_slow_answer_runs_into_a_timeout(hub: Hub, letters: str) -> None:
    hub.fault("slow", delay=5)

    with pytest.raises(httpx.ReadTimeout):
        get_session().get(letters, timeout=0.05)


def test_a_truncated_body_looks_complete(hub: Hub, letters: str) -> None:
    hub.fault("truncate", keep=5)

    found = get(letters, Range="bytes=10-19")

    assert (found.status_code, found.content) == (206, b"klmno")
    assert found.headers["content-range"] == "bytes 10-19/26"


def test_a_length_that_is_too_long_breaks_the_connection(hub: Hub, letters: str) -> None:
    hub.fault("length", add=3)

    with pytest.raises(httpx.RemoteProtocolError):
        get(letters)


def test_a_length_that_is_too_short_loses_the_end(hub: Hub, letters: str) -> None:
    hub.fault("length", add=-3)

    assert get(letters).content == LETTERS[:-3]


def test_a_range_is_ignored(hub: Hub, letters: str) -> None:
    hub.fault("ignore_range")

    found = get(letters, Range="bytes=3-5")

    assert (found.status_code, found.content) == (200, LETTERS)


def test_a_body_is_compressed_and_its_range_ignored(hub: Hub, letters: str) -> None:
    hub.fault("gzip")

    found = get(letters, Range="bytes=3-5")

    assert (found.headers["content-encoding"], "content-length" in found.headers) == ("gzip", False)
    assert (found.status_code, found.content) == (200, LETTERS)


def test_a_range_may_be_compressed_too(hub: Hub, letters: str) -> None:
    hub.fault("gzip", keep_range=True)

    found = get(letters, Range="bytes=3-5")

    assert (found.status_code, found.content) == (206, b"def")


def test_an_etag_changes_between_two_reads(hub: Hub, letters: str) -> None:
    hub.fault("etag", value="other", nth=2)

    first, second = get(letters).headers["etag"], get(letters).headers["etag"]

    assert (first == second, second) == (False, '"other"')


def test_headers_are_replaced_and_removed(hub: Hub, letters: str) -> None:
    hub.fault("headers", set={"Content-Range": "bytes 0-2/26", "X-Repo-Commit": None})

    found = get(letters, Range="bytes=3-5").headers

    assert (found["content-range"], "x-repo-commit" in found) == ("bytes 0-2/26", False)


def test_a_byte_is_corrupted(hub: Hub, letters: str) -> None:
    hub.fault("corrupt", at=1)

    assert get(letters).content == b"ac" + LETTERS[2:]


def test_main_moves_between_list_and_read(hub: Hub, api: HfApi) -> None:
    old = hub.add("org/m", {"a": "1"}).head.sha
    hub.fault("move_main", "/resolve/", repo="org/m", files={"a": "2"}, nth=1)

    [listed] = api.list_models(expand=["sha"])
    read = [get(f"{hub.url}/org/m/resolve/{rev}/a") for rev in ("main", old)]

    assert listed.sha == old
    assert [one.content for one in read] == [b"2", b"1"]


def test_a_commit_succeeds_and_then_looks_failed(hub: Hub, api: HfApi, data: str) -> None:
    hub.fault("lost", "/commit/", times=1)

    with pytest.raises(HfHubHTTPError, match="500"):
        put(api, "b.txt", b"two\n")

    assert api.list_repo_files("org/d") == ["a.txt", "b.txt"]


def test_a_commit_succeeds_and_the_connection_breaks(hub: Hub, api: HfApi, data: str) -> None:
    hub.fault("lost", "/commit/", status=None, times=1)

    with pytest.raises(httpx.RemoteProtocolError):
        put(api, "b.txt", b"two\n")

    assert api.list_repo_files("org/d") == ["a.txt", "b.txt"]


def test_faults_add_up(hub: Hub, letters: str) -> None:
    hub.fault("ignore_range")
    hub.fault("corrupt", at=0)

    assert get(letters, Range="bytes=3-5").content == b"`" + LETTERS[1:]


def test_a_download_survives_one_refused_head(hub: Hub, api: HfApi, letters: str, tmp_path: Path) -> None:
    hub.fault("status", "/resolve/", method="HEAD", times=1)

    path = api.hf_hub_download("org/text", "letters.txt", cache_dir=tmp_path)

    assert Path(path).read_bytes() == LETTERS
    assert [entry.status for entry in hub.log.select("/resolve/")] == [503, 200, 200]


@pytest.mark.parametrize("wrong", [{"kind": "weather"}, {"kind": "cut", "before": 1}])
def test_a_fault_that_does_not_exist_is_refused(hub: Hub, wrong: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError)):
        hub.fault(**wrong)
    assert get_session().post(f"{hub.url}/_faults", json=wrong).status_code == 400


def test_another_process_scripts_faults_over_http(hub: Hub, letters: str) -> None:
    rule = {"kind": "status", "path": "letters", "status": 418, "times": 1}
    get_session().post(f"{hub.url}/_faults", json=rule)

    assert [get(letters).status_code for _ in range(2)] == [418, 200]
    assert get(f"{hub.url}/_faults").json()[0]["hits"] == 1
    assert get_session().delete(f"{hub.url}/_faults").json() == []


# Log


def test_the_log_counts_requests_and_bytes(hub: Hub, letters: str) -> None:
    get(letters)
    get(letters, Range="bytes=0-4")
    get_session().head(letters)

    assert [(one.method, one.range, one.status, one.bytes) for one in hub.log.entries] == [
        ("GET", None, 200, 26),
        ("GET", "bytes=0-4", 206, 5),
        ("HEAD", None, 200, 0),
    ]
    assert (hub.log.count("letters", "GET"), hub.log.sent("/resolve/")) == (2, 31)


def test_the_log_is_read_and_reset_over_http(hub: Hub, letters: str) -> None:
    get(letters)

    found = get(f"{hub.url}/_log").json()

    assert (found["requests"], found["bytes"]) == (1, 26)
    assert get_session().delete(f"{hub.url}/_log").json()["requests"] == 0


def test_clear_forgets_faults_and_log(hub: Hub, letters: str) -> None:
    hub.fault("status")
    get(letters)
    hub.clear()

    assert (get(letters).status_code, hub.log.count()) == (200, 1)


# The whole


def test_an_unknown_address_is_not_found(hub: Hub) -> None:
    assert get(f"{hub.url}/api/agent-harnesses").status_code == 404


def test_many_readers_at_once(hub: Hub, letters: str) -> None:
    found: list[bytes] = []
    readers = [threading.Thread(target=lambda: found.append(get(letters).content)) for _ in range(20)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()

    assert found == [LETTERS] * 20


def test_a_stopped_hub_answers_no_more() -> None:
    with Hub() as hub:
        pass

    with pytest.raises(httpx.ConnectError):
        get(hub.url)


def test_two_hubs_are_apart(hub: Hub) -> None:
    with Hub() as other:
        other.add("org/m", {"a": "b"})

        assert get(f"{hub.url}/api/models").json() == []


def test_a_folder_added_again_is_a_new_commit(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    repo = hub.add_folder("org/m", tmp_path)
    first = repo.head.sha
    hub.add_folder("org/m", tmp_path)
    assert repo.head.sha == first
    (tmp_path / "b").write_text("2")
    hub.add_folder("org/m", tmp_path, likes=3)

    assert (len(repo.commits), repo.meta["likes"], sorted(repo.head.tree)) == (2, 3, ["a", "b"])


# Other clients, in processes of their own


def client(hub: Hub, home: Path, script: str) -> Any:
    """Run a script against the Hub in a fresh process and return the JSON that it prints last."""
    gone = ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")
    env = {name: value for name, value in os.environ.items() if name not in gone}
    env |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


DATASETS = """
import json
from datasets import load_dataset
def rows(*args, **kwargs):
    return [row["x"] for row in load_dataset("org/data", *args, split="train", **kwargs)]
print(json.dumps({
    "default": rows(), "second": rows("second"), "tag": rows(revision="v1"),
    "stream": rows("second", streaming=True),
}))
"""

CARD = """---
configs:
- config_name: first
  default: true
  data_files: [{split: train, path: first/*.jsonl}]
- config_name: second
  data_files: [{split: train, path: second/*.jsonl}]
---
"""


def test_load_dataset_reads_configs_tags_and_streams(hub: Hub, api: HfApi, tmp_path: Path) -> None:
    files = {"README.md": CARD, "first/a.jsonl": '{"x": 1}\n', "second/a.jsonl": '{"x": 2}\n'}
    repo = hub.add("org/data", files, kind="datasets")
    api.create_tag("org/data", tag="v1", repo_type="dataset")
    repo.write({"first/a.jsonl": '{"x": 10}\n{"x": 11}\n'})

    found = client(hub, tmp_path, DATASETS)

    assert found == {"default": [10, 11], "second": [2], "tag": [1], "stream": [2]}


TRANSFORMERS = """
import json
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained("org/tiny")
print(json.dumps({
    "type": AutoConfig.from_pretrained("org/tiny").model_type,
    "ids": AutoTokenizer.from_pretrained("org/tiny")("b a c").input_ids,
    "norm": model.model.norm.weight.tolist(),
}))
"""


def test_transformers_loads_config_tokenizer_and_weights(hub: Hub, tmp_path: Path) -> None:
    sizes = dict.fromkeys(("hidden_size", "intermediate_size", "vocab_size"), 4)
    heads = dict.fromkeys(("num_hidden_layers", "num_attention_heads", "num_key_value_heads"), 1)
    words = {"type": "WordLevel", "vocab": {"a": 0, "b": 1, "[UNK]": 2}, "unk_token": "[UNK]"}
    pieces = {"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"}}
    norm = struct.pack("<4f", 1, 2, 3, 4)
    hub.add(
        "org/tiny",
        {
            "config.json": json.dumps({**json.loads(LLAMA), **sizes, **heads}),
            "model.safetensors": safetensors(**{"model.norm.weight": ("F32", [4], norm)}),
            "tokenizer.json": json.dumps({"model": words, **pieces}),
            "tokenizer_config.json": json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}),
        },
    )

    found = client(hub, tmp_path, TRANSFORMERS)

    assert found == {"type": "llama", "ids": [1, 0, 2], "norm": [1.0, 2.0, 3.0, 4.0]}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_folder_of_checkpoints_is_served_until_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    for name in ("org/one", "two"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text(LLAMA)
    command = [sys.executable, "-m", "tests.hub", str(tmp_path), "--gated", "org/one", "--page-size", "1"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first, second = process.stdout.readline(), process.stdout.readline()
        url = first.split()[-1]
        found = list(HfApi(endpoint=url, token=False).list_models(expand=["gated"]))
        process.send_signal(number)

        assert process.wait(10) == 0

    assert first == f"serving 2 repositories at {url}\n"
    assert second == f"export HF_ENDPOINT={url}\n"
    assert url.startswith("http://127.0.0.1:")
    assert [(one.id, one.gated) for one in found] == [("local/two", False), ("org/one", "manual")]


def test_a_port_in_use_is_an_error(hub: Hub, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.hub", str(tmp_path), "--port", hub.url.rpartition(":")[2]]

    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 3


def test_a_folder_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.hub", str(tmp_path / "none")]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (2, "")
