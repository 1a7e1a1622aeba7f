"""What a check can find, by stable code, and the rules for one record that is valid but worth a look.

A code, once given, keeps its meaning. Further rules for one record are in `check_places`, `check_scans` and
`check_claims`; those for all records together in `check_across`.

Knows records, not files.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ..schema.record import Record
from ..schema.scan import Scan
from ..schema.types import SCANNED, Outcome, Verdict
from . import check_claims, check_places, check_scans

ERROR, WARNING = "error", "warning"

CODES: dict[str, tuple[str, str]] = {
    # code: (severity, meaning)
    "unreadable": (ERROR, "a log cannot be read"),
    "empty-log": (ERROR, "a log holds no version"),
    "torn-line": (WARNING, "the last line is torn: readers drop it, the next append cuts it off"),
    "damaged-line": (ERROR, "a line is not JSON as records allow it: one object, no duplicate keys, no NaN"),
    "not-canonical": (ERROR, "a line is not the canonical form (RFC 8785) of what it says"),
    "newer-schema": (WARNING, "a version has a newer schema than this program, which checks only what it knows"),
    "schema": (ERROR, "a version is not a valid record"),
    "status": (ERROR, "a status is not what the rule derives from the figures"),
    "digest": (ERROR, "a version's digest is not that of its content"),
    "chain-version": (ERROR, "version numbers do not count from 1 by ones"),
    "chain-previous": (ERROR, "a version does not name the digest of the one before"),
    "time-order": (WARNING, "a version is dated before the one before"),
    "wrong-model": (ERROR, "a version is of another model than its path says"),
    "case": (ERROR, "two models differ only in case"),
    "stray-file": (WARNING, "a file among the records is no log"),
    "unpinned": (WARNING, "a model was scanned but its revision is not recorded"),
    "coverage": (WARNING, "a scan that found nothing did not cover every layer and expert"),
    "uncontrolled": (WARNING, "a measured effect has a verdict but no control"),
    "unfounded": (WARNING, "a super weight that no scan found and no source names"),
    "shared-unknown": (WARNING, "a shared scan names a scan of another model that the index does not have"),
    "shared-chain": (ERROR, "a shared scan names one that is shared itself"),
    "base-unknown": (WARNING, "a comparison names a version of a base model that the index does not have"),
    "unsourced": (WARNING, "an observation names neither a URL nor a repository"),
    "beyond-model": (WARNING, "a layer, row or expert that the model does not have"),
    "beyond-file": (ERROR, "a super weight lies beyond the end of its file"),
    "unknown-file": (WARNING, "a super weight lies in a file that the model does not list"),
    "tensor-differs": (ERROR, "super weights in one tensor give it two shapes, dtypes or files"),
    "control": (WARNING, "the control of an effect was not finite: it did as much, and nothing follows"),
    "old-detector": (WARNING, "the newest scan was made by an older detector"),
    "gone-since": (WARNING, "a model that was scanned could not be scanned any more"),
    "unconverged": (WARNING, "a scan that found super weights ended before it had them all"),
    "uncommitted": (WARNING, "a source is a repository, at no commit"),
    "odd-commit": (WARNING, "the commit of a source is none: a branch, a tag or an abbreviation"),
    "odd-revision": (WARNING, "a claim is about a revision that is no commit"),
    "conflict": (WARNING, "sources disagree, and no decision settles it"),
    "contradiction": (WARNING, "a source claims and denies one scalar, and no caveat says why"),
    "claim-twice": (WARNING, "one claim stands twice in a record"),
    "copied-figure": (WARNING, "two sources give one figure to the last digit"),
    "reopened": (WARNING, "a conflict was settled, and new claims have come since"),
    "two-ids": (WARNING, "a model is in the index under two ids"),
    "mass-change": (WARNING, "many models lost or changed their result on one day"),
    "feed-missing": (WARNING, "there is no change feed: the next write makes one"),
    "feed-torn": (WARNING, "the last change is torn or has no version: readers drop it, the next write cuts it off"),
    "feed-damaged": (ERROR, "a line of the change feed is no change, or a segment is missing or short"),
    "feed-chain": (ERROR, "number or chain of a change do not follow from the one before"),
    "feed-unknown": (ERROR, "a change tells of a version that the log has not, or has otherwise"),
    "feed-order": (ERROR, "changes tell of a model's versions twice or not in their order"),
    "feed-lacks": (ERROR, "no change tells of a version"),
    "feed-unchecked": (WARNING, "the change feed was not compared, as the log has errors"),
    "database-missing": (WARNING, "there is no DuckDB file"),
    "database-stale": (WARNING, "the DuckDB file cannot be used or is behind the log"),
    "database-differs": (ERROR, "the DuckDB file says something else than the log"),
    "database-unchecked": (WARNING, "the DuckDB file was not compared, as the log has errors"),
    "release-root": (ERROR, "a release's root.json cannot be read, or a release was not put in place to its end"),
    "release-file": (ERROR, "a file of a release is missing or is not the one that its root.json names"),
    "release-differs": (ERROR, "two forms of a release say different things, or a part of it is damaged"),
    "release-unpacked": (ERROR, "the changes and versions of a release do not make an index"),
    "moved-on": (WARNING, "the Hub's main has other weights than the recorded commit"),
    "revision-gone": (WARNING, "a revision does not resolve any more"),
    "file-differs": (ERROR, "a weight file at the recorded commit is not the recorded one"),
    "renamed": (WARNING, "the Hub has the model under another name"),
    "not-on-hub": (WARNING, "the Hub does not have the model any more, or does not show it"),
    "closed": (WARNING, "the model is gated or disabled: nobody can re-check it without access"),
    "unasked": (ERROR, "the Hub could not be asked about a model"),
}
FULL = frozenset({"moved-on", "revision-gone", "file-differs", "renamed", "not-on-hub", "closed", "unasked"})
"""Codes of the full set: they need the Hub. All others are of the offline set, which needs the index alone."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong (error) or worth a look (warning)."""

    code: str
    where: str
    """A path, with the line if there is one; or a model."""
    message: str

    @property
    def severity(self) -> str:
        """`error` or `warning`."""
        return CODES[self.code][0]


