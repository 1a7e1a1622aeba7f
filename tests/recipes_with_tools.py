"""Recipes in the hands of the real quantizers: `python -m tests.recipes_with_tools`, in an environment that has some.

Scans the trained checkpoint with two planted super weights in two layouts (Llama; Mixtral with one expert that holds
them), widened to what the quantizers' blocks ask and stored in bfloat16. Has every tool that is installed quantize it
with swindex's recipe and without, and reads back what it stored. Prints Markdown; api/recipes/TOOLS.md is made of it.
Needs torch, transformers and swindex itself, beside llmcompressor, torchao, bitsandbytes, gguf (with llama-quantize in
PATH), or gptqmodel. Not collected by pytest.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ |= {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "GPTQMODEL_CPU_WORKERS": "2"}
os.environ |= {"TRANSFORMERS_VERBOSITY": "error", "LLM_COMPRESSOR_LOG_DISABLED": "true"}

import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from swindex.api.recipes.names import names_of
from swindex.api.recipes.recipe import Recipe, recipe
from swindex.api.recipes.tools import scheme_of, tool_of
from swindex.api.recipes.transforms import Transformed
from swindex.crawler.checkpoint.local import LocalCheckpoint
from swindex.crawler.detection.run import Options
from swindex.crawler.scanning import scan
from swindex.schema.record import Record

from . import transformed
from .plants import disk, padded
from .plants.trained import NEURON, PAIR, J

IDS = disk.windows(8, 128)


class Subject(NamedTuple):
    """A checkpoint, its record, and where its planted scalars are."""

    family: str
    folder: Path
    record: Record

    @property
    def stored(self) -> dict[str, Tensor]:
        """The tensors as they are stored."""
        return disk.read(self.folder)

    @property
    def places(self) -> list[tuple[str, tuple[int, ...]]]:
        """Tensor and index of each recorded scalar."""
        return [(w.tensor, w.index) for w in self.record.super_weights]


class Done(NamedTuple):
    """What a tool made: bits of all it stored, the weights it stored as numbers, perplexity if it was run."""

    bits: int | None
    plain: dict[str, Tensor]
    ppl: float | None


def subject(family: str, folder: Path) -> Subject:
    """The padded checkpoint in bfloat16, scanned."""
    made = padded.padded(family, PAIR, (NEURON, NEURON + 1), folder / "wide")
    target = transformed.cast(made.folder, folder / family, torch.bfloat16)
    record = scan(str(target), options=Options(texts=(str(disk.TEXT),), windows=4, window=128))
    assert [w.row for w in record.super_weights] == [J, J], record.status
    return Subject(family, target, record)


def ppl(model: nn.Module) -> float:
    """Perplexity on eight windows of 128 tokens of the test text."""
    with torch.no_grad():
        logits = model(input_ids=IDS).logits.float()
    return math.exp(disk.plain_nll(logits, IDS))


def files_of(folder: Path) -> dict[str, Tensor]:
    """All tensors of the safetensors files in a folder."""
    found: dict[str, Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as opened:
            found |= {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    return found


def bits_in(tensors: dict[str, Tensor]) -> int:
    """Bits of tensors as they are stored."""
    return sum(t.numel() * t.element_size() * 8 for t in tensors.values())


def stored_by(folder: Path, found: float | None) -> Done:
    """What a folder of safetensors holds."""
    tensors = files_of(folder)
    return Done(bits_in(tensors), {n: t for n, t in tensors.items() if t.is_floating_point()}, found)


# --- the tools ---


def llm_compressor(given: Subject, made: Recipe, text: str, out: Path) -> Done:
    """`oneshot` with the recipe's file."""
    from llmcompressor import oneshot

    (out / "recipe.yaml").write_text(text)
    quantized = oneshot(model=str(given.folder), recipe=str(out / "recipe.yaml"), output_dir=str(out / "model"))
    return stored_by(out / "model", ppl(quantized))


def torchao(given: Subject, made: Recipe, text: str, out: Path) -> Done:
    """`quantize_` with the configuration read by torchao itself."""
    from torchao.core.config import config_from_dict
    from torchao.quantization import quantize_

    model = AutoModelForCausalLM.from_pretrained(given.folder, dtype=torch.bfloat16, experts_implementation="eager")
    quantize_(model, config_from_dict(json.loads(text)), filter_fn=None)
    plain, bits = {}, 0
    for name, tensor in dict(model.named_parameters()).items():
        parts = [getattr(tensor, each, None) for each in ("qdata", "scale", "zero_point")]
        inner = [p for p in parts if isinstance(p, Tensor)]
        bits += bits_in(dict(enumerate(inner or [tensor.data])))  # type: ignore[arg-type]
        if not inner:
            plain[name] = tensor.data
    return Done(bits, plain, ppl(model))


