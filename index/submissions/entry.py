"""A submission as the store has it: who sent it how, and the line of its states. Knows no files.

A state is a line of canonical JSON that names the digest of the line before, so that none can be taken out unseen.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...schema.canonical import canonical_bytes, strict_loads
from ...schema.errors import RecordError
from ..errors import DamagedLog
from .codes import Said
from .document import Kind
from .states import PENDING, State

Json = dict[str, Any]


@dataclass(frozen=True)
class Pull:
    """The pull request that a submission came by, at one commit of it."""

    repo: str
    num: int
    sha: str

    @property
    def name(self) -> str:
        """As people write it."""
        return f"{self.repo}#{self.num}"


@dataclass(frozen=True)
class Sender:
    """Who submits, as a token or the Hub says, and by which pull request, if by one."""

    name: str
    pull: Pull | None = None


@dataclass(frozen=True)
class Step:
    """A state that a submission came to."""

    state: State
    time: str
    by: str
    why: str = ""
    said: tuple[Said, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A submission and everything that happened to it, oldest first."""

    id: str
    digest: str
    """Of the document; of a pull request that has none, its commit."""
    sender: Sender
    model: str | None
    """None where what was sent is no submission."""
    revision: str | None
    kind: Kind | None
    steps: tuple[Step, ...]

    @property
    def state(self) -> State:
        """Where it stands."""
        return self.steps[-1].state

    @property
    def last(self) -> Step:
        """What happened last."""
        return self.steps[-1]

    @property
    def received(self) -> str:
        """When it came, in UTC."""
        return self.steps[0].time

    @property
    def pending(self) -> bool:
        """Whether it waits for somebody."""
        return self.state in PENDING

    @property
    def verdict(self) -> Step | None:
        """The newest step of a check that came to an end; None before that."""
        return next((s for s in reversed(self.steps) if "checked" in s.figures), None)


def id_of(digest: str, sender: Sender) -> str:
    """The id of a submission: the same person who sends the same content the same way sends the same submission."""
    way = sender.pull.name if sender.pull else ""
    return hashlib.sha256(canonical_bytes([sender.name, way, digest])).hexdigest()[:16]


# --- lines ---


def line_of(step: Step, before: bytes | None, head: Json | None = None) -> bytes:
    """The line of a step; the first one also says what came, and from whom."""
    said = [{"code": s.code, "message": s.message} for s in step.said]
    held = {"state": step.state.value, "time": step.time, "by": step.by, "why": step.why, "said": said}
    chained = {"figures": dict(step.figures), "prev": hashlib.sha256(before).hexdigest() if before else None}
    return canonical_bytes({**held, **chained, **({"head": head} if head else {})})


def head_of(entry: Entry) -> Json:
    """What the first line says of a submission."""
    pull = entry.sender.pull
    return {
        "digest": entry.digest,
        "sender": entry.sender.name,
        "pull": pull and {"repo": pull.repo, "num": pull.num, "sha": pull.sha},
        "model": entry.model,
        "revision": entry.revision,
        "kind": entry.kind and entry.kind.value,
    }


def entry_of(entry_id: str, lines: Sequence[bytes], where: str) -> Entry:
    """The submission that these lines tell of; raise DamagedLog."""
    steps: list[Step] = []
    before: bytes | None = None
    head: Json = {}
    for number, line in enumerate(lines, 1):
        try:
            data = strict_loads(line)
            if data["prev"] != (hashlib.sha256(before).hexdigest() if before else None):
                raise KeyError("prev")
            head = data["head"] if number == 1 else head
            steps.append(_step(data))
        except (RecordError, KeyError, TypeError, ValueError) as error:
            raise DamagedLog(f"{where} line {number}: not what was written ({type(error).__name__})") from None
        before = line
    return _entry(entry_id, head, steps, where)


def _entry(entry_id: str, head: Json, steps: Sequence[Step], where: str) -> Entry:
    try:
        sender = Sender(head["sender"], Pull(**head["pull"]) if head["pull"] else None)
        kind = Kind(head["kind"]) if head["kind"] else None
        return Entry(entry_id, head["digest"], sender, head["model"], head["revision"], kind, tuple(steps))
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedLog(f"{where} line 1: not what was written ({type(error).__name__})") from None


def _step(data: Json) -> Step:
    said = tuple(Said(s["code"], s["message"]) for s in data["said"])
    return Step(State(data["state"]), data["time"], data["by"], data["why"], said, data["figures"])
