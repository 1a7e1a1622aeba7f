"""One model as the Hub's listing states it, checked field by field before anything believes it.

What decides (id, commit, sizes, gated, disabled) must be right, or the row is bad and is reported as such. What only
describes (base models, architecture, tags) is believed where it is well formed and left out where it is not: people
write paths of their own disk there. Knows neither pages nor policy.
"""

import re
from typing import Any, NamedTuple

from ...schema.ids import is_model_id
from ...schema.model import Relation
from ..checkpoint.header import DTYPES, MAX_ELEMENTS
from ..refusal import one_line

EXPAND = (
    "sha",
    "safetensors",
    "gated",
    "disabled",
    "config",
    "baseModels",
    "tags",
    "library_name",
    "downloads",
    "lastModified",
)
"""The fields that a listing is asked for."""
MAX_COUNT = 1 << 53
MAX_TEXT = 200
MAX_TAGS = 1000
UNKNOWN_BITS = 16
"""Bits of an element whose dtype is not known; the size is an estimate either way."""

_COMMIT = re.compile("[0-9a-f]{40}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", re.ASCII)
_RELATIONS = frozenset(r.value for r in Relation)
_BASE = "base_model:"


class BadRow(ValueError):
    """A row of a listing that cannot be believed; one line says why."""


class Row(NamedTuple):
    """A listed model. `size` in bytes, estimated from the counts of parameters, None where the Hub states none."""

    model_id: str
    revision: str
    size: int | None = None
    gated: bool = False
    disabled: bool = False
    base_models: tuple[str, ...] = ()
    relation: str | None = None
    architecture: str | None = None
    model_type: str | None = None
    library: str | None = None
    tags: tuple[str, ...] = ()
    downloads: int = 0
    last_modified: str | None = None


def read_row(data: object) -> Row:
    """The row of a listing's JSON object; raise BadRow."""
    if not isinstance(data, dict):
        raise BadRow(f"{_short(data)} is not an object")
    model_id, revision = _identity(data)
    tags, config = _tags(model_id, data.get("tags")), data.get("config")
    config = config if isinstance(config, dict) else {}
    bases, relation = _bases(data.get("baseModels"), tags)
    return Row(
        model_id=model_id,
        revision=revision,
        size=_size(model_id, data.get("safetensors")),
        gated=_gated(model_id, data.get("gated")),
        disabled=_flag(model_id, data.get("disabled")),
        base_models=bases,
        relation=relation,
        architecture=_first(config.get("architectures")),
        model_type=_text(config.get("model_type")),
        library=_text(data.get("library_name")),
        tags=tags,
        downloads=_count(model_id, "downloads", data.get("downloads", 0)),
        last_modified=_time(model_id, data.get("lastModified")),
    )


# --- what decides ---


def _identity(data: dict[str, Any]) -> tuple[str, str]:
    model_id, revision = data.get("id"), data.get("sha")
    if not isinstance(model_id, str) or not is_model_id(model_id):
        raise BadRow(f"id {_short(model_id)} is not of the form org/name")
    if not isinstance(revision, str) or not _COMMIT.fullmatch(revision):
        raise BadRow(f"{model_id}: sha {_short(revision)} is not a commit")
    return model_id, revision


def _size(model_id: str, stated: object) -> int | None:
    if stated is None:
        return None
    counts = stated.get("parameters") if isinstance(stated, dict) else None
    if not isinstance(counts, dict):
        raise BadRow(f"{model_id}: safetensors {_short(stated)} has no counts of parameters")
    bits = 0
    for dtype, count in counts.items():
        bits += (DTYPES[dtype][0] if dtype in DTYPES else UNKNOWN_BITS) * _count(model_id, "safetensors", count)
    if bits > 8 * MAX_ELEMENTS:
        raise BadRow(f"{model_id}: safetensors: {bits} bits are beyond any checkpoint")
    return bits // 8 if counts else None


def _count(model_id: str, name: str, value: object) -> int:
    if type(value) is not int or not 0 <= value <= MAX_COUNT:
        raise BadRow(f"{model_id}: {name}: {_short(value)} is not a count")
    return value


def _gated(model_id: str, value: object) -> bool:
    if value not in (None, False, True, "auto", "manual") or type(value) is int:
        raise BadRow(f"{model_id}: gated {_short(value)} is neither false, auto nor manual")
    return bool(value)


def _flag(model_id: str, value: object) -> bool:
    if value is not None and not isinstance(value, bool):
        raise BadRow(f"{model_id}: disabled {_short(value)} is neither true nor false")
    return bool(value)


def _time(model_id: str, value: object) -> str | None:
    if value is None or (isinstance(value, str) and _TIME.fullmatch(value)):
        return value
    raise BadRow(f"{model_id}: lastModified {_short(value)} is not a time")


def _tags(model_id: str, value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_TAGS:
        raise BadRow(f"{model_id}: tags {_short(value)} are not a list of at most {MAX_TAGS}")
    return tuple(t for t in value if isinstance(t, str) and len(t) <= MAX_TEXT)


# --- what describes ---


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= MAX_TEXT and value.isprintable() else None


def _first(names: object) -> str | None:
    return _text(names[0]) if isinstance(names, list) and names else None


def _bases(said: object, tags: tuple[str, ...]) -> tuple[tuple[str, ...], str | None]:
    """Base models and their relation, from the field of that name or else from the tags."""
    bases, relation = _said_bases(said)
    return (bases, relation) if bases or not any(map(_is_base, tags)) else _tagged_bases(tags)


def _said_bases(said: Any) -> tuple[tuple[str, ...], str | None]:
    """Base models and relation as `baseModels` states them."""
    if not isinstance(said, dict) or not isinstance(said.get("models"), list):
        return (), None
    named = [m.get("id") if isinstance(m, dict) else None for m in said["models"][:MAX_TAGS]]
    bases = tuple(n for n in named if isinstance(n, str) and is_model_id(n))
    relation = said.get("relation")
    return bases, relation if bases and isinstance(relation, str) and relation in _RELATIONS else None


def _is_base(tag: str) -> bool:
    return tag.startswith(_BASE)


def _tagged_bases(tags: tuple[str, ...]) -> tuple[tuple[str, ...], str | None]:
    """Base models and relation from `base_model:org/name` and `base_model:<relation>:org/name`."""
    found = [t.removeprefix(_BASE).rpartition(":") for t in tags if _is_base(t)]
    bases = tuple(dict.fromkeys(name for _, _, name in found if is_model_id(name)))
    relations = {relation for relation, _, name in found if relation in _RELATIONS and is_model_id(name)}
    return bases, relations.pop() if len(relations) == 1 else None


def _short(value: object) -> str:
    if isinstance(value, dict | list):
        return f"of type {type(value).__name__} with {len(value)} parts"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_COUNT:
        return f"of {value.bit_length()} bits"
    text = one_line(repr(value[:MAX_TEXT] if isinstance(value, str) else value))
    return text if len(text) <= 80 else f"{text[:77]}..."
