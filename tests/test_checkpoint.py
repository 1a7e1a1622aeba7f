"""A checkpoint in a local folder: its bytes are the library's bytes, each counted once, and what is wrong is said."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swindex.crawler.checkpoint import base
from swindex.crawler.checkpoint.base import INDEX, SINGLE, Checkpoint
from swindex.crawler.checkpoint.local import LocalCheckpoint
from swindex.crawler.refusal import Refusal
from swindex.crawler.scanning import open_checkpoint
from swindex.schema.errors import UsageError
from swindex.schema.model import Model, WeightFile
from swindex.schema.types import Outcome

from .hostile.make import entry, pack
from .hostile.told import told

STORIES = Path(__file__).parent / "checkpoints" / "stories260k"


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def tensors_of(path: Path) -> dict[str, bytes]:
    """The bytes of each tensor in a file, as the format's own library gives them."""
    return {name: bytes(t["data"]) for name, t in safetensors.deserialize(path.read_bytes())}


def read(checkpoint: Checkpoint, names: Sequence[str]) -> dict[str, bytes]:
    """The bytes of tensors put together from their pieces; a piece must begin where the last one ended."""
    found: dict[str, bytes] = {}
    for info, at, data in checkpoint.read(names):
        assert len(found.setdefault(info.name, b"")) == at
        found[info.name] += bytes(data)
    return found


