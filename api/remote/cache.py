"""What was read from elsewhere and never changes, kept on this machine: nodes and versions, named by their digests.

$XDG_CACHE_HOME/swindex; ~/.cache/swindex without it. May be deleted at any time. What comes out is checked as if it
came from the network, so a damaged file is only one that is missing. Standard library only.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ...index.site import is_digest

ENVIRONMENT = "XDG_CACHE_HOME"


def default_home() -> Path:
    """Where what was read is kept."""
    named = Path(os.environ.get(ENVIRONMENT, ""))
    return (named if named.is_absolute() else Path(os.path.expanduser("~"), ".cache")) / "swindex"


class Cache:
    """Files by kind and digest, in a folder; without a folder nothing is kept."""

    def __init__(self, home: Path | None) -> None:
        self._home = home

    def get(self, kind: str, digest: str, read: Callable[[], bytes], is_it: Callable[[bytes], bool]) -> bytes:
        """What is kept under this digest, if that `is_it`; else what `read` gives, kept if that is it."""
        kept = self.kept(kind, digest)
        if kept is not None and is_it(kept):
            return kept
        data = read()
        if is_it(data):
            self.keep(kind, digest, data)
        return data

    def kept(self, kind: str, digest: str) -> bytes | None:
        """What is kept under this digest, unchecked; None if nothing is."""
        path = self._path(kind, digest)
        if path is not None:
            with suppress(OSError):
                return path.read_bytes()
        return None

    def keep(self, kind: str, digest: str, data: bytes) -> None:
        """Keep it, if that is possible."""
        path = self._path(kind, digest)
        if path is not None:
            with suppress(OSError):
                put(path, data)

    def _path(self, kind: str, digest: str) -> Path | None:
        return self._home / kind / digest[:2] / digest if self._home and is_digest(digest) else None


def put(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, whoever else writes it; raise OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
