"""The next layer made beside the arithmetic on this one, on a GPU."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

import torch
from torch import Tensor

from .ahead import NAME


class Later(Thread):
    """A call in a thread of its own."""

    def __init__(self, call: Callable[[], dict[str, Tensor]]) -> None:
        super().__init__(name=NAME, daemon=True)
        self._call = call
        self._made: dict[str, Tensor] | BaseException = {}
        self.start()

    def run(self) -> None:
        """Make the call and keep what comes of it."""
        try:
            self._made = self._call()
        except BaseException as error:
            self._made = error

    def result(self) -> dict[str, Tensor]:
        """What the call returned, once it did; raises what it raised."""
        self.join()
        if isinstance(self._made, BaseException):
            raise self._made
        return self._made


@contextmanager
def side_stream(device: str) -> Iterator[None]:
    """On a GPU a stream beside that of the arithmetic, whose work is done at the end; elsewhere nothing."""
    if torch.device(device).type != "cuda":
        yield
        return
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    with torch.cuda.stream(stream):
        yield
    stream.synchronize()
