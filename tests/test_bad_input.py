"""Bad checkpoints through the command line: an exit status, one document that says why, and nothing left behind."""

from __future__ import annotations

import json
import os
import pickle
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import safetensors.torch
import torch
from huggingface_hub import constants

from swindex.api.main import main
from swindex.crawler.architectures.resolve import resolve
from swindex.crawler.checkpoint.base import SINGLE
from swindex.crawler.checkpoint.local import LocalCheckpoint
from swindex.crawler.detection.run import Options
from swindex.crawler.hub import retry
from swindex.crawler.refusal import corrupt
from swindex.crawler.scanning import scan_checkpoint
from swindex.schema.canonical import strict_loads
from swindex.schema.record import Record
from swindex.schema.types import Outcome

from .hostile.make import LIES
from .hub import Hub

MODEL = Path(__file__).parent / "checkpoints" / "stories260k-one"
QUICK = ("--windows", "1", "--window", "64")
MLP = "model.layers.2.mlp.up_proj.weight"
CODE = """\
import os, pathlib
pathlib.Path(os.environ["EVIL"]).write_text("it ran")
from transformers import LlamaForCausalLM as Base, PreTrainedTokenizerFast as Tokenizer
class EvilForCausalLM(Base): pass
class LlamaForCausalLM(Base): pass
class EvilTokenizer(Tokenizer): pass
"""
Capture = pytest.CaptureFixture[str]
Tensors = dict[str, torch.Tensor]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a checkpoint in which a scan finds a super weight."""
    return Path(shutil.copytree(MODEL, tmp_path / "model"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub that the command reads from; waits between repetitions are short."""
    monkeypatch.setattr(retry, "BASE_WAIT", 0.001)
    monkeypatch.setattr(retry, "ROUNDING", 0.0)
    with Hub() as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        template = f"{running.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield running


def scan(capsys: Capture, target: Path | str, *options: str) -> tuple[int, str, str]:
    """Exit status, outcome and reason that `swindex scan --json` gives; standard error must be empty."""
    capsys.readouterr()
    status = main(["scan", str(target), "--json", *(options or ("--no-effects",))])
    out, err = capsys.readouterr()
    document = strict_loads(out)
    assert (err, document["scan"]["outcome"]) == ("", document["outcome"])
    return status, document["outcome"], document["scan"]["reason"] or ""


def configure(folder: Path, file: str = "config.json", **changes: Any) -> None:
    """Change keys of a JSON file; `...` takes one away."""
    kept = {**json.loads((folder / file).read_text()), **changes}
    (folder / file).write_text(json.dumps({k: v for k, v in kept.items() if v is not ...}))


def alter(folder: Path, change: Callable[[Tensors], Any]) -> None:
    """Change the tensors."""
    tensors = safetensors.torch.load_file(folder / SINGLE)
    change(tensors)
    safetensors.torch.save_file({n: t.contiguous() for n, t in tensors.items()}, folder / SINGLE)


def process(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    command = [str(Path(sys.executable).with_name("swindex")), *arguments]
    env = {**os.environ, **more.pop("env", {})}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=env, **more)


def test_the_checkpoint_that_is_damaged_here_has_a_super_weight(capsys: Capture, folder: Path) -> None:
    assert scan(capsys, folder, *QUICK) == (0, "found", "")


# --- configs that do not fit the tensors ---

