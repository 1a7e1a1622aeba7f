"""Read-ahead: the raw bytes of the next layer are fetched in the background while the present one computes.

One job at a time reads one set of tensors, over as many connections as the checkpoint is worth; its bytes are handed
out in file order, and what went wrong in the background is raised there. From a folder tensors may also be read right
into their memory. Memory that was used is used again: fresh pages cost more than the reading. Knows nothing of what
the bytes mean.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Condition, Event, Lock, Thread

import torch
from torch import Tensor

from ..checkpoint.base import Cancelled, Checkpoint
from ..checkpoint.header import TensorInfo
from ..checkpoint.spans import Span, spans_of

NAME = "swindex-ahead"
"""Of the threads."""
PATIENCE = 5.0
"""Seconds that a read which nobody wants any more may go on; it is then left to its own timeout."""


class Buffers:
    """Host memory for raw bytes, used again and again; pinned where it is copied to a GPU."""

    def __init__(self, pinned: bool = False) -> None:
        self.pinned = pinned
        self.live = 0
        """Buffers handed out and not given back."""
        self._free: list[memoryview] = []
        self._lock = Lock()

    def take(self, size: int) -> memoryview:
        """Memory of at least `size` bytes; in place of one that is too small, if there is one."""
        with self._lock:
            self._free.sort(key=len)
            fits = next((n for n, b in enumerate(self._free) if len(b) >= size), None)
            buffer = self._free.pop(-1 if fits is None else fits) if self._free else None
        if buffer is None or fits is None:
            buffer = None  # before the new one is made
            buffer = torch.empty(size, dtype=torch.uint8, pin_memory=self.pinned).numpy().data
        with self._lock:
            self.live += 1
        return buffer

    def give(self, buffer: memoryview) -> None:
        """Take a buffer back."""
        with self._lock:
            self.live -= 1
            self._free.append(buffer)

    def clear(self) -> None:
        """Let go of what is not in use."""
        with self._lock:
            self._free.clear()

    def __len__(self) -> int:
        """Bytes held and not in use."""
        return sum(map(len, self._free))


class Ahead:
    """Reads tensors of a checkpoint, those of one set in advance."""

    def __init__(self, checkpoint: Checkpoint, pinned: bool = False) -> None:
        self.checkpoint = checkpoint
        self.buffers = Buffers(pinned)
        self._job: _Job | None = None
        self._names: tuple[str, ...] = ()

    def start(self, names: Sequence[str]) -> None:
        """Begin to read these tensors, whole, in the background; what was begun before is given up.

        Where the system reads ahead by itself a thread would only take a core from the arithmetic (LOG.md).
        """
        self.close()
        if all(self.checkpoint.advise(span) for span in self.checkpoint.spans(names)):
            return
        self._names = tuple(names)
        self._job = _Job(self.checkpoint, names, self.buffers, whole=True)

    def read(self, names: Sequence[str]) -> Iterator[tuple[TensorInfo, int, memoryview]]:
        """The raw bytes of tensors in pieces: (tensor, first byte within it, data), in file order.

        A piece is valid until the next is asked for. Tensors that were not begun are read with a few pieces ahead.
        """
        job = self._job if self._job and self._names == tuple(names) else None
        if job is None and self.checkpoint.connections == 1:
            yield from self._plainly(names)
            return
        job = job or _Job(self.checkpoint, names, self.buffers, whole=False)
        try:
            yield from job.pieces()
        finally:
            job.stop()
            if self._job is job:
                self._job = None

    @property
    def straight(self) -> bool:
        """Whether `fill` is worth while: a copy in memory is nothing beside a connection, which has its own threads."""
        return self.checkpoint.connections == 1

    def fill(self, wanted: Sequence[tuple[TensorInfo, Tensor]]) -> None:
        """Read tensors as they are stored right into their memory, by as many threads as torch computes with."""
        spans = [
            (span, _bytes(tensor)[span.start - info.start : span.end - info.start])
            for info, tensor in wanted
            for span in spans_of([info], self.checkpoint.max_read)
        ]
        with ThreadPoolExecutor(torch.get_num_threads(), NAME) as pool:
            for _ in pool.map(lambda one: self.checkpoint.fetch(*one), spans):
                pass

    def _plainly(self, names: Sequence[str]) -> Iterator[tuple[TensorInfo, int, memoryview]]:
        """One span after the other, into the same memory."""
        for span in self.checkpoint.spans(names):
            buffer = self.buffers.take(span.size)
            try:
                self.checkpoint.fetch(span, buffer[: span.size])
                yield from span.pieces(buffer[: span.size])
            finally:
                self.buffers.give(buffer)

    def close(self) -> None:
        """Give up what was begun; its threads have ended, or will when the server lets go of them."""
        job, self._job = self._job, None
        if job is not None:
            job.stop()


def _bytes(tensor: Tensor) -> memoryview:
    """The memory of a contiguous tensor, to be written to."""
    return tensor.view(-1).view(torch.uint8).numpy().data


class _Job:
    """The spans of one set of tensors, fetched by threads in order and handed out in order."""

    def __init__(self, checkpoint: Checkpoint, names: Sequence[str], buffers: Buffers, *, whole: bool) -> None:
        self.checkpoint = checkpoint
        self.spans = checkpoint.spans(names)
        self.buffers = buffers
        self._window = len(self.spans) if whole else checkpoint.connections + 1
        self._begun = self._used = 0
        self._done: dict[int, memoryview | BaseException] = {}
        self._changed = Condition()
        self._stop = Event()
        count = min(checkpoint.connections, len(self.spans))
        self._threads = [Thread(target=self._work, name=NAME, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def pieces(self) -> Iterator[tuple[TensorInfo, int, memoryview]]:
        """The bytes as they come, in file order; raises what a thread raised where its bytes would have been."""
        for number, span in enumerate(self.spans):
            buffer = self._await(number)
            try:
                yield from span.pieces(buffer[: span.size])
            finally:
                self.buffers.give(buffer)
                with self._changed:
                    self._used += 1
                    self._changed.notify_all()

    def stop(self) -> None:
        """End the threads and take back their buffers."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(PATIENCE)
        with self._changed:
            for done in self._done.values():
                if isinstance(done, memoryview):
                    self.buffers.give(done)
            self._done.clear()

    def _await(self, number: int) -> memoryview:
        with self._changed:
            self._changed.wait_for(lambda: number in self._done or self._stop.is_set())
            done = self._done.pop(number, Cancelled())
        if isinstance(done, BaseException):
            raise done
        return done

    def _work(self) -> None:
        while (number := self._next()) is not None:
            try:
                self._put(number, self._fetch(self.spans[number]))
            except BaseException as error:
                self._put(number, error)

    def _next(self) -> int | None:
        """The next span to fetch, once there is room for it."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended() or self._begun < self._used + self._window)
            if self._ended():
                return None
            self._begun += 1
            return self._begun - 1

    def _ended(self) -> bool:
        return self._stop.is_set() or self._begun == len(self.spans)

    def _fetch(self, span: Span) -> memoryview:
        buffer = self.buffers.take(span.size)
        try:
            self.checkpoint.fetch(span, buffer[: span.size], self._stop)
        except BaseException:
            self.buffers.give(buffer)
            raise
        return buffer

    def _put(self, number: int, done: memoryview | BaseException) -> None:
        """Hand over a span. After an error none is begun any more; those before it are still fetched."""
        with self._changed:
            if isinstance(done, BaseException):
                self._begun = len(self.spans)
            if not self._stop.is_set():
                self._done[number] = done
            elif isinstance(done, memoryview):
                self.buffers.give(done)
            self._changed.notify_all()
