"""Writing, editing and plainly running checkpoints: safetensors and from_pretrained, nothing of swindex."""

import json
import math
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

HERE = Path(__file__).resolve().parent.parent
CHECKPOINTS = HERE / "checkpoints"
TEXT = HERE / "texts" / "tinystories-slice.txt"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
BOS = 1
"""`<s>` of the stories260k tokenizer."""

Edit = tuple[str, tuple[int, ...]]
"""Name of a stored tensor and the index of one element."""


def read(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder by name on disk."""
    return {n: t for file in sorted(folder.glob("*.safetensors")) for n, t in load_file(file).items()}


def write(folder: Path, config: dict[str, Any], tensors: dict[str, Tensor]) -> Path:
    """A checkpoint of exactly these stored tensors, with the stories260k tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file({n: t.contiguous() for n, t in tensors.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    return add_tokenizer(folder)


def add_tokenizer(folder: Path) -> Path:
    """The stories260k tokenizer into a folder."""
    for name in TOKENIZER_FILES:
        shutil.copyfile(CHECKPOINTS / "stories260k" / name, folder / name)
    return folder


def config_of(folder: Path) -> dict[str, Any]:
    """config.json."""
    loaded: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return loaded


def edited(folder: Path, out: Path, edits: Iterable[Edit], value: float = 0.0) -> Path:
    """A copy of a checkpoint in which these stored elements have another value."""
    shutil.copytree(folder, out)
    for file in sorted(out.glob("*.safetensors")):
        tensors = load_file(file)
        for name, index in edits:
            if name in tensors:
                tensors[name][index] = value
        save_file(tensors, file, metadata={"format": "pt"})
    return out


def plain(folder: Path) -> PreTrainedModel:
    """The model as anybody would load it, float32."""
    model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    if info["missing_keys"] or info["mismatched_keys"]:
        raise ValueError(f"{folder}: from_pretrained misses {info}")
    return model.eval()


def windows(count: int, length: int) -> Tensor:
    """`count` windows (count, length) of the test text, `<s>` in front, without overlap from the start."""
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINTS / "stories260k")
    ids = tokenizer(TEXT.read_text(encoding="utf-8"), add_special_tokens=False).input_ids
    step = length - 1
    return torch.tensor([[BOS, *ids[n * step : (n + 1) * step]] for n in range(count)])


def plain_logits(model: PreTrainedModel, ids: Tensor) -> Tensor:
    """Logits (B, T, V)."""
    with torch.no_grad():
        logits: Tensor = model(input_ids=ids).logits
    return logits


def plain_nll(logits: Tensor, ids: Tensor) -> float:
    """Mean negative log-likelihood of the next tokens, nat."""
    log_p = logits[:, :-1].double().log_softmax(-1)
    return float(-log_p.gather(-1, ids[:, 1:, None]).mean())


def plain_kl(base: Tensor, changed: Tensor) -> float:
    """Mean KL(base || changed) over the predicting positions, nat."""
    p, q = base[:, :-1].double().log_softmax(-1), changed[:, :-1].double().log_softmax(-1)
    return float((p.exp() * (p - q)).sum(-1).mean())


def plain_top1(base: Tensor, changed: Tensor) -> float:
    """Part of predicting positions where the most likely token is the same."""
    return float((base[:, :-1].argmax(-1) == changed[:, :-1].argmax(-1)).double().mean())


def ratio(nll_before: float, nll_after: float) -> float:
    """Perplexity after over perplexity before."""
    return math.exp(nll_after - nll_before)
