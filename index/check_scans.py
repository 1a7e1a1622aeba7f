"""Rules for one valid record: what is odd about its scans and the effects that they measured.

That a verdict is what the rule makes of an effect and its control is part of being valid. Knows records, not files.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from ..schema.record import Record
from ..schema.scan import Scan
from ..schema.types import SCANNED, Outcome
from .detector import DETECTOR

_DETECTOR = re.compile(r"swindex (\d{1,4})\.(\d{1,4})\.(\d{1,4})")


def _control(record: Record) -> Iterator[str]:
    """Effects from which nothing follows, as their control did as much or broke the model too."""
    for effect in record.effects:
        if effect.control is not None and effect.control.worst_delta_nll is None:
            as_much = "; neither was the effect" if not effect.finite else ""
            yield f"effect {effect.id} is {effect.verdict}, and its control was not finite{as_much}"


def _old_detector(record: Record) -> Iterator[str]:
    newest = _made(record)
    current = _version(DETECTOR)
    if newest and current and (made_by := _version(newest.settings.detector)) and made_by < current:
        yield f"scan {newest.id} was made by {newest.settings.detector}, this is {DETECTOR}: scan it again"


def _made(record: Record) -> Scan | None:
    """The newest scan that was made; None without one."""
    return next((s for s in reversed(record.scans) if s.outcome in SCANNED), None)


def _version(detector: str) -> tuple[int, ...] | None:
    found = _DETECTOR.fullmatch(detector)
    return tuple(map(int, found.groups())) if found else None


def _gone_since(record: Record) -> Iterator[str]:
    newest, made = record.scans[-1] if record.scans else None, _made(record)
    if newest and made and newest.outcome not in SCANNED:
        yield f"scan {made.id} of {made.time[:10]} was made, that of {newest.time[:10]} was not: {newest.outcome}"


def _unconverged(record: Record) -> Iterator[str]:
    made = _made(record)
    if made and made.outcome is Outcome.FOUND and made.converged is False:
        yield f"scan {made.id} ended in a round that still found more: there are more super weights"


RULES: Mapping[str, Callable[[Record], Iterable[str]]] = {
    "control": _control,
    "old-detector": _old_detector,
    "gone-since": _gone_since,
    "unconverged": _unconverged,
}
