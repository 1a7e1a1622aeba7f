"""Recipes: what they keep, in each tool's own words, on whose word, at what cost. For the real tools see TOOLS.md."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import transformers
import yaml
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from swindex.api import Client
from swindex.api.main import main
from swindex.api.recipes import gguf
from swindex.api.recipes.cost import of_checkpoint
from swindex.api.recipes.kept import chosen
from swindex.api.recipes.names import UnnamedTensor, names_of
from swindex.api.recipes.recipe import NothingKnown, recipe
from swindex.api.recipes.schemes import BITSANDBYTES, GPTQMODEL, INT8_WEIGHTS, LLM_COMPRESSOR, Scheme
from swindex.api.recipes.tools import TOOLS, scheme_of, tool_of
from swindex.crawler.checkpoint.local import LocalCheckpoint
from swindex.index.store import Index
from swindex.schema.observation import Granularity, Stance
from swindex.schema.record import Record, Withdrawn
from swindex.schema.types import Outcome, weight_id
from swindex.schema.weight import Coordinates

from . import records as make
from .plants.tiny import class_name, tiny_config

DOWN = "model.layers.1.mlp.down_proj"
EXPERT = "model.layers.1.block_sparse_moe.experts.2.w2.weight"
NAMES = [tool.name for tool in TOOLS]


def text_of(record: Record, tool: str, scheme: str | None = None, **more: Any) -> str:
    """The file for a tool."""
    made = recipe(record, tool_of(tool), scheme_of(tool_of(tool), scheme), **more)
    assert made.text is not None
    return made.text


def of_expert(**more: Any) -> Record:
    """A record whose one weight lies in expert 2 of a Mixtral."""
    weight = make.weight(1, 2, 3, id=weight_id(1, 2, 3, 2), tensor=EXPERT, expert=2, **more)
    model = make.model(architecture="MixtralForCausalLM", model_type="mixtral", parameters=10_000)
    parts = {"effects": (make.effect("alone", weight.id),), "scans": (make.scan(),)}
    return make.make({"model": model, "super_weights": (weight,), **parts})


# --- in each tool's own words ---


def test_llm_compressor_is_told_to_ignore_the_module() -> None:
    assert yaml.safe_load(text_of(make.found(), "llm-compressor")) == {
        "quant_stage": {
            "quant_modifiers": {
                "QuantizationModifier": {"targets": ["Linear"], "scheme": "W4A16", "ignore": ["lm_head", DOWN]}
            }
        }
    }


def said(text: str) -> dict[str, Any]:
    """A JSON configuration without what it says of itself."""
    return {name: value for name, value in json.loads(text).items() if name != "swindex"}


def test_torchao_is_told_null_for_the_module() -> None:
    assert said(text_of(make.found(), "torchao")) == {
        "_type": "FqnToConfig",
        "_version": 1,
        "_data": {"fqn_to_config": {DOWN: None, "lm_head": None, "_default": INT8_WEIGHTS}},
    }


def test_bitsandbytes_is_told_to_skip_the_module_and_the_head() -> None:
    assert said(text_of(make.found(), "bitsandbytes", "int8")) == {
        "quant_method": "bitsandbytes",
        "load_in_8bit": True,
        "bnb_4bit_compute_dtype": "bfloat16",
        "llm_int8_skip_modules": ["lm_head", DOWN],
    }


def test_transformers_is_told_not_to_convert_the_module() -> None:
    assert said(text_of(make.found(), "transformers", "fp8")) == {
        "quant_method": "fp8",
        "activation_scheme": "dynamic",
        "weight_block_size": [128, 128],
        "modules_to_not_convert": ["lm_head", DOWN],
    }


def test_gptqmodel_has_a_negative_match_that_fits_the_module_alone() -> None:
    told = json.loads(text_of(make.found(), "gptqmodel"))
    source = told.pop("meta")["swindex"]

    assert source["record_digest"] == make.found().provenance.digest
    assert told == {
        "quant_method": "gptq",
        "bits": 4,
        "group_size": 128,
        "sym": True,
        "desc_act": False,
        "dynamic": {r"-:^model\.layers\.1\.mlp\.down_proj$": {}},
    }


def test_the_script_for_llama_cpp_calls_llama_quantize_with_these_arguments(tmp_path: Path) -> None:
    fake = tmp_path / "llama-quantize"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    (tmp_path / "recipe.sh").write_text(text_of(make.found(), "llama.cpp", "Q8_0"))
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

    done = subprocess.run(
        ["sh", tmp_path / "recipe.sh", "in put.gguf", "out.gguf"], env=path, capture_output=True, text=True, check=True
    )

    kept = r"^blk\.1\.ffn_down\.weight$=bf16"
    assert done.stdout.splitlines() == ["--tensor-type", kept, "in put.gguf", "out.gguf", "Q8_0"]


EXPERT_UNITS = {
    "llm-compressor": "model.layers.1.mlp.experts.2.down_proj",
    "torchao": "model.layers.1.mlp.experts.down_proj",
    "bitsandbytes": "model.layers.1.mlp.experts",
    "gptqmodel": "model.layers.1.mlp.experts.2.down_proj",
    "llama.cpp": "blk.1.ffn_down_exps.weight",
    "transformers": "model.layers.1.mlp.experts",
}


@pytest.mark.parametrize("tool", NAMES)
def test_an_expert_is_named_as_finely_as_the_tool_can(tool: str) -> None:
    chosen_tool = tool_of(tool)

    assert recipe(of_expert(), chosen_tool, scheme_of(chosen_tool, None)).units == (EXPERT_UNITS[tool],)


def test_torchao_is_told_of_experts_by_a_pattern_since_they_are_no_modules() -> None:
    told = said(text_of(of_expert(), "torchao"))["_data"]["fqn_to_config"]

    assert list(told) == [
        "model.layers.1.mlp.experts.down_proj",
        "lm_head",
        r"re:.*\.experts\.(gate_up_proj|down_proj)",
        "_default",
    ]


def test_the_output_head_of_gpt_neox_is_called_embed_out() -> None:
    name = "gpt_neox.layers.1.mlp.dense_4h_to_h.weight"
    parts = {**make.found_parts(), "super_weights": tuple(w.model_copy(update={"tensor": name}) for w in weights())}

    assert said(text_of(make.make(parts), "transformers"))["modules_to_not_convert"][0] == "embed_out"


def weights() -> Any:
    """The weights of the record that `make.found` makes."""
    return make.found_parts()["super_weights"]


# --- names ---


@pytest.mark.parametrize(
    ("model_type", "tensor", "expert"),
    [
        ("gpt2", "h.1.mlp.c_proj.weight", None),
        ("gpt_neox", "gpt_neox.layers.1.mlp.dense_4h_to_h.weight", None),
        ("falcon", "transformer.h.1.mlp.dense_4h_to_h.weight", None),
        ("opt", "model.decoder.layers.1.fc2.weight", None),
        ("qwen2_vl", "model.layers.1.mlp.down_proj.weight", None),
        ("gemma3", "language_model.model.layers.1.mlp.down_proj.weight", None),
        ("mixtral", "model.layers.1.block_sparse_moe.experts.2.w2.weight", 2),
        ("qwen3_moe", "model.layers.2.mlp.experts.2.down_proj.weight", 2),
        ("granitemoe", "model.layers.1.block_sparse_moe.output_linear.weight", 2),
        ("llama4", "language_model.model.layers.1.feed_forward.experts.down_proj", 2),
        ("aria_text", "model.layers.1.mlp.experts.fc2.weight", 2),
        ("deepseek_v3", "model.layers.3.mlp.shared_experts.down_proj.weight", None),
    ],
)
def test_a_name_is_one_in_the_model_that_transformers_builds(model_type: str, tensor: str, expert: int | None) -> None:
    with torch.device("meta"):
        model = getattr(transformers, class_name(model_type))(tiny_config(model_type))

    names = names_of(tensor, expert, class_name(model_type))

    assert names.parameter in dict(model.named_parameters())
    assert names.parameter.rpartition(".")[0] == names.module


@pytest.mark.parametrize(
    ("tensor", "name"),
    [
        ("model.layers.7.mlp.down_proj.weight", "blk.7.ffn_down.weight"),
        ("h.7.mlp.c_proj.weight", "blk.7.ffn_down.weight"),
        ("model.decoder.layers.7.fc2.weight", "blk.7.ffn_down.weight"),
        ("model.layers.7.mlp.experts.3.down_proj.weight", "blk.7.ffn_down_exps.weight"),
        ("model.layers.7.block_sparse_moe.output_linear.weight", "blk.7.ffn_down_exps.weight"),
        ("model.layers.7.mlp.shared_experts.down_proj.weight", "blk.7.ffn_down_shexp.weight"),
        ("model.layers.7.mlp.shared_expert.down_proj.weight", "blk.7.ffn_down_shexp.weight"),
    ],
)
def test_a_name_in_gguf(tensor: str, name: str) -> None:
    assert names_of(tensor).gguf == name


def test_gguf_names_are_those_of_its_own_package() -> None:
    package = pytest.importorskip("gguf")
    known = package.get_tensor_name_map(package.MODEL_ARCH.QWEN2MOE, 8)

    for leaf in ("mlp.down_proj", "mlp.experts.down_proj", "mlp.shared_expert.down_proj"):
        tensor = f"model.layers.7.{leaf}.weight"
        assert names_of(tensor).gguf == known.get_name(tensor, try_suffixes=(".weight",))


@pytest.mark.parametrize("tensor", ["a'; rm -rf ~ #", "model.layers.1.mlp.down_proj.weight\n", "down_proj.weight", ""])
def test_what_is_no_name_of_a_layer_s_weight_is_refused(tensor: str) -> None:
    with pytest.raises(UnnamedTensor, match="not the name of a layer's weight") as error:
        names_of(tensor)

    assert "\n" not in str(error.value)


# --- what is kept, and on whose word ---


def test_a_weight_that_does_nothing_alone_or_together_is_left_out() -> None:
    parts = make.found_parts()
    alone = parts["super_weights"][1].model_copy(update={"layer": 2, "id": weight_id(2, 7, 3), "group": None})
    parts["super_weights"] = (parts["super_weights"][0].model_copy(update={"group": None}), alone)
    parts["effects"] = (make.effect("a", weight_id(1, 2, 3)), make.effect("b", alone.id, delta=0.001))
    found = chosen(make.make({**parts, "groups": ()}))

    assert [k.words for k in found.kept] == [["L1[2,3] confirmed alone, measured"]]
    assert found.left_out == ("L2[7,3]",)


def test_what_acts_only_together_is_kept_and_told_so() -> None:
    parts = make.found_parts()
    parts["effects"] = tuple(
        make.effect(name, *ids, delta=delta)
        for name, ids, delta in (
            ("a", (weight_id(1, 2, 3),), 0.001),
            ("b", (weight_id(1, 7, 3),), 0.001),
            ("c", (weight_id(1, 2, 3), weight_id(1, 7, 3)), 4.0),
        )
    )

    assert chosen(make.make(parts)).kept[0].words[0] == "L1[2,3] inert alone, confirmed together, measured"


def test_an_expert_that_a_source_claims_as_a_whole_is_kept_unless_another_denies_it() -> None:
    at = Coordinates(layer=1, expert=2, tensor=EXPERT)
    claim = make.observation().model_copy(
        update={"granularity": Granularity.EXPERT, "stance": Stance.CLAIMS, "targets": (at,)}
    )
    denial = claim.model_copy(update={"stance": Stance.DENIES})
    parts = {"model": make.model(), "super_weights": ()}

    assert [k.tensor for k in chosen(make.make({**parts, "observations": (claim,)})).kept] == [EXPERT]
    assert chosen(make.make({**parts, "observations": (claim, denial)})).kept == ()


@pytest.mark.parametrize("tool", NAMES)
def test_a_reported_record_gives_a_recipe_that_says_so(tool: str) -> None:
    text = text_of(make.reported(), tool)

    assert "REPORTED by outside sources: swindex has not measured" in " ".join(text.split())
    assert "NOT PINNED to a commit" in text


def test_a_folder_that_was_scanned_has_no_commit_and_is_told_so() -> None:
    assert "# NOT PINNED to a commit: a folder was scanned." in text_of(make.found(revision=None), "llm-compressor")
    assert "no source says which files it means" in text_of(make.reported(), "llm-compressor")


@pytest.mark.parametrize("tool", NAMES)
def test_a_measured_record_does_not_say_reported(tool: str) -> None:
    assert "REPORTED" not in text_of(make.found(), tool)


def test_a_scan_without_effects_is_told_from_a_report() -> None:
    parts = {**make.found_parts(), "effects": (), "scans": (make.scan(outcome=Outcome.UNTESTED),)}
    text = text_of(make.make(parts), "llm-compressor")

    assert "# UNTESTED: a scan found these weights; what removing them does was not measured." in text
    assert "# - L1[2,3] found by a scan, effect untested" in text


@pytest.mark.parametrize("tool", NAMES)
def test_every_file_says_where_it_comes_from(tool: str) -> None:
    record = make.found()
    text = text_of(record, tool)

    assert record.provenance.digest in text
    assert make.REVISION in text
    assert "version 1 of the record of org/tiny" in " ".join(text.replace("#", "").split())


def test_words_of_strangers_stay_in_the_comment() -> None:
    reason = "gone\nexec rm -rf ~\r\x1b[2J\u2028quant_stage: {}"
    parts = {**make.found_parts(), "withdrawn": Withdrawn(time=make.TIME, reason=reason)}
    text = text_of(make.make(parts), "llama.cpp")
    lines = [line for line in text.splitlines() if not line.startswith("#")]

    assert lines[0] == "exec llama-quantize \\"
    assert "rm -rf" not in "".join(lines)
    assert "WITHDRAWN: the record was withdrawn: gone exec rm" in text


# --- bits ---


def brute(rows: int, cols: int, code: int, group: int, per_group: int) -> int:
    """Bits by going over the matrix code by code."""
    bits = 0
    for _ in range(rows):
        for col in range(cols):
            bits += code + (per_group if col % group == 0 else 0)
    return bits


@given(st.integers(1, 5), st.integers(1, 4))
def test_bits_of_grouped_codes_are_those_counted_one_by_one(rows: int, groups: int) -> None:
    cols = 128 * groups

    assert exact(LLM_COMPRESSOR[0], rows, cols) == brute(rows, cols, 4, 128, 16) + 2 * 64
    assert exact(GPTQMODEL[0], rows, cols) == brute(rows, cols, 4, 128, 16 + 4) + 32 * cols


@given(st.integers(1, 300), st.integers(1, 70))
def test_bits_of_nf4_are_those_of_its_blocks(rows: int, cols: int) -> None:
    weights = rows * cols
    blocks = len(range(0, weights, 64))

    assert exact(BITSANDBYTES[0], rows, cols) == weights * 4 + blocks * 8 + len(range(0, blocks, 256)) * 32


def exact(scheme: Scheme, rows: int, cols: int) -> int:
    """The bits of a matrix by a scheme that needs no more than its shape."""
    assert scheme.bits is not None
    return scheme.bits(rows, cols)


def test_the_half_of_down_projections_that_q4_k_m_gives_more_bits() -> None:
    whole = gguf.Whole(layers=32, tied=False)
    size = 256 * 256 // 256
    more = [
        n
        for n in range(32)
        if gguf.bits_of("Q4_K_M", f"model.layers.{n}.mlp.down_proj.weight", (256, 256), whole) == 210 * 8 * size
    ]

    # as in the published Q4_K_M files of Llama-2-7B
    assert more == [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]


@pytest.mark.parametrize(("experts", "more"), [(0, [3]), (4, [2, 4])])
def test_a_kept_down_projection_moves_the_choice_for_later_layers_where_there_are_no_experts(
    experts: int, more: list[int]
) -> None:
    whole, size = gguf.Whole(layers=5, tied=True, experts=experts), 256
    names = {n: f"model.layers.{n}.mlp.down_proj.weight" for n in range(5) if n != 1}

    # as llama-quantize stored them with layer 1 kept (TOOLS.md); without that it gives layers 2 and 4 more bits
    assert [n for n in names if gguf.bits_of("Q4_K_M", names[n], (256, 256), whole, {1}) == 1680 * size] == more


def test_a_row_that_is_no_whole_block_falls_back_as_llama_quantize_does() -> None:
    whole = gguf.Whole(layers=32, tied=False)
    gate = "model.layers.5.mlp.gate_proj.weight"

    assert gguf.bits_of("Q4_K_M", gate, (1, 32), whole) == 22 * 8  # Q5_0
    assert gguf.bits_of("Q4_K_M", gate, (1, 33), whole) == 33 * 16  # float16


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint of two layers with one matrix each, a norm, an embedding, in bfloat16; layer 1 is recorded."""
    target = tmp_path / "model"
    target.mkdir()
    shapes = {"model.embed_tokens.weight": (10, 16), "model.layers.0.input_layernorm.weight": (16,)}
    shapes |= {make.tensor(n): (16, 32) for n in (0, 1)}
    tensors = {name: torch.full(shape, 0.5, dtype=torch.bfloat16) for name, shape in shapes.items()}
    tensors[make.tensor(1)][2, 3], tensors[make.tensor(1)][7, 3] = -0.2734375, 1.0
    save_file(tensors, target / "model.safetensors")
    (target / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}))
    return target


