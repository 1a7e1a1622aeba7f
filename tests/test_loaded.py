"""Super weights of a loaded model: found where the record says, changed, put back bit by bit, watched."""

import copy
import hashlib
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import accelerate
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils import prune
from transformers import AutoModel, AutoModelForCausalLM, PreTrainedModel

from swindex import api
from swindex.api.loaded import editing
from swindex.api.loaded.errors import AnotherRevision, LoadedError, NotFoundInModel, NotTheRecorded
from swindex.api.loaded.watching import _of_rows
from swindex.crawler.detection.run import Options
from swindex.crawler.scanning import quiet, scan
from swindex.index.store import Index
from swindex.schema import Record
from swindex.schema.bits import rounded_bits
from swindex.schema.errors import UsageError

from . import records as make
from .plants import Plant, generic
from .plants.shared import one_thread

__all__ = ["one_thread"]
CHECKPOINTS = Path(__file__).parent / "checkpoints"
ONE, PAIR = CHECKPOINTS / "stories260k-one", CHECKPOINTS / "stories260k-pair"
IDS = torch.tensor([[1, 403, 407, 261, 378, 300, 420, 273, 411, 265, 432, 417]])
DOWN = "model.layers.1.mlp.down_proj.weight"
AT = (67, 172)
LAYOUTS = [
    ("llama", "dense"),
    ("gpt2", "dense"),  # Conv1D
    ("mixtral", "expert"),  # renamed, fused
    ("qwen3_vl_moe", "expert"),  # stored the other way round, within a wrapper
    ("gpt_oss", "expert"),  # fused and square
    ("ernie4_5_vl_moe", "expert"),  # half of the stored experts are another parameter's
    ("granitemoeshared", "shared"),
    ("dbrx", "expert"),  # experts one below the other
]


@pytest.fixture(scope="module")
def one() -> Record:
    return scan(str(ONE), options=Options(effects=False))


@pytest.fixture(scope="module")
def pair() -> Record:
    return scan(str(PAIR), options=Options(effects=False))


def load(folder: Path, **more: Any) -> PreTrainedModel:
    transformers.logging.set_verbosity_error()
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, **more).eval()
    return model


def logits(model: nn.Module, ids: Tensor = IDS) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(input_ids=ids, use_cache=False).logits
    return found


def bits(model: nn.Module) -> dict[str, bytes]:
    """The bytes of every parameter."""
    return {n: p.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes() for n, p in named(model)}


