"""From `super_weights.json` to observations: one for each thing that a source says, in its own numbers.

Knows the fields of that file and the readings in `launch_tables`; knows nothing of records, status or where they go.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..schema.observation import Granularity, Metric, Observation, Source, Stance
from ..schema.types import Intervention
from ..schema.weight import Coordinates
from . import launch_tables as tables
from .errors import StoreError
from .launch_tables import Place

Json = dict[str, Any]
Places = Mapping[Place, Coordinates]
"""The scalars of one model."""

ZEROED = {"intervention": Intervention.ZERO, "changed": Granularity.SCALAR}
ROW_ZEROED = {"intervention": Intervention.ZERO, "changed": Granularity.ROW}
_INTERVENTIONS = {
    "zero one scalar": ZEROED,
    "zero both detected scalars": ZEROED,
    "zero whole output row": ROW_ZEROED,
    "scale whole output row": ROW_ZEROED,
}
_FIELDS = {
    "revision": "revision",
    "dtype": "dtype",
    "eval": "corpus",
    "prompt_note": "prompt",
    "detector_found": "detector_found",
    "weight_value": "value",
    "activation_input": "activation_in",
    "activation_output": "activation_out",
    "share": "share",
    "ppl_before": "ppl_before",
    "ppl_after": "ppl_after",
    "ppl_ratio": "ppl_ratio",
    "ci95": "ci95",
    "nll_before": "nll_before",
    "nll_relative_change": "nll_relative_change",
    "loss_before": "nll_before",
    "relative_change_full": "nll_relative_change",
    "kl": "kl",
}
"""The file's names of numbers that an observation has a field for; the others become metrics."""
_READ = {"source", "role", "intervention", "weight_value_other_cell"}
_LOSS = (
    "The whole output row was scaled to zero. The loss is the mean NLL, or for a masked model its masked-token loss."
)
_PARKED = "from an unreviewed, parked run of the source"
_ROW_CLAIM = 0.3
"""Relative change of the loss from which a tested row counts as claimed to matter; below, the source only notes it."""


@dataclass(frozen=True)
class Told:
    """An observation, and whether its weights are a set that a source put forward as one."""

    observation: Observation
    group: bool = False


def source_of(data: Json) -> Source:
    """The source with its origin; raise StoreError for an address of no known origin."""
    origin = tables.ORIGINS.get(data["url"])
    if origin is None:
        raise StoreError(f"{data['url']}: no origin known for this source; add it to index/launch_tables.py")
    return Source(origin=origin, **{k: data[k] for k in ("title", "url", "repo", "commit", "path")})


