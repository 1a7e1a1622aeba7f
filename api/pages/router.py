"""The addresses of the pages. Each is a function from the snapshot of its request to a page."""

from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response
from starlette.routing import Route

from ...schema import rules
from ...schema.ids import is_model_id
from ...schema.types import SCHEMA_VERSION
from ..names import parse_asked
from ..service.answer import Answer
from ..service.described import Before, Cursor, only_known
from ..service.problems import Problem
from ..service.replies import snapshot_of
from ..service.snapshot import Snapshot
from . import charts, html, model, submissions, whole
from .html import Page
from .keeping import kept, today

router = APIRouter(dependencies=[Depends(only_known)], include_in_schema=False)
_LINE = r"^[^\x00-\x1f\x7f]*$"
Text = Annotated[str, Query(max_length=200, pattern=_LINE)]
Word = Annotated[str, Query(max_length=100, pattern=_LINE)]


async def _shown(request: Request, make: Callable[[Snapshot], Page]) -> Response:
    """The page; what every page has is its own address and its name as data."""
    return await kept(request, lambda snapshot, cache: html.answer(_with(request, make(snapshot)), cache))


def _with(request: Request, page: Page) -> Page:
    return page._replace(context={"here": request.scope["path"], **page.context})


@router.get("/")
async def home(request: Request) -> Response:
    """What the index is, a search, what is new."""
    return await _shown(request, lambda snapshot: whole.home(snapshot, today()))


@router.get("/search")
async def search(request: Request, query: Text = "") -> Response:
    """To the model of this id, else to the list of those that match."""
    wanted, catalogue = query.strip(), snapshot_of(request).catalogue
    row = catalogue.find(wanted) if catalogue is not None else None
    if row or (is_model_id(wanted) and not _matches(snapshot_of(request), wanted)):
        return _to(html.model_path(row.id if row else wanted))
    return _to(f"/models?{urlencode({'query': wanted})}" if wanted else "/models")


def _matches(snapshot: Snapshot, text: str) -> bool:
    from ..service.catalogue import Wanted

    return snapshot.catalogue is not None and bool(snapshot.catalogue.page(Wanted(text), "", 1)[0])


def _to(address: str) -> Response:
    return Answer(b"", status=303, headers={"location": address}, media=html.HTML)


@router.get("/models")
async def models(
    request: Request, query: Text = "", family: Word = "", verdict: Word = "", cursor: Cursor = None
) -> Response:
    """The models, those that fit, a page of them."""
    return await _shown(request, lambda now: whole.models(now, query.strip(), family, verdict, cursor))


@router.get("/models/{org}/{name}")
async def of_model(request: Request, org: str, name: str) -> Response:
    """What is known of a model, `NAME@REVISION` at a commit."""
    asked = parse_asked(f"{org}/{name}")
    return await _shown(request, lambda snapshot: model.page(snapshot, asked, today()))


@router.get("/index")
async def index(request: Request) -> Response:
    """The whole index in charts."""
    return await _shown(request, whole.whole)


@router.get("/changes")
async def changes(request: Request, before: Before = None) -> Response:
    """What was appended, newest first."""
    return await _shown(request, lambda snapshot: whole.changes(snapshot, before))


@router.get("/about")
async def about(request: Request) -> Response:
    """What the words mean, and what the index cannot say."""
    context = {"title": "About", "rules": rules, "schema": SCHEMA_VERSION, "locations": model.LOCATIONS}
    return await _shown(request, lambda snapshot: Page("about.html", {**context, "offered": bool(snapshot.offered)}))


@router.get("/api")
async def api(request: Request) -> Response:
    """The documentation of the HTTP API."""
    return await _shown(request, lambda snapshot: whole.api(snapshot))


@router.get("/submit")
async def submit(request: Request) -> Response:
    """How a model gets into the index: a form, where submissions are taken."""
    if request.app.state.desk is not None:
        return await submissions.form(request)
    return await _shown(request, lambda snapshot: Page("submit.html", {"title": "Submit a model"}))


@router.get("/assets/{digest}/{name}")
async def asset(request: Request, digest: str, name: str) -> Response:
    """A file beside the pages."""
    found = html.asset(digest, name)
    if found is None:
        raise Problem("not-found")
    return found


@router.get("/favicon.ico")
async def icon(request: Request) -> Response:
    """The picture that browsers ask for by themselves."""
    return _to(html.asset_url("icon.svg"))


ROUTERS = (router, submissions.router, charts.router)
ADDRESSES = frozenset(route.path for each in ROUTERS for route in each.routes if isinstance(route, Route))
"""The patterns of all pages."""
