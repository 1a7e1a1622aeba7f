"""The pages of submissions: a form, a list, one submission with its states. Only where the service takes them.

A form carries its token itself and nothing is kept in the browser, so no other site can submit in a visitor's name.
Nothing here is cached: states change.
"""

import json
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ...index.submissions.document import make
from ...index.submissions.states import MEANING, PENDING, State
from ...schema.canonical import strict_loads
from ...schema.errors import SwindexError, UsageError
from ..service.answer import Answer
from ..service.described import only_known
from ..service.desk import Desk, document, listed
from ..service.problems import KINDS, Problem
from ..service.replies import told
from ..service.submitted import Which
from . import html
from .html import Page

router = APIRouter(dependencies=[Depends(only_known)], include_in_schema=False)
_FORM = "application/x-www-form-urlencoded"
_FIELDS = ("model", "revision", "note")
"""Fields that a form shows again when something is wrong; neither the token nor a record."""
_RECENT, _PAGE, _FEW = 10, 50, 20
After = Annotated[str | None, Query(pattern="^[0-9a-f]{16}$")]


def _desk(request: Request) -> Desk:
    found: Desk | None = request.app.state.desk
    if found is None:
        raise Problem("not-found")
    return found


async def _shown(request: Request, make_page: Callable[[], Page]) -> Response:
    """The page, made off the loop and kept nowhere."""

    def made() -> Answer:
        page = make_page()
        return html.answer(page._replace(context={"here": request.scope["path"], **page.context}), "no-store")

    return await run_in_threadpool(made)


async def form(request: Request, problem: str = "", status: int = 200, given: dict[str, str] | None = None) -> Response:
    """The forms, and what came last."""
    desk = _desk(request)
    fields = {name: (given or {}).get(name, "") for name in _FIELDS}

    def page() -> Page:
        recent = listed(*desk.page(None, None, _RECENT))["submissions"]
        context = {"title": "Submit a model", "recent": recent, "problem": problem, "given": fields}
        return Page("submitting.html", {**context, "meanings": _meanings()}, status)

    return await _shown(request, page)


@router.post("/submit")
async def submit(request: Request) -> Response:
    """Take what a form sends, and lead to the submission; else the form again, with what is wrong."""
    desk = _desk(request)
    desk.addresses.take(request.client.host if request.client else None)
    given = _fields(request, await request.body())
    try:
        body = await run_in_threadpool(_document, given)
        entry, _ = await run_in_threadpool(desk.take, given.get("token", "").strip(), body)
    except Problem as problem:
        return await form(request, problem.detail, problem.kind.status, given)
    except SwindexError as error:
        said = told(request, error)
        return await form(request, said.detail, said.kind.status, given)
    return Answer(b"", status=303, headers={"location": f"/submissions/{entry.id}"}, media=html.HTML)


def _fields(request: Request, body: bytes) -> dict[str, str]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise Problem("invalid-request", f"a form is sent as {_FORM}")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_FEW, errors="strict")
    except ValueError:
        raise Problem("invalid-request", "this is no form") from None
    return dict(pairs)


def _document(given: dict[str, str]) -> bytes:
    """The submission that a form means; raise UsageError."""
    note = given.get("note", "").strip() or None
    if "record" not in given:
        model, revision = given.get("model", "").strip(), given.get("revision", "").strip().lower()
        return make(model, revision or None, note=note).to_bytes()
    record = _record(given["record"])
    model = record["model"] if isinstance(record.get("model"), dict) else {}
    return make(_text(model.get("id")), _text(model.get("revision")), record=record, note=note).to_bytes()


def _record(text: str) -> dict[str, Any]:
    if not text.strip():
        raise UsageError("paste the record: what `swindex scan --out FILE` writes")
    try:
        found = strict_loads(text)
    except SwindexError:
        raise UsageError("the record is no JSON: paste the whole file") from None
    if not isinstance(found, dict):
        raise UsageError("a record is a JSON object: paste the whole file")
    return found


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(None)


@router.get("/submissions")
async def submissions(request: Request, state: Which | None = None, after: After = None) -> Response:
    """All submissions, newest first."""
    desk, wanted = _desk(request), State(state) if state else None

    def page() -> Page:
        found = listed(*desk.page(wanted, after, _PAGE))
        context = {"title": "Submissions", "state": state, "states": list(State), "after": after, **found}
        return Page("submissions.html", context)

    return await _shown(request, page)


@router.get("/submissions/{id}")
async def submission(request: Request, id: str) -> Response:
    """One submission, its states, what was found."""
    desk = _desk(request)

    def page() -> Page:
        entry = _found(desk, id)
        live = entry.state in PENDING
        return Page("submission.html", {"title": f"Submission {entry.id}", "one": document(entry), "live": live})

    return await _shown(request, page)


def _found(desk: Desk, entry_id: str) -> Any:
    try:
        return desk.find(entry_id)
    except Problem:
        raise
    except SwindexError:  # no id at all
        raise Problem("no-such-submission", KINDS["no-such-submission"].detail) from None


def _meanings() -> dict[str, str]:
    return {state.value: MEANING[state] for state in State}
