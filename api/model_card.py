"""What the owner of a model can paste into its card: metadata, a table, sources, how to verify. Standard library only.

Made from a document of `view`; decides nothing. Words of others are shown as text, whatever is in them. The metadata is
YAML that the Hub reads; `super_weights` in it is a name of our own, for programs.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from ..index.markdown import text
from .page import clean, number
from .paste import is_name, short
from .report import OUTCOMES
from .standing import counts, why_none

Json = dict[str, Any]
BEGIN, END = "<!-- swindex: begin -->", "<!-- swindex: end -->"
TAG = "super-weights"
PAPER = "https://arxiv.org/abs/2411.07191"
_URL = re.compile(r"https?://[A-Za-z0-9.-]+(:\d+)?(/[A-Za-z0-9._~/%+=&?,:@-]*)?(#[A-Za-z0-9._-]*)?")
_WHAT = f"Super weights are the few scalars of a language model whose removal destroys it ([Yu et al., 2024]({PAPER}))."
_KEEP = " Keep them at full precision when you quantize, prune or merge."
_HEAD = "| Tensor | Index | Value | Alone | Together | Whose figures | Source |\n|---|---|---:|---|---|---|---|"
_OURS = "swindex"


def block(document: Json) -> str:
    """The whole text: metadata between `---`, then Markdown between two comments that tell where it ends."""
    return "\n".join((metadata(document), "", markdown(document)))


def metadata(document: Json) -> str:
    """The YAML, between `---`; strings are quoted as JSON, which YAML reads."""
    model, record = document["model"], document["record"] or {}
    origin, weights = document["inherited_from"], _standing(document)
    lines = ["---", *(["tags:", f"- {TAG}"] if weights else [])]
    if model["base_model"]:
        lines.append(f"base_model: {_yaml(model['base_model'])}")
        lines += [f"base_model_relation: {model['relation']}"] if model["relation"] else []
    told = {
        "outcome": document["outcome"],
        "revision": (origin or model)["revision"],
        "inherited_from": origin and origin["id"],
        "record": {"version": record.get("version"), "digest": record.get("digest")},
    }
    lines += ["super_weights:", *(f"  {name}: {_yaml(value)}" for name, value in told.items())]
    lines += ["  coordinates:"] if weights else ["  coordinates: []"]
    lines += [f"  - {_yaml({name: weight[name] for name in _FOR_PROGRAMS})}" for weight in weights]
    return "\n".join([*lines, "---"])


_FOR_PROGRAMS = ("tensor", "index", "value", "location", "verdict", "grouped", "basis", "grouped_basis")


def _yaml(value: Any) -> str:
    """A value as JSON that YAML reads too; characters that YAML does not take become `?`."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)}: {_yaml(each)}" for name, each in value.items()) + "}"
    return json.dumps(clean(value) if isinstance(value, str) else value, ensure_ascii=False)


def markdown(document: Json) -> str:
    """The Markdown: what is known and on whose word, the table, sources, how to verify and to cite."""
    weights = _standing(document)
    parts = ["## Super weights", _WHAT + (_KEEP if weights else ""), *_trust(document, weights)]
    if weights:
        parts.append("\n".join((_HEAD, *(_row(w, document) for w in weights))))
    parts += [*_left_out(document, weights), *_whole(document), *_sources(document), "\n".join(_checked(document))]
    return "\n\n".join((BEGIN, *parts, END)) + "\n"


# --- words ---


def _trust(document: Json, weights: list[Json]) -> Iterator[str]:
    record, origin, model = document["record"], document["inherited_from"], document["model"]
    withdrawn = record and record["withdrawn"]
    if withdrawn:
        yield f"**Withdrawn** on {withdrawn['time'][:10]}: {text(withdrawn['reason'])}"
    yield f"**{_outcome(document, weights)}**{_measured(weights)}"
    if origin:
        yield f"The weights below are those of its base {text(origin['id'])}; their effect here was not measured."
    at = (origin or model)["revision"]
    if weights:
        yield f"Coordinates are those of commit `{at}`." if at else "The coordinates are not pinned to a commit."


