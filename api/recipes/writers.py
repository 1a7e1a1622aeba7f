"""One writer for each tool: a plan in the form of the tool's own configuration. Nothing is chosen here.

Names in a plan are dotted identifiers (`names` sees to it), so they need no escape beyond JSON's and a dot's. A comment
is one line of printable characters an entry.
"""

import json
import re
import textwrap
from typing import Any

from .table import Plan

SOURCE = "swindex"
"""The key of what a JSON configuration says of itself; the tools take no notice of it."""
WIDTH = 100
"""Characters of a line of comment."""
_EXPERTS = r"re:.*\.experts\.(gate_up_proj|down_proj)"


def yaml(plan: Plan) -> str:
    """llm-compressor's recipe: strings quoted as JSON, which YAML reads."""
    ignored = [f"        - {json.dumps(name)}" for name in (plan.head, *plan.units)]
    lines = (
        *_hashed(plan),
        "quant_stage:",
        "  quant_modifiers:",
        "    QuantizationModifier:",
        '      targets: ["Linear"]',
        f"      scheme: {json.dumps(plan.scheme.name)}",
        "      ignore:",
        *ignored,
    )
    return "\n".join(lines) + "\n"


def fqn_to_config(plan: Plan) -> str:
    """torchao's FqnToConfig: null for what stays as it is; experts are no modules, so a pattern names them."""
    chosen: dict[str, Any] = dict.fromkeys((*plan.units, plan.head))
    if plan.fused:
        chosen[_EXPERTS] = plan.scheme.settings
    chosen["_default"] = plan.scheme.settings
    return _json({"_type": "FqnToConfig", "_version": 1, "_data": {"fqn_to_config": chosen}}, plan)


def skip_modules(plan: Plan) -> str:
    """BitsAndBytesConfig of transformers."""
    skipped = [plan.head, *plan.units]
    settings = {"quant_method": "bitsandbytes", **plan.scheme.settings, "bnb_4bit_compute_dtype": "bfloat16"}
    return _json({**settings, "llm_int8_skip_modules": skipped}, plan)


def not_converted(plan: Plan) -> str:
    """A quantization_config of transformers."""
    return _json({**plan.scheme.settings, "modules_to_not_convert": [plan.head, *plan.units]}, plan)


def dynamic(plan: Plan) -> str:
    """GPTQModel's quantize_config.json: a negative match is not quantized."""
    skipped: dict[str, dict[str, int]] = {f"-:^{re.escape(name)}$": {} for name in plan.units}
    settings = {"quant_method": "gptq", **plan.scheme.settings, "group_size": 128, "sym": True, "desc_act": False}
    return _json({**settings, "dynamic": skipped, "meta": {SOURCE: _said(plan)}})


def command(plan: Plan) -> str:
    """A shell script that calls llama-quantize."""
    kept = [f"  --tensor-type '^{re.escape(name)}$={plan.high}' \\" for name in plan.units]
    given = f'  "${{1:?a GGUF file of 16 or 32 bits}}" "${{2:?the file to write}}" "${{3:-{plan.scheme.name}}}"'
    return "\n".join(("#!/bin/sh", *_hashed(plan), "exec llama-quantize \\", *kept, given)) + "\n"


def _hashed(plan: Plan) -> list[str]:
    wrapped = (textwrap.wrap(line, WIDTH, subsequent_indent="  ", break_long_words=False) for line in plan.comment)
    return [f"# {line}" for lines in wrapped for line in lines]


def _said(plan: Plan) -> dict[str, Any]:
    return {**plan.source, "comment": list(plan.comment)}


def _json(value: dict[str, Any], plan: Plan | None = None) -> str:
    return json.dumps({**value, SOURCE: _said(plan)} if plan else value, indent=2) + "\n"
