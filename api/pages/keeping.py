"""From a request to a page: rendered off the loop, and kept for the day, since pages say how old things are."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from weakref import WeakKeyDictionary

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from ...index.errors import StoreError
from ..service.answer import Answer, asked, may_change, takes_gzip
from ..service.replies import current_of, snapshot_of
from ..service.snapshot import Kept, Snapshot

Make = Callable[[Snapshot, str], Answer]
"""From a snapshot and Cache-Control to an answer."""
_SHARE = 2
"""Pages are kept up to this part of what answers may take."""
_KEPT: WeakKeyDictionary[Snapshot, tuple[date, Kept]] = WeakKeyDictionary()


def today() -> date:
    """The day, in UTC."""
    return datetime.now(UTC).date()


async def kept(request: Request, make: Make) -> Answer:
    """The answer to a request: what was made for it today, else what `make` gives."""
    snapshot, address = snapshot_of(request), request.scope["address"]
    found = _of(request, snapshot).get(address)
    if found is not None:
        return found
    try:
        made = await run_in_threadpool(_made, request, snapshot, make)
    except StoreError:
        await run_in_threadpool(current_of(request).refresh)
        if current_of(request).snapshot is snapshot:
            raise
        snapshot = current_of(request).snapshot
        made = await run_in_threadpool(_made, request, snapshot, make)
    _of(request, snapshot).put(address, made)
    return made


def _made(request: Request, snapshot: Snapshot, make: Make) -> Answer:
    answer = make(snapshot, may_change(request.app.state.settings.fresh))
    encodings, _ = asked(request.scope)
    if encodings and takes_gzip(encodings):
        _ = answer.zipped
    return answer


def _of(request: Request, snapshot: Snapshot) -> Kept:
    day, held = _KEPT.get(snapshot, (None, None))
    if held is None or day != today():
        held = Kept(request.app.state.settings.cache // _SHARE)
        _KEPT[snapshot] = (today(), held)
    return held