def _outcome(document: Json, weights: list[Json]) -> str:
    """What is known in one sentence; never "none" where nobody looked."""
    denied = any(o["stance"] == "denies" for o in document["observations"])
    idle = [short(w) for w in document["super_weights"]]
    why = None if weights else why_none(document["outcome"], idle, denied)
    if why:
        return text(f"None known: {why}.")
    words = OUTCOMES.get(document["outcome"], str(document["outcome"]))
    return words if weights else f"{words} No scalar is on record, which does not mean that there is none."


def _measured(weights: list[Json]) -> str:
    if not weights:
        return ""
    if any("measured" in (w["basis"], w["grouped_basis"]) for w in weights):
        return " Verdicts marked measured are swindex's own, held against controls."
    return " All verdicts are the sources' own; nothing below was measured by swindex."


def _standing(document: Json) -> list[Json]:
    """The weights that count, by layer."""
    found = [w for w in document["super_weights"] if counts(w["verdict"], w["grouped"])]
    return sorted(found, key=lambda w: (w["layer"], w["expert"] or 0))


def _row(weight: Json, document: Json) -> str:
    tensor = f"`{weight['tensor']}`" if is_name(weight["tensor"]) else text(weight["tensor"])
    index = f"`[{', '.join(str(at) for at in weight['index'])}]`"
    value = number(weight["value"], 7) or "not given"
    bases = dict.fromkeys(b for b in (weight["basis"], weight["grouped_basis"]) if b)
    cells = (tensor, index, value, _verdict(weight, "verdict"), _verdict(weight, "grouped"))
    return f"| {' | '.join((*cells, ', '.join(bases) or 'none', _source(weight, document)))} |"


def _verdict(weight: Json, name: str) -> str:
    verdict = str(weight[name]).replace("_", " ")
    disputed = name == "verdict" and weight["location"] == "disputed"
    return f"{verdict} (place disputed)" if disputed else verdict


def _source(weight: Json, document: Json) -> str:
    """Who names it, with a link where there is one."""
    urls = {s["origin"]: s["url"] for s in document["sources"]}
    ours = [_OURS] if weight["scan"] else []
    return ", ".join((*ours, *(_link(o, urls.get(o)) for o in weight["origins"]))) or "nobody by now"


def _link(words: str, url: str | None) -> str:
    shown = text(words)
    return f"[{shown}]({url})" if url and _URL.fullmatch(url) else shown


def _left_out(document: Json, weights: list[Json]) -> list[str]:
    standing = {w["id"] for w in weights}
    idle = [text(short(w)) for w in document["super_weights"] if w["id"] not in standing]
    return [f"Claimed as well, and removing it does nothing: {', '.join(idle)}."] if idle and weights else []


def _whole(document: Json) -> list[str]:
    """Rows and experts that sources claim as a whole."""
    claims = [o for o in document["observations"] if o["stance"] == "claims" and o["granularity"] in ("row", "expert")]
    places = dict.fromkeys(text(f"{short(t)} ({o['origin']})") for o in claims for t in o["targets"])
    return [f"Claimed as a whole row or expert, not as a scalar: {', '.join(places)}."] if places else []


def _sources(document: Json) -> list[str]:
    told = [f"- {text(s['origin'])}: {_link(s['title'] or s['url'] or '', s['url'])}" for s in document["sources"]]
    return ["Sources:", "\n".join(told)] if told else []


def _checked(document: Json) -> Iterator[str]:
    model, record = document["model"]["id"], document["record"]
    if document["super_weights"]:
        yield f"To verify, a few bytes at a time: `swindex verify {model}`."
    yield f"What is known, with figures and conflicts: `swindex lookup {model}`."
    if record:
        yield ""
        yield f"To cite: swindex, record of {text(model)}, version {record['version']}, sha256 `{record['digest']}`;"
        yield f'and M. Yu et al., "The Super Weight in Large Language Models", [arXiv:2411.07191]({PAPER}), 2024.'
