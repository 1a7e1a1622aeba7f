"""How addresses are described in the OpenAPI document: parameters, problems. No behaviour but their checks."""

from typing import Annotated, Any, Literal

from fastapi import Path, Query, Request
from pydantic import WithJsonSchema

from ...index.site import SEQ_MOST
from ...schema.types import Verdict
from .problems import KINDS, TYPE, Problem
from .settings import LIMIT, LIMIT_MOST

_WORD = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_PART = rf"^{_WORD}$"
_NO = r"(?!.*(?:\.\.|--))(?!.*\.git$)"
"""What a model id has not; told in the document only, for pydantic's patterns know no looking ahead."""
_REVISION = r"^[0-9a-fA-F]{7,40}$"
_LINE = r"^[^\x00-\x1f\x7f]+$"


def _part(what: str, example: str) -> Any:
    told = {"pattern": f"^{_NO}{_WORD}$"}
    return Path(pattern=_PART, description=what, examples=[example], json_schema_extra=told)


Org = Annotated[str, _part("The first part of a model id.", "huggyllama")]
Name = Annotated[str, _part("The second part of a model id.", "llama-7b")]
Revision = Annotated[
    str, Path(pattern=_REVISION, description="A commit: 7 to 40 hex digits of its sha.", examples=["4782ad2"])
]
Base = Annotated[
    Annotated[str, WithJsonSchema({"type": "string", "pattern": f"^{_NO}{_WORD}/{_WORD}$"})] | None,
    Query(description="The model whose weights are given, as inherited, where it has none of its own."),
]
AsOf = Annotated[
    Annotated[str, WithJsonSchema({"anyOf": [{"type": "string", "format": f} for f in ("date", "date-time")]})] | None,
    Query(description="Answer with what was known then: a UTC date, or a time with its zone."),
]
Text = Annotated[
    str | None,
    Query(min_length=1, max_length=200, pattern=_LINE, description="A part of an id, an architecture or a tensor."),
]
Family = Annotated[
    str | None,
    Query(min_length=1, max_length=100, pattern=_LINE, description="A model type or an architecture, in any case."),
]
OfVerdict = Annotated[
    Verdict | None, Query(description="The strongest verdict on any of its weights, alone or together.")
]
Cursor = Annotated[
    str | None,
    Query(pattern=r"^m(?:[2-7][0-9a-f]){1,200}$", description="From the page before; of no meaning but that."),
]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MOST, description=f"Rows at most; {LIMIT} if not given.")]
Since = Annotated[
    int | None, Query(ge=0, le=SEQ_MOST, description="A change: those after it, and of many the first, to go on from.")
]
Before = Annotated[int | None, Query(ge=1, le=SEQ_MOST, description="A change: those before it.")]
Version = Annotated[
    str, Path(pattern=r"^[a-z0-9.]{1,20}$", description="`1.x` of a record, `view` of a lookup.", examples=["view"])
]
Form = Literal["jsonl", "parquet", "duckdb"]

_EVERYWHERE = ("invalid-request", "internal", "busy")


def problems(*names: str) -> dict[int | str, dict[str, Any]]:
    """The problems an address may answer with, those that any may among them."""
    found: dict[int | str, dict[str, Any]] = {}
    for name in (*names, *_EVERYWHERE):
        kind = KINDS[name]
        schema = {"$ref": "#/components/schemas/ProblemDetails"}
        found.setdefault(kind.status, {"description": kind.title, "content": {TYPE: {"schema": schema}}})
    return found


async def only_known(request: Request) -> None:
    """Refuse parameters that an address does not have: a typo would be no answer to what was meant."""
    if not request.scope["query_string"]:
        return
    known = {param.alias for param in request.scope["route"].dependant.query_params}
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        takes = ", ".join(sorted(known)) or "none"
        raise Problem("invalid-request", f"unknown parameter {ascii(unknown[0])[:80]}; known: {takes}")
    if len(request.query_params.multi_items()) > len(request.query_params):
        raise Problem("invalid-request", "a parameter is given twice")