def through_transformers(config: Callable[[dict[str, Any]], Any]) -> Callable[..., Done]:
    """`from_pretrained` with a quantization config, then `save_pretrained`."""

    def run(given: Subject, made: Recipe, text: str, out: Path) -> Done:
        chosen = config(json.loads(text))
        model = AutoModelForCausalLM.from_pretrained(given.folder, dtype=torch.bfloat16, quantization_config=chosen)
        found = ppl(model)
        model.save_pretrained(out)
        return stored_by(out, found)

    return run


def _bitsandbytes(settings: dict[str, Any]) -> Any:
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig.from_dict(settings)


def _transformers(settings: dict[str, Any]) -> Any:
    from transformers import TorchAoConfig

    return TorchAoConfig.from_dict(settings)


def gptqmodel(given: Subject, made: Recipe, text: str, out: Path) -> Done:
    """`GPTQModel.quantize` on the test text."""
    from gptqmodel import BACKEND, GPTQModel, QuantizeConfig

    model = GPTQModel.load(str(given.folder), QuantizeConfig.from_quant_config(json.loads(text)))
    words = disk.TEXT.read_text(encoding="utf-8")
    model.quantize([words[n * 400 : (n + 1) * 400] for n in range(24)], batch_size=1)
    model.save(str(out))
    kept = json.loads((out / "config.json").read_text())["quantization_config"]["meta"]
    assert ("swindex" in kept) == bool(made.units), kept
    return stored_by(out, ppl(GPTQModel.load(str(out), device="cpu", backend=BACKEND.GPTQ_TORCH).model))


def llama_cpp(given: Subject, made: Recipe, text: str, out: Path) -> Done:
    """`llama-quantize` by the recipe's script, on a GGUF file written with the gguf package."""
    from gguf import GGUFReader, dequantize

    names = write_gguf(given, out / "in.gguf")
    (out / "recipe.sh").write_text(text)
    subprocess.run(
        ["sh", str(out / "recipe.sh"), str(out / "in.gguf"), str(out / "out.gguf")], check=True, capture_output=True
    )
    found = GGUFReader(str(out / "out.gguf")).tensors
    plain = {t.name: torch.tensor(t.data) for t in found if t.tensor_type.name in ("F16", "BF16", "F32")}
    numbers = {t.name: torch.tensor(dequantize(t.data, t.tensor_type)) for t in found}
    return Done(sum(int(t.n_bytes) * 8 for t in found), plain, ppl(_reloaded(given, names, numbers)))


