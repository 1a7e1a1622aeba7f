"""`swindex guard`: flipped bits are seen, casts are no alarm, and what a flip would do is told."""

import json
import random
import shutil
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import HfApi
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from swindex.api.guarding import baseline as digests
from swindex.api.guarding.baseline import CASTS, take
from swindex.api.guarding.files import Same, guard
from swindex.api.guarding.flips import flips_of
from swindex.api.guarding.judging import State
from swindex.api.guarding.ranges import safe_range
from swindex.api.main import main
from swindex.crawler.checkpoint.header import TensorInfo
from swindex.crawler.checkpoint.hub import HubCheckpoint
from swindex.crawler.checkpoint.local import LocalCheckpoint
from swindex.crawler.detection.run import Options
from swindex.crawler.scanning import scan
from swindex.schema import Record
from swindex.schema.bits import rounded_bits
from swindex.schema.effect import Effect
from swindex.schema.observation import Stance
from swindex.schema.types import Intervention

from . import records as make
from .hub import Hub
from .plants import disk, stored
from .plants.shared import one_thread

__all__ = ["one_thread"]
CHECKPOINTS = Path(__file__).parent / "checkpoints"
DOWN = "model.layers.1.mlp.down_proj.weight"
FILE = "model.safetensors"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
Capture = pytest.CaptureFixture[str]


def scanned(folder: Path) -> Record:
    return scan(str(folder), options=Options(effects=False))


@pytest.fixture(scope="module")
def records() -> dict[str, Record]:
    return {name: scanned(CHECKPOINTS / name) for name in ("stories260k-one", "stories260k-pair")}


@pytest.fixture(scope="module")
def one(records: dict[str, Record]) -> Record:
    return records["stories260k-one"]


def copy(name: str, to: Path) -> Path:
    return Path(shutil.copytree(CHECKPOINTS / name, to))


def cast(folder: Path, dtype: torch.dtype, to: Path) -> Path:
    """A cast of a checkpoint by torch and safetensors alone."""
    shutil.copytree(folder, to)
    state = {n: t.to(dtype) for n, t in load_file(folder / FILE).items()}
    save_file(state, to / FILE, metadata={"format": "pt"})
    return to


def odd(dtype: str, to: Path) -> Path:
    """A checkpoint in a dtype whose super weight the narrower dtypes round."""
    folder = copy("stories260k-one", to / f"odd-{dtype}")
    state = load_file(folder / FILE)
    state[DOWN][67, 172] = 4.712345
    save_file({n: t.to(DTYPES[dtype]) for n, t in state.items()}, folder / FILE, metadata={"format": "pt"})
    return folder


def flip(file: Path, byte: int, bit: int) -> None:
    with open(file, "r+b") as handle:
        handle.seek(byte)
        old = handle.read(1)[0]
        handle.seek(byte)
        handle.write(bytes([old ^ 1 << bit]))


def infos(folder: Path) -> dict[str, TensorInfo]:
    return LocalCheckpoint(folder).tensors_in(FILE)


