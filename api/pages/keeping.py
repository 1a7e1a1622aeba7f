"""From a request to a page: rendered off the loop, and kept for the day, since pages say how old things are."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from weakref import WeakKeyDictionary

from fastapi import Request

from ..service.answer import Answer, asked, may_change, takes_gzip
from ..service.replies import read_by, snapshot_of, together
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
    return await together(request, (snapshot, address, today()), lambda: _making(request, make))


async def _making(request: Request, make: Make) -> Answer:
    snapshot, answer = await read_by(request, lambda now: _made(request, now, make))
    _of(request, snapshot).put(request.scope["address"], answer)
    return answer


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
