"""Read-ahead: the same bytes once, the same finds, little memory, and an end to every thread, whatever goes wrong."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import safetensors.torch
import torch
from huggingface_hub import HfApi
from hypothesis import given, settings
from hypothesis import strategies as st

from swindex.crawler.checkpoint import base
from swindex.crawler.checkpoint import hub as reader
from swindex.crawler.checkpoint.base import SINGLE, Cancelled, Checkpoint
from swindex.crawler.checkpoint.hub import HubCheckpoint
from swindex.crawler.checkpoint.local import LocalCheckpoint
from swindex.crawler.checkpoint.spans import Span
from swindex.crawler.detection import ahead
from swindex.crawler.detection.ahead import NAME, Ahead, Buffers
from swindex.crawler.detection.resident import Weights
from swindex.crawler.detection.run import Options
from swindex.crawler.hub import retry
from swindex.crawler.parts.result import Result
from swindex.crawler.refusal import Refusal, failed
from swindex.crawler.scanning import scan, scan_checkpoint
from swindex.schema.errors import UsageError
from swindex.schema.types import Outcome

from .hostile.make import entry, pack
from .hostile.told import told
from .hub import Hub
from .plants import disk
from .plants.shared import one_thread

__all__ = ["one_thread"]
MODEL = disk.CHECKPOINTS / "stories260k-one"
EFFECTS = Options(texts=(str(disk.TEXT),), windows=2, window=64)
DETECTION = Options(effects=False)


class Parallel(LocalCheckpoint):
    """A folder that is read as the Hub is: by several threads, in small ranges; `before` is called before each."""

    connections = 3
    max_read = 1 << 14

    def __init__(self, folder: Path, before: Callable[[int], None] = lambda number: None) -> None:
        super().__init__(folder)
        self.before = before
        self.ranges: list[tuple[int, int]] = []
        self._count = threading.Lock()

    def advise(self, span: Span) -> bool:
        return False

    def read_into(self, path: str, start: int, view: memoryview, stop: Event | None = None) -> None:
        if path == SINGLE:
            with self._count:
                number = len(self.ranges)
                self.ranges.append((start, start + len(view)))
            self.before(number)
        super().read_into(path, start, view, stop)


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "MIN_READ", 1 << 10)
    monkeypatch.setattr(base, "FIRST_READ", 1 << 10)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert [t.name for t in threading.enumerate() if t.name == NAME] == []


def gathered(pieces: Iterator[tuple[Any, int, memoryview]]) -> dict[str, bytes]:
    """Tensors put together; a piece must begin where the last one ended."""
    found: dict[str, bytes] = {}
    for info, at, data in pieces:
        assert len(found.setdefault(info.name, b"")) == at
        found[info.name] += bytes(data)
    return found


def names_of(checkpoint: Checkpoint, layer: int) -> list[str]:
    return [n for n in checkpoint.tensors if f".layers.{layer}." in n]


def figures(result: Result) -> dict[str, Any]:
    """A record without what differs from run to run."""
    made = result.record("test").model_dump(mode="json")
    scan = {k: v for k, v in made["scans"][0].items() if k not in ("cost", "time")}
    return {**{k: made[k] for k in ("model", "super_weights", "groups", "effects")}, "scan": scan}


# --- the same bytes ---


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_what_was_begun_is_what_would_have_been_read(data: st.DataObject, tmp_path_factory: Any) -> None:
    sizes = data.draw(st.lists(st.integers(0, 60), min_size=1, max_size=8))
    ends = [sum(sizes[: n + 1]) for n in range(len(sizes))]
    header = {f"t{n}": entry(end - size, end) for n, (size, end) in enumerate(zip(sizes, ends, strict=True))}
    content = data.draw(st.binary(min_size=ends[-1], max_size=ends[-1]))
    folder = tmp_path_factory.mktemp("any")
    (folder / SINGLE).write_bytes(pack(header, content))
    checkpoint = Parallel(folder)
    checkpoint.max_read = data.draw(st.sampled_from([8, 16, 64]))
    wanted = data.draw(st.lists(st.sampled_from(list(header)), unique=True))
    reading = Ahead(checkpoint)
    if data.draw(st.booleans()):
        reading.start(wanted)

    expected = {n: content[header[n]["data_offsets"][0] : header[n]["data_offsets"][1]] for n in wanted}
    assert gathered(reading.read(wanted)) == expected
    assert reading.buffers.live == 0


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_tensors_are_read_right_into_their_memory(data: st.DataObject, tmp_path_factory: Any) -> None:
    ends = list(accumulate(data.draw(st.lists(st.integers(1, 60), min_size=1, max_size=8)), initial=0))
    header = {f"t{n}": entry(2 * a, 2 * b, "BF16", [b - a]) for n, (a, b) in enumerate(pairwise(ends))}
    content = data.draw(st.binary(min_size=2 * ends[-1], max_size=2 * ends[-1]))
    folder = tmp_path_factory.mktemp("any")
    (folder / SINGLE).write_bytes(pack(header, content))
    checkpoint = LocalCheckpoint(folder)
    checkpoint.max_read, checkpoint.first_read = data.draw(st.sampled_from([(8, 8), (16, 1 << 10), (64, 1 << 30)]))
    wanted = data.draw(st.lists(st.sampled_from(list(header)), unique=True))
    made = [(checkpoint.tensors[n], torch.empty(header[n]["shape"], dtype=torch.bfloat16)) for n in wanted]
    Ahead(checkpoint).fill(made)

    for info, tensor in made:
        start, end = header[info.name]["data_offsets"]
        assert bytes(tensor.view(torch.uint8).numpy()) == content[start:end]


@pytest.mark.parametrize("what", ["shorter", "gone"])
def test_a_file_that_ends_too_early_stops_the_reading_of_tensors(tmp_path: Path, what: str) -> None:
    (tmp_path / SINGLE).write_bytes((MODEL / SINGLE).read_bytes())
    checkpoint = LocalCheckpoint(tmp_path)
    checkpoint.max_read = 1 << 12
    made = [(i, torch.empty(i.shape, dtype=getattr(torch, i.dtype or ""))) for i in checkpoint.tensors.values()]
    if what == "gone":
        (tmp_path / SINGLE).unlink()
    else:
        os.truncate(tmp_path / SINGLE, 200_000)

    with pytest.raises(Refusal) as caught:
        Ahead(checkpoint).fill(made)
    assert caught.value == told(Outcome.FAILED, SINGLE, "No such file" if what == "gone" else "changed")
    assert not [t for t in threading.enumerate() if t.name.startswith(NAME)]


def test_other_tensors_than_those_begun_may_come_between() -> None:
    checkpoint = Parallel(MODEL)
    reading = Ahead(checkpoint)
    plain = LocalCheckpoint(MODEL)
    reading.start(names_of(checkpoint, 1))

    assert gathered(reading.read(names_of(checkpoint, 0))) == gathered(plain.read(names_of(plain, 0)))
    assert gathered(reading.read(names_of(checkpoint, 1))) == gathered(plain.read(names_of(plain, 1)))


def test_what_was_begun_is_read_once() -> None:
    checkpoint = Parallel(MODEL)
    names = names_of(checkpoint, 0)
    checkpoint.ranges.clear()
    reading = Ahead(checkpoint)
    reading.start(names)
    gathered(reading.read(names))

    assert sum(end - start for start, end in checkpoint.ranges) == sum(checkpoint.tensors[n].size for n in names)
    assert len(set(checkpoint.ranges)) == len(checkpoint.ranges) > checkpoint.connections


def test_a_folder_is_left_to_the_system_s_own_read_ahead() -> None:
    checkpoint = LocalCheckpoint(MODEL)
    names, before = names_of(checkpoint, 0), checkpoint.meter.bytes
    reading = Ahead(checkpoint)
    reading.start(names)

    assert checkpoint.meter.bytes == before
    assert threading.active_count() == len([t for t in threading.enumerate() if t.name != NAME])
    assert gathered(reading.read(names)) == gathered(LocalCheckpoint(MODEL).read(names))


def test_a_file_that_vanished_is_not_noticed_before_it_is_read(tmp_path: Path) -> None:
    (tmp_path / SINGLE).write_bytes((MODEL / SINGLE).read_bytes())
    checkpoint = LocalCheckpoint(tmp_path)
    names = names_of(checkpoint, 0)
    (tmp_path / SINGLE).unlink()
    reading = Ahead(checkpoint)
    reading.start(names)

    with pytest.raises(Refusal) as caught:
        gathered(reading.read(names))
    assert caught.value == told(Outcome.FAILED, SINGLE, "No such file")


# --- the same scan ---


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", ["stories260k-one", "stories260k-pair", "aidreams260k"])
def test_a_scan_that_reads_ahead_finds_the_same(name: str) -> None:
    checkpoint = Parallel(disk.CHECKPOINTS / name)

    assert figures(scan_checkpoint(checkpoint, EFFECTS)) == figures(
        scan_checkpoint(LocalCheckpoint(disk.CHECKPOINTS / name), EFFECTS)
    )


def test_a_scan_that_reads_ahead_reads_each_byte_once() -> None:
    checkpoint = Parallel(MODEL)
    result = scan_checkpoint(checkpoint, EFFECTS)
    bits = [(w.byte_offset, (w.byte_offset or 0) + 4) for w in result.super_weights]
    ranges = sorted(checkpoint.ranges)
    for one in bits:
        ranges.remove(one)

    assert [start for start, _ in ranges] == [0, *(end for _, end in ranges[:-1])]
    assert ranges[-1][1] == os.path.getsize(MODEL / SINGLE)


def test_a_layer_is_read_while_the_one_before_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[tuple[str, ...]] = []
    plain = Ahead.start

    def noting(self: Ahead, names: Sequence[str]) -> None:
        begun.append(tuple(names))
        plain(self, names)

    monkeypatch.setattr(Ahead, "start", noting)
    checkpoint = Parallel(MODEL)
    scan_checkpoint(checkpoint, DETECTION)

    assert [set(names) for names in begun] == [set(names_of(checkpoint, n)) for n in range(1, 5)]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("slow", {"delay": 0.001, "piece": 4096}),
        ("status", {"status": 503, "probability": 0.3}),
        ("truncate", {"keep": 100, "probability": 0.3, "times": 2}),
        ("cut", {"after": 1000, "probability": 0.3}),
    ],
)
def test_a_hub_in_trouble_gives_the_finds_of_a_folder(
    monkeypatch: pytest.MonkeyPatch, kind: str, arguments: dict[str, Any]
) -> None:
    monkeypatch.setattr(retry, "BASE_WAIT", 0.001)
    monkeypatch.setattr(HubCheckpoint, "max_read", 1 << 15)
    with Hub() as hub:
        hub.add_folder("org/m", MODEL)
        hub.fault(kind, SINGLE, **arguments)
        result = scan_checkpoint(HubCheckpoint("org/m", None, HfApi(endpoint=hub.url, token=False)), EFFECTS)
    here = scan_checkpoint(LocalCheckpoint(MODEL), EFFECTS)
    finds = [w.model_dump(exclude={"scan"}) for w in result.super_weights]

    assert finds == [w.model_dump(exclude={"scan"}) for w in here.super_weights]
    assert [e.nll_after for e in result.effects] == [e.nll_after for e in here.effects]
    assert result.scan.profile == here.scan.profile


# --- what goes wrong ---

READS = 80
"""Ranges that a scan of the model makes, or a few fewer."""


@pytest.mark.parametrize("bad", range(0, READS, 4))
def test_a_range_that_cannot_be_read_fails_the_scan_with_its_own_reason(bad: int) -> None:
    def before(number: int) -> None:
        if number == bad:
            raise failed(f"range {number} is broken")

    checkpoint = Parallel(MODEL, before)
    result = scan_checkpoint(checkpoint, EFFECTS)

    assert bad < len(checkpoint.ranges)
    assert (result.scan.outcome, result.scan.reason) == (Outcome.FAILED, f"range {bad} is broken")


@pytest.mark.parametrize("error", [MemoryError(), KeyboardInterrupt(), SystemExit(1), ValueError("odd")], ids=repr)
def test_any_error_of_a_thread_is_raised_where_its_bytes_were_wanted(error: BaseException) -> None:
    def before(number: int) -> None:
        if number == 3:
            raise error

    checkpoint = Parallel(MODEL, before)
    names = names_of(checkpoint, 0)
    checkpoint.ranges.clear()
    reading = Ahead(checkpoint)
    reading.start(names)

    with pytest.raises(type(error)) as caught:
        gathered(reading.read(names))
    assert caught.value is error
    assert reading.buffers.live == 0


def test_of_two_errors_the_first_in_the_file_is_raised() -> None:
    late = Event()

    def before(number: int) -> None:
        if checkpoint.ranges[number][0] == first.start:
            late.wait(10)
            raise failed("the first")
        if checkpoint.ranges[number][0] == second.start:
            late.set()
            raise failed("the second")

    checkpoint = Parallel(MODEL)
    names = names_of(checkpoint, 0)
    first, second = checkpoint.spans(names)[:2]
    checkpoint.before = before
    reading = Ahead(checkpoint)
    reading.start(names)

    with pytest.raises(Refusal, match="the first"):
        gathered(reading.read(names))


def test_after_an_error_nothing_more_is_asked_for() -> None:
    def before(number: int) -> None:
        if number == 0:
            raise failed("broken")

    checkpoint = Parallel(MODEL)
    checkpoint.connections = 1
    names = names_of(checkpoint, 0)
    checkpoint.ranges.clear()
    checkpoint.before = before
    reading = Ahead(checkpoint)
    reading.start(names)
    with pytest.raises(Refusal):
        gathered(reading.read(names))

    assert len(checkpoint.ranges) == 1


def test_an_error_of_the_scan_itself_ends_the_reading() -> None:
    class Stop(BaseException):
        """Neither a Refusal nor an Exception, as Ctrl-C is not."""

    def progress(what: str, done: int, of: int) -> None:
        if done == 2:
            raise Stop

    with pytest.raises(Stop):
        scan_checkpoint(Parallel(MODEL), EFFECTS, progress)


def test_pieces_that_nobody_takes_are_given_up() -> None:
    checkpoint = Parallel(MODEL)
    reading = Ahead(checkpoint)
    for begun in (True, False):
        names = names_of(checkpoint, 0)
        if begun:
            reading.start(names)
        pieces = reading.read(names)
        next(pieces)
        pieces.close()  # type: ignore[attr-defined]

        assert reading.buffers.live == 0


def test_what_was_begun_may_be_given_up() -> None:
    reading = Ahead(Parallel(MODEL))
    reading.start(names_of(reading.checkpoint, 0))
    reading.start(names_of(reading.checkpoint, 1))
    reading.close()
    reading.close()

    assert reading.buffers.live == 0


def test_a_wait_that_the_server_asked_for_ends_when_nobody_waits_any_more() -> None:
    with Hub() as hub:
        hub.add_folder("org/m", MODEL)
        checkpoint = HubCheckpoint("org/m", None, HfApi(endpoint=hub.url, token=False))
        names = names_of(checkpoint, 0)
        fault = hub.fault("status", SINGLE, status=429, reset=200)
        reading = Ahead(checkpoint)
        reading.start(names)
        while not fault.hits:
            Event().wait(0.005)
        reading.close()

        assert reading.buffers.live == 0


def test_a_body_that_nobody_waits_for_any_more_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HubCheckpoint, "max_read", 1 << 20)
    stop = Event()
    with Hub() as hub:
        hub.add("org/m", {"config.json": "{}", SINGLE: pack({"a": entry(0, 1 << 20)}, bytes(1 << 20))})
        hub.fault("slow", SINGLE, delay=0.01, piece=1 << 12)
        checkpoint = HubCheckpoint("org/m", None, HfApi(endpoint=hub.url, token=False))
        stop.set()

        with pytest.raises(Cancelled):
            checkpoint.read_into(SINGLE, 0, memoryview(bytearray(1 << 19)), stop)
        assert checkpoint.meter.bytes < 1 << 19


def test_a_server_that_stalls_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "PATIENCE", 0.05)
    monkeypatch.setattr(reader, "TIMEOUT", 1.0)
    with Hub() as hub:
        hub.add_folder("org/m", MODEL)
        checkpoint = HubCheckpoint("org/m", None, HfApi(endpoint=hub.url, token=False))
        names = names_of(checkpoint, 0)
        fault = hub.fault("slow", SINGLE, delay=60, piece=1 << 20)
        reading = Ahead(checkpoint)
        reading.start(names)
        while not fault.hits:
            Event().wait(0.005)
        reading.close()
        left = [t for t in threading.enumerate() if t.name == NAME]

        assert all(t.daemon for t in left)
    for thread in left:
        thread.join(30)
    assert reading.buffers.live == 0


# --- memory ---


class Counted(Buffers):
    """Remembers how much was out at once."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0
        self.most_bytes = 0
        self._out = 0

    def take(self, size: int) -> memoryview:
        buffer = super().take(size)
        with self._lock:
            self._out += len(buffer)
            self.most, self.most_bytes = max(self.most, self.live), max(self.most_bytes, self._out)
        return buffer

    def give(self, buffer: memoryview) -> None:
        super().give(buffer)
        with self._lock:
            self._out -= len(buffer)


