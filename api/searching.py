"""Search in an index: models whose names contain a text. Reads the newest version of every model; no ranking."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from ..schema.rules import STRENGTH
from ..schema.types import Verdict
from .reader import Reader, as_record

Json = dict[str, Any]
_NAMES = ("id", "architecture", "model_type", "base_model")


class Hit(BaseModel):
    """A model that matches: its newest version in brief."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    revision: str | None
    architecture: str | None
    outcome: str
    super_weights: int
    """How many candidates that are not refuted."""
    verdict: Verdict
    """The strongest on any of them, alone or together."""
    time: str


def search(text: str, reader: Reader) -> list[Hit]:
    """Models with `text` in id, architecture, type, base model or a tensor's name, in any case, sorted by id."""
    hits = (hit for each in reader.everything() if (hit := _found(each.record, text.lower())))
    return sorted(hits, key=lambda hit: hit.id)


def _found(record: Json, text: str) -> Hit | None:
    with as_record(str(record["model"].get("id"))):
        return hit_of(record) if any(text in name.lower() for name in names_of(record)) else None


def names_of(record: Json) -> list[str]:
    """The names in which a text is looked for."""
    names = [record["model"].get(name) or "" for name in _NAMES]
    return names + [w["tensor"] for w in record.get("super_weights", ())]


def standing_of(record: Json) -> list[Json]:
    """The status of every weight that is not refuted."""
    return [w for w in record["status"]["weights"] if w["location"] != "refuted"]


def basis_of(record: Json, verdict: Verdict) -> str | None:
    """Whose figures a verdict on any of the weights rests on: ours, if on one of them ours say it."""
    found = [w[f"{at}_basis"] for w in standing_of(record) for at in ("alone", "grouped") if w[at] == verdict]
    return min((basis for basis in found if basis), default=None)


def layers_of(record: Json) -> tuple[int, ...]:
    """The layers with weights that are not refuted, in order."""
    standing = {w["weight"] for w in standing_of(record)}
    return tuple(sorted({w["layer"] for w in record.get("super_weights", ()) if w["id"] in standing}))


def hit_of(record: Json) -> Hit:
    """A record in brief."""
    standing = standing_of(record)
    verdicts = [Verdict(w[at]) for w in standing for at in ("alone", "grouped")]
    return Hit(
        id=record["model"]["id"],
        revision=record["model"].get("revision"),
        architecture=record["model"].get("architecture"),
        outcome=record["status"]["outcome"],
        super_weights=len(standing),
        verdict=max(verdicts, key=STRENGTH.index, default=Verdict.UNTESTED),
        time=record["provenance"]["time"],
    )
