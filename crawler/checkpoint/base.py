"""A checkpoint: config, tokenizer files and tensors, wherever they are. The scan sees only this interface.

A local folder (`local`) and a Hub repository (`hub`) are the same to it. Every byte that is read is counted. Which
tensors make a model is not known here.
"""

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from threading import Event, Lock
from typing import Any

from ...schema.canonical import strict_loads
from ...schema.errors import JsonError
from ...schema.model import Integrity, WeightFile
from ..refusal import corrupt, failed, unsafe
from .header import TensorInfo, header_length, parse_header
from .spans import Span, spans_of

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".pickle")
# What a tokenizer may need; never code, never pickles.
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "spiece.model",
    "tekken.json",
)
MAX_SMALL = 64_000_000
"""Bytes of a JSON or tokenizer file that are read at most."""
MAX_NAME = 200
"""Characters of the name of a class or a model type."""
FIRST_READ = 100_000
"""Bytes of a weight file read first, in the hope that they hold the whole header."""
MIN_READ = 1 << 23
"""Bytes below which a range is not split among connections."""


@dataclass(frozen=True)
class FileEntry:
    """A file of the checkpoint; sha256 or git's own digest of the content where the source states it."""

    path: str
    size: int
    sha256: str | None = None
    git_oid: str | None = None


@dataclass
class Meter:
    """What was read so far."""

    bytes: int = 0
    requests: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def add(self, read: int = 0, requests: int = 0) -> None:
        """Count bytes and requests, from whatever thread."""
        with self._lock:
            self.bytes += read
            self.requests += requests


class Cancelled(Exception):
    """A read that nobody waits for any more."""


Piece = tuple[TensorInfo, int, memoryview]
"""A part of a tensor: which, its first byte within it, and the bytes."""
Reader = Callable[[Sequence[str]], Iterator[Piece]]


