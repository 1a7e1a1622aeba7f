"""A checkpoint whose weights are `pytorch_model.bin`, seen as safetensors; made only where that was asked for.

Each file is converted by `child` in a process of its own and the result read like any other safetensors file: strictly.
Files of a Hub repository are fetched first. Everything lies in a private temporary folder that goes with the view.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from threading import Event

from ...schema.canonical import strict_loads
from ...schema.errors import JsonError
from ...schema.types import Outcome
from ..checkpoint.base import INDEX, SINGLE, Checkpoint
from ..checkpoint.local import LocalCheckpoint
from ..checkpoint.view import View
from ..refusal import Refusal, corrupt, failed
from . import child

BIN = ".bin"
PICKLE = "pytorch_model.bin"
PICKLE_INDEX = "pytorch_model.bin.index.json"
READ = 1 << 26
"""Bytes fetched at a time."""
RATE = 5_000_000
"""Bytes per second at which a conversion is given up, after a minute."""
SAID = frozenset({Outcome.UNSAFE_FORMAT, Outcome.CORRUPT, Outcome.TOO_LARGE})


@contextmanager
def without_pickles(checkpoint: Checkpoint) -> Iterator[Checkpoint]:
    """The checkpoint itself if it has safetensors or no `pytorch_model.bin`, else one converted for a while."""
    names = checkpoint.entries
    if SINGLE in names or INDEX in names or not (PICKLE in names or PICKLE_INDEX in names):
        yield checkpoint
        return
    with tempfile.TemporaryDirectory(prefix="swindex-") as folder:
        yield Unpickled(checkpoint, Path(folder))


class Unpickled(View):
    """A checkpoint whose `.bin` files read as the safetensors made of them, under their own names."""

    exact = False

    def __init__(self, inner: Checkpoint, folder: Path) -> None:
        super().__init__(inner)
        self.folder = folder

    @cached_property
    def weight_files(self) -> tuple[str, ...]:
        """The `.bin` files."""
        return (PICKLE,) if PICKLE in self.entries else tuple(sorted(set(self._weight_map.values())))

    @cached_property
    def _weight_map(self) -> dict[str, str]:
        return {} if PICKLE in self.entries else self._map_of(PICKLE_INDEX, BIN)

    @cached_property
    def converted(self) -> LocalCheckpoint:
        """The safetensors made of all weight files, by the same names; raise a Refusal if one is not what it says."""
        made = self.folder / "converted"
        made.mkdir()
        for file in self.weight_files:
            with self._source(file) as source:
                self._convert(file, source, made / file)
        return LocalCheckpoint(made)

    def _size(self, file: str) -> int:
        return self.converted.entries[file].size

    def read_into(self, path: str, start: int, view: memoryview, stop: Event | None = None) -> None:
        """Bytes of a file, of what was made of it if it is a pickle."""
        where: Checkpoint = self.converted if path.endswith(BIN) else self.inner
        where.read_into(path, start, view, stop)

    @contextmanager
    def _source(self, file: str) -> Iterator[Path]:
        """The `.bin` on this machine; unchanged after it was used."""
        size = self.entries[file].size
        local = isinstance(self.inner, LocalCheckpoint)
        if shutil.disk_usage(self.folder).free < size * (1 if local else 2):
            raise failed(f"{self.place}/{file}: no room in {self.folder.parent} to convert it; set TMPDIR")
        if isinstance(self.inner, LocalCheckpoint):
            self.meter.bytes += size
            yield self.inner.folder.resolve() / file
            self.inner.read_range(file, 0, 0)
            return
        copy = self.folder / "fetched.bin"
        self._fetch_whole(file, copy)
        yield copy
        copy.unlink()

    def _fetch_whole(self, file: str, copy: Path) -> None:
        entry, digest = self.entries[file], hashlib.sha256()
        with copy.open("wb") as out:
            for start in range(0, entry.size, READ):
                data = self.inner.read_range(file, start, min(start + READ, entry.size))
                digest.update(data)
                out.write(data)
        if entry.sha256 and digest.hexdigest() != entry.sha256:
            raise failed(f"{self.place}/{file}: its content has another digest than the Hub lists; try again later")

    def _convert(self, file: str, source: Path, target: Path) -> None:
        """Run the child; raise a Refusal for what it says, or for how it ends."""
        command = [sys.executable, "-I", child.__file__, str(source), str(target)]
        size = self.entries[file].size
        environment = {"OMP_NUM_THREADS": "1", "TMPDIR": str(self.folder), "HOME": str(self.folder)}
        try:
            done = subprocess.run(
                command,
                env=environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=60 + size / RATE,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            raise corrupt(f"{self.place}: {file} took too long to unpickle; it was stopped") from None
        if done.returncode or not target.is_file():
            raise self._answer(file, done.stdout, done.returncode)

    def _answer(self, file: str, said: bytes, status: int) -> Refusal:
        try:
            answer = strict_loads(said[:4000])
            outcome, reason = Outcome(answer["outcome"]), str(answer["reason"])
        except (JsonError, KeyError, TypeError, ValueError):
            outcome, reason = Outcome.FAILED, f"the process that unpickles it ended with {status}"
        if outcome not in SAID:
            outcome = Outcome.FAILED
        return Refusal(outcome, f"{self.place}: {file} {reason}")
