"""A submitted scan beside our own of the same commit: the same scalars, the same result. Knows records alone."""

from collections.abc import Iterator
from typing import Any

from ...index.submissions.codes import Said
from ...schema.record import Record
from ...schema.scan import Scan
from ...schema.status import WeightStatus
from ...schema.types import SCANNED, Outcome, Verdict
from ...schema.weight import SuperWeight

_STRONG = frozenset({Verdict.CONFIRMED, Verdict.PARTIAL, Verdict.NON_FINITE})
_OPPOSITE = {Outcome.FOUND, Outcome.NONE_FOUND}


def newest_scan(record: Record) -> Scan | None:
    """The newest scan that was made."""
    return next((s for s in reversed(record.scans) if s.outcome in SCANNED), None)


def compare(claim: Record, own: Record, figures: dict[str, Any]) -> Iterator[Said]:
    """Yield how the two agree; `figures` gets the scalars. Both hold a scan that was made."""
    mine, theirs = _placed(own), _placed(claim)
    matter, ours = _mattering(claim), _mattering(own)
    agreed = sorted(w for w in matter if theirs[w] == mine.get(w))
    missing, more = sorted(matter - set(agreed)), sorted(ours - theirs.keys())
    figures |= {"claimed": len(matter), "agreed": agreed, "missing": missing, "more": more}
    outcomes = {_outcome(claim), _outcome(own)}
    if not outcomes <= _OPPOSITE:
        yield Said("rescan-open", f"theirs: {_outcome(claim)}, ours: {_outcome(own)}")
    elif len(outcomes) > 1:
        yield Said("rescan-outcome", f"theirs: {_outcome(claim)}, ours: {_outcome(own)}")
    if missing and outcomes <= _OPPOSITE:
        yield Said("rescan-misses", f"ours has no {', '.join(missing[:3])}")
    if more:
        yield Said("rescan-more", f"ours also has {', '.join(more[:3])}")
    yield from _verdicts(claim, own, set(agreed))
    if not missing and len(outcomes) == 1:
        yield Said("rescan-agrees", f"{len(agreed)} of {len(matter)} scalars, {_outcome(own)} as submitted")


def _placed(record: Record) -> dict[str, tuple[Any, ...]]:
    """Where each scalar that a scan found is, and its bits."""
    return {w.id: _place(w) for w in record.super_weights if w.scan is not None}


def _place(weight: SuperWeight) -> tuple[Any, ...]:
    return weight.tensor, weight.index, weight.dtype, weight.bits


def _mattering(record: Record) -> set[str]:
    """Scalars whose removal does something, alone or with others; all, where a scan did not try."""
    found = {w.id for w in record.super_weights if w.scan is not None}
    if _outcome(record) is Outcome.UNTESTED:
        return found
    return {s.weight for s in record.status.weights if s.weight in found and {s.alone, s.grouped} & _STRONG}


def _outcome(record: Record) -> Outcome:
    scan = newest_scan(record)
    return scan.outcome if scan else Outcome.FAILED


def _verdicts(claim: Record, own: Record, shared: set[str]) -> Iterator[Said]:
    """Scalars that matter alone in one of the two and are harmless alone in the other."""
    mine = {s.weight: s for s in own.status.weights}
    for status in claim.status.weights:
        if status.weight in shared and _opposed(status, mine[status.weight]):
            yield Said("rescan-verdict", f"{status.weight}: theirs {status.alone}, ours {mine[status.weight].alone}")


def _opposed(theirs: WeightStatus, ours: WeightStatus) -> bool:
    verdicts = {theirs.alone, ours.alone}
    return Verdict.INERT in verdicts and bool(verdicts & _STRONG)
