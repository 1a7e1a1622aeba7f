"""What `verify` reads of a model on the Hub, and what goes wrong on the way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from huggingface_hub import HfApi

from swindex.crawler.checkpoint.hub import HubCheckpoint
from swindex.crawler.refusal import Refusal
from swindex.crawler.verifying import SPARE, Verification, verify
from swindex.schema.record import Record

from .hub import Hub
from .sparse import INDEX, file_of, record_of, shard, sharded

MODEL = "org/base"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


def run(hub: Hub, record: Record, revision: str | None = None) -> Verification:
    return verify(record, HubCheckpoint(MODEL, revision, HfApi(endpoint=hub.url)))


def answers(done: Verification) -> list[str]:
    return [str(c.answer) for c in done.checks]


# --- how much is read ---


def test_only_the_headers_of_files_that_hold_a_scalar_are_read(hub: Hub) -> None:
    hub.add(MODEL, sharded({layer: shard(layer, rest=4 << 30) for layer in range(40)}))

    done = run(hub, record_of(2, 30))

    read = {e.path.rpartition("/")[2] for e in hub.log.select("/resolve/")}
    assert (answers(done), read) == (["same", "same"], {INDEX, file_of(2), file_of(30)})


def test_a_model_of_160_gigabytes_costs_under_a_megabyte(hub: Hub) -> None:
    hub.add(MODEL, sharded({layer: shard(layer, rest=4 << 30) for layer in range(40)}))

    run(hub, record_of(*range(40)))

    assert sum(e.bytes for e in hub.log.entries) < 1_000_000


def test_what_comes_behind_many_headers_stays_within_bounds(hub: Hub) -> None:
    shards = {layer: shard(layer, rest=1 << 20, names=layer % 3 * 50) for layer in range(120)}
    files = sharded(shards)
    hub.add(MODEL, files)

    done = run(hub, record_of(*range(120)))

    headers = sum(len(made.head) for made in shards.values()) + len(files[INDEX])
    assert (done.counts["same"], done.scalar_bytes) == (120, 240)
    assert headers <= done.header_bytes <= headers + SPARE


def test_the_bytes_counted_are_those_sent(hub: Hub) -> None:
    hub.add(MODEL, sharded({layer: shard(layer, rest=1 << 22) for layer in range(4)}))

    done = run(hub, record_of(1, 3))

    sent = sum(e.bytes for e in hub.log.select("/resolve/"))
    assert (done.header_bytes + done.scalar_bytes, done.scalar_bytes) == (sent, 4)
    assert done.requests == len(hub.log)


def test_a_header_longer_than_the_first_read_is_read_whole(hub: Hub) -> None:
    long = shard(1, rest=1 << 20, names=3000)
    assert len(long.head) > 200_000
    hub.add(MODEL, {"model.safetensors": long})

    done = run(hub, record_of(1))

    assert (answers(done), done.header_bytes) == (["same"], len(long.head))


# --- damage ---


def test_a_damaged_header_spoils_its_own_scalars_only(hub: Hub) -> None:
    files = sharded({layer: shard(layer) for layer in range(3)})
    hub.add(MODEL, {**files, file_of(1): b"\x05\0\0\0\0\0\0\0{{{{{"})

    done = run(hub, record_of(0, 1, 2))

    assert (answers(done), done.exit_status) == (["same", "not_checkable", "same"], 3)
    assert [c.unread for c in done.checks] == [False, True, False]


def test_an_index_that_lies_is_no_proof_of_absence(hub: Hub) -> None:
    files = sharded({layer: shard(layer) for layer in range(3)})
    hub.add(MODEL, {**files, file_of(1): shard(7)})

    done = run(hub, record_of(1))

    assert (answers(done), done.exit_status) == (["not_checkable"], 3)
    assert "the index says" in str(done.checks[0].reason)


def test_a_tensor_that_no_index_names_is_gone(hub: Hub) -> None:
    hub.add(MODEL, sharded({layer: shard(layer) for layer in range(3)}))

    done = run(hub, record_of(9))

    assert (answers(done), done.exit_status) == (["gone"], 1)


def test_a_drift_beside_trouble_is_still_a_no(hub: Hub) -> None:
    files = sharded({0: shard(0, bits="3f80"), 1: shard(1)})
    hub.add(MODEL, {**files, file_of(1): b"\x05\0\0\0\0\0\0\0{{{{{"})

    assert run(hub, record_of(0, 1)).exit_status == 1


# --- trouble ---


@pytest.fixture
def far(hub: Hub) -> str:
    """A file whose scalar does not come with its header."""
    hub.add(MODEL, {"model.safetensors": shard(1, rest=1 << 20)})
    return r"/resolve/.*model\.safetensors"


def test_another_etag_in_the_middle_is_asked_again(hub: Hub, far: str) -> None:
    hub.fault("etag", far, nth=2)

    assert answers(run(hub, record_of(1))) == ["same"]


def test_another_etag_for_good_is_no_answer(hub: Hub, far: str) -> None:
    hub.fault("etag", far, nth=2, times=1000)

    done = run(hub, record_of(1))

    assert (answers(done), done.exit_status) == (["not_checkable"], 3)
    assert "ETag" in str(done.checks[0].reason)


@pytest.mark.parametrize("kind", ["ignore_range", "truncate", "gzip"])
def test_a_server_that_does_not_keep_to_ranges_is_no_answer(hub: Hub, kind: str) -> None:
    hub.add(MODEL, {"model.safetensors": shard(1, rest=1 << 19)})
    hub.fault(kind, r"/resolve/.*model\.safetensors", nth=2, times=1000)

    assert answers(run(hub, record_of(1))) == ["not_checkable"]


def test_the_pinned_commit_is_read_though_main_has_moved(hub: Hub, far: str) -> None:
    pinned = hub.repo(MODEL).head.sha
    hub.repo(MODEL).write({"model.safetensors": b"\x02\0\0\0\0\0\0\0{}"})

    done = run(hub, record_of(1, revision=pinned), pinned)

    assert (answers(done), done.revision) == (["same"], pinned)


def test_a_commit_that_is_gone_is_a_refusal(hub: Hub, far: str) -> None:
    with pytest.raises(Refusal, match="no such revision"):
        run(hub, record_of(1), "f" * 40)


def test_a_repository_that_moved_is_read_where_it_is(hub: Hub, far: str) -> None:
    pinned = hub.repo(MODEL).head.sha
    hub.move(MODEL, "new/home")

    checkpoint = HubCheckpoint(MODEL, pinned, HfApi(endpoint=hub.url))

    assert (answers(verify(record_of(1), checkpoint)), checkpoint.listed_as) == (["same"], "new/home")
