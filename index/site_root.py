"""`root.json`: what a release is, in one small file, the only one that changes in place.

It is hostile until it was parsed. Standard library and `schema.canonical` only.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

from ..schema.canonical import canonical_bytes, strict_loads
from ..schema.errors import JsonError
from .errors import DamagedRelease
from .heartbeat import CRAWL

FORMAT = 1
ROOT = "root.json"
CHANGES, VERSIONS, NODES = "changes", "versions", "nodes"
NO_CHAIN = "0" * 64
"""The chain before the first change."""
ROOT_MOST = 1 << 20
SEQ_MOST = 10**9
SIZE_MOST = 1 << 45
_FILES_MOST = 10_000

_SHA256 = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_SCHEMA = re.compile(r"1\.\d{1,9}", re.ASCII)
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]|\.(?!\.)){0,99}"
_PATH = re.compile(rf"{_PART}(?:/{_PART}){{0,3}}", re.ASCII)
_OWN = (ROOT, f"{CHANGES}/", f"{VERSIONS}/", f"{NODES}/")
_CRAWL: dict[str, tuple[type, ...]] = {
    "started": (str,),
    "ended": (str,),
    "complete": (bool,),
    "stopped": (str, type(None)),
    "listed": (int, type(None)),
    "eligible": (int, type(None)),
    "indexed": (int, type(None)),
}


class File(NamedTuple):
    """A file that is neither a segment nor a node."""

    sha256: str
    size: int


class Head(NamedTuple):
    """The last change of a release."""

    chain: str
    seq: int


class Root(NamedTuple):
    """What `root.json` says."""

    chain: str
    """Of the last change; NO_CHAIN if there is none."""
    crawl: dict[str, Any] | None
    """Of the last crawl, see `heartbeat.CRAWL`; None if there was none."""
    files: dict[str, File]
    """By path: Parquet, DuckDB, the cards."""
    models: int
    newest: str | None
    """Time of the last change."""
    previous: Head | None
    """The release before, by its last change."""
    released: str
    schema: str
    """The newest that the writer knew."""
    seq: int
    tree: str
    """Digest of the top node."""

    @property
    def head(self) -> Head:
        """The last change."""
        return Head(self.chain, self.seq)

    def to_bytes(self) -> bytes:
        """The file, canonical."""
        files = {path: file._asdict() for path, file in self.files.items()}
        previous = self.previous and self.previous._asdict()
        return canonical_bytes({**self._asdict(), "files": files, "previous": previous, "format": FORMAT})

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read `root.json`; fields that are not known are newer and left out; raise DamagedRelease."""
        said = parsed_object(data, ROOT, ROOT_MOST)
        if said.get("format") != FORMAT:
            raise DamagedRelease(
                f"{ROOT}: format {said.get('format')!r:.20}, this program reads {FORMAT}: update swindex"
            )
        for field, is_right in _ROOT.items():
            must(field in said and is_right(said[field]), ROOT, f"{field} is missing or malformed")
        files = {path: File(file["sha256"], file["size"]) for path, file in said["files"].items()}
        previous = said["previous"] and Head(said["previous"]["chain"], said["previous"]["seq"])
        crawl = said["crawl"] and {name: said["crawl"][name] for name in CRAWL}
        made = {"crawl": crawl, "files": files, "previous": previous}
        root = cls(**{**{f: said[f] for f in cls._fields}, **made})
        for is_so, why in _fits_together(root):
            must(is_so, ROOT, why)
        return root


def _fits_together(root: Root) -> Iterator[tuple[bool, str]]:
    yield (root.seq == 0) == (root.chain == NO_CHAIN), "seq and chain do not go together"
    yield (root.seq == 0) == (root.newest is None), "seq and newest do not go together"
    yield (root.seq == 0) == (root.models == 0) and root.models <= root.seq, "models and seq do not go together"
    yield root.previous is None or root.previous.seq <= root.seq, "the release before is ahead of this one"


def _is_count(value: object, most: int = SEQ_MOST) -> bool:
    return type(value) is int and 0 <= value <= most


def is_digest(value: object) -> bool:
    """Whether this is a hex sha256."""
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def is_time(value: object) -> bool:
    """Whether this is written as a UTC time."""
    return isinstance(value, str) and _TIME.fullmatch(value) is not None


def is_path(value: object) -> bool:
    """Whether this is a safe relative path of a file in a release that is no segment, node or root."""
    return isinstance(value, str) and _PATH.fullmatch(value) is not None and not value.startswith(_OWN)


def _is_head(value: object) -> bool:
    return value is None or (isinstance(value, dict) and is_digest(value.get("chain")) and _is_count(value.get("seq")))


def _is_file(value: object) -> bool:
    return isinstance(value, dict) and is_digest(value.get("sha256")) and _is_count(value.get("size"), SIZE_MOST)


def _are_files(value: object) -> bool:
    if not isinstance(value, dict) or len(value) > _FILES_MOST:
        return False
    return all(is_path(path) and _is_file(file) for path, file in value.items())


def _is_crawl(value: object) -> bool:
    if not isinstance(value, dict):
        return value is None
    return all(name in value and type(value[name]) in _CRAWL[name] for name in CRAWL)


_ROOT = {
    "chain": is_digest,
    "crawl": _is_crawl,
    "files": _are_files,
    "models": _is_count,
    "newest": lambda value: value is None or is_time(value),
    "previous": _is_head,
    "released": is_time,
    "schema": lambda value: isinstance(value, str) and _SCHEMA.fullmatch(value) is not None,
    "seq": _is_count,
    "tree": is_digest,
}


# --- shared with nodes ---


def parsed_object(data: bytes, where: str, most: int) -> dict[str, Any]:
    """Parse a JSON object of at most so many bytes; raise DamagedRelease."""
    must(len(data) <= most, where, f"longer than {most} bytes")
    try:
        said = strict_loads(data)
    except JsonError as error:
        raise DamagedRelease(f"{where}: {error}") from None
    must(isinstance(said, dict), where, "not an object")
    return dict(said)


def must(is_so: bool, where: str, why: str) -> None:
    """Raise DamagedRelease if it is not so."""
    if not is_so:
        raise DamagedRelease(f"{where}: {why}; release again, or read from another copy")
