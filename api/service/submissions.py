"""The addresses of submissions: send one, look at one, list them. Only where the service was told to take them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ...index.submissions.states import State
from .answer import Answer
from .described import Limit, only_known, problems
from .desk import CHALLENGE, Desk, document, listed
from .problems import KINDS, Problem
from .settings import LIMIT
from .submitted import BODY, SubmissionPage, SubmissionStatus, Which

router = APIRouter(prefix="/v1", tags=["submissions"], dependencies=[Depends(only_known)])
_PATTERN = "^[0-9a-f]{16}$"
Id = Annotated[str, Path(pattern=_PATTERN, description="The id of a submission.", examples=["05930a33ef95414f"])]
After = Annotated[str | None, Query(pattern=_PATTERN, description="A submission: those that came before it.")]
InState = Annotated[Which | None, Query(description="Those in this state alone.")]
_SCHEME = "bearer "


def desk_of(request: Request) -> Desk:
    """Where submissions come in; raise Problem where none are taken."""
    found: Desk | None = request.app.state.desk
    if found is None and not bearer(request):
        raise Problem("unauthorized", KINDS["read-only"].detail, headers=CHALLENGE)
    if found is None:
        raise Problem("read-only")
    return found


@router.post(
    "/submissions",
    status_code=201,
    response_model=SubmissionStatus,
    responses={
        200: {"model": SubmissionStatus, "description": "It was here already."},
        **problems("unauthorized", "forbidden", "timeout", "body-too-large", "too-many"),
    },
    openapi_extra=BODY,
)
async def submit(request: Request) -> Response:
    """Submit the record of a scan, or ask for one. It is kept and checked later; the answer says where to look."""
    desk = desk_of(request)
    desk.addresses.take(request.client.host if request.client else None)
    body = await request.body()
    entry, is_new = await run_in_threadpool(desk.take, bearer(request), body)
    headers = {"location": f"/v1/submissions/{entry.id}"}
    return Answer.of(document(entry), status=201 if is_new else 200, headers=headers, tagged=False)


def bearer(request: Request) -> str:
    """The token of a request, empty without one."""
    given = request.headers.get("authorization", "")
    return given[len(_SCHEME) :].strip() if given.lower().startswith(_SCHEME) else ""


@router.get("/submissions/{id}", response_model=SubmissionStatus, responses=problems("no-such-submission"))
async def submission(request: Request, id: Id) -> Response:
    """A submission: its state, what was found, and what became of it."""
    desk: Desk | None = request.app.state.desk
    if desk is None:
        raise Problem("no-such-submission")
    return Answer.of(await run_in_threadpool(lambda: document(desk.find(id))))


@router.get("/submissions", response_model=SubmissionPage, responses=problems("no-such-submission"))
async def submissions(request: Request, state: InState = None, after: After = None, limit: Limit = LIMIT) -> Response:
    """The submissions, newest first; none where none are taken."""
    desk: Desk | None = request.app.state.desk
    if desk is None:
        return Answer.of(listed([], False))
    wanted = State(state) if state else None
    return Answer.of(await run_in_threadpool(lambda: listed(*desk.page(wanted, after, limit))))