def worth_a_look(record: Record, where: str) -> Iterator[Finding]:
    """Yield what the rules below find in a valid record."""
    for code, rule in _RULES.items():
        yield from (Finding(code, where, message) for message in rule(record))


def _unpinned(record: Record) -> Iterable[str]:
    if record.model.revision is None and any(s.outcome in SCANNED for s in record.scans):
        yield f"{record.model.id} was scanned, at no known revision"


def _coverage(record: Record) -> Iterable[str]:
    for scan in record.scans:
        if scan.outcome is Outcome.NONE_FOUND:
            yield from _uncovered(scan)


def _uncovered(scan: Scan) -> Iterable[str]:
    counts = {
        "layers": (len(set(scan.layers_covered)), scan.layers),
        "experts": (scan.experts_covered, scan.experts),
    }
    for what, (covered, total) in counts.items():
        if total is not None and (covered or 0) < total:
            yield f"scan {scan.id} found nothing, with {covered or 0} of {total} {what} covered"


def _uncontrolled(record: Record) -> Iterable[str]:
    for effect in record.effects:
        if effect.control is None and effect.verdict is not Verdict.UNTESTED:
            yield f"effect {effect.id} is {effect.verdict} without a control"


def _unfounded(record: Record) -> Iterable[str]:
    named = {i for o in record.observations for i in o.weights}
    named |= {i for g in record.groups if g.reported for i in g.members}
    for weight in record.super_weights:
        if weight.scan is None and weight.id not in named:
            yield f"{weight.id} was found by no scan and is named by no source"


def _unsourced(record: Record) -> Iterable[str]:
    for number, observation in enumerate(record.observations, 1):
        if observation.source.url is None and observation.source.repo is None:
            yield f"observation {number} ({observation.source.origin}) names neither a URL nor a repository"


_RULES: dict[str, Callable[[Record], Iterable[str]]] = {
    "unpinned": _unpinned,
    "coverage": _coverage,
    "uncontrolled": _uncontrolled,
    "unfounded": _unfounded,
    "unsourced": _unsourced,
    **check_places.RULES,
    **check_scans.RULES,
    **check_claims.RULES,
}
OF_VALID = frozenset(_RULES)
"""Codes of records that are valid: whatever they say, the log can be read and compared."""