def test_without_a_start_only_a_few_pieces_are_read_ahead() -> None:
    checkpoint = Parallel(MODEL)
    reading = Ahead(checkpoint)
    reading.buffers = counted = Counted()
    names = list(checkpoint.tensors)
    assert len(checkpoint.spans(names)) > 20
    gathered(reading.read(names))

    assert counted.most <= checkpoint.connections + 1


@pytest.mark.parametrize("kind", [Parallel, LocalCheckpoint])
def test_a_scan_holds_the_raw_bytes_of_one_layer_at_most(
    kind: type[LocalCheckpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Counted] = []

    def counted(pinned: bool = False) -> Counted:
        made.append(Counted())
        return made[-1]

    monkeypatch.setattr(ahead, "Buffers", counted)
    checkpoint = kind(MODEL)
    scan_checkpoint(checkpoint, EFFECTS)
    layer = max(sum(checkpoint.tensors[n].size for n in names_of(checkpoint, number)) for number in range(5))
    window = (checkpoint.connections + 1) * min(checkpoint.max_read, os.path.getsize(MODEL / SINGLE))

    assert len(made) == 1
    assert made[0].live == 0
    assert 0 < made[0].most_bytes <= max(layer, window)


def test_memory_is_used_again() -> None:
    buffers = Buffers()
    first = buffers.take(100)
    buffers.give(first)

    assert buffers.take(80) is first


def test_memory_that_is_too_small_makes_room_for_more() -> None:
    buffers = Buffers()
    small, large = buffers.take(10), buffers.take(20)
    buffers.give(small)
    buffers.give(large)
    larger = buffers.take(30)

    assert (len(larger), len(buffers)) == (30, 10)


# --- the next layer made, not only read, while this one computes (a GPU's way, here on the CPU) ---


@pytest.fixture
def overlapping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Weights, "overlaps", True)


