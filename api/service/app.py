"""The application: routers composed, errors as problems, the gate around it. Pages get a router beside these.

A router is made of functions that take the snapshot of their request and give an answer; what has no snapshot (health,
figures) asks `current`.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ... import __version__
from ...schema.errors import SwindexError
from ..pages import errors as pages_errors
from ..pages import router as pages
from . import models, static, submissions, watch, whole
from .current import Current
from .desk import Desk
from .gate import Gate, methods_of
from .logs import Log
from .metrics import Metrics
from .openapi import described
from .problems import Problem
from .replies import told
from .settings import Settings

ROUTERS = (models.router, whole.router, submissions.router, watch.router, static.router, *pages.ROUTERS)
_BY_STATUS = {404: "not-found", 405: "method-not-allowed"}


def build(
    current: Current, settings: Settings, log: Log, *, log_ip: bool = False, submissions: Path | None = None
) -> Gate:
    """The application that serves what is current, and takes submissions where there is a folder for them."""
    app = bare()
    app.router.lifespan_context = lambda _app: _watching(current, settings, log)
    app.state.current, app.state.settings, app.state.log = current, settings, log
    app.state.metrics = Metrics()
    app.state.desk = Desk(submissions, settings) if submissions else None
    larger = {"/v1/submissions": settings.submission, "/submit": settings.form} if submissions else {}
    return Gate(app, current, settings, log, app.state.metrics, app.state.routes, log_ip=log_ip, larger=larger)


def bare() -> FastAPI:
    """The application without anything to serve: its addresses and their description."""
    app = FastAPI(
        title="swindex",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    for router in ROUTERS:
        app.include_router(router)
    app.state.routes = [route for router in ROUTERS for route in router.routes]
    for error, handler in _HANDLERS.items():
        app.add_exception_handler(error, handler)
    app.openapi = lambda: described(app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _watching(current: Current, settings: Settings, log: Log) -> AsyncIterator[None]:
    """While the service runs: look at the index again and again, and read the catalogue if that is still to do."""
    threading.Thread(target=_fill, args=(current, log), daemon=True).start()  # stopping does not wait for it
    task = asyncio.create_task(_look(current, settings.check_seconds))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _look(current: Current, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        await asyncio.to_thread(current.refresh)


def _fill(current: Current, log: Log) -> None:
    try:
        current.fill()
    except SwindexError as error:
        log("no catalogue", "error", error=type(error).__name__, detail=str(error))


# --- errors ---


async def _of_problem(request: Request, error: Any) -> Response:
    return pages_errors.answer_to(request, error)


async def _of_swindex(request: Request, error: Any) -> Response:
    return await _of_problem(request, told(request, error))


async def _of_validation(request: Request, error: Any) -> Response:
    """What is wrong with which parameter, without what was given: that may be a secret."""
    wrong = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}"[:300] for each in error.errors()[:10]]
    return await _of_problem(request, Problem("invalid-request", wrong[0], errors=wrong))


async def _of_http(request: Request, error: Any) -> Response:
    name = _BY_STATUS.get(error.status_code, "invalid-request")
    headers = {"Allow": ", ".join(_allowed(request))} if error.status_code == 405 else {}
    return await _of_problem(request, Problem(name, headers=headers))


def _allowed(request: Request) -> list[str]:
    return methods_of(request.app.state.routes, request.scope)


async def _of_failure(request: Request, error: Any) -> Response:
    """Nothing is told; the error goes on to the gate, which logs it."""
    return await _of_problem(request, Problem("internal"))


_HANDLERS: dict[type[Exception], Any] = {
    Exception: _of_failure,
    Problem: _of_problem,
    SwindexError: _of_swindex,
    RequestValidationError: _of_validation,
    HTTPException: _of_http,
}
