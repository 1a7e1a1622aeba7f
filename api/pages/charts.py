"""The addresses of charts: SVG in two themes and two widths, PNG, and the Vega-Lite spec."""

import re
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from ..charts import drawing, whole
from ..charts.effects import effects
from ..charts.profile import profile
from ..charts.themes import THEMES, Look
from ..names import Asked, parse_asked
from ..service import documents
from ..service.answer import Answer
from ..service.described import only_known
from ..service.problems import Problem
from ..service.snapshot import Snapshot
from .html import CHART_CSP
from .keeping import kept
from .whole import CHARTS, ready

router = APIRouter(prefix="/charts", dependencies=[Depends(only_known)], include_in_schema=False)
_FILE = re.compile(r"([a-z]+)(?:-(light|dark))?(-narrow)?\.(svg|png|json)", re.ASCII)
_OF_MODEL: dict[str, Callable[..., Any]] = {"profile": profile, "effects": effects}


@router.get("/index/{file}")
async def of_index(request: Request, file: str) -> Response:
    """A chart of the whole index."""
    name, look, kind = _parsed(file, CHARTS)
    return await kept(request, lambda snapshot, cache: _drawn(_whole(snapshot, name, look), look, kind, name, cache))


@router.get("/{org}/{name}/{file}")
async def of_model(request: Request, org: str, name: str, file: str) -> Response:
    """A chart of a model, `NAME@REVISION` at a commit."""
    chart, look, kind = _parsed(file, _OF_MODEL)
    asked, title = parse_asked(f"{org}/{name}"), f"{org}/{name}: {chart}"
    return await kept(
        request, lambda snapshot, cache: _drawn(_model(snapshot, asked, chart, look), look, kind, title, cache)
    )


def _parsed(file: str, known: Any) -> tuple[str, Look, str]:
    found = _FILE.fullmatch(file)
    if found is None or found[1] not in known:
        raise Problem("not-found")
    return found[1], Look(THEMES[found[2] or "light"], found[3] is not None), found[4]


def _model(snapshot: Snapshot, asked: Asked, chart: str, look: Look) -> Any:
    drawn = _OF_MODEL[chart](documents.model(snapshot, asked), look)
    if drawn is None:
        raise Problem("not-found", "there are no figures to draw")
    return drawn


def _whole(snapshot: Snapshot, name: str, look: Look) -> Any:
    rows = whole.counts(ready(snapshot))[name]
    if not rows:
        raise Problem("not-found", "there are no figures to draw")
    return whole.CHARTS[name](rows, look)


def _drawn(chart: Any, look: Look, kind: str, title: str, cache: str) -> Answer:
    body = drawing.DRAW[kind](drawing.spec_of(chart, look, title))
    return Answer(body, cache, media=drawing.MEDIA[kind], headers={"content-security-policy": CHART_CSP})