def test_the_cost_of_a_checkpoint_is_counted_from_its_headers(folder: Path) -> None:
    tool = tool_of("llm-compressor")
    made = recipe(make.found(), tool, scheme_of(tool, "FP8_DYNAMIC"), checkpoint=LocalCheckpoint(folder))

    matrix, coded, rest = 16 * 32 * 16, 16 * 32 * 8 + 16 * 16, (10 * 16 + 16) * 16
    weights = 2 * 16 * 32 + 10 * 16 + 16
    assert (made.cost.weights, made.cost.kept) == (weights, 16 * 32)
    assert made.cost.without == pytest.approx((2 * coded + rest) / weights)
    assert made.cost.protected == pytest.approx((coded + matrix + rest) / weights)
    assert made.cost.added == pytest.approx((matrix - coded) / weights)


def test_without_a_checkpoint_the_record_s_shapes_give_what_is_added() -> None:
    tool = tool_of("llm-compressor")
    made = recipe(make.found(), tool, scheme_of(tool, "FP8_DYNAMIC"))

    assert made.cost.added == pytest.approx((16 * 32 * 8 - 16 * 16) / 123456)
    assert (made.cost.without, made.cost.protected) == (None, None)


def test_without_shapes_the_cost_is_unknown_and_said_to_be() -> None:
    tool = tool_of("torchao")
    made = recipe(make.reported(), tool, scheme_of(tool, None))

    assert made.cost.added is None
    assert "Cost: bits per weight unknown: the record has no shapes; --checkpoint DIR counts them." in made.comment


