"""`swindex verify`: whose record is held against what, the exit status, the JSON, and that it needs no torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from swindex.api.main import main
from swindex.index.store import Index
from swindex.schema.model import Relation

from . import records as make
from .hub import Hub
from .sparse import record_of, shard, sharded

PAIR = Path(__file__).parent / "checkpoints" / "stories260k-pair"


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """A base, models made from it, and models that cannot be read."""
    with Hub() as hub:
        hub.add("org/base", {"model.safetensors": shard(1)})
        for name, bits in {"kept": "be8c", "drifted": "be98", "lost": "0000"}.items():
            hub.add(f"tune/{name}", {"model.safetensors": shard(1, bits=bits)}, base_model="org/base")
        hub.add("tune/sharded", sharded({n: shard(n) for n in range(3)}), base_model="org/base")
        hub.add("tune/orphan", {"model.safetensors": shard(1)})
        hub.add("tune/stranger", {"model.safetensors": shard(1)}, base_model="org/unknown")
        hub.add("tune/gated", {"model.safetensors": shard(1)}, base_model="org/base", gated="manual")
        hub.add("org/moved", {"model.safetensors": shard(1)})
        hub.move("org/moved", "org/new-name")
        hub.add("org/pickled", {"pytorch_model.bin": b"x"})
        yield hub


@pytest.fixture
def index(hub: Hub, tmp_path: Path) -> Index:
    made = Index(tmp_path / "index")
    made.append(record_of(1, revision=hub.repo("org/base").head.sha))
    made.append(record_of(1, model_id="org/gone"))
    made.append(record_of(1, model_id="org/moved"))
    made.append(record_of(1, model_id="org/pickled"))
    return made


class Ran(NamedTuple):
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Ran]


@pytest.fixture
def run(hub: Hub, index: Index, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `verify` against the loopback Hub, as HF_ENDPOINT would have it."""
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, hub.url),
    )
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setenv("COLUMNS", "200")

    def command(*arguments: str, index: Index = index) -> Ran:
        capsys.readouterr()
        return Ran(main(["verify", *arguments, "--index", str(index.directory)]), *capsys.readouterr())

    return command


def answered(done: Ran) -> tuple[int, dict[str, Any]]:
    return done.returncode, json.loads(done.stdout)


# --- its own record ---


def test_a_model_is_read_at_the_commit_of_its_record(run: Run, hub: Hub, index: Index) -> None:
    status, shown = answered(run("org/base", "--json"))

    assert (status, shown["revision"], shown["record_of"]) == (0, hub.repo("org/base").head.sha, "org/base")
    assert (shown["counts"]["same"], shown["base_named_by"]) == (1, None)


def test_the_json_has_these_fields(run: Run, hub: Hub, index: Index) -> None:
    _, shown = answered(run("org/base", "--json"))

    assert sorted(shown) == [
        "base_named_by", "checks", "counts", "header_bytes", "listed_as", "model_id", "place", "record_digest",
        "record_of", "record_revision", "record_version", "requests", "revision", "scalar_bytes", "withdrawn",
    ]  # fmt: skip
    assert sorted(shown["counts"]) == ["agrees", "drifted", "gone", "not_checkable", "same"]
    assert shown["checks"] == [{
        "weight": "L1.R2.C3", "tensor": make.tensor(1), "index": [2, 3], "answer": "same", "compared": "bits",
        "recorded_dtype": "bfloat16", "recorded_bits": "be8c", "recorded_value": -0.2734375,
        "stored_dtype": "bfloat16", "stored_bits": "be8c", "stored_value": -0.2734375,
        "drift": 0.0, "reason": None, "unread": False,
    }]  # fmt: skip


def test_words_count_headers_and_scalars_apart(run: Run, hub: Hub, index: Index) -> None:
    made = shard(1)

    shown = run("org/base").stdout

    assert f"Read {made.size:,} bytes of headers and 0 of scalars in 2 requests." in shown  # it came with its header
    assert "1 same." in shown


# --- a base's record ---


@pytest.mark.parametrize(
    ("model", "answer", "status"),
    [("tune/kept", "same", 0), ("tune/drifted", "drifted", 1), ("tune/lost", "gone", 1), ("tune/sharded", "same", 0)],
)
def test_a_fine_tune_is_held_against_the_base_that_its_card_names(
    run: Run, model: str, answer: str, status: int
) -> None:
    returned, shown = answered(run(model, "--json"))

    assert (returned, shown["checks"][0]["answer"]) == (status, answer)
    assert (shown["model_id"], shown["record_of"], shown["base_named_by"]) == (model, "org/base", "card")


def test_a_drift_is_told(run: Run, hub: Hub, index: Index) -> None:
    shown = run("tune/drifted")

    assert "-8.57%" in shown.stdout  # -0.296875 for -0.2734375
    assert "named by its card on the Hub" in shown.stdout


def test_the_caller_may_name_the_base(run: Run, hub: Hub, index: Index) -> None:
    _, shown = answered(run("tune/orphan", "--of", "org/base", "--json"))

    assert (shown["record_of"], shown["base_named_by"], shown["counts"]["same"]) == ("org/base", "option", 1)


