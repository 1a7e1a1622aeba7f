"""The addresses of models: one, its history, how to verify it, lists of them, many at once."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Request
from starlette.responses import Response

from ...schema.types import Verdict
from ..names import Asked, parse_model_id, parse_revision, parse_time
from ..results import LookupResult
from . import documents
from .catalogue import Wanted
from .described import AsOf, Base, Cursor, Family, Limit, Name, OfVerdict, Org, Revision, Text, only_known, problems
from .replies import reply
from .settings import LIMIT
from .shapes import History, Models, Question, Results, Verifiable

router = APIRouter(prefix="/v1", tags=["models"], dependencies=[Depends(only_known)])
_ONE = problems("not-in-index")


def _asked(org: str, name: str, revision: str | None = None, as_of: str | None = None) -> Asked:
    commit = None if revision is None else parse_revision(revision)
    return Asked(parse_model_id(f"{org}/{name}"), commit, None if as_of is None else parse_time(as_of))


@router.get("/models/{org}/{name}@{revision}", response_model=LookupResult, responses=_ONE)
async def model_at_revision(
    request: Request, org: Org, name: Name, revision: Revision, base: Base = None, as_of: AsOf = None
) -> Response:
    """What is known of a model at a commit."""
    asked = _asked(org, name, revision, as_of)
    return await reply(request, lambda snapshot: documents.model(snapshot, asked, base))


@router.get("/models/{org}/{name}@{revision}/verify", response_model=Verifiable, responses=_ONE)
async def verify_at_revision(request: Request, org: Org, name: Name, revision: Revision) -> Response:
    """What to read to verify the record of a model at a commit."""
    asked = _asked(org, name, revision)
    return await reply(request, lambda snapshot: documents.verify(snapshot, asked))


@router.get("/models/{org}/{name}", response_model=LookupResult, responses=_ONE)
async def model(request: Request, org: Org, name: Name, base: Base = None, as_of: AsOf = None) -> Response:
    """What is known of a model: the document of `swindex lookup --json`."""
    asked = _asked(org, name, None, as_of)
    return await reply(request, lambda snapshot: documents.model(snapshot, asked, base))


@router.get("/models/{org}/{name}/history", response_model=History, responses=_ONE)
async def history(request: Request, org: Org, name: Name) -> Response:
    """The versions of a model's record, and what each changed."""
    asked = _asked(org, name)
    return await reply(request, lambda snapshot: documents.history(snapshot, asked.model_id))


@router.get("/models/{org}/{name}/verify", response_model=Verifiable, responses=_ONE)
async def verify(request: Request, org: Org, name: Name) -> Response:
    """What to read to verify a record oneself: files, bytes, and what they should be."""
    asked = _asked(org, name)
    return await reply(request, lambda snapshot: documents.verify(snapshot, asked))


@router.get("/models", response_model=Models, responses=problems("starting"))
async def models(
    request: Request,
    query: Text = None,
    family: Family = None,
    verdict: OfVerdict = None,
    cursor: Cursor = None,
    limit: Limit = LIMIT,
) -> Response:
    """The models of the index, or those that fit, in the order of their ids in lower case."""
    wanted = Wanted(query, family, None if verdict is None else Verdict(verdict).value)
    return await reply(request, lambda snapshot: documents.models(snapshot, wanted, cursor, limit))


@router.post("/query", response_model=Results, responses=problems("timeout", "body-too-large"))
async def query(request: Request, question: Annotated[Question, Body()]) -> Response:
    """What is known of many models at once, in the order asked; one that is not known is no error of the others."""
    names = list(question.models)
    return await reply(request, lambda snapshot: documents.query(snapshot, names), keep=False)
