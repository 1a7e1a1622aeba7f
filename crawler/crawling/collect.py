"""The one writer: appends what workers have done to the index, and only then drops it from the outbox.

A kill between any two steps loses nothing (what was not dropped is taken again) and doubles nothing (what is in the
index is not appended again). The database follows at the end; one that a kill left behind is healed by the next end.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType

from ...index import database, log
from ...index.errors import NotInIndex
from ...index.store import Index
from ...index.versions import with_parts
from ...schema.errors import RecordError
from ..parts.result import now
from .jobs import Done
from .outbox import Box, Report

SUBMITTER = "swindex crawl"
_PARTS = ("model", "scan", "super_weights", "groups", "effects", "survivals")

Told = Callable[[Done, bool], None]
"""Called with what was taken and whether it made a new version, before it is dropped: after a kill, with it again."""


class Collector(AbstractContextManager["Collector"]):
    """Takes from an outbox what is there, as often as asked; updates the database when left.

    `wanted` says what is to be appended at all: a failure that another try may mend need not be.
    """

    def __init__(
        self,
        box: Box,
        store: Index,
        *,
        told: Told | None = None,
        wanted: Callable[[Done], bool] | None = None,
        report: Report | None = None,
    ) -> None:
        self.box, self.store = box, store
        self.appended: list[str] = []
        self._told, self._wanted, self._report = told, wanted, report
        store.ensure()

    def take(self) -> int:
        """Append and drop what waits; how many there were. Raise Locked, StoreError."""
        count = 0
        for done in self.box.waiting(self._report):
            self._one(done)
            count += 1
        return count

    def _one(self, done: Done) -> None:
        made = False
        if self._wanted is None or self._wanted(done):
            try:
                made = self._append(done)
            except RecordError as error:
                return self.box.set_aside(done.job, str(error), self._report)
        if self._told is not None:
            self._told(done, made)
        self.box.drop(done.job)
        return None

    def _append(self, done: Done) -> bool:
        model_id = done.result.model.id
        known = _written(self.store, model_id)
        if known != model_id:
            raise RecordError(f"{model_id}: the index has {known}, which differs only in case")
        parts = {name: getattr(done.result, name) for name in _PARTS}
        made = self.store.add(model_id, lambda previous: with_parts(previous, **parts), SUBMITTER, now())
        if made is not None:
            self.appended.append(model_id)
        return made is not None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Bring the database up to the log, also for what an earlier life appended last."""
        if any(self.store.models()):
            database.update(self.store, self.appended)


def collect(box: Box, store: Index, *, told: Told | None = None, report: Report | None = None) -> list[str]:
    """Append all that waits and update the database; the models that got a new version."""
    with Collector(box, store, told=told, report=report) as collector:
        collector.take()
    return collector.appended


def _written(store: Index, model_id: str) -> str:
    """The id as the index writes it, itself if it has none."""
    try:
        return log.id_of(store.path(model_id)) or model_id
    except NotInIndex:
        return model_id
