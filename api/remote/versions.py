"""Versions of records out of a release: ranges of its segments, each exactly what its digest says.

The digest of a version is the sha256 of its line without that digest, so a line is checked before it is parsed.
Versions never change and are kept. Standard library and `schema.canonical` only.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

from ...index.errors import DamagedRelease
from ...index.site import LINE_MOST, Span, count_of, segment_of, versions_name
from ...schema.errors import RecordError
from ..reader import Found, parsed
from .cache import Cache
from .fetch import Source, modest, present

KIND = "versions"
CHUNK = 8 << 20
"""Bytes read at once where many versions are wanted."""
GAP = 64 << 10
"""Unwanted bytes between two wanted versions that are read with them."""


class Wanted(NamedTuple):
    """A version to read."""

    span: Span
    digest: str
    model_id: str
    number: int
    """Which of its model's versions it is, from 1."""


class Versions:
    """The versions of a release that ends with change `newest`."""

    def __init__(self, source: Source, cache: Cache, newest: int) -> None:
        self._source, self._cache, self._newest = source, cache, newest

    def read(self, wanted: Wanted) -> Found:
        """One version; raise DamagedRelease."""
        return self._found(wanted, lambda: self._range([wanted]))

    def read_all(self, wanted: Iterable[Wanted]) -> Iterator[Found]:
        """Many versions, in whatever order; neighbours are read together; raise DamagedRelease."""
        missing = []
        for each in wanted:
            kept = self._cache.kept(KIND, each.digest)
            if kept is not None and is_version(kept, each.digest):
                yield self._parsed(each, kept)
            else:
                missing.append(each)
        for batch in together(sorted(missing)):
            yield from self._batch(batch)

    def _batch(self, batch: Sequence[Wanted]) -> Iterator[Found]:
        data, first = self._range(batch), batch[0].span.offset
        for each in batch:
            at = each.span.offset - first
            line = data[at : at + each.span.length]
            yield self._found(each, lambda line=line: line)  # type: ignore[misc]

    def _range(self, batch: Sequence[Wanted]) -> bytes:
        """The bytes from the first to the last of neighbours."""
        number, first, last = segment_of(batch[0].span.seq), batch[0].span, batch[-1].span
        length = last.offset + last.length - first.offset
        path = versions_name(number, count_of(number, self._newest))
        return present(self._source, path, start=first.offset, length=length, most=max(CHUNK, LINE_MOST))

    def _found(self, wanted: Wanted, read: Callable[[], bytes]) -> Found:
        line = self._cache.get(KIND, wanted.digest, read, lambda found: is_version(found, wanted.digest))
        if not is_version(line, wanted.digest):
            raise self._damaged(wanted, "not what the index says it is: it was changed")
        return self._parsed(wanted, line)

    def _parsed(self, wanted: Wanted, line: bytes) -> Found:
        try:
            record = parsed(modest(f"{self._source.name}: {wanted.model_id}", line), wanted.model_id)
        except RecordError as error:
            raise self._damaged(wanted, str(error)) from None
        told = record["provenance"]
        named = (told.get("digest"), record["model"]["id"], told.get("version"))
        if named != (wanted.digest, wanted.model_id, wanted.number):
            raise self._damaged(wanted, "another version than the index says")
        return Found(record, line)

    def _damaged(self, wanted: Wanted, why: str) -> DamagedRelease:
        return DamagedRelease(
            f"{self._source.name}: {wanted.model_id} version {wanted.number}: {why}; try another copy"
        )


def is_version(line: bytes, digest: str) -> bool:
    """Whether a line is the version of this digest, wherever in the line the digest itself stands."""
    own = f'"digest":"{digest}",'.encode()
    return own in line and sha256(line.replace(own, b"", 1)).hexdigest() == digest


def together(wanted: Sequence[Wanted]) -> Iterator[list[Wanted]]:
    """Sorted versions in groups of neighbours, each of which is read in one piece."""
    batch: list[Wanted] = []
    for each in wanted:
        if batch and not _joins(batch, each.span):
            yield batch
            batch = []
        batch.append(each)
    if batch:
        yield batch


def _joins(batch: Sequence[Wanted], span: Span) -> bool:
    first, last = batch[0].span, batch[-1].span
    gap = span.offset - last.offset - last.length
    is_near = segment_of(first.seq) == segment_of(span.seq) and 0 <= gap <= GAP
    return is_near and span.offset + span.length - first.offset <= CHUNK
