"""The content of one file: its size, its digests, its bytes piece by piece.

Knows bytes in memory and files on disk; a file on disk is streamed and never loaded whole. Knows nothing of
paths inside a repository, revisions or HTTP. A file on disk must not change while it is served: its digests
are computed once, when first asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

PIECE = 1 << 18
"""Bytes read, hashed and sent at a time."""

LFS_SUFFIXES = frozenset(
    {
        ".safetensors",
        ".bin",
        ".gguf",
        ".pt",
        ".pth",
        ".h5",
        ".onnx",
        ".msgpack",
        ".parquet",
        ".arrow",
        ".duckdb",
        ".npy",
        ".npz",
        ".model",
        ".zip",
        ".gz",
    }
)
"""Files with these endings are large files (LFS) whatever their size, as on the Hub."""

LFS_SIZE = 10 * 1024 * 1024
"""Files of this size (bytes) and above are large files whatever their ending."""


class Content(Protocol):
    """Bytes that are made when they are asked for; as large as you like."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    @property
    def sha256(self) -> str:
        """What the Hub calls their digest."""

    def pieces(self, start: int, stop: int) -> Iterator[memoryview]:
        """Yield the bytes from start up to stop."""


@dataclass(frozen=True, eq=False)
class Blob:
    """Bytes that do not change, held in memory, in a file, or nowhere."""

    source: bytes | Path | Content

    @cached_property
    def size(self) -> int:
        """Length in bytes."""
        if isinstance(self.source, bytes):
            return len(self.source)
        return self.source.stat().st_size if isinstance(self.source, Path) else self.source.size

    @cached_property
    def sha256(self) -> str:
        """Digest of the content, in hex."""
        if not isinstance(self.source, bytes | Path):
            return self.source.sha256
        digest = hashlib.sha256()
        for piece in self.pieces():
            digest.update(piece)
        return digest.hexdigest()

    @cached_property
    def git_oid(self) -> str:
        """Name that git gives to this content (sha1 with git's header), in hex."""
        digest = hashlib.sha1(b"blob %d\0" % self.size)
        for piece in self.pieces():
            digest.update(piece)
        return digest.hexdigest()

    @cached_property
    def pointer(self) -> Blob:
        """The LFS pointer that git holds in place of a large file."""
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n"
        return Blob(text.encode())

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """Return the bytes from start up to stop (all of them if None)."""
        return b"".join(self.pieces(start, stop))

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[bytes | memoryview]:
        """Yield the bytes from start up to stop, at most PIECE at a time (made ones in pieces of their own)."""
        stop = self.size if stop is None else min(stop, self.size)
        if isinstance(self.source, bytes):
            yield from (self.source[at : min(at + PIECE, stop)] for at in range(start, stop, PIECE))
            return
        if not isinstance(self.source, Path):
            yield from self.source.pieces(start, stop)
            return
        with self.source.open("rb") as file:
            file.seek(start)
            for at in range(start, stop, PIECE):
                yield file.read(min(PIECE, stop - at))


def is_lfs(path: str, blob: Blob) -> bool:
    """Say whether the Hub would hold this file as a large file."""
    suffix = "." + path.rpartition(".")[2]
    return suffix in LFS_SUFFIXES or blob.size >= LFS_SIZE