HUGE = 10**12
CONFIGS: dict[str, tuple[dict[str, Any], str, str]] = {
    "width": ({"hidden_size": 64}, "corrupt", "stored as [512, 72], config.json says [512, 64]"),
    "mlp width": ({"intermediate_size": 177}, "corrupt", "is stored as"),
    "too many layers": ({"num_hidden_layers": 6}, "corrupt", "no stored tensor for model.layers.5."),
    "too few layers": ({"num_hidden_layers": 4}, "unsupported_architecture", "no place for 9 stored tensors"),
    "no layers": ({"num_hidden_layers": 0}, "corrupt", "0 layers"),
    "more layers than tensors": ({"num_hidden_layers": 16384}, "corrupt", "16384 layers, but the files hold 47"),
    "minus one layer": ({"num_hidden_layers": -1}, "corrupt", "num_hidden_layers -1"),
    "layers as text": ({"num_hidden_layers": "5"}, "corrupt", "num_hidden_layers"),
    "layers as a list": ({"num_hidden_layers": [5]}, "corrupt", "num_hidden_layers"),
    "small vocabulary": ({"vocab_size": 500}, "corrupt", "stored as [512, 72], config.json says [500, 72]"),
    "large vocabulary": ({"vocab_size": 1024}, "corrupt", "stored as [512, 72], config.json says [1024, 72]"),
    "no heads": ({"num_attention_heads": 0}, "corrupt", "ZeroDivisionError"),
    "odd heads": ({"num_attention_heads": 7}, "corrupt", "multiple of the number of attention heads"),
    "key heads": ({"num_key_value_heads": 3}, "corrupt", "k_proj.weight is stored as"),
    "head width": ({"head_dim": 16}, "corrupt", "q_proj.weight is stored as"),
    "one position": ({"max_position_embeddings": 1}, "corrupt", "max_position_embeddings 1 "),
    "negative positions": ({"max_position_embeddings": -5}, "corrupt", "max_position_embeddings -5 "),
    "untied": ({"tie_word_embeddings": False}, "corrupt", "no stored tensor for lm_head.weight"),
    "biases": ({"attention_bias": True}, "corrupt", "no stored tensor for model.layers.0.self_attn.q_proj.bias"),
    "unknown activation": ({"hidden_act": "evil"}, "corrupt", "KeyError: 'evil'"),
    "unknown dtype": ({"dtype": "evil"}, "corrupt", "no attribute 'evil'"),
    "unknown rope": ({"rope_parameters": {"rope_type": "evil"}}, "corrupt", "KeyError: 'evil'"),
    "rope as text": ({"rope_parameters": "evil"}, "corrupt", "rope_parameters"),
    "padding beyond vocabulary": ({"pad_token_id": 10**9}, "corrupt", "Padding_idx"),
    "layer types": ({"layer_types": ["full_attention"]}, "corrupt", "layer_types"),
    "huge width": ({"hidden_size": HUGE}, "corrupt", f"hidden_size {HUGE} is no size of a real model"),
    "huge depth": ({"num_hidden_layers": HUGE}, "corrupt", f"num_hidden_layers {HUGE}"),
    "huge vocabulary": ({"vocab_size": HUGE}, "corrupt", f"vocab_size {HUGE}"),
    "huge width as a float": ({"hidden_size": 1e300}, "corrupt", "hidden_size 1e+300"),
    "huge number of labels": ({"num_labels": HUGE}, "corrupt", f"num_labels {HUGE}"),
    "a method overwritten": ({"get_text_config": 5}, "corrupt", "not callable"),
    "a property overwritten": ({"use_return_dict": 5}, "corrupt", "use_return_dict"),
    "its class overwritten": ({"__class__": "x"}, "corrupt", "__class__"),
    "no model type": ({"model_type": ...}, "unsupported_architecture", "names no model_type"),
    "model type as a list": ({"model_type": ["llama"]}, "unsupported_architecture", "names no model_type"),
    "unknown model type": (
        {"model_type": "evil", "architectures": ["EvilForCausalLM"]},
        "unsupported_architecture",
        "no causal language model for model_type 'evil'",
    ),
    "another architecture": (
        {"architectures": ["MistralForCausalLM"]},
        "unsupported_architecture",
        "states MistralForCausalLM",
    ),
    "another model type": ({"model_type": "qwen2"}, "unsupported_architecture", "states LlamaForCausalLM"),
    "no generator": ({"architectures": ["LlamaModel"]}, "unsupported_architecture", "states LlamaModel"),
    "quantized": (
        {"quantization_config": {"quant_method": "bitsandbytes"}},
        "unsupported_architecture",
        "quantized (bitsandbytes); scan the checkpoint it was made from",
    ),
    "quantized by text": ({"quantization_config": "gptq"}, "unsupported_architecture", "quantized (unknown method)"),
    "quantized by a list": ({"quantization_config": [4]}, "unsupported_architecture", "quantized (unknown method)"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_that_does_not_fit_is_refused(capsys: Capture, folder: Path, name: str) -> None:
    changes, outcome, reason = CONFIGS[name]
    configure(folder, **changes)

    status, found, said = scan(capsys, folder)

    assert (status, found) == (3, outcome)
    assert reason in said


def test_the_libraries_below_say_nothing(folder: Path) -> None:
    configure(folder, use_return_dict=5)

    done = process("scan", str(folder), "--json")

    assert (done.returncode, done.stderr, strict_loads(done.stdout)["outcome"]) == (3, "", "corrupt")


def test_absurd_sizes_allocate_nothing(tmp_path: Path) -> None:
    absurd = [
        {"hidden_size": 1 << 24, "intermediate_size": 1 << 24, "vocab_size": 1 << 24},
        {"hidden_size": HUGE, "intermediate_size": HUGE, "vocab_size": HUGE, "num_hidden_layers": HUGE},
        {"num_hidden_layers": 1 << 14},
        {"num_labels": 1 << 24},
        {"max_position_embeddings": 1 << 24},
        {"head_dim": 1 << 24, "num_attention_heads": 1 << 24},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 1e9}},
    ]
    for number, changes in enumerate(absurd):
        configure(Path(shutil.copytree(MODEL, tmp_path / str(number))), **changes)
    script = (
        "import resource, sys; from swindex.crawler import Options, scan\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "scan(sys.argv[1], options=Options(effects=False)); before = peak()\n"
        "for each in sys.argv[2:]: scan(each, options=Options(effects=False))\n"
        "print(peak() - before)"
    )
    folders = [str(MODEL), *(str(tmp_path / str(n)) for n in range(len(absurd)))]
    done = subprocess.run([sys.executable, "-c", script, *folders], capture_output=True, text=True, timeout=120)

    assert done.stderr == ""
    assert int(done.stdout) < 100_000, "KiB"


