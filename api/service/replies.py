"""From a request to an answer: made off the loop, kept ready, and made again if the index was replaced meanwhile.

The words of errors that may name paths of this machine stay here.
"""

import asyncio
from collections.abc import Callable, Coroutine
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
    """The document that `make` gives of the snapshot, rendered, and kept for the next who asks.

    Those who ask for the same at the same time wait for one answer, which is made for all of them.
    """
    key = (snapshot_of(request), request.scope["address"] if keep else object())
    return await together(request, key, lambda: _made(request, make, keep))


async def together(request: Request, key: Any, begin: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
    """The answer that is being made under this key, or that `begin` begins to make; raise Problem if too many are."""
    current = current_of(request)
    task = current.making.get(key)
    if task is None:
        if len(current.making) >= request.app.state.settings.concurrency:
            raise Problem("busy")
        task = asyncio.ensure_future(begin())
        current.making[key] = task
        task.add_done_callback(lambda done: _forget(current, key, done))
    return await asyncio.shield(task)


def _forget(current: Current, key: Any, done: "asyncio.Task[Answer]") -> None:
    del current.making[key]
    if not done.cancelled():
        done.exception()  # whoever waited has it; nobody may be left


async def _made(request: Request, make: Make, keep: bool) -> Answer:
    cache = may_change(request.app.state.settings.fresh) if keep else "no-store"
    encodings, _ = asked(request.scope)
    snapshot, answer = await read_by(request, lambda now: _answer(now, make, cache, encodings))
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


async def read_by(request: Request, make: Callable[[Snapshot], Answer]) -> tuple[Snapshot, Answer]:
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
