"""From a checked submission to a version of a record: what our own scan gave, and beside it who else claims it.

A submitter's scan is never taken for ours. Its figures become claims of an origin of its own, so that an independent
confirmation counts as one and a copy does not; without a scan of ours they are claims and nothing more (`reported`).
The version credits the submitter. Knows no Hub and no checkpoint.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from ...schema.bits import DTYPES
from ...schema.effect import Effect
from ...schema.errors import UsageError
from ...schema.model import Model
from ...schema.observation import Granularity, Metric, Observation, Source, Stance
from ...schema.record import Record
from ...schema.types import SCANNED, Intervention, Outcome, Verdict
from ...schema.weight import Coordinates, SuperWeight
from ..claimed import sets_of
from ..curation import with_claims
from ..store import Index
from ..versions import with_scan
from .document import Submission
from .entry import Entry

ORIGIN = "submitter-"
"""How the origins of submitters begin: nobody can submit as a paper."""
_SCAN, _FROM = "scan", "submission"
_STRONG = frozenset({Verdict.CONFIRMED, Verdict.PARTIAL, Verdict.NON_FINITE})
_PLAIN = re.compile("[a-z0-9][a-z0-9_-]{0,39}")
_PLACE = ("id", "tensor", "layer", "expert", "row", "col", "index")


class NothingToAppend(UsageError):
    """There is neither a claim nor a scan of ours that a version could hold."""


class MovedOn(UsageError):
    """The index got a scan of another commit between check and acceptance."""


# --- who claims what ---


def origin_of(name: str) -> str:
    """The origin that a submitter is in records."""
    return ORIGIN + (re.sub("[^a-z0-9]+", "-", name.lower()).strip("-") or "unnamed")


def claimed_scans(record: Record) -> Iterator[tuple[str, str | None]]:
    """The scans that a record has or that its claims come from, each with the submission that brought it."""
    for scan in record.scans:
        yield scan.id, None
    for observation in record.observations:
        told = {m.name: m.text for m in observation.metrics}
        if observation.source.origin.startswith(ORIGIN) and (scan_id := told.get(_SCAN)):
            yield scan_id, told.get(_FROM)


def confirmations(record: Record) -> dict[str, dict[str, Any]]:
    """For each scalar whether our own scan found it, and which submitters claim it, each counted once."""
    counted = {}
    for status in record.status.weights:
        weight = next(w for w in record.super_weights if w.id == status.weight)
        by = sorted(o for o in status.origins if o.startswith(ORIGIN))
        counted[status.weight] = {"ours": weight.scan is not None, "submitters": by}
    return counted


# --- the version ---


def accept(
    index: Index, entry: Entry, submission: Submission, claim: Record | None, own: Record | None, time: str
) -> Record:
    """Append what a submission adds, credited to its submitter; the version that holds it, also if it was there.

    Raise NothingToAppend, MovedOn, Locked, StoreError.
    """
    seen = entry.verdict.figures.get("newest") if entry.verdict else None
    claims = claims_of(claim, entry) if claim else ()
    at = submission.revision or (own.model.revision if own else None)

    def build(newest: Record | None) -> dict[str, Any] | None:
        _require_there(newest, seen, at)
        return parts_of(newest, submission, claim, claims, own)

    if not claims and own is None:
        raise NothingToAppend(f"{submission.model}: not scanned here, so there is nothing to append; crawl it first")
    made = index.add(submission.model, build, entry.sender.name, time)
    return made or _holding(index, submission, claims, own)


def parts_of(
    newest: Record | None,
    submission: Submission,
    claim: Record | None,
    claims: tuple[Observation, ...],
    own: Record | None,
) -> dict[str, Any] | None:
    """The parts of the version upon `newest`; None if that has it all."""
    named = {n: getattr(own, n) for n in ("model", "super_weights", "groups", "effects")} if own else {}
    scan = with_scan(newest, scan=own.scans[-1], **named) if own else None
    if not claims or claim is None:
        return scan
    return with_claims(_drafted(newest, scan), _offered(submission, claim, claims)) or scan


def _drafted(newest: Record | None, parts: dict[str, Any] | None) -> Record | None:
    """The version as it would be with our scan alone."""
    if parts is None:
        return newest
    provenance: dict[str, Any] = {"version": 1, "previous": None, "time": "2000-01-01T00:00:00Z", "submitter": "draft"}
    said = {name: part for name, part in parts.items() if name != "withdrawn"}
    return Record.make(**said, provenance={**provenance, "withdrawn": parts.get("withdrawn")})


def _offered(submission: Submission, claim: Record, claims: tuple[Observation, ...]) -> dict[str, Any]:
    weights = [SuperWeight(**{n: getattr(w, n) for n in _PLACE}, value=w.value) for w in claim.super_weights]
    groups = tuple(sets_of(claims, []))
    grouped = [w.model_copy(update={"group": _largest(w.id, groups)}) for w in weights]
    model = Model(id=submission.model, revision=submission.revision)
    return {"model": model, "super_weights": tuple(grouped), "groups": groups, "observations": claims}


def _largest(weight: str, groups: Iterable[Any]) -> str | None:
    mine = [g for g in groups if weight in g.members]
    return max(mine, key=lambda g: len(g.members)).id if mine else None


def _require_there(newest: Record | None, seen: str | None, revision: str | None) -> None:
    """Raise MovedOn if the index has come to another commit than the one that was checked."""
    digest = newest.provenance.digest if newest else None
    made = [s for s in newest.scans if s.outcome in SCANNED] if newest else []
    if newest and digest != seen and made and made[-1].revision != revision:
        raise MovedOn(f"{newest.model.id}: the index has a scan of another commit since it was checked")


def _holding(index: Index, submission: Submission, claims: tuple[Observation, ...], own: Record | None) -> Record:
    """The first version that holds all of it: a crash hid that it was appended."""
    scan = own.scans[-1].id if own else None
    for record in index.history(submission.model):
        has_scan = scan is None or scan in {s.id for s in record.scans}
        if has_scan and set(claims) <= set(record.observations):
            return record
    raise NothingToAppend(f"{submission.model}: a curator has taken these claims out; they come back by --restore only")


# --- claims ---


def claims_of(claim: Record, entry: Entry) -> tuple[Observation, ...]:
    """What a submitted scan says, as claims: each measured set, each scalar; or that it found nothing."""
    made = [_of_effect(e, claim, entry) for e in claim.effects if e.intervention is Intervention.ZERO]
    made += [_of_weight(w, claim, entry) for w in claim.super_weights]
    if not made and claim.scans[0].outcome is Outcome.NONE_FOUND:
        made = [_of_nothing(claim, entry)]
    return tuple(dict.fromkeys(made))


def _common(claim: Record, entry: Entry) -> dict[str, Any]:
    pull = entry.sender.pull
    at = f"https://huggingface.co/datasets/{pull.repo}/discussions/{pull.num}" if pull else None
    title = f"Submission {entry.id} by {entry.sender.name}"
    source = Source(origin=origin_of(entry.sender.name), title=title, url=at or f"urn:swindex:submission:{entry.id}")
    metrics = (Metric(name=_SCAN, text=claim.scans[0].id), Metric(name=_FROM, text=entry.id))
    dtype = claim.model.dtype if claim.model.dtype in DTYPES else None
    return {"source": source, "revision": claim.model.revision, "dtype": dtype, "metrics": metrics}


def _of_effect(effect: Effect, claim: Record, entry: Entry) -> Observation:
    by_id = {w.id: w for w in claim.super_weights}
    return Observation(
        **_common(claim, entry),
        granularity=Granularity.SCALAR,
        stance=_stance(effect.weights, claim),
        targets=tuple(_place(by_id[w]) for w in effect.weights),
        statement="Removed in a scan with swindex.",
        intervention=Intervention.ZERO,
        changed=Granularity.SCALAR,
        corpus=_text_of(effect.corpus.name),
        finite=effect.finite,
        ppl_before=effect.ppl_before,
        ppl_after=effect.ppl_after,
        nll_before=effect.nll_before,
        kl=effect.kl,
    )


def _text_of(name: str) -> str:
    """The name of a text, if it is a plain one: free words of a submitter go into no record."""
    return name if _PLAIN.fullmatch(name) else "a text of the submitter's own"


def _of_weight(weight: SuperWeight, claim: Record, entry: Entry) -> Observation:
    return Observation(
        **_common(claim, entry),
        granularity=Granularity.SCALAR,
        stance=_stance((weight.id,), claim),
        targets=(_place(weight),),
        statement="Found by a scan with swindex.",
        round=weight.round,
        detector_found=True,
        value=weight.value,
        activation_in=weight.activation_in,
        activation_out=weight.activation_out,
        share=weight.share,
    )


def _of_nothing(claim: Record, entry: Entry) -> Observation:
    said = "A scan with swindex that found no super weight."
    return Observation(
        **_common(claim, entry),
        granularity=Granularity.MODEL,
        stance=Stance.NOTES,
        statement=said,
        detector_found=False,
    )


def _stance(weights: Iterable[str], claim: Record) -> Stance:
    """A scalar that the scan found harmless is noted, not claimed."""
    status = {s.weight: s for s in claim.status.weights}
    verdicts = {v for w in weights for v in (status[w].alone, status[w].grouped)}
    return Stance.CLAIMS if verdicts & _STRONG or verdicts == {Verdict.UNTESTED} else Stance.NOTES


def _place(weight: SuperWeight) -> Coordinates:
    return Coordinates(**{n: getattr(weight, n) for n in ("layer", "expert", "row", "col", "tensor")})
