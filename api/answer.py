"""From a model id to the document of `lookup`. Standard library only, so that it answers before typer is imported.

Knows when a base model may stand in, and what to say of an unknown model; `view` knows the document.
"""

from typing import Any

from ..index.errors import NotInIndex
from .names import Asked, nearest, parse_model_id
from .reader import Found, Reader, as_record, find
from .view import inherit, unknown, view

Json = dict[str, Any]
_LOOKED = frozenset({"found", "none_found", "untested"})


def answer(asked: Asked, reader: Reader, base: str | None = None) -> Json:
    """The document for a model; raise UsageError, NotInIndex or StoreError.

    Where the index knows no weight of the model and nobody looked for them in it, those of its base model are given,
    marked as inherited: of `base`, else of the base that it was compared with, else of the one that the record names.
    """
    base = None if base is None else parse_model_id(base)
    found = find(reader, asked)
    if found is None and base is None:
        raise NotInIndex(not_in_index(asked.model_id, reader))
    index = {**reader.facts(), "as_of": asked.as_of}
    document = unknown(asked.model_id, index) if found is None else _viewed(found, asked.model_id, index)
    return document if has_own_answer(document) else _inherited(document, reader, base, asked.as_of)


def has_own_answer(document: Json) -> bool:
    """Whether something is known of the model's own weights: some, or that a scan or a source found none."""
    denied = any(o["stance"] == "denies" for o in document["observations"])
    return bool(document["super_weights"]) or document["outcome"] in _LOOKED or denied


def not_in_index(model_id: str, reader: Reader) -> str:
    """One line: that a model is unknown, that this says nothing about it, near names, and how to scan it."""
    near = nearest(model_id, reader.near_ids())
    hint = f"; near names: {', '.join(near)}" if near else ""
    return (
        f"{model_id} is not in the index, which does not mean that it has no super weight{hint}; "
        f"to scan it: swindex scan {model_id}"
    )


def _inherited(document: Json, reader: Reader, base: str | None, as_of: str | None) -> Json:
    compared = document["survivals"][-1]["base"] if document["survivals"] else None
    named = base or compared or document["model"]["base_model"]
    found = find(reader, Asked(named, as_of=as_of)) if named else None
    if found is None and base is not None:
        raise NotInIndex(not_in_index(base, reader))
    if found is None or named == document["model"]["id"]:
        return document
    return inherit(document, _viewed(found, named))


def _viewed(found: Found, model_id: str, index: Json | None = None) -> Json:
    with as_record(model_id):
        return view(found.record, index, found.torn)