def named(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return model.named_parameters()


def without(folder: Path, to: Path, places: list[tuple[str, tuple[int, ...]]]) -> Path:
    """A copy of a checkpoint that holds zeros at these places of its file, made without swindex."""
    shutil.copytree(folder, to)
    state = load_file(to / "model.safetensors")
    for tensor, index in places:
        state[tensor][index] = 0.0
    save_file(state, to / "model.safetensors", metadata={"format": "pt"})
    return to


def planted(plant: Plant) -> Record:
    """A record of the planted scalar alone."""
    [scalar] = plant.scalars
    tensor = load_file(plant.folder / "model.safetensors")[scalar.tensor]
    value = float(tensor[scalar.index])
    weight = make.weight(scan=None).model_copy(
        update={
            **{n: getattr(scalar, n) for n in ("id", "tensor", "layer", "expert", "row", "col", "index")},
            "shape": tuple(tensor.shape),
            "dtype": "float32",
            "value": value,
            "bits": rounded_bits(value, "float32"),
        }
    )
    parts = {"super_weights": (weight,), "observations": (make.observation(),)}
    return make.make({"model": make.model("org/planted", None, files=()), **parts})


# --- where they are, and what changing them does ---


@pytest.mark.parametrize(("model_type", "kind"), LAYOUTS)
def test_ablating_gives_what_the_file_with_a_zero_gives(model_type: str, kind: str, tmp_path: Path) -> None:
    quiet()
    plant = generic.plant(model_type, tmp_path / "whole", kind)
    [scalar] = plant.scalars
    zeroed = generic.loaded(without(plant.folder, tmp_path / "zeroed", [(scalar.tensor, scalar.index)]))
    model = generic.loaded(plant.folder)
    before = bits(model)

    with api.ablated(model, planted(plant)):
        inside = logits(model)

    assert torch.equal(inside, logits(zeroed))
    assert bits(model) == before


def test_a_scanned_record_is_found_in_the_model(pair: Record) -> None:
    found = api.read(load(PAIR), pair)

    assert [(f.place, str(f.state)) for f in found] == [(f"{DOWN}[67, 172]", "intact"), (f"{DOWN}[67, 173]", "intact")]


def test_scaling_multiplies_what_is_chosen(pair: Record) -> None:
    model = load(PAIR)
    before = model.get_parameter(DOWN).detach().clone()

    with api.scale(model, pair, 3.0, "L1.R67.C173"):
        held = model.get_parameter(DOWN).detach().clone()

    expected = before.clone()
    expected[67, 173] *= 3.0
    assert torch.equal(held, expected)


def test_an_unknown_weight_is_wrong_usage(one: Record) -> None:
    with pytest.raises(UsageError, match=r"no weight or group L9\.R1\.C1"):
        api.zero(load(ONE), one, "L9.R1.C1")


def test_a_group_is_chosen_by_its_id(pair: Record) -> None:
    [group] = [g.id for g in pair.groups if len(g.members) == 2][:1]

    with api.zero(load(PAIR), pair, group) as edit:
        assert [p.weight.id for p in edit.places] == ["L1.R67.C172", "L1.R67.C173"]


def test_zero_holds_until_restore(one: Record) -> None:
    model = load(ONE)
    before = bits(model)

    edit = api.zero(model, one)
    held = float(model.get_parameter(DOWN).detach()[AT])
    edit.restore()
    edit.restore()

    assert (held, bits(model)) == (0.0, before)


def test_restore_without_a_record_ends_all_edits(pair: Record) -> None:
    model = load(PAIR)
    before = bits(model)
    api.scale(model, pair, 2.0), api.zero(model, pair, "L1.R67.C173")

    assert api.restore(model) == ()
    assert bits(model) == before


def test_a_base_model_without_a_head_is_found_too(pair: Record) -> None:
    model = AutoModel.from_pretrained(PAIR)

    assert [f.place for f in api.intact(model, pair).findings] == [
        "layers.1.mlp.down_proj.weight[67, 172]",
        "layers.1.mlp.down_proj.weight[67, 173]",
    ]


def test_a_record_restores_what_a_checkpoint_lost(one: Record) -> None:
    model = load(ONE)
    before = bits(model)
    with torch.no_grad():
        model.get_parameter(DOWN)[AT] = 0.0

    assert api.restore(model, one) == ("L1.R67.C172",)
    assert bits(model) == before


# --- coming back ---


def test_an_exception_leaves_no_trace(pair: Record) -> None:
    model = load(PAIR)
    before = bits(model)

    with pytest.raises(KeyError), api.ablated(model, pair):
        raise KeyError("out")

    assert bits(model) == before


def test_an_edit_that_cannot_be_made_leaves_no_trace(pair: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(PAIR)
    before, calls = bits(model), []
    real = editing.write

    def failing(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError("no more")
        real(*arguments)

    monkeypatch.setattr(editing, "write", failing)

    with pytest.raises(OSError, match="no more"):
        api.zero(model, pair)
    assert bits(model) == before


def test_nested_edits_come_back_in_any_order(pair: Record) -> None:
    model = load(PAIR)
    before, value = bits(model), float(model.get_parameter(DOWN).detach()[AT])

    first, second = api.scale(model, pair, 4.0), api.scale(model, pair, 0.5, "L1.R67.C172")
    both = float(model.get_parameter(DOWN).detach()[AT])
    first.restore()
    left = float(model.get_parameter(DOWN).detach()[AT])
    second.restore()

    assert (both, left, bits(model)) == (2.0 * value, 0.5 * value, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_cast_inside_comes_back_as_a_cast_of_the_whole(dtype: torch.dtype, one: Record) -> None:
    model, cast = load(ONE), load(ONE).to(dtype)

    with api.ablated(model, one):
        model.to(dtype)

    assert bits(model) == bits(cast)


def test_the_original_bits_come_back_after_a_cast_there_and_back(one: Record) -> None:
    model = load(ONE)
    kept = model.get_parameter(DOWN).detach()[AT].clone()

    with api.ablated(model, one):
        model.half().float()

    assert torch.equal(model.get_parameter(DOWN).detach()[AT].view(torch.int32), kept.view(torch.int32))


def test_a_model_of_the_hub_and_a_record_of_the_index(
    one: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model says its id and no commit; the record is asked for by its id."""
    index = Index(tmp_path / "index")
    index.append(make.make({**parts_of(one), "model": one.model.model_copy(update={"id": "demo/one"})}))
    monkeypatch.setenv("SWINDEX_INDEX", str(tmp_path / "index"))
    model = load(ONE)
    model.config._name_or_path = "demo/one"

    assert api.intact(model, "demo/one")
    with api.ablated(model, "demo/one"):
        assert not api.intact(model, "demo/one")


def parts_of(record: Record) -> dict[str, Any]:
    return {n: getattr(record, n) for n in ("super_weights", "groups", "effects", "scans")}


def test_what_can_be_restored_is_where_something_else_cannot(pair: Record, one: Record) -> None:
    """Two scalars in two layers; the module of the second is gone when the edit ends."""
    model = load(PAIR)
    layers: Any = model.get_submodule("model.layers")
    layers[2].mlp.down_proj.weight.data[67, 173] = layers[1].mlp.down_proj.weight.data[67, 173]
    first, second = pair.super_weights
    moved = second.model_copy(update={"id": "L2.R67.C173", "layer": 2, "tensor": DOWN.replace("1", "2")})
    record = pair.model_copy(update={"super_weights": (moved, first)})
    before = model.get_parameter(DOWN).detach().clone()
    edit = api.zero(model, record, ["L2.R67.C173", "L1.R67.C172"])
    layers[2].mlp.down_proj = nn.Identity()

    with pytest.raises(
        LoadedError, match=r"layers\.2\.mlp\.down_proj\.weight: the model has no such parameter any more"
    ):
        edit.restore()
    assert torch.equal(model.get_parameter(DOWN), before)


def test_tied_weights_are_changed_once(one: Record) -> None:
    model = load(ONE)
    layers: Any = model.get_submodule("model.layers")
    layers[2].mlp.down_proj.weight = layers[1].mlp.down_proj.weight
    [weight] = one.super_weights
    twin = weight.model_copy(update={"id": "L2.R67.C172", "layer": 2, "tensor": DOWN.replace("1", "2")})
    record = one.model_copy(update={"super_weights": (weight, twin)})
    value = float(model.get_parameter(DOWN).detach()[AT])

    with api.scale(model, record, 3.0, ["L1.R67.C172", "L2.R67.C172"]) as edit:
        held = float(model.get_parameter(DOWN).detach()[AT])

    assert (held, {p.parameter for p in edit.places}) == (3.0 * value, {DOWN})
    assert float(model.get_parameter(DOWN).detach()[AT]) == value


def test_training_goes_on_behind_an_edit(one: Record) -> None:
    """The same parameters, the same requires_grad, and the same step as without an edit before it."""
    models = [load(ONE), load(ONE)]
    kept = {n: id(p) for n, p in named(models[0])}
    models[0].get_parameter(DOWN).requires_grad_(False)
    models[1].get_parameter(DOWN).requires_grad_(False)
    optimizers = [torch.optim.Adam([p for p in m.parameters() if p.requires_grad], lr=1e-3) for m in models]
    for number, (model, optimizer) in enumerate(zip(models, optimizers, strict=True)):
        for _ in range(2):
            if number == 0:
                with api.ablated(model, one, any_revision=True):
                    logits(model)
            optimizer.zero_grad()
            model(input_ids=IDS, labels=IDS).loss.backward()
            optimizer.step()

    assert bits(models[0]) == bits(models[1])
    assert {n: id(p) for n, p in named(models[0])} == kept
    assert [n for n, p in named(models[0]) if not p.requires_grad] == [DOWN]


def test_autograd_does_not_go_back_through_a_value_that_is_gone(one: Record) -> None:
    model = load(ONE)

    loss = model(input_ids=IDS, labels=IDS).loss
    with api.ablated(model, one), pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


# --- offloaded ---


def offloaded_to_memory(folder: Path, _to: Path) -> nn.Module:
    return accelerate.cpu_offload(load(folder), torch.device("cpu"))  # type: ignore[no-any-return]


def offloaded_to_disk(folder: Path, to: Path) -> nn.Module:
    return accelerate.disk_offload(load(folder), str(to), torch.device("cpu"))  # type: ignore[no-any-return]


def mapped_to_disk(folder: Path, to: Path) -> nn.Module:
    """As transformers does it: the layers' weights stay in the checkpoint's own file."""
    places = {"model.embed_tokens": "cpu", "model.norm": "cpu", "model.rotary_emb": "cpu", "lm_head": "cpu"}
    return load(folder, device_map={**places, "model.layers": "disk"}, offload_folder=str(to))


@pytest.mark.parametrize("offload", [offloaded_to_memory, offloaded_to_disk, mapped_to_disk])
def test_what_is_offloaded_is_changed_and_no_file_is(
    offload: Callable[[Path, Path], nn.Module], pair: Record, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(PAIR, tmp_path / "checkpoint"))
    plain = load(PAIR)
    model = offload(folder, tmp_path / "offloaded")
    assert model.get_parameter(DOWN).device.type == "meta"
    files = digests(tmp_path)

    with api.ablated(plain, pair):
        expected = logits(plain)
    with api.ablated(model, pair):
        inside = logits(model)
        assert [f.value for f in api.read(model, pair)] == [0.0, 0.0]

    assert torch.equal(inside, expected)
    assert torch.equal(logits(model), logits(plain))
    assert all(api.read(model, pair)[n].ok for n in range(2))
    assert digests(tmp_path) == files


def test_what_lies_in_memory_is_not_taken_for_what_lies_on_disk(pair: Record, tmp_path: Path) -> None:
    """A folder of offloaded weights from another day knows the same names."""
    accelerate.disk_offload(load(CHECKPOINTS / "stories260k-pair"), str(tmp_path), torch.device("cpu"))
    for file in tmp_path.glob("*.dat"):
        file.write_bytes(bytes(file.stat().st_size))
    model = accelerate.cpu_offload(load(PAIR), torch.device("cpu"))
    hook: Any = model.get_submodule(DOWN.removesuffix(".weight"))._hf_hook
    loader = hook.weights_map.dataset
    stale = accelerate.utils.OffloadedWeightsLoader(state_dict=dict(loader), save_folder=str(tmp_path))
    hook.weights_map = accelerate.utils.PrefixedDataset(stale, hook.weights_map.prefix)

    with api.ablated(model, pair):
        pass

    assert torch.equal(logits(model), logits(load(PAIR)))


def digests(folder: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_model_without_its_numbers_is_refused(one: Record) -> None:
    with pytest.raises(LoadedError, match=rf"{DOWN} is on the meta device and nothing holds its numbers"):
        api.zero(load(ONE).to("meta"), one)


# --- spread over processes ---


def test_what_is_spread_over_processes_is_changed_where_it_lies(pair: Record, tmp_path: Path) -> None:
    """Two processes; by rows (FSDP), by columns (tensor parallel), and whole in both."""
    (tmp_path / "record.json").write_text(pair.model_dump_json())
    command = [sys.executable, "-m", "tests.spread", str(PAIR), str(tmp_path)]
    root = Path(__file__).parent.parent
    started = [
        subprocess.Popen([*command, str(rank)], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    said = [process.communicate(timeout=120) for process in started]

    assert [process.returncode for process in started] == [0, 0], said[0][1] + said[1][1]
    assert [out.splitlines() for out, _ in said] == [SPREAD, SPREAD]


SPREAD = [
    f"{way}: read 5 4.6667; changed inside True; restored True; flip told L1.R67.C173 bit 31, sums True"
    for way in ("fsdp", "fsdp after a forward pass", "columns", "replicated")
]


# --- what is refused ---


def at_commit(folder: Path, sha: str) -> Path:
    """A checkpoint as the Hub's client keeps it."""
    return Path(shutil.copytree(ONE, folder / "models--org--tiny" / "snapshots" / sha))


@pytest.fixture(scope="module")
def pinned(one: Record) -> Record:
    """The record as of the Hub's org/tiny, at commit aaaa..."""
    model = one.model.model_copy(update={"id": "org/tiny", "revision": "a" * 40})
    return one.model_copy(update={"model": model})


def test_the_recorded_commit_is_taken(pinned: Record, tmp_path: Path) -> None:
    assert api.intact(load(at_commit(tmp_path, "a" * 40)), pinned)


def test_another_commit_is_refused_unless_told(pinned: Record, tmp_path: Path) -> None:
    model = load(at_commit(tmp_path, "b" * 40))

    with pytest.raises(AnotherRevision, match="the model is org/tiny at bbbbbbbbbbbb, the record is of aaaaaaaaaaaa"):
        api.zero(model, pinned)
    with api.zero(model, pinned, any_revision=True):
        assert float(model.get_parameter(DOWN).detach()[AT]) == 0.0


def test_another_model_is_refused(pinned: Record) -> None:
    model = load(ONE)
    model.config._name_or_path = "org/other"

    with pytest.raises(AnotherRevision, match="the model is org/other, the record org/tiny's"):
        api.intact(model, pinned)


def test_an_unknown_commit_is_decided_by_the_values_and_both_are_named(one: Record) -> None:
    model = load(ONE)
    with torch.no_grad():
        model.get_parameter(DOWN)[AT] = 4.0
    before = bits(model)

    with pytest.raises(NotTheRecorded) as refused:
        api.zero(model, one)

    assert f"{DOWN}[67, 172]: holds 4 (float32 40800000); the record of local/stories260k-one says 5" in str(
        refused.value
    )
    assert bits(model) == before


def test_told_so_a_drifted_value_is_taken_and_a_lost_one_is_not(one: Record) -> None:
    model = load(ONE)
    with torch.no_grad():
        model.get_parameter(DOWN)[AT] = 4.0
    with api.zero(model, one, any_revision=True):
        pass
    with torch.no_grad():
        model.get_parameter(DOWN)[AT] = 0.0

    with pytest.raises(NotTheRecorded):
        api.zero(model, one, any_revision=True)


def test_a_model_of_another_shape_is_refused(one: Record) -> None:
    with pytest.raises(NotFoundInModel, match=r"has shape \[64, 172\], expected index \[67, 172\] of \[72, 176\]"):
        api.read(load(CHECKPOINTS / "stories260k"), one)


def test_quantized_modules_are_refused_by_name(one: Record) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.ao.quantization.quantize_dynamic(load(ONE), {nn.Linear}, dtype=torch.qint8)

    with pytest.raises(NotFoundInModel, match=r"model\.layers\.1\.mlp\.down_proj is a torch Linear that holds"):
        api.zero(model, one)


def test_eight_bit_floats_are_refused_by_name(one: Record) -> None:
    from transformers.integrations.finegrained_fp8 import FP8Linear

    model = load(ONE)
    layers: Any = model.get_submodule("model.layers")
    layers[1].mlp.down_proj = FP8Linear(176, 72)

    with pytest.raises(LoadedError, match=r"is float8_e4m3fn \(transformers FP8Linear\), quantized"):
        api.zero(model, one)


def test_what_is_no_transformers_model_is_refused(one: Record) -> None:
    with pytest.raises(LoadedError, match="Linear is not a transformers model"):
        api.zero(nn.Linear(2, 2), one)


class Adapted(nn.Module):
    """A module as peft leaves it."""

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__()
        self.base_layer = base_layer

    def forward(self, x: Tensor) -> Tensor:
        return self.base_layer(x)  # type: ignore[no-any-return]


def test_under_an_adapter_the_weight_itself_is_meant(one: Record) -> None:
    model, plain = load(ONE), load(ONE)
    layers: Any = model.get_submodule("model.layers")
    layers[1].mlp.down_proj = Adapted(layers[1].mlp.down_proj)

    with api.ablated(model, one) as edit, api.ablated(plain, one):
        assert torch.equal(logits(model), logits(plain))
    assert str(edit.places[0]) == "model.layers.1.mlp.down_proj.base_layer.weight[67, 172]"


def test_a_compiled_model_is_looked_into(one: Record) -> None:
    assert api.intact(torch.compile(load(ONE)), one)


def test_a_record_that_names_nothing_is_refused() -> None:
    with pytest.raises(LoadedError, match="names no super weight"):
        api.zero(load(ONE), make.none_found())


# --- masks ---


def test_pruning_by_a_mask_spares_the_super_weights_and_nothing_else(one: Record) -> None:
    model = load(ONE)
    masks = api.keep_masks(model, one)
    [(name, kept)] = masks.items()
    nothing = torch.zeros_like(kept.mask)

    prune.custom_from_mask(kept.module, kept.name, nothing | kept.mask)
    prune.remove(kept.module, kept.name)

    weight = model.get_parameter(name).detach()
    assert weight.nonzero().tolist() == [list(AT)]
    assert float(weight[AT]) == 5.0


def test_masks_of_fused_experts_prune_them(tmp_path: Path) -> None:
    quiet()
    plant = generic.plant("mixtral", tmp_path / "whole", "expert")
    [scalar] = plant.scalars
    model = generic.loaded(plant.folder)
    [kept] = api.keep_masks(model, planted(plant)).values()

    prune.custom_from_mask(kept.module, kept.name, kept.mask)

    assert kept.name == "down_proj"
    assert getattr(kept.module, kept.name).nonzero().tolist() == [[scalar.expert, scalar.row, scalar.col]]


def test_pruning_small_weights_by_magnitude_and_mask(pair: Record) -> None:
    model = load(PAIR)
    for kept in api.keep_masks(model, pair).values():
        weight = getattr(kept.module, kept.name).detach()
        prune.custom_from_mask(kept.module, kept.name, (weight.abs() > 100) | kept.mask)

    with pytest.raises(NotFoundInModel, match=r"parametrized or pruned \(.*weight_orig"):
        api.read(model, pair)
    for kept in [model.get_submodule(DOWN.removesuffix(".weight"))]:
        prune.remove(kept, "weight")
    assert api.intact(model, pair)


def test_the_modules_that_hold_them(pair: Record) -> None:
    assert api.modules(load(PAIR), pair) == [DOWN.removesuffix(".weight")]


# --- watching ---


def flip(parameter: nn.Parameter, position: int, bit: int) -> None:
    """Flip a bit of an element of a parameter, by its flat position, behind everybody's back."""
    raw = parameter.data.view(-1).view({2: torch.int16, 4: torch.int32}[parameter.element_size()])
    width = 8 * parameter.element_size()
    raw[position] ^= (1 << bit) - (1 << width if bit == width - 1 else 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("folder", [ONE, PAIR])
def test_every_bit_of_every_recorded_scalar_is_seen_and_told(
    folder: Path, dtype: torch.dtype, one: Record, pair: Record
) -> None:
    record = one if folder == ONE else pair
    model = load(folder).to(dtype)
    guard = api.Guard(model, record)
    parameter = model.get_parameter(DOWN)

    for number, weight in enumerate(record.super_weights):
        position = weight.row * 176 + weight.col
        if folder == PAIR:
            position = weight.row * parameter.shape[1] + weight.col
        for bit in range(8 * parameter.element_size()):
            flip(parameter, position, bit)
            assert [(c.weight, c.flipped) for c in guard.check()] == [(weight.id, (bit,))]
            assert [n for n, f in enumerate(api.intact(model, record).findings) if not f.ok] == [number]
            flip(parameter, position, bit)
    assert guard.check() == ()


def test_a_thousand_flips_elsewhere_are_seen_with_their_row(one: Record) -> None:
    model = load(ONE)
    guard = api.Guard(model, one, everything=True)
    generator = torch.Generator().manual_seed(7)
    parameters = list(named(model))
    missed = []
    for _ in range(1000):
        pick, at, bit = (int(torch.randint(0, 1 << 40, (), generator=generator)) for _ in range(3))
        name, parameter = parameters[pick % len(parameters)]
        at, bit = at % parameter.numel(), bit % 32
        flip(parameter, at, bit)
        found = [(r.parameter, r.rows) for r in guard.check_all()]
        if found != [(name, (at // parameter.shape[-1],))]:
            missed.append((name, at, bit, found))
        flip(parameter, at, bit)

    assert missed == []
    assert guard.check_all() == ()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("length", [3, 4])
def test_two_flips_in_a_row_never_hide_each_other(dtype: torch.dtype, length: int) -> None:
    """All pairs of bits of a short row, by the sums alone; of an odd length words are no pairs of elements."""
    row = nn.Parameter(torch.tensor([[0.5, -3.0, 1e-3, -0.0]])[:, :length].to(dtype))
    before = _of_rows(row.detach())
    width = 8 * row.element_size()
    everything = [(at, bit) for at in range(length) for bit in range(width)]
    for number, first in enumerate(everything):
        flip(row, *first)
        for second in everything[number + 1 :]:
            flip(row, *second)
            assert not torch.equal(_of_rows(row.detach()), before), (first, second)
            flip(row, *second)
        flip(row, *first)


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("loaded", [torch.float32, torch.bfloat16, torch.float16])
def test_a_cast_is_no_alarm_and_a_flip_behind_it_is_one(
    stored: torch.dtype, loaded: torch.dtype, tmp_path: Path
) -> None:
    """The scalar is one that the narrower dtypes round."""
    folder = Path(shutil.copytree(ONE, tmp_path / "odd"))
    state = load_file(folder / "model.safetensors")
    state[DOWN][AT] = 4.712345
    save_file({n: t.to(stored) for n, t in state.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    record = scan(str(folder), options=Options(effects=False))
    model = load(folder, dtype=loaded)

    assert str(api.intact(model, record).findings[0].state) == ("intact" if stored == loaded else "cast")
    parameter = model.get_parameter(DOWN)
    for bit in range(8 * parameter.element_size()):
        flip(parameter, AT[0] * 176 + AT[1], bit)
        assert not api.intact(model, record)
        flip(parameter, AT[0] * 176 + AT[1], bit)


def test_a_parameter_of_another_size_is_told(one: Record) -> None:
    model = load(ONE)
    guard = api.Guard(model, one, everything=True)
    up: Any = model.get_submodule("model.layers.0.mlp.up_proj")
    up.weight = nn.Parameter(up.weight.detach()[:-1])

    assert [str(r) for r in guard.check_all()] == ["model.layers.0.mlp.up_proj.weight: another number of rows"]


def test_sums_must_be_asked_for(one: Record) -> None:
    with pytest.raises(ValueError, match="everything=True"):
        api.Guard(load(ONE), one).check_all()


@pytest.mark.parametrize(
    ("value", "state"), [(5.0, "agrees"), (4.998, "agrees"), (4.9, "changed"), (None, "not_checkable")]
)
def test_a_reported_number_is_compared_up_to_its_rounding(value: float | None, state: str, one: Record) -> None:
    claim = one.super_weights[0].model_copy(update={"scan": None, "group": None, "bits": None, "value": value})
    parts = {"super_weights": (claim,), "observations": (make.observation((1, 67, 172)),)}
    record = make.make({"model": make.model("org/claimed", None, files=()), **parts})

    assert [str(f.state) for f in api.read(load(ONE), record)] == [state]


def test_a_guard_tells_from_what_to_what(one: Record) -> None:
    model = load(ONE)
    guard = api.Guard(model, one)
    flip(model.get_parameter(DOWN), AT[0] * 176 + AT[1], 30)

    [changed] = guard.check()

    assert str(changed) == f"{DOWN}[67, 172]: 5 (float32 40a00000) -> 1.46936794e-38 (float32 00a00000), bit 30"


def test_a_guard_is_not_made_of_a_damaged_model(one: Record) -> None:
    model = load(ONE)
    flip(model.get_parameter(DOWN), AT[0] * 176 + AT[1], 3)

    with pytest.raises(NotTheRecorded):
        api.Guard(model, one)


def test_a_model_that_was_copied_is_another(one: Record) -> None:
    """An edit belongs to one model."""
    model = load(ONE)
    other = copy.deepcopy(model)

    with api.ablated(model, one):
        assert api.intact(other, one)
