"""Work on many models divided into shards, done by processes of their own at the same time, as many as there are cores.

A small index is one shard and done here. Results come in order, and no more of them wait than there are processes. A
process is started by name, not forked (DuckDB has threads) and not by `multiprocessing`, which would run the caller's
own program again. Knows neither records nor tables.
"""

import logging
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import cycle
from types import TracebackType
from typing import IO, Any, Self, TypeVar

from .errors import StoreError

SIZE = 5000
"""Models of a shard."""
MOST = 4
"""Processes at most; one takes up to 400 MB."""
_T = TypeVar("_T")


def divided(models: Sequence[str]) -> list[Sequence[str]]:
    """The models in shards, in their order; one empty shard of none."""
    return [models[at : at + SIZE] for at in range(0, max(len(models), 1), SIZE)]


def each(task: Callable[..., _T], arguments: Sequence[tuple[Any, ...]]) -> Iterator[_T]:
    """Yield what `task`, a function of a module, gives for each of these arguments, in order.

    Raise what it raises; StoreError if a process ends before its time.
    """
    count = min(len(os.sched_getaffinity(0)), MOST, len(arguments))
    if count < 2:
        yield from (task(*each) for each in arguments)
        return
    with ExitStack() as stack:
        workers = [stack.enter_context(_Worker()) for _ in range(count)]
        for worker, given in zip(workers, arguments, strict=False):
            worker.ask(task, given)
        for worker, number in zip(cycle(workers), range(len(arguments)), strict=False):
            result = worker.answer()
            if number + count < len(arguments):
                worker.ask(task, arguments[number + count])
            yield result


class _Worker:
    """A process that does one task at a time."""

    def __init__(self) -> None:
        command = [sys.executable, "-P", "-m", __name__]
        paths = os.pathsep.join(p for p in sys.path if p)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths}
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: TracebackType | BaseException | None) -> None:
        if kind is not None:
            self._process.kill()
        with suppress(OSError):
            self._process.communicate()

    def ask(self, task: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        with suppress(BrokenPipeError):  # `answer` says what happened
            _put(self._process.stdin, (task, arguments))

    def answer(self) -> Any:
        try:
            is_done, result, logged = pickle.load(self._process.stdout)  # type: ignore[arg-type]
        except (EOFError, pickle.UnpicklingError):
            status = self._process.wait()
            raise StoreError(f"a process that read the index ended ({status}); is memory short? Try again") from None
        for record in logged:
            logging.getLogger(record.name).handle(record)
        if not is_done:
            raise result
        return result


def _put(stream: IO[bytes] | None, said: object) -> None:
    assert stream is not None
    pickle.dump(said, stream, pickle.HIGHEST_PROTOCOL)
    stream.flush()


# --- in the process ---


class _Kept(logging.Handler):
    """Keeps what is logged, for the process that asked."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(logging.makeLogRecord({**record.__dict__, "msg": record.getMessage(), "args": None}))

    def taken(self) -> list[logging.LogRecord]:
        records, self.records = self.records, []
        return records


def main() -> None:
    """Do what is asked on standard input until it ends; results go where standard output was."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that asked ends this one
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    logging.getLogger().addHandler(kept := _Kept())
    with suppress(EOFError, BrokenPipeError):
        while True:
            task, arguments = pickle.load(sys.stdin.buffer)
            try:
                done = True, task(*arguments)
            except Exception as error:
                done = False, error
            _put(answers, (*done, kept.taken()))


if __name__ == "__main__":
    main()
