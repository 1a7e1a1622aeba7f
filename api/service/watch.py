"""The addresses for those who run the service: health, figures, the OpenAPI document, what problems there are."""

from calendar import timegm
from time import strptime
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ... import __version__
from ...schema.errors import SwindexError
from .answer import Answer, may_change
from .current import Current
from .described import only_known, problems
from .desk import Desk
from .documents import kind_of_problem
from .metrics import MEDIA, Metrics
from .openapi_kept import document
from .problems import KINDS, Problem
from .replies import current_of, snapshot_of
from .shapes import Health

router = APIRouter(tags=["service"], dependencies=[Depends(only_known)])


@router.get("/healthz", response_model=Health, responses=problems())
async def healthz(request: Request) -> Response:
    """Whether the service serves, and how fresh what it serves is."""
    return Answer.of(health(current_of(request)))


@router.get("/metrics", responses={200: {"content": {MEDIA: {"schema": {"type": "string"}}}}, **problems()})
async def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    counted: Metrics = request.app.state.metrics
    figures, states = _gauges(current_of(request)), dict[str, int]()
    if (desk := request.app.state.desk) is not None:
        figures["submissions_unreadable"], states = await run_in_threadpool(_submissions, desk)
    return Answer(counted.text(figures, states).encode(), media=MEDIA)


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> Response:
    """The description of all addresses, OpenAPI 3.1."""
    answer = Answer(document(), may_change(request.app.state.settings.fresh))
    answer.route = "/openapi.json"
    snapshot_of(request).kept.put(request.scope["address"], answer)
    return answer


@router.get("/problems/{name}", include_in_schema=False)
async def problem(request: Request, name: str) -> Response:
    """What a type of problem means."""
    if name not in KINDS:
        raise Problem("not-found")
    return Answer.of(kind_of_problem(name), may_change(request.app.state.settings.fresh))


def health(current: Current) -> dict[str, Any]:
    """The document of /healthz."""
    snapshot = current.snapshot
    crawl = snapshot.facts["crawl"]
    return {
        "status": "degraded" if current.trouble else "ok",
        "trouble": current.trouble,
        "seq": snapshot.head.seq,
        "chain": snapshot.head.chain,
        "models": snapshot.models,
        "newest": snapshot.newest,
        "released": snapshot.facts["released"],
        "crawled": crawl["ended"] if crawl else None,
        "checked": current.checked,
        "catalogue": "reading" if snapshot.catalogue is None else "ready",
        "version": __version__,
    }


def _gauges(current: Current) -> dict[str, float | None]:
    snapshot = current.snapshot
    return {
        "index_seq": snapshot.head.seq,
        "index_models": snapshot.models,
        "index_newest_timestamp_seconds": _seconds(snapshot.newest),
        "index_checked_timestamp_seconds": _seconds(current.checked),
        "index_replaced_total": current.swaps,
        "index_refused_total": current.failures,
        "index_degraded": int(current.trouble is not None),
    }


def _submissions(desk: Desk) -> tuple[int, dict[str, int]]:
    """Whether they cannot be read (what is wrong is said where they are asked for), and how many are in each state."""
    try:
        return 0, desk.counts()
    except SwindexError:
        return 1, {}


def _seconds(time: str | None) -> int | None:
    return None if time is None else timegm(strptime(time, "%Y-%m-%dT%H:%M:%SZ"))