def metrics_of(data: Json, prefix: str = "") -> Iterator[Metric]:
    """Every number and text of nested JSON data under the source's own names, joined by dots."""
    for name, value in data.items():
        if isinstance(value, dict):
            yield from metrics_of(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            yield from metrics_of({f"{name}.{i}": v for i, v in enumerate(value)}, prefix)
        elif isinstance(value, str):
            yield Metric(name=prefix + name, text=value)
        elif value is not None:
            yield Metric(name=prefix + name, value=value)


def fields_of(data: Json) -> Json:
    """The fields and metrics of an observation that hold a source's numbers."""
    found = {_FIELDS[k]: v for k, v in data.items() if k in _FIELDS and v is not None}
    if "ci95" in found:
        found["ci95"] = tuple(found["ci95"])
    if "detection_iteration" in data:
        found["round"] = data["detection_iteration"] - 1
    rest = {k: v for k, v in data.items() if k not in _FIELDS and k not in _READ}
    return {**found, "metrics": tuple(metrics_of(rest))}


def told_by(entry: Json, places: Places) -> Iterator[Told]:
    """Everything that an entry holds, in its order."""
    for data in entry["observations"]:
        yield _observed(entry, data, places)
        if "weight_value_other_cell" in data:
            yield _other_cell(entry, data)
    yield from _joint(entry, places)


# --- one source on one place ---


def _observed(entry: Json, data: Json, places: Places) -> Told:
    members = _members(entry, data, places)
    reading = _reading(entry, data)
    words = data.get("role") or data["intervention"]
    fields: Json = {
        "source": source_of(data["source"]),
        "granularity": reading.about,
        "stance": reading.stance,
        "targets": members or _targets(entry, reading),
        "statement": words,
        **fields_of(data),
        **(ZEROED if reading.zeroed else _INTERVENTIONS.get(data.get("intervention", ""), {})),
        **reading.told,
    }
    fields["metrics"] += tuple(metrics_of(reading.metrics)) + _module(entry, reading)
    if caveat := _caveat(data):
        fields.setdefault("caveat", caveat)
    if words_of := _second_hand(data):
        fields |= {**ZEROED, **words_of, "second_hand": True}
    return Told(Observation(**fields), group=bool(members))


def _caveat(data: Json) -> str | None:
    if data.get("intervention") == "scale whole output row":
        return _LOSS
    return _PARKED if "parked" in (data["source"]["path"] or "") else None


def _reading(entry: Json, data: Json) -> tables.Reading:
    role = data.get("role")
    if role is None:
        return tables.Reading(_stance_of_a_test(entry, data), _changed(data))
    if _second_hand(data):
        return tables.Reading(Stance.NOTES)
    known = [start for start in tables.ROLES if role.startswith(start)]
    if not known:
        raise StoreError(f"{entry['model_id']}: no reading of {role!r}; add it to index/launch_tables.py")
    return tables.ROLES[max(known, key=len)]


def _stance_of_a_test(entry: Json, data: Json) -> Stance:
    """A test without words claims the place if the detector found it, or if nobody claimed it before."""
    if entry["granularity"] == "row":
        return Stance.CLAIMS if data["relative_change_full"] >= _ROW_CLAIM else Stance.NOTES
    first = _changed(data) is Granularity.SCALAR and data["source"]["url"] == entry["source"]["url"]
    return Stance.CLAIMS if data.get("detector_found", first) else Stance.NOTES


def _changed(data: Json) -> Granularity:
    return Granularity(_INTERVENTIONS[data["intervention"]]["changed"])


def _second_hand(data: Json) -> Json:
    starts = [s for s in tables.SECOND_HAND if data.get("role", "").startswith(s)]
    return tables.SECOND_HAND[starts[0]] if starts else {}


def _members(entry: Json, data: Json, places: Places) -> tuple[Coordinates, ...]:
    """The several scalars that a source's words are about; none if they are about this entry alone."""
    if data.get("intervention") == "zero both detected scalars":
        return _places(places, tables.BOTH_DETECTED[entry["model_id"]])
    if _second_hand(data):
        return _places(places, tables.PROSE_SETS[entry["model_id"]])
    return ()


def _places(places: Places, members: Sequence[Sequence[int]]) -> tuple[Coordinates, ...]:
    return tuple(places[(layer, row, col)] for layer, row, col in members)


def _targets(entry: Json, reading: tables.Reading) -> tuple[Coordinates, ...]:
    tensor = None if entry["tensor"] == "not stated in the source" else entry["tensor"]
    here: Json = {"layer": entry["layer"], "expert": entry.get("expert"), "tensor": tensor}
    if reading.about is Granularity.MODEL:
        return ()
    if reading.about is Granularity.TENSOR:
        return (Coordinates(**here),)
    if reading.about is Granularity.SCALAR:
        return (Coordinates(**here, row=entry["row"], col=entry["col"]),)
    if reading.place is None:
        return (Coordinates(**here, row=entry["row"]),)
    return (Coordinates(layer=reading.place[0], row=reading.place[1]),)


def _module(entry: Json, reading: tables.Reading) -> tuple[Metric, ...]:
    """The module's name, where the source states no tensor."""
    unnamed = entry["tensor"] == "not stated in the source" and reading.about is Granularity.ROW
    return (Metric(name="module", text=entry["module"]),) if unnamed else ()


def _other_cell(entry: Json, data: Json) -> Told:
    reading = tables.Reading(Stance.NOTES)
    observation = Observation(
        source=source_of(data["source"]),
        granularity=Granularity.SCALAR,
        stance=reading.stance,
        targets=_targets(entry, reading),
        statement="another cell of the same notebook prints this value",
        dtype=data.get("dtype"),
        value=data["weight_value_other_cell"],
    )
    return Told(observation)


# --- sets zeroed together ---


def _joint(entry: Json, places: Places) -> Iterator[Told]:
    joint = entry["effect_joint"]
    if joint is None or "second-hand" in joint.get("note", ""):  # the latter stands among the observations too
        return
    named = joint["set"] if isinstance(joint["set"], list) else tables.PROSE_SETS[entry["model_id"]]
    fields: Json = {
        "source": source_of(joint.get("source", entry["source"])),
        "granularity": Granularity.SCALAR,
        "stance": Stance.NOTES,
        "targets": _places(places, named),
        "revision": entry["revision"],
        "caveat": joint.get("caveat") or (_caveat(joint) if "source" in joint else None),
        **ZEROED,
    }
    yield Told(Observation(**fields, statement=_words(joint), **_joint_figures(joint)), group=True)
    if "second_hand" in joint:
        ratio = tables.SECOND_HAND_RATIO[entry["model_id"]]
        repeated = {**fields, "revision": None, "caveat": None, "ppl_ratio": ratio, "second_hand": True}
        yield Told(Observation(**repeated, statement=joint["second_hand"]))
    if "also" in joint:
        for more in tables.ALSO.get(entry["model_id"], ()):
            there = {**fields, "targets": _places(places, more.members), "ppl_ratio": more.ratio, "ci95": more.ci95}
            yield Told(Observation(**there, statement=more.words), group=more.group)


def _words(joint: Json) -> str:
    named = joint["set"] if isinstance(joint["set"], str) else "zeroed together"
    return "; ".join([named, *(joint[k] for k in ("note", "also") if k in joint)])


def _joint_figures(joint: Json) -> Json:
    kept = {k: joint[k] for k in ("ppl_before", "ppl_after", "ppl_ratio", "ci95") if joint.get(k) is not None}
    if "ci95" in kept:
        kept["ci95"] = tuple(kept["ci95"])
    return {**kept, "finite": False} if joint.get("note", "").startswith("not finite") else kept
