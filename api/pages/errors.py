"""What people see of a problem: a page, where a page was asked for; programs get problem details as ever."""

from fastapi import Request
from starlette.responses import Response

from ..service.answer import Answer
from ..service.gate import answer_of
from ..service.problems import Problem
from . import html
from .html import Page
from .router import ADDRESSES

_SAID = {
    404: "Page not found",
    422: "That cannot be asked",
    500: "Something went wrong here",
    503: "Not ready yet",
}


def answer_to(request: Request, problem: Problem) -> Response:
    """A problem as a page or as problem details."""
    return _page(request, problem) if wants_page(request) else answer_of(problem)


def wants_page(request: Request) -> bool:
    """Whether a person looks at it: at an address of a page, or at none with a browser."""
    path = getattr(request.scope.get("route"), "path", None)
    if path is not None:
        return path in ADDRESSES
    return "text/html" in request.headers.get("accept", "")


def _page(request: Request, problem: Problem) -> Answer:
    status = problem.kind.status
    context = {
        "here": "/",
        "title": _SAID.get(status, problem.kind.title),
        "problem": problem,
        "id": request.headers.get("x-request-id"),
    }
    made = html.answer(Page("problem.html", context, status), "no-store")
    extra = {**problem.headers, "vary": "Accept-Encoding, Accept"}
    return Answer(
        made.body, "no-store", media=html.HTML, status=status, headers={**extra, "content-security-policy": html.CSP}
    )
