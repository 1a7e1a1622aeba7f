"""What travels between the parts of a crawl: a job for a worker, and what became of it.

Both are plain data and fit in a JSON file: a worker may be another process or another machine. Knows no index.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self, TypeVar

from ...schema.effect import Effect
from ...schema.model import Model
from ...schema.scan import Scan
from ...schema.status import INHERITED
from ...schema.survival import Survival
from ...schema.types import Part
from ...schema.weight import Group, SuperWeight
from ..parts.result import Parts, Result

P = TypeVar("P", bound=Part)


@dataclass(frozen=True)
class Job:
    """One model to scan. `revision` is a commit; `size` in bytes, None if nobody knows."""

    model_id: str
    revision: str | None = None
    size: int | None = None
    tries: int = 0
    """How often it was tried in this run already."""

    def again(self) -> Self:
        """The same, tried once more."""
        return replace(self, tries=self.tries + 1)


@dataclass(frozen=True)
class Done:
    """What became of a model. `how`: scan, twin (another repository's scan), survival (no scan: as its base)."""

    job: Job
    result: Parts
    how: str = "scan"
    bytes: int = 0
    requests: int = 0
    seconds: float = 0.0
    lasting: bool = True
    """Whether another try would end the same way; an outage or a rate limit does not last."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else a reader of the log may ask for: the worker's host, its device, the signal that ended it."""

    def as_json(self) -> dict[str, Any]:
        """Plain data, as `from_json` reads it."""
        parts = {
            "model": self.result.model.model_dump(mode="json"),
            "scan": self.result.scan and self.result.scan.model_dump(mode="json"),
            **{name: [p.model_dump(mode="json") for p in getattr(self.result, name)] for name in _PARTS},
        }
        rest = {k: getattr(self, k) for k in ("how", "bytes", "requests", "seconds", "lasting")}
        return {"job": asdict(self.job), "result": parts, **rest, "facts": dict(self.facts)}

    @property
    def outcome(self) -> str:
        """Of its scan; `inherited` where a look at what it has of its base model was enough."""
        return self.result.scan.outcome.value if self.result.scan else INHERITED

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read it, strictly; raise ValueError, TypeError, KeyError for anything else."""
        parts = data["result"]
        model, scan = _read(Model, parts["model"]), parts["scan"] and _read(Scan, parts["scan"])
        lists: dict[str, Any] = {name: tuple(_read(kind, p) for p in parts[name]) for name, kind in _PARTS.items()}
        rest = {k: data[k] for k in ("how", "bytes", "requests", "seconds", "lasting", "facts")}
        return cls(Job(**data["job"]), (Result if scan else Parts)(model, scan, **lists), **rest)


def _read(kind: type[P], data: Any) -> P:
    return kind.model_validate_json(json.dumps(data))


_PARTS: dict[str, type[SuperWeight] | type[Group] | type[Effect] | type[Survival]] = {
    "super_weights": SuperWeight,
    "groups": Group,
    "effects": Effect,
    "survivals": Survival,
}