class Checkpoint(ABC):
    """A model's files. `model_id` and `revision` are what a record calls it."""

    model_id: str
    revision: str | None
    listed_as: str | None = None  # the name that the model has now, where that is another
    exact = True
    """Whether positions in a weight file are those in the file of that name, as it is there."""

    def __init__(self) -> None:
        self.meter = Meter()
        self._heads: dict[str, bytes] = {}
        self._headers: dict[str, dict[str, TensorInfo]] = {}
        self._small: dict[str, bytes] = {}

    @property
    @abstractmethod
    def place(self) -> str:
        """Where it is, for messages."""

    @cached_property
    @abstractmethod
    def entries(self) -> dict[str, FileEntry]:
        """The files by path."""

    max_read = 1 << 26
    """Bytes fetched in one range at most."""
    gap = 1 << 14
    """Bytes that are rather read than left out between two ranges."""
    connections = 1
    """Ranges that are worth fetching at the same time."""
    first_read = 1 << 30
    """Bytes of a weight file read first, where that is less than FIRST_READ."""

    @abstractmethod
    def read_into(self, path: str, start: int, view: memoryview, stop: Event | None = None) -> None:
        """Fill `view` with exactly the bytes of a file from `start` on, or raise: never fewer, never others.

        Called from any thread. Raise Cancelled soon after `stop` is set.
        """

    def read_range(self, path: str, start: int, end: int) -> memoryview:
        """Exactly the bytes [start, end) of a file, in memory of their own."""
        view = memoryview(bytearray(end - start))
        self.read_into(path, start, view)
        return view

    def small_file(self, path: str) -> bytes:
        """A whole small file; raise a `corrupt` Refusal if it is absent or too large to be what it says."""
        entry = self.entries.get(path)
        if entry is None:
            raise corrupt(f"{self.place}: {path} is missing")
        if entry.size > MAX_SMALL:
            raise corrupt(f"{self.place}: {path} has {entry.size} bytes, at most {MAX_SMALL} are read")
        if path not in self._small:
            self._small[path] = bytes(self.read_range(path, 0, entry.size)) if entry.size else b""
        return self._small[path]

    def json(self, path: str) -> dict[str, Any]:
        """A JSON object file, read strictly."""
        try:
            value = strict_loads(self.small_file(path).decode("utf-8"))
        except (JsonError, UnicodeDecodeError) as error:
            raise corrupt(f"{self.place}: {path}: {error}") from None
        if not isinstance(value, dict):
            raise corrupt(f"{self.place}: {path} is not a JSON object")
        return value

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.json."""
        if not self.entries:
            raise failed(f"{self.place}: empty, no files at all; is this the right folder or repository?")
        if "config.json" not in self.entries:
            raise failed(f"{self.place}: no config.json, so this is not a transformers checkpoint")
        config = self.json("config.json")
        architectures = config.get("architectures")
        for name in (config.get("model_type"), *(architectures if isinstance(architectures, list) else ())):
            if isinstance(name, str) and not (0 < len(name) <= MAX_NAME and name.isprintable()):
                raise corrupt(f"{self.place}: config.json: model_type or architectures is not a name: {name[:40]!r}")
        return config

    @cached_property
    def weight_files(self) -> tuple[str, ...]:
        """The safetensors files that hold the model, in order; raise a Refusal if there are none or one is missing."""
        if SINGLE in self.entries:
            return (SINGLE,)
        if INDEX in self.entries:
            return tuple(sorted(set(self._weight_map.values())))
        pickles = sorted(p for p in self.entries if p.endswith(PICKLES))
        if pickles:
            raise unsafe(
                f"{self.place}: weights only as pickle ({pickles[0]}); pickles can run code and are refused unless "
                "`swindex scan --allow-pickle` asks for them"
            )
        raise failed(f"{self.place}: no {SINGLE} and no {INDEX}")

    @cached_property
    def _weight_map(self) -> dict[str, str]:
        """Tensor to file, as the index says; empty where one file holds all."""
        return {} if SINGLE in self.entries else self._map_of(INDEX, ".safetensors")

    def _map_of(self, index: str, suffix: str) -> dict[str, str]:
        """Tensor to file, as an index of files with that suffix says."""
        weight_map = self.json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not all(isinstance(v, str) for v in weight_map.values()):
            raise corrupt(f"{self.place}: {index} has no weight_map from tensor to file")
        for shard in sorted(set(weight_map.values())):
            if PurePosixPath(shard).name != shard or not shard.endswith(suffix):
                raise corrupt(f"{self.place}: {index} names {shard!r}, which is not a file beside it")
            if shard not in self.entries:
                raise corrupt(f"{self.place}: shard {shard} is missing, though {index} names it")
        return weight_map

    @cached_property
    def tensors(self) -> dict[str, TensorInfo]:
        """All tensors by name, from checked headers."""
        found: dict[str, TensorInfo] = {}
        for file in self.weight_files:
            for name, info in self.tensors_in(file).items():
                if name in found:
                    raise corrupt(f"{self.place}: tensor {name!r} is in both {found[name].file} and {file}")
                found[name] = info
        for name, file in self._weight_map.items():
            if name not in found or found[name].file != file:
                raise corrupt(f"{self.place}: {INDEX} says that {name!r} is in {file}, and it is not")
        if not found:
            raise corrupt(f"{self.place}: the weight files hold no tensor")
        return found

    def file_of(self, name: str) -> str | None:
        """The file that is to hold a tensor; None if the index names none."""
        files = self.weight_files  # or the refusal that says why there are none
        return self._weight_map.get(name) if self._weight_map else next(iter(files), None)

    def tensors_in(self, file: str) -> dict[str, TensorInfo]:
        """The tensors of one file, whose header is read once."""
        if file not in self._headers:
            self._headers[file] = self._header(file)
        return self._headers[file]

    def _size(self, file: str) -> int:
        """Bytes of a weight file as it is read."""
        return self.entries[file].size

    def _header(self, file: str) -> dict[str, TensorInfo]:
        size = self._size(file)
        first = bytes(self.read_range(file, 0, min(size, FIRST_READ, self.first_read))) if size else b""
        length = header_length(first, file, size)
        text = first[8 : 8 + length]
        if len(text) < length:
            text += bytes(self.read_range(file, 8 + len(text), 8 + length))
        self._heads[file] = first
        return parse_header(text, file, size)

    def spans(self, names: Sequence[str]) -> list[Span]:
        """The ranges to fetch for these tensors, in file order; neighbours in a file are fetched together."""
        infos = [self.tensors[n] for n in names]
        share = sum(t.size for t in infos) // self.connections + 1
        return spans_of(infos, min(self.max_read, max(share, MIN_READ)))

    def fetch(self, span: Span, view: memoryview, stop: Event | None = None) -> None:
        """Fill `view` with a span of a weight file; what came with its header is not read again."""
        head = self._heads.get(span.file, b"")[span.start : span.end]
        view[: len(head)] = head
        if len(head) < len(view):
            self.read_into(span.file, span.start + len(head), view[len(head) :], stop)

    def advise(self, span: Span) -> bool:
        """Tell the system that a span is wanted soon; whether it will then have it at hand by itself."""
        return False

    @property
    def source(self) -> "Checkpoint":
        """The checkpoint whose files are read: itself, unless it is a view of another."""
        return self

    def read(self, names: Sequence[str], raw: Reader | None = None) -> Iterator[Piece]:
        """The bytes of tensors in pieces: (tensor, first byte within it, data), in file order.

        `raw` reads stored tensors of `source` in place of one range after the other. A piece is valid only until the
        next is asked for.
        """
        yield from (raw or self._plainly)(names)

    def _plainly(self, names: Sequence[str]) -> Iterator[Piece]:
        for span in self.spans(names):
            view = memoryview(bytearray(span.size))
            self.fetch(span, view)
            yield from span.pieces(view)

    @property
    def base_model(self) -> tuple[str | None, str | None]:
        """The base model's id and the relation to it, where the source states them."""
        return None, None

    def files_read(self) -> tuple[WeightFile, ...]:
        """The weight files as a record names them."""
        entries = [self.entries[f] for f in self.weight_files]
        return tuple(WeightFile(path=e.path, size=e.size, sha256=e.sha256, integrity=Integrity.RANGE) for e in entries)

    @contextmanager
    def tokenizer_folder(self) -> Iterator[Path]:
        """A folder that holds the tokenizer's files and config.json, and nothing that could run."""
        with tempfile.TemporaryDirectory(prefix="swindex-") as name:
            for path in ("config.json", *TOKENIZER_FILES):
                if path in self.entries:
                    self._put(path, Path(name))
            yield Path(name)

    def _put(self, path: str, folder: Path) -> None:
        data = self.small_file(path)
        try:
            (folder / path).write_bytes(data)
        except OSError as error:
            raise failed(f"{folder / path}: not written: {error.strerror}; set TMPDIR to a roomier place") from None
