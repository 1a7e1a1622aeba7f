"""`--allow-pickle`: tensors come out of a pickle, and nothing else does; without the flag no pickle is opened."""

import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from swindex.api.main import main
from swindex.crawler.detection.run import Options
from swindex.crawler.pickles import child
from swindex.crawler.scanning import scan
from swindex.schema.record import Record
from swindex.schema.types import Outcome

from .hub import Hub
from .plants import disk
from .plants.shared import one_thread
from .plants.trained import ONE

__all__ = ["one_thread"]
BIN, INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
QUICK = Options(effects=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`stories260k-one` without its weights."""
    copy = tmp_path / "m"
    shutil.copytree(ONE, copy)
    (copy / "model.safetensors").unlink()
    return copy


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """What hostile pickles try to make."""
    return tmp_path / "evil"


class Call:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> Any:
        return self.call


def state() -> dict[str, Tensor]:
    """The tensors of `stories260k-one`."""
    return disk.read(ONE)


def allowed(folder: Path) -> Record:
    """A scan with the flag."""
    return scan(str(folder), options=QUICK, allow_pickle=True)


def answer(folder: Path) -> tuple[Outcome, str]:
    """Outcome and reason of a scan with the flag."""
    scanned = allowed(folder).scans[0]
    return scanned.outcome, scanned.reason or ""


def save(state: Any, path: Path, **more: Any) -> None:
    """torch.save."""
    torch.save(state, path, **more)


def same_finds(record: Record) -> bool:
    """Whether a record says of its weights what that of the safetensors twin says, but for the place in the file."""
    twin = scan(str(ONE), options=QUICK)
    there = {"file": BIN, "byte_offset": None, "scan": None}
    made = [w.model_copy(update={"scan": None}) for w in record.super_weights]
    wanted = [w.model_copy(update=there) for w in twin.super_weights]
    return bool(wanted) and made == wanted and record.scans[0].profile == twin.scans[0].profile


@pytest.mark.parametrize("zipped", [True, False])
def test_a_bin_gives_the_finds_of_its_safetensors_twin(folder: Path, zipped: bool) -> None:
    save(state(), folder / BIN, _use_new_zipfile_serialization=zipped)

    assert same_finds(allowed(folder))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_its_bits(folder: Path, dtype: torch.dtype) -> None:
    save({n: t.to(dtype) for n, t in state().items()}, folder / BIN)

    (found,) = allowed(folder).super_weights
    expected = torch.tensor(5.0, dtype=dtype).view(torch.int16).item()
    assert (found.dtype, found.bits) == (str(dtype).removeprefix("torch."), f"{expected:04x}")


def test_parameters_and_shared_memory_are_plain_tensors(folder: Path) -> None:
    whole = torch.cat([t.flatten() for t in state().values()])
    parts, at = {}, 0
    for name, tensor in state().items():
        parts[name] = torch.nn.Parameter(whole[at : at + tensor.numel()].view(tensor.shape))
        at += tensor.numel()
    save(parts, folder / BIN)

    assert same_finds(allowed(folder))


def test_shards_are_read_together(folder: Path) -> None:
    names = sorted(state())
    files = {n: f"pytorch_model-0000{1 + (i > 20)}-of-00002.bin" for i, n in enumerate(names)}
    for file in set(files.values()):
        save({n: t for n, t in state().items() if files[n] == file}, folder / file)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": files}))

    record = allowed(folder)

    assert [w.id for w in record.super_weights] == ["L1.R67.C172"]
    assert [f.path for f in record.model.files] == sorted(set(files.values()))


def test_an_index_that_lies_is_corrupt(folder: Path) -> None:
    save(state(), folder / "a.bin")
    save({}, folder / "b.bin")
    (folder / INDEX).write_text(json.dumps({"weight_map": dict.fromkeys(state(), "a.bin") | {"x": "b.bin"}}))

    assert answer(folder)[0] is Outcome.CORRUPT


def test_without_the_flag_it_is_refused_and_the_flag_named(folder: Path) -> None:
    save(state(), folder / BIN)

    scanned = scan(str(folder), options=QUICK).scans[0]
    assert scanned.outcome is Outcome.UNSAFE_FORMAT
    assert "--allow-pickle" in (scanned.reason or "")


def test_the_command_takes_the_flag(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(state(), folder / BIN)

    status = main(["scan", str(folder), "--no-effects", "--allow-pickle", "--json"])

    assert (status, json.loads(capsys.readouterr().out)["super_weights"][0]["id"]) == (0, "L1.R67.C172")


def test_safetensors_are_preferred(folder: Path, evil: Path) -> None:
    shutil.copyfile(ONE / "model.safetensors", folder / "model.safetensors")
    save({"a": Call(os.system, f"touch {evil}")}, folder / BIN)

    assert (answer(folder), evil.exists()) == ((Outcome.UNTESTED, ""), False)


def test_nothing_is_left_behind(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "t"))
    save(state(), folder / BIN)

    before = sorted(os.listdir(folder))
    allowed(folder)
    assert (os.listdir(tmp_path / "t"), sorted(os.listdir(folder))) == ([], before)


# --- hostile pickles ---


def hostile(evil: Path, port: int) -> dict[str, Any]:
    """What runs when it is unpickled, by name."""
    return {
        "a command": Call(os.system, f"touch {evil}"),
        "a process": Call(subprocess.Popen, ["touch", str(evil)]),
        "a socket": Call(socket.create_connection, ("127.0.0.1", port)),
        "a file": Call(open, str(evil), "w"),
        "python": Call(eval, f"open({str(evil)!r}, 'w')"),
        "an import": Call(__import__, "antigravity"),
        "torch's own loader": Call(torch.load, str(evil)),
    }


@pytest.mark.parametrize(("name", "zipped"), [("a command", False), *((n, True) for n in hostile(Path(), 0))])
def test_a_pickle_that_would_run_something_is_unsafe(folder: Path, evil: Path, name: str, zipped: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        call = hostile(evil, server.getsockname()[1])[name]
        save({**state(), "model.norm.weight": call}, folder / BIN, _use_new_zipfile_serialization=zipped)

        outcome, reason = answer(folder)

        assert (outcome, evil.exists()) == (Outcome.UNSAFE_FORMAT, False)
        assert "pytorch_model.bin asks for " in reason
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_bare_pickle_is_unsafe(folder: Path, evil: Path) -> None:
    (folder / BIN).write_bytes(pickle.dumps(Call(os.system, f"touch {evil}")))

    outcome, reason = answer(folder)
    assert (outcome, evil.exists()) == (Outcome.UNSAFE_FORMAT, False)
    assert "is no file that torch.save writes" in reason


def test_a_model_that_cannot_be_scanned_is_not_unpickled(folder: Path) -> None:
    config = {**disk.config_of(ONE), "model_type": "evil", "architectures": ["Evil"]}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / BIN).write_bytes(b"\x80")

    assert answer(folder)[0] is Outcome.UNSUPPORTED_ARCHITECTURE


def test_a_tensor_larger_than_its_file_is_corrupt(folder: Path) -> None:
    save({"a": torch.zeros(1).expand(1 << 20, 1 << 20)}, folder / BIN)

    outcome, reason = answer(folder)
    assert (outcome, "4398046511104 bytes" in reason) == (Outcome.CORRUPT, True)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (torch.zeros(2), "holds no table of tensors"),
        ({}, "holds no table of tensors"),
        ({"a": 3}, "'a' is not a named tensor"),
        ({3: torch.zeros(2)}, "3 is not a named tensor"),
        ({"a": {"b": torch.zeros(2)}}, "'a' is not a named tensor"),
        ({"a": torch.eye(2).to_sparse()}, "'a' is torch.sparse_coo"),
        ({"a": torch.zeros(2, dtype=torch.complex64)}, "'a' is torch.strided torch.complex64"),
        ({"a\x1b[2J": torch.zeros(2)}, "a name must be printable text"),
    ],
)
def test_what_is_no_table_of_tensors_is_corrupt(folder: Path, made: Any, said: str) -> None:
    save(made, folder / BIN)

    outcome, reason = answer(folder)
    assert (outcome, said in reason) == (Outcome.CORRUPT, True)


@pytest.mark.parametrize("size", [0, 1, 100, 100_000])
def test_a_bin_cut_short_is_corrupt(folder: Path, size: int) -> None:
    save(state(), folder / BIN)
    os.truncate(folder / BIN, size)

    assert answer(folder)[0] is Outcome.CORRUPT


def test_a_bin_that_changes_while_it_is_read_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(state(), folder / BIN)
    run = subprocess.run

    def and_touch(*args: Any, **more: Any) -> Any:
        done = run(*args, **more)
        os.utime(folder / BIN, ns=(1, 1))
        return done

    monkeypatch.setattr("swindex.crawler.pickles.view.subprocess.run", and_touch)

    outcome, reason = answer(folder)
    assert (outcome, "changed since the scan began" in reason) == (Outcome.FAILED, True)


# --- the walls behind the unpickler, each alone ---


def behind(wall: str, attempt: str) -> subprocess.CompletedProcess[str]:
    """A process that closes one wall and tries something."""
    script = f"import runpy, sys, os, socket, subprocess\nm = runpy.run_path({child.__file__!r})\n{wall}\n{attempt}"
    return subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, env={})


KERNEL = "assert m['close_kernel']()"
needs_seccomp = pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")


@needs_seccomp
@pytest.mark.parametrize(
    "attempt", ["socket.socket()", "os.fork()", "os.execv('/bin/true', ['true'])", "subprocess.run(['/bin/true'])"]
)
def test_the_kernel_denies_sockets_and_processes(attempt: str) -> None:
    done = behind(KERNEL, attempt)

    assert (done.returncode, "PermissionError" in done.stderr) == (1, True)


@needs_seccomp
def test_behind_the_kernel_s_wall_files_can_be_read() -> None:
    assert behind(KERNEL, f"print(open({child.__file__!r}).read(3))").stdout == '"""\n'


@pytest.mark.parametrize(
    "attempt",
    [
        "socket.socket()",
        "os.system('true')",
        "os.fork()",
        "subprocess.run(['/bin/true'])",
        "import antigravity",
        "import pickle; pickle.loads(pickle.dumps(os.getcwd))",
        "open('elsewhere', 'w')",
        "os.open('elsewhere', os.O_CREAT | os.O_WRONLY)",
        "os.remove('elsewhere')",
        "import ctypes; ctypes.CDLL(None)",
    ],
)
def test_the_audit_hook_stops_it_before_it_happens(tmp_path: Path, attempt: str) -> None:
    wall = f"import pickle, ctypes; os.chdir({str(tmp_path)!r}); m['close_python']('target')"
    done = behind(wall, f"try:\n {attempt}\nexcept Exception: pass")

    assert (done.returncode, "ForbiddenError" in done.stderr, os.listdir(tmp_path)) == (1, True, [])


def test_the_audit_hook_lets_the_target_be_written(tmp_path: Path) -> None:
    target = str(tmp_path / "target")

    assert behind(f"m['close_python']({target!r})", f"open({target!r}, 'xb').write(b'x')").returncode == 0


def test_the_process_gets_no_environment(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    run = subprocess.run

    def look(*args: Any, **more: Any) -> Any:
        seen.update(more["env"])
        return run(*args, **more)

    monkeypatch.setattr("swindex.crawler.pickles.view.subprocess.run", look)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    save(state(), folder / BIN)
    allowed(folder)

    assert sorted(seen) == ["HOME", "OMP_NUM_THREADS", "TMPDIR"]


# --- from the Hub ---


def test_a_bin_on_the_hub_gives_the_finds_of_its_twin(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(state(), folder / BIN)
    with Hub() as hub:
        hub.add("org/m", {p.name: p.read_bytes() for p in folder.iterdir()})
        done = process(hub, "scan", "org/m", "--no-effects", "--allow-pickle", "--json")

    found = json.loads(done.stdout)
    assert (found["outcome"], [w["id"] for w in found["super_weights"]]) == ("untested", ["L1.R67.C172"])


def test_a_hostile_bin_on_the_hub_is_unsafe(folder: Path, evil: Path) -> None:
    save({"a": Call(os.system, f"touch {evil}")}, folder / BIN)
    with Hub() as hub:
        hub.add("org/m", {p.name: p.read_bytes() for p in folder.iterdir()})
        done = process(hub, "scan", "org/m", "--no-effects", "--allow-pickle", "--json")

    assert (done.returncode, json.loads(done.stdout)["outcome"], evil.exists()) == (3, "unsafe_format", False)


def process(hub: Hub, *args: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, against a loopback Hub."""
    environment = {**os.environ, "HF_ENDPOINT": hub.url}
    return subprocess.run([sys.executable, "-m", "swindex.api", *args], capture_output=True, text=True, env=environment)
