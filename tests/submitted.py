"""Submissions for tests: models on a loopback Hub, records of real scans of them, a store, an index and a judge.

A scan of a checkpoint of the tests takes half a second with these options; each is made once and kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi

from swindex.crawler.crawling.jobs import Done, Job
from swindex.crawler.crawling.task import do
from swindex.crawler.detection.options import Options
from swindex.crawler.judging.judge import Judge
from swindex.crawler.judging.rescan import Bounds
from swindex.index.store import Index
from swindex.index.submissions.document import Submission, make
from swindex.index.submissions.entry import Entry, Sender
from swindex.index.submissions.store import Store
from swindex.schema.record import Record
from swindex.schema.types import Outcome

from .hub import Hub

CHECKPOINTS = Path(__file__).parent / "checkpoints"
ONE, PAIR, NONE = "demo/one", "demo/pair", "demo/none"
FOLDERS = {ONE: "stories260k-one", PAIR: "stories260k-pair", NONE: "aidreams260k"}
OURS = Options(window=48)
THEIRS = Options(window=64)
"""Another length of text, so that a scan of theirs is another one than ours."""
CURATOR = "curator"


def fill(hub: Hub) -> Hub:
    """The Hub with one model of each kind."""
    for name, folder in FOLDERS.items():
        hub.add_folder(name, CHECKPOINTS / folder)
    return hub


def sha_of(hub: Hub, model: str) -> str:
    """The commit of a model."""
    return hub.repo(model).head.sha


_DONE: dict[tuple[str, str | None, int, str], Done] = {}


def scanned(job: Job, options: Options, api: HfApi) -> Done:
    """What a scan gives, made once for equal content (commits of the loopback Hub are digests of content)."""
    key = (job.model_id, job.revision, options.window, "")
    if key not in _DONE:
        _DONE[key] = do(job, options, api=api)
    return _DONE[key]


def record_of(hub: Hub, model: str = ONE, options: Options = THEIRS, by: str = "swindex scan") -> Record:
    """The record that `swindex scan` gives somebody else."""
    done = scanned(Job(model, sha_of(hub, model)), options, HfApi(endpoint=hub.url, token=False))
    return done.result.record(by)


def document(hub: Hub, model: str = ONE, options: Options = THEIRS, **more: Any) -> Submission:
    """The submission of that record."""
    record = record_of(hub, model, options).model_dump(mode="json")
    return make(model, sha_of(hub, model), record=record, **more)


def request(hub: Hub, model: str = ONE, **more: Any) -> Submission:
    """The wish that it be scanned."""
    return make(model, sha_of(hub, model), **more)


class Ticks:
    """A clock that moves a second each time it is read."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> str:
        self.count += 1
        return f"2026-11-21T{12 + self.count // 3600:02}:{self.count // 60 % 60:02}:{self.count % 60:02}Z"


class Desk:
    """A curator's desk: a store, an index, a judge and a Hub."""

    def __init__(self, hub: Hub, folder: Path, bounds: Bounds = Bounds(), scan: Any = None) -> None:  # noqa: B008
        self.hub, self.now = hub, Ticks()
        self.store, self.index = Store(folder / "submissions"), Index(folder / "index")
        self.index.ensure()
        self.api = HfApi(endpoint=hub.url, token=False)
        self.scans: list[Job] = []
        self.judge = Judge(
            self.store, self.index, self.api, bounds=bounds, options=OURS, scan=scan or self._scan, now=self.now
        )

    def _scan(self, job: Job) -> Done:
        self.scans.append(job)
        return scanned(Job(job.model_id, job.revision, job.size), OURS, self.api)

    def receive(self, submission: Submission | bytes, by: str = "alice") -> Entry:
        """Keep what somebody sends."""
        data = submission if isinstance(submission, bytes) else submission.to_bytes()
        return self.store.receive(data, Sender(by), self.now())[0]

    def check(self, submission: Submission | bytes, by: str = "alice") -> Entry:
        """Keep and check it."""
        return self.judge.check(self.receive(submission, by), CURATOR)

    def accept(self, submission: Submission, by: str = "alice") -> Entry:
        """Keep, check and accept it."""
        from swindex.crawler.judging.decide import accepted

        return accepted(self.store, self.index, self.check(submission, by), CURATOR, now=self.now)


def codes(entry: Entry) -> list[str]:
    """The codes of what was said last, without warnings of the rules for records."""
    return [s.code for s in entry.last.said]


@cache
def lies(name: str) -> str:
    """Text that does harm where it is not escaped."""
    return f"<script>alert('{name}')</script>\x1b[31m'; DROP TABLE models;--"


def altered(submission: Submission, change: Any) -> Submission:
    """The submission with a record that was changed and made whole again: status and digest as they follow."""
    data = json.loads(submission.to_bytes())["record"]
    change(data)
    parsed = Record.model_construct(**data)
    made = _remade(parsed.model_dump(mode="json", warnings=False))
    return make(submission.model, submission.revision, record=made.model_dump(mode="json"), parent=submission.parent)


def _remade(data: dict[str, Any]) -> Record:
    from swindex.schema.effect import Effect
    from swindex.schema.model import Model
    from swindex.schema.scan import Scan
    from swindex.schema.weight import Group, SuperWeight

    kinds: dict[str, Any] = {"super_weights": SuperWeight, "groups": Group, "effects": Effect, "scans": Scan}
    parts = {name: tuple(kind.model_validate_json(json.dumps(p)) for p in data[name]) for name, kind in kinds.items()}
    said = {k: v for k, v in data["provenance"].items() if k in ("version", "previous", "time", "submitter")}
    model = Model.model_validate_json(json.dumps(data["model"]))
    return Record.make(model=model, provenance=said, **parts)


def outcome_of(record: Record) -> Outcome:
    """Of its newest scan."""
    return record.scans[-1].outcome


def hubs() -> Iterator[Hub]:
    """A filled Hub, for a fixture."""
    with Hub() as hub:
        yield fill(hub)
