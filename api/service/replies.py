"""From a request to an answer: made off the loop, kept ready, and made again if the index was replaced meanwhile.

The words of errors that may name paths of this machine stay here.
"""

from collections.abc import Callable
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from ...index.errors import NotInIndex, StoreError
from ...schema.errors import SwindexError
from .answer import Answer, asked, may_change, takes_gzip
from .current import Current
from .documents import problem_of
from .gate import answer_of
from .problems import Problem
from .snapshot import Snapshot

Make = Callable[[Snapshot], Any]


def current_of(request: Request) -> Current:
    """What is served."""
    found: Current = request.app.state.current
    return found


def snapshot_of(request: Request) -> Snapshot:
    """What this request is answered from."""
    found: Snapshot = request.scope["snapshot"]
    return found


async def reply(request: Request, make: Make, *, keep: bool = True) -> Answer:
    """The document that `make` gives of the snapshot, rendered, and kept for the next who asks."""
    cache = may_change(request.app.state.settings.fresh) if keep else "no-store"
    encodings, _ = asked(request.scope)
    snapshot, answer = await _made(request, lambda now: _answer(now, make, cache, encodings))
    answer.route = request.scope["route"].path
    if keep:
        snapshot.kept.put(request.scope["address"], answer)
    return answer


def _answer(snapshot: Snapshot, make: Make, cache: str, encodings: str | None) -> Answer:
    try:
        answer = Answer.of(make(snapshot), cache)
    except NotInIndex as error:
        return answer_of(problem_of(error), cache)
    if encodings and takes_gzip(encodings):
        _ = answer.zipped
    return answer


async def _made(request: Request, make: Callable[[Snapshot], Answer]) -> tuple[Snapshot, Answer]:
    """What `make` gives; if the snapshot cannot be read any more, of the one that has taken its place."""
    snapshot, current = snapshot_of(request), current_of(request)
    try:
        return snapshot, await run_in_threadpool(make, snapshot)
    except StoreError:
        await run_in_threadpool(current.refresh)
        if current.snapshot is snapshot:
            raise
        return current.snapshot, await run_in_threadpool(make, current.snapshot)


def told(request: Request, error: SwindexError) -> Problem:
    """The problem that an error is; what is not for the client goes to the log."""
    problem = problem_of(error)
    if problem.name == "index-unreadable":
        request.app.state.log("unreadable", "error", error=type(error).__name__, detail=str(error))
    return problem