# --- every bit of every recorded scalar ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["stories260k-one", "stories260k-pair"])
def test_every_bit_of_every_recorded_scalar_is_seen_and_told(
    name: str, dtype: str, records: dict[str, Record], tmp_path: Path
) -> None:
    """Held against the record of the checkpoint in float32, whatever the checkpoint was cast to."""
    record, folder = records[name], cast(CHECKPOINTS / name, DTYPES[dtype], tmp_path / "cast")
    info = infos(folder)[DOWN]
    width = info.bits // 8
    for number, weight in enumerate(record.super_weights):
        at = info.start + width * (weight.row * info.shape[1] + weight.col)
        for bit in range(8 * width):
            flip(folder / FILE, at + bit // 8, bit % 8)
            done = guard(LocalCheckpoint(folder), record)
            told = [(n, f.flipped) for n, f in enumerate(done.scalars) if not f.ok]
            assert (told, done.exit_status) == ([(number, (bit,))], 1)
            flip(folder / FILE, at + bit // 8, bit % 8)
    assert guard(LocalCheckpoint(folder), record).exit_status == 0


@pytest.mark.parametrize("stored", DTYPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_cast_is_no_alarm(stored: str, dtype: str, tmp_path: Path) -> None:
    folder = odd(stored, tmp_path)
    trusted = take(LocalCheckpoint(folder), casts=CASTS)

    done = guard(LocalCheckpoint(cast(folder, DTYPES[dtype], tmp_path / "cast")), scanned(folder), baseline=trusted)

    assert [f.state for f in done.scalars] == [State.INTACT if stored == dtype else State.CAST]
    assert (done.tensors, done.exit_status) == ((), 0)


@pytest.mark.parametrize(
    ("name", "bits"), [("fp8 blocks", 8), ("ct int8 with zeros", 8), ("ct int4", 4), ("gptq", 4), ("awq", 4)]
)
def test_of_a_word_of_codes_the_scalar_s_own_bits_are_seen_and_the_others_by_the_baseline(
    name: str, bits: int, tmp_path: Path
) -> None:
    folder = stored.packed(name).write(tmp_path)
    record, trusted = scanned(folder), take(LocalCheckpoint(folder))
    number, weight = next((n, w) for n, w in enumerate(record.super_weights) if w.id == "L1.R67.C172")
    assert weight.bits is not None
    assert weight.byte_offset is not None
    seen = []
    for bit in range(4 * len(weight.bits)):
        flip(folder / FILE, weight.byte_offset + bit // 8, bit % 8)
        done = guard(LocalCheckpoint(folder), record, baseline=trusted)
        assert [t.name for t in done.tensors] == [weight.tensor]
        seen += [bit] if not done.scalars[number].ok else []
        flip(folder / FILE, weight.byte_offset + bit // 8, bit % 8)

    assert len(seen) == bits
    assert seen == list(range(seen[0], seen[0] + bits))
    assert guard(LocalCheckpoint(folder), record, baseline=trusted).exit_status == 0


def test_a_refuted_claim_is_no_alarm(one: Record) -> None:
    """What it says of a value need not be so."""
    parts = make.reported_parts("local/stories260k-one")
    claim = one.super_weights[0].model_copy(update={"scan": None, "group": None})
    wrong = claim.model_copy(update={"id": "L2.R67.C172", "layer": 2, "tensor": DOWN.replace("1", "2"), "value": 1.0})
    wrong = wrong.model_copy(update={"bits": "3f800000"})
    denied = make.observation((2, 67, 172), stance=Stance.DENIES, origin="other", ppl=(10.0, 10.0))
    seen = (make.observation((1, 67, 172)), denied)
    record = make.make({**parts, "super_weights": (claim, wrong), "groups": (), "remarks": (), "observations": seen})
    assert [str(s.location) for s in record.status.weights] == ["reported", "refuted"]

    done = guard(LocalCheckpoint(CHECKPOINTS / "stories260k-one"), record)

    assert ([f.weight for f in done.scalars], done.exit_status) == (["L1.R67.C172"], 0)


def test_a_lossy_way_there_and_back_is_a_change(one: Record, tmp_path: Path) -> None:
    folder = odd("float32", tmp_path)
    record = scanned(folder)

    back = cast(cast(folder, torch.bfloat16, tmp_path / "there"), torch.float32, tmp_path / "back")

    assert [f.state for f in guard(LocalCheckpoint(back), record).scalars] == [State.CHANGED]


@given(st.floats(width=32, allow_nan=False))
@pytest.mark.parametrize("dtype", DTYPES)
def test_rounding_is_that_of_torch(dtype: str, value: float) -> None:
    bits = torch.tensor(value, dtype=torch.float32).to(DTYPES[dtype])
    raw = int(bits.view(torch.int32 if dtype == "float32" else torch.int16))

    assert rounded_bits(value, dtype) == f"{raw & (1 << 8 * bits.itemsize) - 1:0{2 * bits.itemsize}x}"


# --- elsewhere ---


def injected(file: Path, seed: int, count: int, among: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Random single flips in these bytes of a file, one at a time: (byte, bit)."""
    chance = random.Random(seed)
    for _ in range(count):
        byte, bit = chance.choice(among), chance.randrange(8)
        flip(file, byte, bit)
        yield byte, bit
        flip(file, byte, bit)


def with_digest(record: Record, folder: Path) -> Record:
    """The record with the file's digest, as a scan of the Hub has it."""
    import hashlib

    sha256 = hashlib.sha256((folder / FILE).read_bytes()).hexdigest()
    [file] = record.model.files
    model = record.model.model_copy(update={"files": (file.model_copy(update={"sha256": sha256}),)})
    return record.model_copy(update={"model": model})


def test_a_thousand_flips_elsewhere_are_seen_and_told_by_tensor_and_row(one: Record, tmp_path: Path) -> None:
    """By the record's digest of the file, and by a baseline; in the header too."""
    folder = copy("stories260k-one", tmp_path / "one")
    record, trusted = with_digest(one, folder), take(LocalCheckpoint(folder))
    at = one.super_weights[0].byte_offset or 0
    layout = sorted(infos(folder).values(), key=lambda i: i.start)
    missed, misplaced = [], []
    elsewhere = [byte for byte in range((folder / FILE).stat().st_size) if not at <= byte < at + 4]
    for byte, bit in injected(folder / FILE, 1, 1000, elsewhere):
        done = guard(LocalCheckpoint(folder), record, baseline=trusted, full=True)
        if done.exit_status != 1 or not any(f.state is Same.CHANGED for f in done.files):
            missed.append((byte, bit))
        info = next((i for i in layout if i.start <= byte < i.end), None)
        if info is None:  # in the header
            continue
        row = (byte - info.start) // 4 // info.shape[-1]
        if [(t.name, t.state, t.rows) for t in done.tensors] != [(info.name, Same.CHANGED, ((row, row),))]:
            misplaced.append((byte, bit, done.tensors))
    assert (missed, misplaced) == ([], [])
    assert guard(LocalCheckpoint(folder), record, baseline=trusted, full=True).exit_status == 0


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_flips_in_a_cast_checkpoint_are_seen_by_the_digests_of_casts(dtype: str, tmp_path: Path) -> None:
    trusted = take(LocalCheckpoint(CHECKPOINTS / "stories260k-one"), casts=CASTS)
    folder = cast(CHECKPOINTS / "stories260k-one", DTYPES[dtype], tmp_path / "cast")
    layout = list(infos(folder).values())
    missed, size = [], (folder / FILE).stat().st_size
    for byte, bit in injected(folder / FILE, 2, 150, range(min(i.start for i in layout), size)):
        [info] = [i for i in layout if i.start <= byte < i.end]
        done = guard(LocalCheckpoint(folder), baseline=trusted)
        if ([t.name for t in done.tensors], done.exit_status) != ([info.name], 1):
            missed.append((byte, bit))

    assert missed == []


def test_flips_in_a_header_are_seen(tmp_path: Path) -> None:
    folder = copy("stories260k-one", tmp_path / "one")
    trusted = take(LocalCheckpoint(folder))
    header = range(min(i.start for i in infos(folder).values()))

    found = [guard(LocalCheckpoint(folder), baseline=trusted) for _ in injected(folder / FILE, 3, 150, header)]

    assert [done.exit_status for done in found] == [1] * 150


def test_the_record_s_digest_says_nothing_of_a_cast(one: Record, tmp_path: Path) -> None:
    record = with_digest(one, CHECKPOINTS / "stories260k-one")
    folder = cast(CHECKPOINTS / "stories260k-one", torch.bfloat16, tmp_path / "cast")

    done = guard(LocalCheckpoint(folder), record, full=True)

    assert [(f.state, f.reason) for f in done.files] == [
        (Same.NOT_CHECKABLE, "the checkpoint was cast, so its files are others")
    ]
    assert done.exit_status == 3


def test_a_baseline_without_casts_says_nothing_of_a_cast(tmp_path: Path) -> None:
    trusted = take(LocalCheckpoint(CHECKPOINTS / "stories260k-one"))
    folder = cast(CHECKPOINTS / "stories260k-one", torch.bfloat16, tmp_path / "cast")

    done = guard(LocalCheckpoint(folder), baseline=trusted)

    assert ({t.state for t in done.tensors}, done.exit_status) == ({Same.NOT_CHECKABLE}, 3)
    assert len(done.tensors) == len(infos(folder))


def test_other_shards_of_the_same_tensors_are_no_alarm(tmp_path: Path) -> None:
    folder = copy("stories260k-one", tmp_path / "shards")
    state = load_file(folder / FILE)
    (folder / FILE).unlink()
    names = sorted(state)
    shards = {f"model-{n + 1:05}-of-00002.safetensors": names[n::2] for n in range(2)}
    for file, own in shards.items():
        save_file({n: state[n] for n in own}, folder / file)
    weight_map = {n: file for file, own in shards.items() for n in own}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))

    done = guard(LocalCheckpoint(folder), baseline=take(LocalCheckpoint(CHECKPOINTS / "stories260k-one")))

    assert (done.files, done.tensors, done.exit_status) == ((), (), 0)


def test_what_came_and_what_went_is_told(tmp_path: Path) -> None:
    folder = copy("stories260k-one", tmp_path / "one")
    trusted = take(LocalCheckpoint(folder))
    state = load_file(folder / FILE)
    state["more"] = state.pop(DOWN)
    save_file(state, folder / FILE, metadata={"format": "pt"})

    done = guard(LocalCheckpoint(folder), baseline=trusted)

    assert [(t.name, t.state) for t in done.tensors] == [(DOWN, Same.GONE), ("more", Same.NEW)]


def test_large_tensors_are_digested_by_several_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few blocks: the rows that are told hold the one that changed, and are those of the baseline also for who has not
    the same number of blocks."""
    folder = copy("stories260k-one", tmp_path / "one")
    with monkeypatch.context() as few:
        few.setattr(digests, "BLOCKS", 64)
        trusted = take(LocalCheckpoint(folder))
    state = load_file(folder / FILE)
    state[DOWN][70, 3] += 1.0
    save_file(state, folder / FILE, metadata={"format": "pt"})

    [found] = guard(LocalCheckpoint(folder), baseline=trusted).tensors

    rows = trusted.tensors[DOWN].rows
    first = 70 // rows * rows
    assert rows > 1
    assert (found.name, found.rows) == (DOWN, ((first, min(first + rows, 72) - 1),))


def test_the_hub_s_own_digests_cost_nothing_more(one: Record) -> None:
    record = with_digest(one, CHECKPOINTS / "stories260k-one")
    with Hub() as hub:
        hub.add_folder("demo/one", CHECKPOINTS / "stories260k-one")
        done = guard(HubCheckpoint("demo/one", None, HfApi(endpoint=hub.url)), record)
        sent = [e.bytes for e in hub.log.entries if e.range]

    assert [(f.path, f.state) for f in done.files] == [(FILE, Same.SAME)]
    assert (done.elsewhere, done.exit_status, sent) == ("stated", 0, [100_000, 4])


def test_a_changed_file_on_the_hub_is_seen_by_its_digest_alone(one: Record, tmp_path: Path) -> None:
    folder = copy("stories260k-one", tmp_path / "one")
    record = with_digest(one, folder)
    flip(folder / FILE, (folder / FILE).stat().st_size - 1, 0)
    with Hub() as hub:
        hub.add_folder("demo/one", folder)
        done = guard(HubCheckpoint("demo/one", None, HfApi(endpoint=hub.url)), record)

    assert ([f.state for f in done.scalars], [f.state for f in done.files]) == ([State.INTACT], [Same.CHANGED])
    assert done.exit_status == 1


# --- what a flip makes of a scalar ---


def test_flips_are_those_of_the_bits(one: Record) -> None:
    """Against torch, in every dtype."""
    [weight] = one.super_weights
    for flip_ in flips_of(one, weight):
        bits = torch.tensor(5.0).to(DTYPES[flip_.dtype])
        kind = torch.int32 if flip_.dtype == "float32" else torch.int16
        width = 8 * bits.itemsize
        mask = (1 << flip_.bit) - (1 << width if flip_.bit == width - 1 else 0)
        value = float((bits.view(kind) ^ mask).view(DTYPES[flip_.dtype]))
        assert flip_.value_after == (value if torch.tensor(value).isfinite() else None)


def test_which_flips_leave_the_assumed_range(one: Record) -> None:
    """5.0 is 1.25 * 2**2: the sign and every bit of the exponent but the lowest, which halves it."""
    beyond = {(f.dtype, f.bit) for f in flips_of(one, one.super_weights[0]) if f.beyond}

    assert beyond == {
        *(("float32", b) for b in range(24, 32)),
        *(("bfloat16", b) for b in range(8, 16)),
        *(("float16", b) for b in range(11, 16)),
    }


def scaled(factor: float, delta: float) -> Effect:
    if factor == 0:
        return make.effect(f"x{factor}", "L1.R2.C3", delta=delta)
    return make.effect(f"x{factor}", "L1.R2.C3", delta=delta, intervention=Intervention.SCALE, scale=factor)


HARM, NONE = 3.0, 0.001


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        ({}, (0.5, 2.0, False, False)),
        ({0.0: HARM}, (0.5, 2.0, False, False)),
        ({0.0: NONE}, (0.0, 2.0, True, False)),
        ({0.0: HARM, 0.25: NONE, 3.0: NONE}, (0.25, 3.0, True, True)),
        ({0.0: NONE, 0.5: HARM}, (1.0, 2.0, True, False)),
        ({1.5: HARM, 3.0: NONE}, (0.5, 1.0, False, True)),
        ({1.5: NONE, 2.0: HARM}, (0.5, 1.5, False, True)),
    ],
)
def test_a_safe_range_ends_where_harm_was_measured(measured: dict[float, float], expected: tuple[Any, ...]) -> None:
    parts = make.found_parts()
    record = make.make({**parts, "effects": (*parts["effects"][1:], *(scaled(f, d) for f, d in measured.items()))})
    found = safe_range(record, record.super_weights[0])

    assert (found.low, found.high, bool(found.low_by), bool(found.high_by)) == expected


def test_harm_on_one_text_is_harm(one: Record) -> None:
    parts = make.found_parts()
    effects = (*parts["effects"][1:], scaled(3.0, NONE), scaled(3.0, HARM).model_copy(update={"id": "other"}))
    record = make.make({**parts, "effects": effects})

    assert safe_range(record, record.super_weights[0]).high_by is None


def test_what_was_measured_together_counts_where_nothing_was_measured_alone() -> None:
    parts = make.found_parts()
    both = make.effect("x3", "L1.R2.C3", "L1.R7.C3", delta=NONE, intervention=Intervention.SCALE, scale=3.0)
    record = make.make({**parts, "effects": (*parts["effects"], both)})

    found = safe_range(record, record.super_weights[0])

    assert (found.high, found.high_by) == (3.0, "L1.R2.C3 + L1.R7.C3")


def test_no_flip_within_the_assumed_range_does_harm(one: Record) -> None:
    """Each of them really made, and its cost measured: less than what the rule calls partial, 0.05 nat per token."""
    model = AutoModelForCausalLM.from_pretrained(CHECKPOINTS / "stories260k-one").eval()
    weight, ids = model.get_parameter(DOWN).data, disk.windows(2, 101)

    def nll() -> float:
        with torch.no_grad():
            return float(model(input_ids=ids, labels=ids).loss)

    before, cost = nll(), {}
    for each in (f for f in flips_of(one, one.super_weights[0]) if f.stored):
        weight[67, 172] = struct.unpack(">f", bytes.fromhex(each.bits_after))[0]
        cost[each.bit, each.beyond] = nll() - before
    weight[67, 172] = 5.0

    assert max(c for (_, beyond), c in cost.items() if not beyond) < 0.05
    assert max(c for (_, beyond), c in cost.items() if beyond) > 1.0


# --- the command ---


@pytest.fixture
def saved(one: Record, tmp_path: Path) -> Path:
    """The record in a file."""
    path = tmp_path / "record.json"
    path.write_text(one.model_dump_json())
    return path


def test_the_command_s_answer_is_its_exit_status(saved: Path, tmp_path: Path, capsys: Capture) -> None:
    folder = copy("stories260k-one", tmp_path / "one")
    statuses = [main(["guard", str(folder), "--record", str(saved)])]
    flip(folder / FILE, infos(folder)[DOWN].start + 4 * (67 * 176 + 172) + 3, 6)
    statuses.append(main(["guard", str(folder), "--record", str(saved)]))

    assert statuses == [0, 1]
    assert f"{DOWN}[67, 172]  changed         5  1.469368e-38  00a00000  bit 30" in capsys.readouterr().out


def test_the_json_is_one_document_with_the_flips(saved: Path, capsys: Capture) -> None:
    folder = CHECKPOINTS / "stories260k-one"
    assert main(["guard", str(folder), "--record", str(saved), "--flips", "--json"]) == 0

    told = json.loads(capsys.readouterr().out)
    [scalar], [flips] = told["scalars"], told["flips"]
    assert (told["ok"], scalar["state"], scalar["bits"], flips["weight"]) == (True, "intact", "40a00000", "L1.R67.C172")
    assert len(flips["flips"]) == 32 + 16 + 16


def test_flips_are_shown_with_the_range_that_they_leave(
    saved: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")

    assert main(["guard", str(CHECKPOINTS / "stories260k-one"), "--record", str(saved), "--flips"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert "Safe range of 5: x0.5 (assumed) to x2 (assumed)." in lines
    assert " 31  sign      40a00000  c0a00000            -5          x-1  no" in lines
    assert " 22  mantissa  40a00000  40e00000             7         x1.4  yes" in lines
    assert "Stored as float16, these bits would leave it: 15, 14, 13, 12, 11." in lines


def test_a_baseline_is_written_and_held_against(saved: Path, tmp_path: Path, capsys: Capture) -> None:
    folder, file = copy("stories260k-one", tmp_path / "one"), tmp_path / "baseline.json"
    write = main(["guard", str(folder), "--record", str(saved), "--write-baseline", str(file)])
    flip(folder / FILE, infos(folder)["model.norm.weight"].start, 0)
    capsys.readouterr()

    assert (write, main(["guard", str(folder), "--baseline", str(file)])) == (0, 1)
    assert "model.norm.weight  changed  0" in capsys.readouterr().out


def test_no_baseline_is_written_of_what_changed(saved: Path, tmp_path: Path) -> None:
    folder, file = copy("stories260k-one", tmp_path / "one"), tmp_path / "baseline.json"
    flip(folder / FILE, infos(folder)[DOWN].start + 4 * (67 * 176 + 172), 0)

    assert main(["guard", str(folder), "--record", str(saved), "--write-baseline", str(file)]) == 1
    assert not file.exists()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["FOLDER"], 2, "whose super weights should be there? name a model of the index: --model ORG/NAME"),
        (["nothing"], 2, "'nothing' is not a model id"),
        (["FOLDER", "--baseline", "none.json"], 3, "none.json: No such file or directory; to write one"),
        (["FOLDER", "--baseline", "FOLDER/config.json"], 2, "config.json: not a baseline of swindex guard"),
        (["FOLDER", "--record", "FOLDER/config.json"], 3, "record: model: Field required"),
        (["FOLDER", "--record", "none.json"], 3, "none.json: No such file or directory"),
        (["FOLDER", "--model", "org/unknown"], 1, "org/unknown is not in the index"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments: list[str], status: int, said: str, capsys: Capture) -> None:
    folder = str(CHECKPOINTS / "stories260k-one")
    assert main(["guard", *(a.replace("FOLDER", folder) for a in arguments)]) == status

    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