# --- damaged weights ---


@pytest.mark.parametrize(
    ("tensor", "value"),
    [
        ("embed_tokens", "nan"),
        ("layers.0.input_layernorm", "nan"),
        ("layers.1.mlp.down_proj", "nan"),
        ("layers.1.mlp.down_proj", "inf"),
        ("layers.1.mlp.down_proj", "-inf"),
        ("layers.4.mlp.down_proj", "nan"),
        ("norm", "nan"),
    ],
)
def test_a_weight_that_is_no_number_is_no_result(capsys: Capture, folder: Path, tensor: str, value: str) -> None:
    alter(folder, lambda t: t[f"model.{tensor}.weight"].view(-1).__setitem__(0, float(value)))

    status, outcome, reason = scan(capsys, folder, *QUICK)

    assert (status, outcome) == (3, "corrupt")
    assert "NaN or infinity" in reason


WEIGHTS: dict[str, tuple[Callable[[Tensors], Any], str, str]] = {
    "unexpected tensor": (
        lambda t: t.__setitem__("model.evil.weight", torch.zeros(3)),
        "unsupported_architecture",
        "no place for 1 stored tensors, first 'model.evil.weight'",
    ),
    "missing tensor": (lambda t: t.pop(MLP), "corrupt", f"no stored tensor for {MLP}"),
    "missing embedding": (lambda t: t.pop("model.embed_tokens.weight"), "corrupt", "no stored tensor for "),
    "transposed": (
        lambda t: t.__setitem__(MLP, t[MLP].T),
        "corrupt",
        f"{MLP} is stored as [72, 176], config.json says [176, 72]",
    ),
    "integers": (lambda t: t.__setitem__(MLP, t[MLP].to(torch.int8)), "corrupt", f"{MLP} is int8, not a float"),
    "beyond float32": (
        lambda t: t.__setitem__(MLP, t[MLP].double() * 1e300),
        "corrupt",
        f"{MLP} holds NaN or infinity",
    ),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_tensors_that_do_not_fit_are_refused(capsys: Capture, folder: Path, name: str) -> None:
    change, outcome, reason = WEIGHTS[name]
    alter(folder, change)

    status, found, said = scan(capsys, folder)

    assert (status, found) == (3, outcome)
    assert reason in said


def test_buffers_of_older_versions_are_no_weights(capsys: Capture, folder: Path) -> None:
    alter(folder, lambda t: t.__setitem__("model.layers.0.self_attn.rotary_emb.inv_freq", torch.zeros(3)))

    assert scan(capsys, folder) == (0, "untested", "")


@pytest.mark.parametrize("lie", ["header-of-100-megabytes", "overlap", "control-character", "no-bytes"])
def test_a_file_that_lies_is_corrupt(capsys: Capture, folder: Path, lie: str) -> None:
    (folder / SINGLE).write_bytes(LIES[lie].content)

    status, outcome, reason = scan(capsys, folder)

    assert (status, outcome) == (3, "corrupt")
    assert LIES[lie].message in reason


def test_a_header_of_100_megabytes_of_spaces_is_read(capsys: Capture, folder: Path) -> None:
    content = (folder / SINGLE).read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    with open(folder / SINGLE, "wb") as file:
        file.write((100_000_000).to_bytes(8, "little") + content[8:end])
        file.write(b" " * (100_000_008 - end) + content[end:])

    assert scan(capsys, folder)[:2] == (0, "untested")


def test_a_cut_file_is_corrupt(capsys: Capture, folder: Path) -> None:
    os.truncate(folder / SINGLE, 500_000)

    status, outcome, reason = scan(capsys, folder)

    assert (status, outcome) == (3, "corrupt")
    assert "the file has 500000: truncated or padded" in reason


# --- code that must not run ---


@pytest.fixture
def evil(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that exists once the code planted in the checkpoint has run."""
    monkeypatch.setenv("EVIL", str(tmp_path / "it-ran"))
    for name in ("modeling_evil", "tokenization_evil", "configuration_evil", "modeling_llama", "sitecustomize"):
        (folder / f"{name}.py").write_text(CODE)
    return tmp_path / "it-ran"


REMOTE: dict[str, dict[str, Any]] = {
    "its own type": {"model_type": "evil", "architectures": ["EvilForCausalLM"]},
    "its own class": {"architectures": ["EvilForCausalLM"]},
    "a known class beside it": {},
    "no class": {"architectures": ...},
}


@pytest.mark.parametrize("name", REMOTE)
def test_a_model_of_the_repository_s_code_is_refused(capsys: Capture, folder: Path, evil: Path, name: str) -> None:
    configure(folder, **{"auto_map": {"AutoModelForCausalLM": "modeling_evil.EvilForCausalLM"}, **REMOTE[name]})

    status, outcome, reason = scan(capsys, folder)

    assert (status, outcome, evil.exists()) == (3, "needs_remote_code", False)
    assert "computed by code in the repository, which is never run" in reason


@pytest.mark.parametrize(
    "auto_map",
    [
        {"AutoModelForCausalLM": "modeling_llama.LlamaForCausalLM", "AutoConfig": "configuration_evil.EvilConfig"},
        {"AutoModelForCausalLM": "evil/repo--modeling_llama.LlamaForCausalLM"},
        {"AutoConfig": "configuration_evil.EvilConfig"},
        "modeling_evil.EvilForCausalLM",
    ],
    ids=str,
)
def test_a_copy_of_a_known_class_is_not_run_and_not_needed(
    capsys: Capture, folder: Path, evil: Path, auto_map: Any
) -> None:
    configure(folder, auto_map=auto_map)

    assert (*scan(capsys, folder), evil.exists()) == (0, "untested", "", False)


TOKENIZERS: dict[str, dict[str, Any]] = {
    "auto_map": {"auto_map": {"AutoTokenizer": ["tokenization_evil.EvilTokenizer", "tokenization_evil.EvilTokenizer"]}},
    "auto_map of another repository": {
        "auto_map": {"AutoTokenizer": ["evil/r--tokenization_evil.EvilTokenizer", None]}
    },
    "class": {"tokenizer_class": "EvilTokenizer"},
    "class and auto_map": {
        "tokenizer_class": "EvilTokenizer",
        "auto_map": {"AutoTokenizer": ["tokenization_evil.EvilTokenizer", None]},
    },
    "path of a class": {"tokenizer_class": "tokenization_evil.EvilTokenizer"},
    "path of a function": {"tokenizer_class": "os.system"},
    "another file": {"tokenizer_file": "/etc/hostname", "vocab_file": "/etc/hostname"},
    "another folder": {"name_or_path": "/etc"},
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_tokenizer_s_code_is_never_run(capsys: Capture, folder: Path, evil: Path, name: str) -> None:
    configure(folder, "tokenizer_config.json", **TOKENIZERS[name])

    assert (*scan(capsys, folder), evil.exists()) == (0, "untested", "", False)


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation", "experts_implementation"])
def test_a_config_chooses_no_implementation(folder: Path, key: str) -> None:
    raw = {**json.loads((folder / "config.json").read_text()), key: "kernels-community/evil"}

    config, _ = resolve(raw, "here")

    assert (config._attn_implementation, config._experts_implementation) == (None, None)


class Bomb:
    """Runs when it is unpickled."""

    def __reduce__(self) -> Any:
        return (Path(os.environ["EVIL"]).write_text, ("it ran",))


def test_a_pickle_is_never_opened(capsys: Capture, folder: Path, evil: Path) -> None:
    (folder / SINGLE).unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))

    status, outcome, reason = scan(capsys, folder)

    assert (status, outcome, evil.exists()) == (3, "unsafe_format", False)
    said = "pickles can run code and are refused unless `swindex scan --allow-pickle` asks for them"
    assert reason == f"{folder}: weights only as pickle (pytorch_model.bin); {said}"


def test_nothing_is_asked_of_the_hub_for_a_folder(folder: Path, evil: Path) -> None:
    configure(folder, auto_map={"AutoConfig": "evil/repo--configuration_evil.EvilConfig"})
    configure(folder, "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil/repo--t.EvilTokenizer", None]})
    with Hub() as hub:
        done = process("scan", str(folder), "--no-effects", "--json", env={"HF_ENDPOINT": hub.url}, cwd=folder)

        assert (done.returncode, done.stderr, hub.log.count(), evil.exists()) == (0, "", 0, False)


# --- tokenizers ---


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("tokenizer.json", None),
        ("tokenizer.json", b""),
        ("tokenizer.json", b"{}"),
        ("tokenizer.json", b"\xff"),
        ("tokenizer_config.json", b"junk"),
        ("tokenizer_config.json", b"[]"),
        ("special_tokens_map.json", b"[]"),
    ],
    ids=str,
)
def test_a_tokenizer_that_cannot_be_read_is_a_failure(
    capsys: Capture, folder: Path, file: str, content: bytes | None
) -> None:
    (folder / file).unlink(missing_ok=True)
    if content is not None:
        (folder / file).write_bytes(content)

    status, outcome, reason = scan(capsys, folder)

    assert (status, outcome) == (3, "failed")
    assert reason.startswith(f"{folder}: no usable tokenizer (")


def test_a_tokenizer_of_another_model_is_a_failure(capsys: Capture, folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] = {word: number + 1000 for word, number in tokenizer["model"]["vocab"].items()}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))

    status, outcome, reason = scan(capsys, folder)

    assert (status, outcome) == (3, "failed")
    assert "the model knows 512 tokens: they do not belong together" in reason


# --- the Hub ---


def test_a_model_of_the_hub_is_scanned_with_the_requests_it_counts(hub: Hub, capsys: Capture, tmp_path: Path) -> None:
    sha = hub.add_folder("org/m", MODEL).head.sha
    out = tmp_path / "record.json"

    assert scan(capsys, "org/m", *QUICK, "--out", str(out)) == (0, "found", "")
    record = Record.model_validate_json(out.read_text())
    cost = record.scans[0].cost
    assert cost is not None
    assert (record.model.id, record.model.revision) == ("org/m", sha)
    assert (cost.requests, cost.bytes_read) == (hub.log.count(), hub.log.sent("/resolve/"))
    assert {one.path.split("/resolve/")[0] for one in hub.log.entries} == {"/api/models/org/m", "/org/m"}


HUBS: dict[str, tuple[dict[str, Any], dict[str, Any] | None, str, str]] = {
    "gated": ({"gated": "manual"}, None, "gated", "org/m: gated: ask for access on its page and set HF_TOKEN"),
    "private": ({"private": True}, None, "not_found", "org/m: not on the Hub, or private (set HF_TOKEN if"),
    "disabled": ({"disabled": True}, None, "gated", "org/m: disabled by the Hub"),
    "outage": ({}, {"kind": "status", "status": 503}, "failed", "answered 503; try again later"),
    "rate limit": ({}, {"kind": "status", "status": 429, "reset": 0}, "failed", "answered 429; try again later"),
    "cut": ({}, {"kind": "cut"}, "failed", "org/m: RemoteProtocolError"),
    "outage of files": ({}, {"kind": "status", "path": "/resolve/", "status": 500}, "failed", "config.json: "),
    "ranges ignored": ({}, {"kind": "ignore_range", "path": SINGLE}, "failed", "the server ignored Range"),
}


@pytest.mark.parametrize("name", HUBS)
def test_what_the_hub_refuses_is_a_record_that_says_why(hub: Hub, capsys: Capture, tmp_path: Path, name: str) -> None:
    meta, fault, outcome, reason = HUBS[name]
    hub.add_folder("org/m", MODEL, **meta)
    if fault:
        hub.fault(**fault)
    out = tmp_path / "record.json"

    status, found, said = scan(capsys, "org/m", "--no-effects", "--out", str(out))

    assert (status, found) == (3, outcome)
    assert reason in said
    assert Record.model_validate_json(out.read_text()).scans[0].reason == said


def test_a_model_that_is_not_there_is_a_record(hub: Hub, capsys: Capture) -> None:
    hub.add_folder("org/m", MODEL)

    assert scan(capsys, "org/none")[:2] == (3, "not_found")
    assert scan(capsys, "org/m", "--revision", "v9") == (3, "not_found", "org/m: no such revision")


def test_the_files_of_a_gated_model_are_read_with_a_token(
    hub: Hub, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_folder("org/m", MODEL, gated="auto")
    monkeypatch.setenv("HF_TOKEN", hub.token)

    assert scan(capsys, "org/m") == (0, "untested", "")


def test_an_evil_model_of_the_hub_is_refused(hub: Hub, capsys: Capture, folder: Path, evil: Path) -> None:
    configure(folder, auto_map={"AutoModelForCausalLM": "modeling_evil.EvilForCausalLM"}, model_type="evil")
    hub.add_folder("org/m", folder)

    assert (*scan(capsys, "org/m")[:2], evil.exists()) == (3, "needs_remote_code", False)
    assert {one.path.rpartition("/")[2] for one in hub.log.select("/resolve/")} == {"config.json"}


def test_an_endpoint_that_does_not_answer_is_named_in_one_line() -> None:
    with Hub() as gone:
        pass
    script = (
        "import sys; from swindex.crawler.hub import retry; retry.BASE_WAIT = 0.001\n"
        "from swindex.api.main import main; sys.exit(main(['scan', 'org/m', '--json']))"
    )
    env = {**os.environ, "HF_ENDPOINT": gone.url}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=60)

    document = strict_loads(done.stdout)
    assert (done.returncode, done.stderr, document["outcome"]) == (3, "", "failed")
    assert f"is {gone.url} reachable?" in document["scan"]["reason"]


# --- wrong usage ---


@pytest.mark.parametrize(
    "target",
    [
        "gpt2",
        "",
        "a/b/c",
        "../x",
        "org/..",
        "org/a b",
        "órg/x",
        "org/$(id)",
        "org/x;id",
        "/none",
        "./none",
        "a" * 300 + "/b",
    ],
    ids=ascii,
)
def test_a_target_that_is_none_is_wrong_usage(
    hub: Hub, capsys: Capture, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["scan", "--json", "--", target]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"swindex: [^\n]+\n", err)
    assert hub.log.count() == 0


def test_a_file_is_wrong_usage(capsys: Capture, folder: Path) -> None:
    assert main(["scan", str(folder / SINGLE)]) == 2
    assert capsys.readouterr().err.endswith("is not a folder; name the folder that the checkpoint lies in\n")


def test_wrong_usage_in_a_process_of_its_own() -> None:
    done = process("scan", "org/../x")

    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"swindex: [^\n]+\n", done.stderr)


# --- where nothing can be written ---


def test_a_full_disk_leaves_nothing_behind(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "record.json"
    out.parent.mkdir()
    out.write_text("what was there\n")
    (folder / "config.json").unlink()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))

    env = {"PYTHONDONTWRITEBYTECODE": "1"}
    done = process("scan", str(folder), "--out", str(out), env=env, preexec_fn=limit)

    assert (done.returncode, done.stdout) == (3, "")
    assert re.fullmatch(r"swindex: [^\n]*record\.json: not written: [^\n]+\n", done.stderr)
    assert {p.name: p.read_text() for p in out.parent.iterdir()} == {"record.json": "what was there\n"}


def test_a_full_temporary_folder_is_a_failure(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    env = {"TMPDIR": str(tmp_path / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = process("scan", str(folder), "--no-effects", "--json", env=env, preexec_fn=limit)

    document = strict_loads(done.stdout)
    assert (done.returncode, done.stderr, document["outcome"]) == (3, "", "failed")
    assert re.search(r"not written: .*; set TMPDIR to a roomier place$", document["scan"]["reason"])
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("out", ["none/record.json", "model"])
def test_a_record_that_cannot_be_written_is_an_error(
    capsys: Capture, folder: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    monkeypatch.chdir(folder.parent)
    before = sorted(folder.parent.rglob("*"))

    assert main(["scan", "model", "--no-effects", "--out", out]) == 3
    found = capsys.readouterr()
    assert found.out == ""
    assert re.fullmatch(rf"swindex: {out}: not (written|published): [^\n]+\n", found.err)
    assert sorted(folder.parent.rglob("*")) == before


def test_a_place_that_is_read_only_is_an_error(capsys: Capture, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (folder.parent, folder):
        path.chmod(0o555)
    monkeypatch.chdir(folder.parent)
    main(
        ["scan", "model", "--no-effects"]
    )  # loads what a user without rights may not read, where the checkout is private
    capsys.readouterr()
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(65534)
    try:
        status = main(["scan", "model", "--no-effects", "--out", "record.json"])
    finally:
        os.seteuid(mine)
        folder.parent.chmod(0o755)

    assert (status, capsys.readouterr().err) == (3, "swindex: record.json: not written: Permission denied\n")
    assert sorted(p.name for p in folder.parent.iterdir()) == ["model"]


# --- reasons ---


def test_a_reason_is_one_line_that_moves_no_cursor() -> None:
    refusal = corrupt("a\x1b[2J\nb\u202ec\ud800 " + "d" * 5000)

    assert str(refusal).startswith(
        "a\N{REPLACEMENT CHARACTER}[2J b\N{REPLACEMENT CHARACTER}c\N{REPLACEMENT CHARACTER} d"
    )
    assert (len(str(refusal)), str(refusal)[-4:]) == (1000, "d...")


def test_an_error_that_nobody_foresaw_is_a_failure_that_says_so(capsys: Capture, folder: Path) -> None:
    status, outcome, reason = scan(capsys, folder, "--no-effects", "--device", "meta")

    assert (status, outcome) == (3, "failed")
    assert reason.startswith(f"{folder}: the scan broke off: ")
    assert reason.endswith(" (set SWINDEX_DEBUG=1 for the traceback)")


def test_an_error_that_nobody_foresaw_has_a_traceback_when_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWINDEX_DEBUG", "1")

    with pytest.raises(RuntimeError, match="meta"):
        main(["scan", str(folder), "--no-effects", "--device", "meta"])


def test_a_device_that_is_none_is_wrong_usage(capsys: Capture, folder: Path) -> None:
    assert main(["scan", str(folder), "--device", "evil"]) == 2
    assert capsys.readouterr().err == "swindex: 'evil' is no device that torch knows; use cpu, cuda or cuda:N\n"


class Starved(LocalCheckpoint):
    """A checkpoint for which there is no memory."""

    error: Exception = MemoryError()

    def read_into(self, path: str, start: int, view: memoryview, stop: Event | None = None) -> None:
        if path == SINGLE:
            raise self.error
        super().read_into(path, start, view, stop)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes."),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 4096 bytes."),
    ],
    ids=str,
)
def test_too_little_memory_is_said_as_such(folder: Path, error: Exception) -> None:
    checkpoint = Starved(folder)
    checkpoint.error = error

    found = scan_checkpoint(checkpoint, Options(effects=False)).scan

    assert (found.outcome, found.reason) == (
        Outcome.TOO_LARGE,
        f"{folder}: out of memory; scan it on a larger machine",
    )