def write_gguf(given: Subject, path: Path) -> dict[str, tuple[str, int | None]]:
    """The checkpoint as GGUF in bfloat16; for each stored tensor its name there, and its place in a stack."""
    from gguf import MODEL_ARCH, GGMLQuantizationType, GGUFWriter, get_tensor_name_map, quantize

    config, state = disk.config_of(given.folder), given.stored
    layers, experts = config["num_hidden_layers"], config.get("num_local_experts", 0)
    known = get_tensor_name_map(MODEL_ARCH.LLAMA, layers)
    names: dict[str, tuple[str, int | None]] = {}
    stacked: dict[str, dict[int | None, Tensor]] = {}
    for name, tensor in state.items():
        head, found, rest = name.partition(".experts.")
        number, _, leaf = rest.partition(".") if found else ("", "", "")
        wanted = f"{head}.experts.{leaf}" if found else name
        target = known.get_name(wanted, try_suffixes=(".weight",)) or name
        names[name] = (target, int(number) if found else None)
        stacked.setdefault(target, {})[names[name][1]] = tensor.float()
    writer = GGUFWriter(str(path), "llama")
    writer.add_block_count(layers)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_tokenizer_model("no_vocab")
    if experts:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(config["num_experts_per_tok"])
    for target, parts in stacked.items():
        whole = next(iter(parts.values())) if None in parts else torch.stack([parts[n] for n in sorted(parts)])  # type: ignore[type-var]
        if whole.dim() == 1 or "gate_inp" in target:
            writer.add_tensor(target, whole.numpy())
        else:
            raw = quantize(whole.numpy(), GGMLQuantizationType.BF16)
            writer.add_tensor(target, raw, raw_dtype=GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return names


def _reloaded(given: Subject, names: dict[str, tuple[str, int | None]], numbers: dict[str, Tensor]) -> nn.Module:
    state = {}
    for name, stored in given.stored.items():
        target, at = names[name]
        state[name] = (numbers[target] if at is None else numbers[target][at]).reshape(stored.shape).float()
    with tempfile.TemporaryDirectory() as folder:
        config = {**disk.config_of(given.folder), "dtype": "float32"}
        return disk.plain(disk.write(Path(folder) / "model", config, state))


RUNS: dict[str, tuple[str, Callable[..., Done]]] = {
    "llm-compressor": ("llmcompressor", llm_compressor),
    "torchao": ("torchao", torchao),
    "bitsandbytes": ("bitsandbytes", through_transformers(_bitsandbytes)),
    "transformers": ("torchao", through_transformers(_transformers)),
    "llama.cpp": ("gguf", llama_cpp),
    "gptqmodel": ("gptqmodel", gptqmodel),
}
SCHEMES = {
    "llm-compressor": ("W4A16", "W8A16", "FP8_DYNAMIC"),
    "torchao": ("int8",),
    "bitsandbytes": ("nf4", "int8"),
    "transformers": ("int8",),
    "llama.cpp": ("Q4_K_M", "Q8_0"),
    "gptqmodel": ("4bit", "8bit"),
}


# --- with and without ---


def without(text: str, made: Recipe) -> str:
    """The same configuration with nothing kept but the head."""
    lines = [line for line in text.splitlines() if not any(_names(line, unit) for unit in made.units)]
    if text.startswith("{"):
        return json.dumps(_dropped(json.loads(text), made.units))
    return "\n".join(lines) + "\n"


def _names(line: str, unit: str) -> bool:
    return not line.startswith("#") and (unit in line or unit.replace(".", "\\.") in line)


def _dropped(value: Any, units: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        plain = {k: v for k, v in value.items() if k != "swindex" and not any(_names(k, u) for u in units)}
        return {k: _dropped(v, units) for k, v in plain.items()}
    return [v for v in value if v not in units] if isinstance(value, list) else value


def compare(name: str, scheme: str, given: Subject, folder: Path) -> str:
    """A line of the table: what a tool stored with the recipe and without."""
    tool = tool_of(name)
    made = recipe(given.record, tool, scheme_of(tool, scheme), checkpoint=LocalCheckpoint(given.folder))
    assert made.text is not None
    runs = {}
    for which, text in (("with", made.text), ("without", without(made.text, made))):
        out = folder / f"{name}-{scheme}-{given.family}-{which}"
        out.mkdir()
        os.chdir(out)  # some tools write logs wherever they are
        plain_recipe = made if which == "with" else Recipe(**{**made.__dict__, "units": ()})
        runs[which] = RUNS[name][1](given, plain_recipe, text, out)
    weights = sum(t.numel() for t in given.stored.values())
    kept = [
        intact(made.units[0], tensor, index, given, runs[which]) for which in runs for tensor, index in given.places
    ]
    counted = [f"{float(made.cost.protected or 0):.4f}", f"{float(made.cost.without or 0):.4f}"]
    found = [f"{(runs[w].bits or 0) / weights:.4f}" for w in ("with", "without")]
    figures = [f"{runs[w].ppl:.3f}" if runs[w].ppl else "not run" for w in ("with", "without")]
    half = len(given.places)
    said = [f"{sum(kept[:half])} of {half}", f"{sum(kept[half:])} of {half}"]
    cells = (name, scheme, given.family, f"`{made.units[0]}`", *said, *counted, *found, *figures)
    return f"| {' | '.join(cells)} |"


def intact(unit: str, tensor: str, index: tuple[int, ...], given: Subject, done: Done) -> bool:
    """Whether a recorded scalar is stored as it was, to the bit, among the tensors that are plain numbers."""
    recorded = given.stored[tensor][index]
    expert = next((int(p) for p in tensor.split(".") if ".experts." in tensor and p.isdigit() and p != "1"), None)
    for name in (unit, f"{unit}.weight", tensor, unit.replace(".mlp.", ".block_sparse_moe.") + ".weight"):
        held = done.plain.get(name)
        if held is not None and held.dtype is torch.uint8:
            held = held.view(torch.bfloat16)
        if held is not None:
            at = (expert, *index) if held.dim() == 3 and expert is not None else index
            return float(held[at]) == float(recorded)
    return False


HEAD = (
    "| tool | scheme | layout | kept | bits intact with | without | counted with | without | stored with | without "
    "| perplexity with | without |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def versions() -> str:
    """The packages that count, and their versions."""
    wanted = ("torch", "transformers", "llmcompressor", "compressed-tensors", "torchao", "bitsandbytes", "gguf")
    found = []
    for name in (*wanted, "gptqmodel", "defuser"):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def has(name: str) -> bool:
    """Whether what a tool needs is installed."""
    if name == "llama.cpp" and shutil.which("llama-quantize") is None:
        return False
    try:
        importlib.import_module(RUNS[name][0])
    except ImportError:
        return False
    return True


def has_gguf() -> bool:
    """Whether its package is installed."""
    return importlib.util.find_spec("gguf") is not None


def rotated_by_a_tool(given: Subject, folder: Path) -> str:
    """What a recipe says of a checkpoint that llm-compressor's own SpinQuantModifier rotated."""
    from llmcompressor import oneshot
    from llmcompressor.modifiers.transform import SpinQuantModifier

    rotate = SpinQuantModifier(rotations=["R1"], transform_type="hadamard")
    model = oneshot(model=str(given.folder), recipe=[rotate], output_dir=str(folder))
    tool = tool_of("llm-compressor")
    try:
        recipe(given.record, tool, scheme_of(tool, None), checkpoint=LocalCheckpoint(folder))
    except Transformed as refused:
        return (
            f"SpinQuantModifier(R1), perplexity {ppl(model):.3f}: refused: {str(refused).replace(str(folder), 'DIR')}"
        )
    return f"SpinQuantModifier(R1), perplexity {ppl(model):.3f}: NOT REFUSED"


def families() -> list[list[str]]:
    """Model type, kind and stored tensor of each family that swindex knows."""
    page = Path(__file__).resolve().parents[1] / "crawler" / "architectures" / "FAMILIES.md"
    lines = [line for line in page.read_text().splitlines() if line.endswith("| found |")]
    return [[cell.strip().strip("`") for cell in line.split("|")[1:4]] for line in lines]


def numbered(stored: str) -> list[str]:
    """A stored name of the page of families with the numbers that it may have in a tiny model."""
    first = [re.sub(r"\bN\b", str(layer), stored, count=1) for layer in range(8)]
    return [re.sub(r"\bN\b", str(at), name) for name in first for at in (1, 2)]


def in_memory() -> str:
    """How many of the names of families are names in the model that transformers builds."""
    import transformers

    from .plants.tiny import class_name, tiny_config

    held: dict[str, set[str]] = {}
    missed = []
    rows = families()
    for model_type, kind, stored in rows:
        name = class_name(model_type)
        if model_type not in held:
            with torch.device("meta"):
                held[model_type] = {
                    n for n, _ in getattr(transformers, name)(tiny_config(model_type)).named_parameters()
                }
        expert = 1 if kind == "expert" else None
        if not any(names_of(n, expert, name).parameter in held[model_type] for n in numbered(stored)):
            missed.append(model_type)
    return f"{len(rows) - len(missed)} of {len(rows)}; not: {', '.join(dict.fromkeys(missed))}"


def in_gguf() -> str:
    """How many of the names of families the gguf package maps, and to what we say."""
    from gguf import MODEL_ARCH, get_tensor_name_map

    maps = [get_tensor_name_map(arch, 8) for arch in MODEL_ARCH]
    known, other = 0, []
    rows = families()
    for model_type, _, stored in rows:
        name = re.sub(r"\bN\b", "3", stored, count=1)
        merged = re.sub(r"\.N\b", "", name).removeprefix("language_model.").replace("model.language_model.", "model.")
        found = {m.get_name(merged, try_suffixes=(".weight",)) for m in maps} - {None}
        known += bool(found)
        ours = names_of(re.sub(r"\bN\b", "2", name)).gguf.removesuffix(".weight")
        if found and ours not in {str(f).removesuffix(".weight") for f in found}:
            other.append(f"{model_type} {stored}: {ours}, and {sorted(map(str, found))}")
    return f"{known} of {len(rows)} names are mapped by it, {known - len(other)} as here; otherwise: {'; '.join(other)}"


def main(wanted: list[str]) -> None:
    """Run the tools that are there, or those named; `names` holds names against transformers and gguf instead."""
    torch.manual_seed(0)
    if wanted == ["names"]:
        print(f"{versions()}\n\nin memory: {in_memory()}\n\ngguf: {in_gguf() if has_gguf() else 'not installed'}")
        return
    print(f"Python {sys.version.split()[0]}, {versions()}.\n")
    started = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subjects = [subject(family, folder / family) for family in padded.FAMILIES]
        for each in subjects:
            weights = sum(t.numel() for t in each.stored.values())
            found = ppl(AutoModelForCausalLM.from_pretrained(each.folder, dtype=torch.bfloat16))
            print(f"{each.family}: {weights:,} weights, perplexity {found:.3f} in bfloat16.\n")
        lines = []
        for tool in wanted or [t for t in RUNS if has(t)]:
            for scheme in SCHEMES[tool]:
                for each in subjects:
                    lines.append(compare(tool, scheme, each, folder))
                    print("DONE", lines[-1], file=sys.stderr)
        print("\n".join((HEAD, *lines)), "\n")
        if not wanted and has("llm-compressor"):
            print(rotated_by_a_tool(subjects[0], folder / "spun"))
        os.chdir(started)


if __name__ == "__main__":
    main(sys.argv[1:])
