"""Coordinates ready to copy: as expressions, as JSON, as a Python program. Standard library only.

Names of tensors come from strangers: what is no plain name never becomes code.
"""

import json
import re
from typing import Any

from ..paste import coordinate

Json = dict[str, Any]
_EXPRESSION = re.compile(r"model(\.[A-Za-z_]\w*|\[\d+\])+\[\d+(, \d+)*\]", re.ASCII)
_JSON = ("id", "layer", "expert", "row", "col", "tensor", "index", "value")


def copies(document: Json) -> list[Json]:
    """The forms in which the weights that are not refuted are offered: id, title, text."""
    weights = [w for w in document["super_weights"] if w["location"] != "refuted"]
    if not weights:
        return []
    said = [coordinate(w, document["model"]["architecture"]) for w in weights]
    forms = (("expressions", "Index expressions", "\n".join(said)), ("json", "JSON", _json(weights)))
    return [
        {"id": f"copy-{name}", "title": title, "text": text} for name, title, text in (*forms, _python(document, said))
    ]


def _json(weights: list[Json]) -> str:
    return "[\n" + ",\n".join(f"  {json.dumps({name: w[name] for name in _JSON})}" for w in weights) + "\n]"


def _python(document: Json, said: list[str]) -> tuple[str, str, str]:
    model = document["inherited_from"] or document["model"]
    commit = f", revision={document['model']['revision']!r}" if document["model"]["revision"] else ""
    safe = [text for text in said if _EXPRESSION.fullmatch(text)]
    body = [f"    {text}," for text in safe]
    lines = [
        "from transformers import AutoModelForCausalLM",
        "",
        f"model = AutoModelForCausalLM.from_pretrained({document['model']['id']!r}{commit})",
        f"super_weights = [  # of {model['id']}" if document["inherited_from"] else "super_weights = [",
        *body,
        "]",
    ]
    left_out = len(said) - len(safe)
    lines += [f"# {left_out} more: their tensors have names that are no Python"] if left_out else []
    return "python", "Python", "\n".join(lines)
