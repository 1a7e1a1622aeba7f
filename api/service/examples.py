"""Examples for the OpenAPI document: what the shipped index answers."""

from typing import Any

from ..names import parse_asked
from ..reading import shipped
from . import documents
from .catalogue import Catalogue, Wanted, row_of
from .held import HeldIndex
from .snapshot import Snapshot

Json = dict[str, Any]
_MODEL = "huggyllama/llama-7b"


def with_examples(document: Json) -> Json:
    """The document with an example for each address that has one."""
    for path, example in examples().items():
        [operation] = document["paths"][path].values()
        operation["responses"]["200"]["content"]["application/json"]["example"] = example
    return document


def examples() -> dict[str, Any]:
    """Answers of the shipped index, by address."""
    held = HeldIndex(shipped())
    catalogue = Catalogue(row_of(found.record) for found in held.reader.everything())
    snapshot = Snapshot(held, catalogue, "index", None, 0)
    asked = parse_asked(_MODEL)
    one = "/v1/models/{org}/{name}"
    return {
        one: documents.model(snapshot, asked),
        f"{one}@{{revision}}": documents.model(snapshot, asked),
        f"{one}/history": documents.history(snapshot, _MODEL),
        f"{one}/verify": documents.verify(snapshot, asked),
        f"{one}@{{revision}}/verify": documents.verify(snapshot, asked),
        "/v1/models": documents.models(snapshot, Wanted("llama"), None, 2),
        "/v1/query": documents.query(snapshot, [_MODEL]),
        "/v1/changes": documents.changes(snapshot, None, None, 2),
        "/v1/dataset": documents.dataset(snapshot),
    }
