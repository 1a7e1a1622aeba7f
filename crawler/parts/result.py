"""The parts of a record that one scan gives, also a scan that could not be made; what every scan says of itself."""

import hashlib
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from typing import Any

from ...index.detector import DETECTOR as DETECTOR
from ...schema.canonical import canonical_bytes
from ...schema.effect import Effect
from ...schema.model import Model
from ...schema.record import Record
from ...schema.scan import Cost, LayerProfile, Scan, Settings
from ...schema.survival import Survival
from ...schema.weight import Group, SuperWeight
from ..checkpoint.base import Checkpoint
from ..detection import constants as c
from ..refusal import Refusal


@dataclass(frozen=True)
class Parts:
    """The parts of a record that one look at a checkpoint gives: a scan, what it has of its base models, or both."""

    model: Model
    scan: Scan | None
    super_weights: tuple[SuperWeight, ...] = ()
    groups: tuple[Group, ...] = ()
    effects: tuple[Effect, ...] = ()
    survivals: tuple[Survival, ...] = ()
    lasting: bool = True
    """Whether another try would end the same way; no part of the record."""

    def record(self, submitter: str) -> Record:
        """A first version with just this."""
        parts = {k: getattr(self, k) for k in ("model", "super_weights", "groups", "effects", "survivals")}
        time = self.scan.time if self.scan else self.survivals[0].time
        provenance = {"version": 1, "previous": None, "time": time, "submitter": submitter}
        return Record.make(provenance=provenance, scans=(self.scan,) if self.scan else (), **parts)


@dataclass(frozen=True)
class Result(Parts):
    """The parts of a record that one scan gives."""

    scan: Scan


def now() -> str:
    """This moment in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def refused(model_id: str, revision: str | None, refusal: Refusal, checkpoint: Checkpoint | None = None) -> Result:
    """The result of a scan that could not be made."""
    settings = Settings(detector=DETECTOR, constants=c.as_settings())
    model = Model(id=model_id, revision=revision, **config_facts(checkpoint))
    identity = {"model": model_id, "revision": revision, "outcome": refusal.outcome.value, "reason": str(refusal)}
    scan = Scan(
        id=digest({**identity, "settings": settings.model_dump(mode="json")}),
        outcome=refusal.outcome,
        revision=revision,
        reason=str(refusal)[:4000],
        settings=settings,
        time=now(),
        libraries=libraries(),
        cost=None if checkpoint is None else cost_of(checkpoint, 0.0),
    )
    return Result(model, scan, lasting=refusal.lasting)


def config_facts(checkpoint: Checkpoint | None) -> dict[str, Any]:
    """What config.json calls the model, where it is readable."""
    try:
        raw = checkpoint.config if checkpoint else {}
    except Refusal:
        raw = {}
    names = raw.get("architectures")
    architecture = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else None
    model_type = raw.get("model_type")
    return {"architecture": architecture, "model_type": model_type if isinstance(model_type, str) else None}


def cost_of(checkpoint: Checkpoint, seconds: float) -> Cost:
    try:
        size = sum(checkpoint.entries[f].size for f in checkpoint.weight_files)
    except Refusal:
        size = 0
    return Cost(
        bytes_read=checkpoint.meter.bytes,
        bytes_checkpoint=size,
        seconds=round(seconds, 3),
        peak_memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        requests=checkpoint.meter.requests,
    )


@cache
def libraries() -> dict[str, str]:
    return {n: version(n) for n in ("torch", "transformers", "huggingface_hub")}


def digest(value: Any) -> str:
    return hashlib.sha256(canonical_bytes(value)).hexdigest()


def scan_id_of(model: Model, settings: Settings, profile: Sequence[LayerProfile]) -> str:
    """The id of a scan that was made: the same run twice has one id, and nobody can give a scan another."""
    return digest(
        {
            "model": model.model_dump(mode="json", exclude={"content"}),
            "settings": settings.model_dump(mode="json"),
            "profile": [p.model_dump(mode="json") for p in profile],
        }
    )
