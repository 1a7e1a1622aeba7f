"""The table of tools: what each can keep, how it says so, how it calls a tensor, and what else it does to coordinates.

Written from the sources of the versions named here; what came of running them stands in TOOLS.md.
"""

from operator import attrgetter

from ...schema.errors import UsageError
from . import schemes, writers
from .schemes import Scheme
from .table import Tool

TOOLS = (
    Tool(
        name="llm-compressor",
        tried="0.14.0.1 (compressed-tensors 0.19.0)",
        unit="a module, so the whole matrix",
        experts="one expert's matrix: it gives every expert a module of its own",
        option="ignore",
        use='oneshot(model=..., recipe="FILE")',
        moves="SpinQuantModifier, QuIPModifier",
        unit_of=attrgetter("unfused"),
        shares=False,
        schemes=schemes.LLM_COMPRESSOR,
        write=writers.yaml,
    ),
    Tool(
        name="torchao",
        tried="0.18.0",
        unit="a parameter, so the whole matrix",
        experts="the parameter that holds all experts of the layer; run with experts_implementation='eager'",
        option="FqnToConfig, null for a name",
        use="quantize_(model, config_from_dict(json.load(open('FILE'))), filter_fn=None), or TorchAoConfig(the same)",
        moves="prototype.spinquant",
        unit_of=lambda n: n.parameter if n.is_expert else n.module,
        shares=True,
        schemes=schemes.TORCHAO,
        write=writers.fqn_to_config,
    ),
    Tool(
        name="bitsandbytes",
        tried="0.50.2 (transformers 5.17.0)",
        unit="a module, so the whole matrix",
        experts="nothing to keep: experts are no nn.Linear in transformers 5, so they stay as they are by themselves",
        option="llm_int8_skip_modules",
        use="BitsAndBytesConfig.from_dict(json.load(open('FILE')))",
        moves="",
        unit_of=attrgetter("module"),
        shares=True,
        schemes=schemes.BITSANDBYTES,
        write=writers.skip_modules,
    ),
    Tool(
        name="gptqmodel",
        tried="7.6.0",
        unit="a module, so the whole matrix",
        experts="one expert's matrix: it gives every expert a module of its own",
        option="dynamic, a negative match `-:`",
        use="QuantizeConfig.from_quant_config(json.load(open('FILE')))",
        moves="rotation=, ParoConfig",
        unit_of=attrgetter("unfused"),
        shares=False,
        schemes=schemes.GPTQMODEL,
        write=writers.dynamic,
    ),
    Tool(
        name="llama.cpp",
        tried="the llama.cpp in llama-cpp-python 0.3.36 (ggml 0.25.3)",
        unit="a tensor, so the whole matrix",
        experts="the tensor that holds all experts of the layer",
        option="--tensor-type REGEX=TYPE",
        use="sh FILE model-bf16.gguf model-q4_k_m.gguf",
        moves="",
        unit_of=attrgetter("gguf"),
        shares=True,
        schemes=schemes.LLAMA_CPP,
        write=writers.command,
    ),
    Tool(
        name="transformers",
        tried="5.17.0 (torchao 0.18.0)",
        unit="a module, so the whole matrix",
        experts="the module that holds all experts of the layer (with int8 they stay as they are by themselves)",
        option="modules_to_not_convert",
        use="TorchAoConfig.from_dict(json.load(open('FILE'))), with fp8 FineGrainedFP8Config.from_dict",
        moves="HiggsConfig, FPQuantConfig",
        unit_of=attrgetter("module"),
        shares=True,
        schemes=schemes.TRANSFORMERS,
        write=writers.not_converted,
    ),
)
_BY_NAME = {tool.name: tool for tool in TOOLS}
NAMES = "|".join(_BY_NAME)
SCHEMES = "; ".join(f"{tool.name}: {', '.join(scheme.name for scheme in tool.schemes)}" for tool in TOOLS)


def tool_of(name: str) -> Tool:
    """The tool of that name; raise UsageError."""
    if name not in _BY_NAME:
        raise UsageError(f"--for {name!r:.40}: {', '.join(_BY_NAME)}")
    return _BY_NAME[name]


def scheme_of(tool: Tool, name: str | None) -> Scheme:
    """The tool's scheme of that name, its first without one; raise UsageError."""
    found = [scheme for scheme in tool.schemes if name in (None, scheme.name)]
    if not found:
        raise UsageError(f"--scheme {name!r:.40}: {tool.name} has {', '.join(s.name for s in tool.schemes)} here")
    return found[0]