def refusal(checkpoint: Checkpoint, what: str = "tensors") -> Refusal:
    """Why a property of a checkpoint cannot be had."""
    with pytest.raises(Refusal) as caught:
        getattr(checkpoint, what)
    return caught.value


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder with a config and one file of three tensors of different dtypes."""
    made = {
        "a": torch.arange(6, dtype=torch.float32).reshape(2, 3),
        "b": torch.arange(5, dtype=torch.bfloat16),
        "c": torch.tensor(3.5, dtype=torch.float16),
    }
    safetensors.torch.save_file(made, tmp_path / SINGLE)
    write_json(tmp_path / "config.json", {"model_type": "llama"})
    return tmp_path


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """A folder with two shards of two tensors each."""
    return shard(tmp_path, {"one": ["a", "b"], "two": ["c", "d"]})


def shard(folder: Path, plan: dict[str, list[str]], weight_map: dict[str, Any] | None = None) -> Path:
    """Write shards with these tensors and an index; the map is the true one unless another is given."""
    for number, (stem, names) in enumerate(plan.items()):
        made = {name: torch.full((2, 3), number * 10.0 + at) for at, name in enumerate(names)}
        safetensors.torch.save_file(made, folder / f"{stem}.safetensors")
    honest = {name: f"{stem}.safetensors" for stem, names in plan.items() for name in names}
    write_json(folder / INDEX, {"weight_map": honest if weight_map is None else weight_map})
    write_json(folder / "config.json", {"model_type": "llama"})
    return folder


# --- reading ---


@pytest.mark.parametrize("name", ["stories260k", "aidreams260k", "relullama-260k"])
def test_the_bytes_are_the_library_s(name: str) -> None:
    folder = STORIES.parent / name
    checkpoint = LocalCheckpoint(folder)

    assert read(checkpoint, list(checkpoint.tensors)) == tensors_of(folder / SINGLE)


def test_every_byte_of_a_file_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "FIRST_READ", 20_000)
    checkpoint = LocalCheckpoint(STORIES)

    read(checkpoint, list(checkpoint.tensors))

    assert checkpoint.meter.bytes == (STORIES / SINGLE).stat().st_size


@pytest.mark.parametrize("first", [8, 40, 100, 400])
def test_a_header_longer_than_the_first_read_is_read_in_two(
    small: Path, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    monkeypatch.setattr(base, "FIRST_READ", first)
    checkpoint = LocalCheckpoint(small)

    assert read(checkpoint, ["a", "b", "c"]) == tensors_of(small / SINGLE)
    assert checkpoint.meter.bytes == (small / SINGLE).stat().st_size


def test_what_came_with_the_header_is_not_read_again(small: Path) -> None:
    checkpoint = LocalCheckpoint(small)
    _ = checkpoint.tensors
    before = checkpoint.meter.bytes

    found = read(checkpoint, ["b"])

    assert (found, checkpoint.meter.bytes) == ({"b": tensors_of(small / SINGLE)["b"]}, before)


@pytest.mark.parametrize("most", [4, 8, 16, 1 << 20])
def test_a_tensor_larger_than_one_read_comes_in_pieces(small: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(LocalCheckpoint, "max_read", most)
    monkeypatch.setattr(base, "FIRST_READ", 8)
    checkpoint = LocalCheckpoint(small)

    sizes = [len(data) for _, _, data in checkpoint.read(["a"])]

    assert read(checkpoint, ["a", "b", "c"]) == tensors_of(small / SINGLE)
    assert sizes == [most] * (24 // most) + ([24 % most] if 24 % most else [])


def test_pieces_end_between_elements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalCheckpoint, "max_read", 16)
    (tmp_path / SINGLE).write_bytes(pack({"x": entry(0, 3), "a": entry(3, 43, "F64", [5])}, bytes(range(43))))

    pieces = [(at, bytes(data)) for _, at, data in LocalCheckpoint(tmp_path).read(["a"])]

    assert pieces == [(0, bytes(range(3, 19))), (16, bytes(range(19, 35))), (32, bytes(range(35, 43)))]


def test_a_piece_of_a_neighbour_ends_between_elements_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalCheckpoint, "max_read", 16)
    (tmp_path / SINGLE).write_bytes(pack({"x": entry(0, 3), "a": entry(3, 43, "F64", [5])}, bytes(range(43))))

    pieces = [(info.name, at, len(data)) for info, at, data in LocalCheckpoint(tmp_path).read(["x", "a"])]

    assert pieces == [("x", 0, 3), ("a", 0, 8), ("a", 8, 16), ("a", 24, 16)]


def test_neighbours_are_read_together(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "FIRST_READ", 8)
    checkpoint = LocalCheckpoint(small)
    reads: list[tuple[int, int]] = []
    plain = checkpoint.read_into

    def noting(path: str, start: int, view: memoryview, stop: Event | None = None) -> None:
        reads.append((start, start + len(view)))
        plain(path, start, view, stop)

    ranges = {n: (t.start, t.end) for n, t in checkpoint.tensors.items()}
    monkeypatch.setattr(checkpoint, "read_into", noting)
    read(checkpoint, ["c", "a", "b"])

    assert reads == [(min(s for s, _ in ranges.values()), max(e for _, e in ranges.values()))]


def test_a_stranger_between_two_tensors_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "FIRST_READ", 8)
    header = {"a": entry(0, 4), "x": entry(4, 1004), "b": entry(1004, 1008)}
    (tmp_path / SINGLE).write_bytes(pack(header, b"aaaa" + bytes(1000) + b"bbbb"))
    checkpoint = LocalCheckpoint(tmp_path)
    _ = checkpoint.tensors
    before = checkpoint.meter.bytes

    assert read(checkpoint, ["a", "b"]) == {"a": b"aaaa", "b": b"bbbb"}
    assert checkpoint.meter.bytes - before == 8


def test_an_empty_tensor_gives_one_empty_piece(tmp_path: Path) -> None:
    (tmp_path / SINGLE).write_bytes(pack({"a": entry(0, 2), "e": entry(2, 2), "b": entry(2, 4)}, b"wxyz"))

    checkpoint = LocalCheckpoint(tmp_path)

    assert read(checkpoint, ["e"]) == {"e": b""}
    assert read(checkpoint, ["a", "e", "b"]) == {"a": b"wx", "e": b"", "b": b"yz"}


def test_shards_are_read_as_one(sharded: Path) -> None:
    checkpoint = LocalCheckpoint(sharded)

    assert checkpoint.weight_files == ("one.safetensors", "two.safetensors")
    assert read(checkpoint, ["d", "a", "c", "b"]) == {
        **tensors_of(sharded / "one.safetensors"),
        **tensors_of(sharded / "two.safetensors"),
    }


def test_one_file_goes_before_an_index(sharded: Path) -> None:
    safetensors.torch.save_file({"x": torch.zeros(1)}, sharded / SINGLE)

    assert list(LocalCheckpoint(sharded).tensors) == ["x"]


def test_the_files_of_a_record(sharded: Path) -> None:
    sizes = {f: (sharded / f).stat().st_size for f in ("one.safetensors", "two.safetensors")}

    assert LocalCheckpoint(sharded).files_read() == tuple(
        WeightFile.model_validate_json(json.dumps({"path": f, "size": s, "integrity": "range"}))
        for f, s in sizes.items()
    )


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_tensors_in_any_order_are_read_exactly(data: st.DataObject, tmp_path_factory: Any) -> None:
    sizes = data.draw(st.lists(st.integers(0, 40), min_size=1, max_size=6))
    ends = [sum(sizes[: n + 1]) for n in range(len(sizes))]
    header = {f"t{n}": entry(end - size, end) for n, (size, end) in enumerate(zip(sizes, ends, strict=True))}
    content = data.draw(st.binary(min_size=ends[-1], max_size=ends[-1]))
    folder = tmp_path_factory.mktemp("any")
    (folder / SINGLE).write_bytes(pack(header, content))
    checkpoint = LocalCheckpoint(folder)
    checkpoint.max_read = data.draw(st.sampled_from([8, 16, 64]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "FIRST_READ", data.draw(st.integers(8, 500)))
        wanted = data.draw(st.lists(st.sampled_from(list(header)), unique=True))

        assert read(checkpoint, wanted) == {n: v for n, v in tensors_of(folder / SINGLE).items() if n in wanted}


# --- files that move ---


def test_a_file_cut_between_header_and_read_is_noticed(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "FIRST_READ", 8)
    checkpoint = LocalCheckpoint(small)
    _ = checkpoint.tensors
    with open(small / SINGLE, "r+b") as file:
        file.truncate((small / SINGLE).stat().st_size - 1)

    with pytest.raises(Refusal) as caught:
        read(checkpoint, ["a", "b", "c"])

    assert caught.value == told(Outcome.FAILED, SINGLE, "changed since the scan began; scan it again")


def test_a_file_rewritten_in_the_same_size_is_noticed(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "FIRST_READ", 8)
    checkpoint = LocalCheckpoint(small)
    _ = checkpoint.tensors
    content, before = (small / SINGLE).read_bytes(), (small / SINGLE).stat()
    (small / "other").write_bytes(content)
    os.utime(small / "other", ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(small / "other", small / SINGLE)

    with pytest.raises(Refusal) as caught:
        read(checkpoint, ["a"])

    assert caught.value == told(Outcome.FAILED, SINGLE, "changed since the scan began")


def test_a_file_that_vanishes_is_a_failure(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "FIRST_READ", 8)
    checkpoint = LocalCheckpoint(small)
    _ = checkpoint.tensors
    (small / SINGLE).unlink()

    with pytest.raises(Refusal) as caught:
        read(checkpoint, ["a"])

    assert caught.value == told(Outcome.FAILED, SINGLE, "No such file")


def test_a_pipe_that_takes_the_place_of_a_file_does_not_hang(small: Path) -> None:
    checkpoint = LocalCheckpoint(small)
    assert SINGLE in checkpoint.entries
    (small / SINGLE).unlink()
    os.mkfifo(small / SINGLE)

    assert refusal(checkpoint) == told(Outcome.FAILED, SINGLE, "changed since the scan began")


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / SINGLE)
    os.mkfifo(tmp_path / "config.json")
    (tmp_path / "notes.txt").write_text("x")

    assert list(LocalCheckpoint(tmp_path).entries) == ["notes.txt"]


def test_the_cache_of_the_hub_s_client_is_a_checkpoint(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / ("a" * 40)
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for number, path in enumerate(sorted(STORIES.iterdir())):
        shutil.copy(path, blobs / str(number))
        (snapshot / path.name).symlink_to(f"../../blobs/{number}")
    checkpoint = LocalCheckpoint(snapshot)

    assert read(checkpoint, list(checkpoint.tensors)) == tensors_of(STORIES / SINGLE)


def test_a_link_to_nothing_is_no_file(small: Path) -> None:
    (small / SINGLE).unlink()
    (small / SINGLE).symlink_to("nowhere")

    assert refusal(LocalCheckpoint(small)) == told(Outcome.FAILED, f"no {SINGLE}")


def test_a_link_to_itself_is_no_file(small: Path) -> None:
    (small / "loop.json").symlink_to("loop.json")

    assert "loop.json" not in LocalCheckpoint(small).entries


@contextmanager
def nobody() -> Iterator[None]:
    """Without the rights of root, which may read everything."""
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(mine)


def test_a_file_that_may_not_be_read_is_a_failure(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (small / SINGLE).chmod(0)
    small.chmod(0o755)
    monkeypatch.chdir(small)
    checkpoint = LocalCheckpoint(Path())
    with nobody():
        found = refusal(checkpoint)

    assert found == told(Outcome.FAILED, SINGLE, "Permission denied; may it be read?")


def test_a_folder_that_may_not_be_read_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    checkpoint = LocalCheckpoint(Path("closed"))
    try:
        with nobody():
            found = refusal(checkpoint, "entries")
    finally:
        (tmp_path / "closed").chmod(stat.S_IRWXU)

    assert found == told(Outcome.FAILED, "closed: Permission denied")


# --- indexes that lie ---


def test_a_missing_shard_is_named(sharded: Path) -> None:
    (sharded / "two.safetensors").unlink()

    assert refusal(LocalCheckpoint(sharded)) == told(Outcome.CORRUPT, "shard two.safetensors is missing", INDEX)


@pytest.mark.parametrize(
    "shard_name",
    [
        "../x.safetensors",
        "/etc/x.safetensors",
        "sub/x.safetensors",
        "..",
        "",
        ".",
        "config.json",
        "x.bin",
        "./x.safetensors",
    ],
)
def test_a_shard_is_a_safetensors_file_in_the_folder(tmp_path: Path, shard_name: str) -> None:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    for path in (tmp_path / "x.safetensors", folder / "sub" / "x.safetensors", folder / "x.safetensors"):
        safetensors.torch.save_file({"a": torch.zeros(1)}, path)
    shard(folder, {}, {"a": shard_name})

    assert refusal(LocalCheckpoint(folder)) == told(Outcome.CORRUPT, INDEX, repr(shard_name), "not a file beside it")


def test_a_shard_s_name_moves_no_cursor(tmp_path: Path) -> None:
    shard(tmp_path, {}, {"a": "\x1b[2J.safetensors"})

    assert "\x1b" not in str(refusal(LocalCheckpoint(tmp_path)))


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    shard(tmp_path, {"one": ["a", "b"], "two": ["b"]})

    assert refusal(LocalCheckpoint(tmp_path)) == told(
        Outcome.CORRUPT, "tensor 'b' is in both one.safetensors and two.safetensors"
    )


def test_a_tensor_that_is_in_another_shard_is_refused(sharded: Path) -> None:
    honest = json.loads((sharded / INDEX).read_text())["weight_map"]
    write_json(sharded / INDEX, {"weight_map": {**honest, "a": "two.safetensors"}})

    assert refusal(LocalCheckpoint(sharded)) == told(Outcome.CORRUPT, INDEX, "'a' is in two.safetensors, and it is not")


def test_a_tensor_that_is_in_no_shard_is_refused(sharded: Path) -> None:
    honest = json.loads((sharded / INDEX).read_text())["weight_map"]
    write_json(sharded / INDEX, {"weight_map": {**honest, "ghost": "two.safetensors"}})

    assert refusal(LocalCheckpoint(sharded)) == told(Outcome.CORRUPT, INDEX, "'ghost' is in two.safetensors")


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}', '{"weight_map": null}'],
)
def test_an_index_without_a_map_is_refused(sharded: Path, text: str) -> None:
    (sharded / INDEX).write_text(text)

    assert refusal(LocalCheckpoint(sharded)) == told(Outcome.CORRUPT, INDEX)


def test_an_index_of_no_tensors_is_refused(sharded: Path) -> None:
    write_json(sharded / INDEX, {"weight_map": {}})

    assert refusal(LocalCheckpoint(sharded)) == told(Outcome.CORRUPT, "the weight files hold no tensor")


def test_a_tensor_twice_in_the_index_is_refused(sharded: Path) -> None:
    (sharded / INDEX).write_text('{"weight_map": {"a": "one.safetensors", "a": "two.safetensors"}}')

    assert refusal(LocalCheckpoint(sharded)) == told(Outcome.CORRUPT, INDEX, "duplicate key 'a'")


def test_a_file_of_no_tensors_is_refused(small: Path) -> None:
    (small / SINGLE).write_bytes(pack({}))

    assert refusal(LocalCheckpoint(small)) == told(Outcome.CORRUPT, "the weight files hold no tensor")


def test_an_empty_weight_file_is_refused(small: Path) -> None:
    (small / SINGLE).write_bytes(b"")

    assert refusal(LocalCheckpoint(small)) == told(Outcome.CORRUPT, SINGLE, "0 bytes are too few")


def test_a_pointer_of_git_lfs_is_refused(small: Path) -> None:
    (small / SINGLE).write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 9\n")

    assert refusal(LocalCheckpoint(small)) == told(Outcome.CORRUPT, SINGLE, "header claims")


# --- folders that hold something else ---


def test_an_empty_folder_is_a_failure(tmp_path: Path) -> None:
    assert refusal(LocalCheckpoint(tmp_path), "config") == told(Outcome.FAILED, str(tmp_path), "empty, no files at all")


def test_a_folder_without_a_config_is_a_failure(small: Path) -> None:
    (small / "config.json").unlink()

    assert refusal(LocalCheckpoint(small), "config") == told(Outcome.FAILED, str(small), "no config.json")


def test_a_folder_without_weights_is_a_failure(small: Path) -> None:
    (small / SINGLE).unlink()

    assert refusal(LocalCheckpoint(small)) == told(Outcome.FAILED, f"no {SINGLE} and no {INDEX}")


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth", "w.pkl", "m.ckpt", "m.pickle"]
)
def test_weights_only_as_pickle_are_unsafe(small: Path, name: str) -> None:
    (small / SINGLE).rename(small / name)

    assert refusal(LocalCheckpoint(small)) == told(Outcome.UNSAFE_FORMAT, "weights only as pickle", name)


def test_pickles_beside_safetensors_are_left_alone(small: Path) -> None:
    (small / "pytorch_model.bin").write_bytes(b"\x80\x04evil")

    assert LocalCheckpoint(small).weight_files == (SINGLE,)


def test_a_folder_in_the_place_of_the_weights_is_a_failure(small: Path) -> None:
    (small / SINGLE).unlink()
    (small / SINGLE).mkdir()

    assert refusal(LocalCheckpoint(small)) == told(Outcome.FAILED, f"no {SINGLE}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "malformed JSON"),
        ("{", "malformed JSON"),
        ("[]", "not a JSON object"),
        ('{"a": 1, "a": 2}', "duplicate key 'a'"),
        ('{"a": {"b": 1, "b": 2}}', "duplicate key 'b'"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": 1e999}', "beyond float64"),
        ("[" * 100_000, "malformed JSON"),
        ('{"model_type": ""}', "model_type or architectures is not a name"),
        ('{"architectures": ["' + "A" * 5000 + '"]}', "model_type or architectures is not a name"),
        ('{"architectures": ["A\\u001b[2J"]}', "model_type or architectures is not a name"),
    ],
    ids=lambda value: value[:20],
)
def test_a_config_that_is_no_config_is_refused(small: Path, text: str, said: str) -> None:
    (small / "config.json").write_text(text)

    assert refusal(LocalCheckpoint(small), "config") == told(Outcome.CORRUPT, "config.json", said)


def test_a_config_that_is_not_utf_8_is_refused(small: Path) -> None:
    (small / "config.json").write_bytes(b'{"a": "\xff"}')

    assert refusal(LocalCheckpoint(small), "config") == told(Outcome.CORRUPT, "config.json", "utf-8")


def test_a_huge_config_is_not_read(small: Path) -> None:
    with open(small / "config.json", "wb") as file:
        file.truncate(65_000_000)
    checkpoint = LocalCheckpoint(small)

    assert refusal(checkpoint, "config") == told(Outcome.CORRUPT, "config.json has 65000000 bytes")
    assert checkpoint.meter.bytes == 0


# --- names ---

NAMES = {
    "model": "model",
    "My Model (v2)": "My-Model-v2",
    "a--b": "a-b",
    "a..b": "a-b",
    "a-..b": "a-b",
    ".hidden": "hidden",
    "-": "checkpoint",
    "日本": "checkpoint",
    "x.git": "x-git",
    "naïve.модель": "na-ve",
    "a" * 200: "a" * 96,
    "a" * 95 + "-" + "b" * 9: "a" * 95,
    "a\nb": "a-b",
    "_x_": "_x_",
    "7b-hf": "7b-hf",
}


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_folder_s_name_becomes_a_model_id(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()

    assert LocalCheckpoint(tmp_path / name).model_id == f"local/{NAMES[name]}"


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=60))
def test_any_folder_s_name_becomes_a_valid_model_id(tmp_path_factory: Any, name: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "names" / f"x{os.getpid()}"
    folder.mkdir(parents=True, exist_ok=True)
    if name in (".", "..") or len(name.encode()) > 255:
        return
    (folder / name).mkdir(exist_ok=True)

    assert Model(id=LocalCheckpoint(folder / name).model_id).revision is None


def test_the_root_folder_has_a_model_id() -> None:
    assert LocalCheckpoint(Path("/")).model_id == "local/checkpoint"


# --- what a target names ---


def test_a_folder_is_a_checkpoint_of_its_own(small: Path) -> None:
    found = open_checkpoint(str(small))

    assert (type(found), found.place, found.revision) == (LocalCheckpoint, str(small), None)


def test_a_folder_has_no_revision(small: Path) -> None:
    with pytest.raises(UsageError, match="--revision is for Hub repositories"):
        open_checkpoint(str(small), "main")


def test_a_file_is_no_checkpoint(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small.parent)

    for target in (str(small / SINGLE), f"{small.name}/{SINGLE}"):
        with pytest.raises(UsageError, match="is not a folder; name the folder that the checkpoint lies in"):
            open_checkpoint(target)


@pytest.mark.parametrize(
    "target", ["", "gpt2", "./none", "/none/at/all", "~/none", "a/b/c", "a" * 5000, "a\0b", "a/\0"]
)
def test_what_is_neither_a_folder_nor_a_model_id_is_wrong_usage(target: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_checkpoint(target)

    assert caught.value.exit_status == 2