@pytest.mark.usefixtures("one_thread", "overlapping")
@pytest.mark.parametrize("kind", [Parallel, LocalCheckpoint])
def test_layers_made_beside_are_those_made_in_place(
    kind: type[LocalCheckpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = scan_checkpoint(kind(MODEL), EFFECTS)
    monkeypatch.setattr(Weights, "overlaps", False)

    assert figures(beside) == figures(scan_checkpoint(LocalCheckpoint(MODEL), EFFECTS))


@pytest.mark.usefixtures("overlapping")
@pytest.mark.parametrize("bad", range(0, READS, 16))
def test_an_error_beside_is_raised_when_its_layer_is_wanted(bad: int) -> None:
    def before(number: int) -> None:
        if number == bad:
            raise failed(f"range {number} is broken")

    result = scan_checkpoint(Parallel(MODEL, before), DETECTION)

    assert (result.scan.outcome, result.scan.reason) == (Outcome.FAILED, f"range {bad} is broken")


@pytest.mark.usefixtures("overlapping")
def test_layers_made_beside_are_given_up_with_the_scan() -> None:
    def progress(what: str, done: int, of: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan_checkpoint(Parallel(MODEL), EFFECTS, progress)


# --- the dtype of the arithmetic ---


@pytest.mark.parametrize("compute", ["bfloat16", "float16"])
def test_less_precise_arithmetic_finds_the_same_scalar_and_says_so(compute: str) -> None:
    result = scan_checkpoint(LocalCheckpoint(MODEL), Options(effects=False, compute=compute))

    assert [w.id for w in result.super_weights] == ["L1.R67.C172"]
    assert result.scan.settings.compute_dtype == compute


@pytest.mark.parametrize(
    ("compute", "said"),
    [
        ("bfloat16", "computing in bfloat16 is for a GPU (--device cuda); on a CPU it is float32"),
        ("float64", "'float64' is no dtype to compute in; use float32, bfloat16, float16"),
    ],
)
def test_a_dtype_that_is_not_for_this_device_is_wrong_usage(compute: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        scan(str(MODEL), options=Options(compute=compute))
    assert str(caught.value) == said


def test_a_weight_too_large_for_the_arithmetic_is_no_damage(tmp_path: Path) -> None:
    for path in MODEL.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    tensors = safetensors.torch.load_file(tmp_path / SINGLE)
    name = "model.layers.2.mlp.up_proj.weight"
    tensors[name][3, 4] = 1e6
    safetensors.torch.save_file(tensors, tmp_path / SINGLE)
    scanned = scan_checkpoint(LocalCheckpoint(tmp_path), Options(effects=False, compute="float16")).scan

    assert (scanned.outcome, scanned.reason) == (
        Outcome.FAILED,
        f"{tmp_path}: {name} is too large for torch.float16; compute in float32",
    )
