"""The static site of what is served: a release directory, or the site of a plain index in a folder of its own.

With it a `Client` reads over HTTP what it would read from the directory. Segments and nodes are immutable by name, so
one folder serves one snapshot after another; the root of each is kept in memory.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ...index.release.staging import Staging
from ...index.release.static import write_static
from ...index.site import CHANGES, NODES, VERSIONS, File, Root
from ...schema.types import SCHEMA_VERSION
from ..remote.fetch import checked
from .held import Held

_SEGMENT = re.compile(rf"({CHANGES}|{VERSIONS})/([0-9]{{6,12}})\.([1-9][0-9]{{0,3}})\.jsonl", re.ASCII)
_NODE = re.compile(rf"{NODES}/([0-9a-f]{{2}})/(\1[0-9a-f]{{62}})\.json", re.ASCII)


class Offered(NamedTuple):
    """A static site: its folder and its root."""

    folder: Path
    root: Root
    content: bytes
    """Of the root, as it is served."""

    @property
    def files(self) -> dict[str, File]:
        """The files that the root names."""
        return self.root.files

    def tag_of(self, path: str) -> str | None:
        """The strong ETag of a file of the site, by what vouches for its content; None for what is no file of it."""
        if path in self.root.files:
            return self._file_tag(path)
        if found := _NODE.fullmatch(path):
            return found[2][:40]
        found = _SEGMENT.fullmatch(path)
        return self._segment_tag(found[1], int(found[2]), int(found[3])) if found else None

    def is_immutable(self, path: str) -> bool:
        """Whether a path names its content."""
        return path not in self.root.files

    def _file_tag(self, path: str) -> str | None:
        """Digest and time: while a release is replaced, a file may be the next one's before the root is."""
        try:
            time = (self.folder / checked(path)).stat().st_mtime_ns
        except OSError:
            return None
        return f"{self.root.files[path].sha256[:32]}-{time:x}"

    def _segment_tag(self, kind: str, number: int, count: int) -> str | None:
        """The chain of its last change, which vouches for the changes and, by their digests, for the versions."""
        path = self.folder / checked(f"{CHANGES}/{number:06d}.{count}.jsonl")
        try:
            with path.open("rb") as file:
                file.seek(max(path.stat().st_size - _LINE, 0))
                found = _CHAIN.search(file.read().splitlines()[-1])
        except (OSError, IndexError):
            return None
        return f"{kind[0]}-{found[1].decode()[:38]}" if found else None


_LINE = 2048
_CHAIN = re.compile(rb'^\{"chain":"([0-9a-f]{64})"')


def offered_release(directory: Path, held: Held) -> Offered | None:
    """The site that a release directory is."""
    return Offered(directory, held.root, held.content) if held.root and held.content else None


def offered_index(held: Held, records: Path, folder: Path) -> Offered:
    """The site of a plain index, written below `folder`; raise StoreError."""
    static = write_static(records, held.entries(1, held.head.seq), _Unstaged(folder))
    facts = held.reader.facts()
    time = facts["time"] if static.last else None
    root = Root(
        **static.head._asdict(),
        crawl=facts["crawl"],
        files={},
        models=len(static.places),
        newest=static.last.time if static.last else None,
        previous=None,
        released=time or "1970-01-01T00:00:00Z",
        schema=SCHEMA_VERSION,
        tree=static.tree,
    )
    return Offered(folder, root, root.to_bytes())


class _Unstaged(Staging):
    """A folder that nobody else knows of, written in place: what is lost with the process is made again."""

    def put(self, path: str, chunks: Iterable[bytes]) -> None:
        """Write a file."""
        target = self.directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            file.writelines(chunks)