def stacked(folder: Path) -> Record:
    """A checkpoint whose four experts lie in one tensor (4, 16, 32), and a record with weights in two of them."""
    name = "model.layers.1.mlp.experts.down_proj"
    folder.mkdir()
    save_file({name: torch.ones(4, 16, 32, dtype=torch.bfloat16)}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen3_moe"}))
    more = {"tensor": name, "shape": None, "scan": None, "group": None}
    places = [(e, weight_id(1, 2, 3, e)) for e in (1, 3)]
    weights = tuple(make.weight(1, 2, 3, id=i, expert=e, index=(e, 2, 3), **more) for e, i in places)
    return make.make({"model": make.model(), "super_weights": weights, "observations": (make.observation(),)})


@pytest.mark.parametrize(
    ("tool", "units", "matrices"),
    [
        ("gptqmodel", [f"model.layers.1.mlp.experts.{e}.down_proj" for e in (1, 3)], 2),
        ("torchao", ["model.layers.1.mlp.experts.down_proj"], 4),
        ("transformers", ["model.layers.1.mlp.experts"], 0),
    ],
)
def test_of_experts_in_one_stored_tensor_as_few_are_kept_as_the_tool_can(
    tool: str, units: list[str], matrices: int, tmp_path: Path
) -> None:
    chosen_tool = tool_of(tool)
    record = stacked(tmp_path / "model")
    cost = of_checkpoint(
        LocalCheckpoint(tmp_path / "model"), chosen(record).kept, chosen_tool, chosen_tool.schemes[0], None
    )

    assert list(recipe(record, chosen_tool, chosen_tool.schemes[0]).units) == units
    assert cost.kept == matrices * 16 * 32


def test_where_experts_stay_as_they_are_by_themselves_nothing_is_added() -> None:
    tool = tool_of("bitsandbytes")

    assert recipe(of_expert(), tool, scheme_of(tool, None)).cost.added == 0


# --- the command ---


class Ran(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """`swindex recipe` on an index of one model of each kind."""
    index = Index(tmp_path / "index")
    for record in (
        make.found("org/found"),
        make.reported("org/reported"),
        make.none_found("org/none"),
        make.failed("org/failed"),
        make.make({"model": make.model("org/tuned", base_model="org/found"), "scans": make.failed_parts()["scans"]}),
    ):
        index.append(record)

    def command(*arguments: str) -> Ran:
        status = main(["recipe", *arguments, "--index", str(index.directory)])
        return Ran(status, *capsys.readouterr())

    return command


def test_a_recipe_goes_to_standard_output(run: Run) -> None:
    done = run("org/found", "--for", "llm-compressor")

    assert (done.status, done.err) == (0, "")
    assert DOWN in yaml.safe_load(done.out)["quant_stage"]["quant_modifiers"]["QuantizationModifier"]["ignore"]


def test_a_file_is_written_and_not_written_over(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "recipe.json"
    arguments = ("org/found", "--for", "torchao", "-o", str(target))

    assert run(*arguments) == Ran(0, "", "")
    written = target.read_text()
    target.write_text("mine")
    again = run(*arguments)

    assert again == Ran(3, "", f"swindex: {target}: there is a file already; --force writes over it\n")
    assert target.read_text() == "mine"
    assert run(*arguments, "--force").status == 0
    assert target.read_text() == written


def test_where_a_scan_found_none_there_is_nothing_to_protect_and_no_file(run: Run, tmp_path: Path) -> None:
    done = run("org/none", "--for", "gptqmodel", "-o", str(tmp_path / "file"))

    assert done == Ran(0, "org/none: nothing to protect: a scan of swindex found no super weight.\n", "")
    assert not (tmp_path / "file").exists()


def test_where_nobody_looked_that_is_no_answer(run: Run) -> None:
    done = run("org/failed", "--for", "gptqmodel")

    assert done.status == 1
    assert "no super weight is on record (gated), which does not mean that there is none" in done.err


def test_an_unknown_model_gets_the_usual_answer(run: Run) -> None:
    done = run("org/unknown", "--for", "gptqmodel")

    assert done.status == 1
    assert "org/unknown is not in the index, which does not mean that it has no super weight" in done.err


@pytest.mark.parametrize("arguments", [("--for", "nothing"), ("--for", "torchao", "--scheme", "int3"), ()])
def test_wrong_usage(run: Run, arguments: tuple[str, ...]) -> None:
    done = run("org/found", *arguments)

    assert (done.status, done.out) == (2, "")
    assert done.err.count("\n") == 1


def test_a_fine_tune_gets_its_base_s_recipe_and_is_told_so(run: Run) -> None:
    done = run("org/tuned", "--for", "llm-compressor")

    assert done.status == 0
    assert "# INHERITED from org/found: nothing was measured in org/tuned itself." in done.out


def test_a_base_may_be_named_for_a_model_that_the_index_does_not_have(run: Run) -> None:
    done = run("org/unknown", "--base", "org/found", "--for", "llm-compressor")

    assert done.status == 0
    assert "# INHERITED from org/found: nothing was measured in org/unknown itself." in done.out


def test_json_has_the_file_and_what_stands_in_its_comment(run: Run) -> None:
    told = json.loads(run("org/found", "--for", "llama.cpp", "--json").out)

    assert sorted(told) == ["bits_per_weight", "comment", "model", "scheme", "source", "text", "tool", "units"]
    assert (told["tool"], told["scheme"], told["units"]) == ("llama.cpp", "Q4_K_M", ["blk.1.ffn_down.weight"])
    assert told["text"] == run("org/found", "--for", "llama.cpp").out


def test_json_of_nothing_to_protect_has_no_text(run: Run) -> None:
    told = json.loads(run("org/none", "--for", "llama.cpp", "--json").out)

    assert (told["text"], told["units"]) == (None, [])
    assert told["comment"] == ["org/none: nothing to protect: a scan of swindex found no super weight."]


def test_the_command_loads_no_torch_and_no_duckdb(tmp_path: Path) -> None:
    index = Path(__file__).parent.parent / "index"
    arguments = ["recipe", "mistralai/Mistral-7B-v0.1", "--for", "gptqmodel", "--index", str(index)]
    code = f"import sys; from swindex.api.main import main; main({arguments!r}); print(*sys.modules, file=sys.stderr)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert set(done.stderr.split()) & {"torch", "transformers", "duckdb"} == set()


def test_every_shipped_record_gives_each_tool_a_recipe_or_a_reason() -> None:
    client = Client(Path(__file__).parent.parent / "index")
    texts: dict[str, set[bool]] = {}
    reasons = []
    for name in client.models():
        try:
            record = client.record(name)
            texts[name] = {recipe(record, tool, tool.schemes[0]).text is not None for tool in TOOLS}
        except NothingKnown as none:
            reasons.append(str(none))

    assert {"openai-community/gpt2", "Qwen/Qwen3-8B-Base"} <= {n for n, made in texts.items() if made == {False}}
    assert {"mistralai/Mistral-7B-v0.1", "deepseek-ai/DeepSeek-R1"} <= {
        n for n, made in texts.items() if made == {True}
    }
    assert all("claimed without the name of a tensor" in reason for reason in reasons)
