"""Rules for one valid record: claims that cannot be traced, that contradict each other, or that stand twice.

Knows records, not files, and asks nobody whether a source is still there.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from ..schema.observation import Observation, Source, Stance
from ..schema.record import Record
from .review import settled_by

_COMMIT = re.compile("[0-9a-f]{40}")
_CODE = re.compile(r"https?://(www\.)?(github\.com|gitlab\.com|huggingface\.co)/")
_THREAD = re.compile(r"https?://[^/]+/.+/(issues|pull|discussions|merge_requests)/\d+")
DIGITS = 7
"""Characters of a perplexity from which two sources do not come upon it by chance."""


def _uncommitted(record: Record) -> Iterator[str]:
    for number, source in _sources(record):
        moves = source.repo is not None or (source.url is not None and _CODE.match(source.url) is not None)
        if moves and source.commit is None and not _THREAD.match(source.url or ""):
            yield f"observation {number} ({source.origin}) names {source.repo or source.url} without a commit"


def _odd_commit(record: Record) -> Iterator[str]:
    for number, source in _sources(record):
        if source.commit is not None and not _COMMIT.fullmatch(source.commit):
            yield f"observation {number} ({source.origin}): {source.commit!r} is not a full commit sha"


def _odd_revision(record: Record) -> Iterator[str]:
    for number, each in enumerate(record.observations, 1):
        if each.revision is not None and not _COMMIT.fullmatch(each.revision):
            yield f"observation {number} ({each.source.origin}) is about revision {each.revision!r}, which may move"


def _sources(record: Record) -> Iterator[tuple[int, Source]]:
    return ((number, o.source) for number, o in enumerate(record.observations, 1))


def _conflict(record: Record) -> Iterator[str]:
    for each in record.status.conflicts:
        if settled_by(each, record.decisions) is None:
            yield f"{each.kind.value}:{each.weights[0]} is open: {'; '.join(each.sides)}"


def _contradiction(record: Record) -> Iterator[str]:
    """An origin that claims and denies one scalar, and no caveat of its says why."""
    said: dict[tuple[str, str], list[Observation]] = defaultdict(list)
    for each in record.observations:
        for weight in each.weights if each.stance is not Stance.NOTES else ():
            said[each.source.origin, weight].append(each)
    for (origin, weight), told in said.items():
        if len({o.stance for o in told}) > 1 and not any(o.caveat for o in told):
            yield f"{origin} both claims and denies {weight}"


def _twice(record: Record) -> Iterator[str]:
    for observation, count in Counter(record.observations).items():
        if count > 1:
            yield f"a claim of {observation.source.origin} stands {count} times"


def _copied(record: Record) -> Iterator[str]:
    """Two origins with one figure to the last digit: they are hardly independent."""
    told: dict[tuple[tuple[str, ...], float], set[str]] = defaultdict(set)
    for each in record.observations:
        if each.ppl_after is not None and len(repr(each.ppl_after)) >= DIGITS and not each.second_hand:
            told[tuple(sorted(each.weights)), each.ppl_after].add(each.source.origin)
    for (weights, figure), who in told.items():
        if len(who) > 1:
            about = ", ".join(weights) or "the model"
            yield f"{', '.join(sorted(who))} give the same perplexity {figure!r} for {about}"


RULES: Mapping[str, Callable[[Record], Iterable[str]]] = {
    "uncommitted": _uncommitted,
    "odd-commit": _odd_commit,
    "odd-revision": _odd_revision,
    "conflict": _conflict,
    "contradiction": _contradiction,
    "claim-twice": _twice,
    "copied-figure": _copied,
}
