"""Which job next: the largest that fits, out of some that were pulled ahead; none waits for ever. Knows no process."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from .jobs import Job

Room = Callable[[Job], bool]
"""Whether a job may start now."""


@dataclass
class _Waiting:
    job: Job
    passed: int = 0
    """How many were let past it."""


@dataclass
class Queue:
    """Jobs out of an iterator, which is asked no further ahead than `ahead`.

    One that was passed over `patience` times is next, and until it fits nothing else is.
    """

    jobs: Iterator[Job | None]
    ahead: int
    patience: int
    _held: list[_Waiting] = field(default_factory=list)
    _ended: bool = False

    @property
    def over(self) -> bool:
        """Whether there is nothing more, now or later."""
        return self._ended and not self._held

    def take(self, room: Room) -> Job | None:
        """The next job that there is room for, if any."""
        self._fill()
        if not self._held:
            return None
        chosen = self._chosen(room)
        if chosen is None:
            return None
        self._held.remove(chosen)
        for waiting in self._held:
            waiting.passed += _size(waiting.job) > _size(chosen.job)
        return chosen.job

    def _chosen(self, room: Room) -> _Waiting | None:
        tired = [w for w in self._held if w.passed >= self.patience]
        among = tired[:1] or sorted(self._held, key=lambda w: -_size(w.job))
        return next((w for w in among if room(w.job)), None)

    def _fill(self) -> None:
        """Pull jobs until enough are held; an iterator that gives None has none at the moment."""
        while not self._ended and len(self._held) < self.ahead:
            try:
                job = next(self.jobs)
            except StopIteration:
                self._ended = True
                return
            if job is None:
                return
            self._held.append(_Waiting(job))


def _size(job: Job) -> float:
    """Bytes; a model whose size nobody knows counts as the largest."""
    return float("inf") if job.size is None else job.size