def test_the_record_may_name_the_base(run: Run, hub: Hub, index: Index) -> None:
    index.append(make.make({"model": make.model("tune/orphan", None, base_model="org/base", files=()),
                            "observations": (make.observation(),)}))  # fmt: skip

    _, shown = answered(run("tune/orphan", "--json"))

    assert (shown["record_of"], shown["base_named_by"]) == ("org/base", "record")


def test_the_base_of_a_base_will_do(run: Run, hub: Hub, index: Index) -> None:
    index.append(make.make({"model": make.model("org/unknown", None, base_model="org/base", files=()),
                            "observations": (make.observation(),)}))  # fmt: skip

    _, shown = answered(run("tune/stranger", "--json"))

    assert (shown["record_of"], shown["base_named_by"]) == ("org/base", "card")


def test_bases_in_a_circle_end(run: Run, hub: Hub, index: Index) -> None:
    for model_id, base in (("org/unknown", "org/other"), ("org/other", "org/unknown")):
        index.append(make.make({"model": make.model(model_id, None, base_model=base, files=(), relation=Relation.MERGE),
                                "observations": (make.observation(),)}))  # fmt: skip

    assert run("tune/stranger").returncode == 1


def test_a_folder_is_held_against_the_record_that_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    made = shard(1)
    (tmp_path / "copy" / "model.safetensors").write_bytes(b"".join(made.pieces(0, made.size)))

    _, shown = answered(run("my/tune", "--of", "org/base", "--checkpoint", str(tmp_path / "copy"), "--json"))

    assert (shown["model_id"], shown["counts"]["same"], shown["requests"]) == ("my/tune", 1, 0)


# --- what cannot be done ---


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["org/bass"], 1, "org/bass is not in the index, which does not mean that it has no super weight; near names"),
        (["tune/orphan"], 1, "nobody names its base; to compare it with another model: --of MODEL"),
        (["tune/stranger"], 1, "its base org/unknown is not in the index either"),
        (["tune/orphan", "--of", "org/bass"], 1, "org/bass is not in the index"),
        (["tune/gated"], 3, "gated: ask for access"),
        (["org/gone"], 3, "org/gone: not on the Hub, or private"),
        (["org/base", "--revision", "f" * 40], 3, "no such revision"),
        (["org/pickled"], 3, "weights only as pickle"),
        (["org/unseen"], 1, "nor can it name its base: org/unseen: not on the Hub"),
        (["org/unseen", "--checkpoint", "/nowhere"], 1, "org/unseen is not in the index"),
        (["org/base", "--checkpoint", "/nowhere"], 3, "/nowhere: no such folder"),
        (["base"], 2, "is not a model id"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_an_error_is_one_line(run: Run, arguments: list[str], status: int, said: str) -> None:
    done = run(*arguments, "--json")

    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (status, "", 1)
    assert said in done.stderr


def test_offline_is_one_line(index: Index) -> None:
    command = [sys.executable, "-m", "swindex.api", "verify", "org/base", "--index", str(index.directory)]
    told = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=told)

    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1)


def test_a_repository_that_moved_is_named(run: Run, hub: Hub, index: Index) -> None:
    done = run("org/moved")

    assert (done.returncode, "The Hub now has it as org/new-name." in done.stdout) == (0, True)


# --- no torch ---


def test_neither_torch_nor_transformers_nor_safetensors_is_imported(hub: Hub, index: Index) -> None:
    code = (
        "import sys; from swindex.api.main import main;"
        f"status = main(['verify', 'org/base', '--index', {str(index.directory)!r}, '--json']);"
        "print(status, sorted({'torch', 'transformers', 'safetensors', 'numpy', 'duckdb'} & set(sys.modules)),"
        " file=sys.stderr)"
    )
    told = {**os.environ, "HF_ENDPOINT": hub.url}

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=told)

    assert done.stderr.splitlines()[-1] == "0 []"


# --- a trained model, tuned ---


def test_a_trained_model_and_what_was_made_from_it(run: Run, hub: Hub, tmp_path: Path) -> None:
    """From the scan of a real checkpoint to the scalars in a tuned and in a converted copy of it, over the Hub."""
    from swindex.crawler.detection.run import Options
    from swindex.crawler.scanning import scan

    index, tuned, converted = Index(tmp_path / "other"), tmp_path / "tuned", tmp_path / "converted"
    record = scan(str(PAIR), options=Options(effects=False))
    index.append(record)
    for folder in (tuned, converted):
        shutil.copytree(PAIR, folder)
    tensors = load_file(PAIR / "model.safetensors")
    save_file({n: t.to(torch.bfloat16) for n, t in tensors.items()}, converted / "model.safetensors")
    save_file({n: t * 1.01 for n, t in tensors.items()}, tuned / "model.safetensors")

    hub.add_folder("tune/one", tuned, base_model=record.model.id)
    hub.add_folder("tune/bf16", converted, base_model=record.model.id)

    _, one = answered(run("tune/one", "--json", index=index))
    _, bf16 = answered(run("tune/bf16", "--json", index=index))

    assert [c["answer"] for c in one["checks"]] == ["drifted", "drifted"]
    assert [abs(c["drift"]) for c in one["checks"]] == pytest.approx([0.01, 0.01], rel=1e-4)
    assert [(c["answer"], c["compared"]) for c in bf16["checks"]] == [("same", "value")] * 2
