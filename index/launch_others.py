"""From `no_super_weights.json` and `super_experts.json` to observations.

A negative about a model is an observation that denies, without a place; each candidate it tested is one with a place.
Knows nothing of records, status or where they go.
"""

from collections.abc import Iterator
from typing import Any

from ..schema.observation import Granularity, Metric, Observation, Stance
from ..schema.types import Intervention
from ..schema.weight import Coordinates
from . import launch_tables as tables
from .launch_entries import ROW_ZEROED, ZEROED, Json, Places, Told, fields_of, metrics_of, source_of

# --- negatives ---

_FIELD_OF_EVIDENCE = ("dtype", "eval", "kl")
_PLACE = ("layer", "row", "col", "tensor", "layout", "note")


def told_by_negative(negative: Json, places: Places) -> Iterator[Told]:
    """Everything that a negative result holds."""
    here = negative["claim"].startswith(tables.COORDINATE_LEVEL)
    if not here or not negative["candidates_tested"]:
        yield Told(_claim(negative))
    for candidate in negative["candidates_tested"]:
        yield Told(_candidate(negative, candidate, places, whole=here))
    yield from _earlier_study(negative)


def candidate_place(negative: Json, candidate: Json) -> Coordinates | None:
    """Where a tested candidate is; None where the layer is not recorded."""
    if candidate["layer"] is None:
        return None
    name = tables.NEGATIVE_TENSORS.get(negative["model_id"], tables.DEFAULT_TENSOR)
    tensor = name.format(layer=candidate["layer"]) if negative["granularity"] == "scalar" else None
    return Coordinates(layer=candidate["layer"], row=candidate["row"], col=candidate["col"], tensor=tensor)


def _common(negative: Json) -> Json:
    evidence = {k: negative["evidence"][k] for k in _FIELD_OF_EVIDENCE[:2] if k in negative["evidence"]}
    return {
        "source": source_of(negative["source"]),
        "stance": Stance.DENIES,
        "statement": negative["claim"],
        **fields_of({"revision": negative["revision"], **evidence}),
    }


def _details(negative: Json) -> Json:
    """The strength, the method and all other numbers, with the note as caveat."""
    evidence = {k: v for k, v in negative["evidence"].items() if k not in (*_FIELD_OF_EVIDENCE, "intervention")}
    named: Json = {k: negative[k] for k in ("strength", "method", "module") if k in negative}
    zeroed = ROW_ZEROED if negative["evidence"].get("intervention") == "zero whole output row" else {}
    return {"metrics": tuple(metrics_of({**named, **evidence})), "caveat": negative["notes"], **zeroed}


def _claim(negative: Json) -> Observation:
    return Observation(**{**_common(negative), **_details(negative), **_place_of_claim(negative["evidence"])})


def _place_of_claim(evidence: Json) -> Json:
    """A claim without candidates may name a row or a layer."""
    if "claimed_row" in evidence:
        place = Coordinates(layer=evidence["claimed_layer"], row=evidence["claimed_row"])
        return {"granularity": Granularity.ROW, "targets": (place,)}
    if "kl" in evidence:
        place = Coordinates(layer=evidence["layer"])
        return {"granularity": Granularity.TENSOR, "targets": (place,), "kl": evidence["kl"], **ZEROED}
    return {"granularity": Granularity.MODEL}


def _candidate(negative: Json, candidate: Json, places: Places, *, whole: bool) -> Observation:
    place = candidate_place(negative, candidate)
    scalar = place is not None and place.col is not None
    figures = fields_of({k: v for k, v in candidate.items() if k not in _PLACE})
    fields = {
        **_common(negative),
        **figures,
        "granularity": Granularity.MODEL if place is None else Granularity.SCALAR if scalar else Granularity.ROW,
        "targets": _known(place, places),
        **(ZEROED if "ppl_ratio" in figures else {}),
    }
    if whole:
        return Observation(**{**fields, **_details(negative)})
    named: Json = {
        "strength": negative["strength"],
        **{k: candidate[k] for k in ("layout", "tensor") if k in candidate},
    }
    if place is None:
        named |= {"row": candidate["row"], "col": candidate["col"]}
        fields |= {"stance": Stance.NOTES, "statement": f"a further candidate: {candidate['note']}"}
    return Observation(**{**fields, "metrics": tuple(metrics_of(named))})


def _known(place: Coordinates | None, places: Places) -> tuple[Coordinates, ...]:
    if place is None:
        return ()
    if place.row is None or place.col is None:
        return (place,)
    return (places[(place.layer, place.row, place.col)],)


def _earlier_study(negative: Json) -> Iterator[Told]:
    for layer, words, figures in tables.EARLIER_STUDY.get(negative["model_id"], ()):
        fields: Json = {
            "source": source_of(negative["second_source"]),
            "granularity": Granularity.TENSOR,
            "stance": Stance.DENIES,
            "targets": (Coordinates(layer=layer),),
            "statement": words,
            **ZEROED,
            **figures,
        }
        yield Told(Observation(**fields))


# --- super experts ---


def told_by_experts(model: Json) -> Iterator[Told]:
    """One observation for each super expert, and one for pruning them all."""
    targets = tuple(_expert(e) for e in model["super_experts"])
    common: Json = {
        "source": source_of(model["source"]),
        "granularity": Granularity.EXPERT,
        "stance": Stance.CLAIMS,
        "revision": model["revision"],
    }
    for expert, target in zip(model["super_experts"], targets, strict=True):
        inside = {"super_weight": expert["super_weight"]}
        told = {
            "statement": _words(expert),
            "activation_out": expert["max_output"],
            "metrics": tuple(metrics_of(inside)),
        }
        yield Told(Observation(**common, targets=(target,), **told))
    yield Told(Observation(**common, targets=targets, **_pruned(model)))


def _words(expert: Json) -> str:
    named = "the shared expert" if expert["expert"] == "shared" else f"expert {expert['expert']}"
    peak = "; activation_out is its largest output" if expert["max_output"] is not None else ""
    return f"super expert: {named} of layer {expert['layer']}{peak}"


def _expert(expert: Json) -> Coordinates:
    shared = expert["expert"] == "shared"
    tensor = f"model.layers.{expert['layer']}.mlp.shared_experts.down_proj.weight" if shared else expert["tensor"]
    return Coordinates(layer=expert["layer"], expert=None if shared else expert["expert"], tensor=tensor)


def _pruned(model: Json) -> Json:
    named: dict[str, Any] = {
        k: model[k] for k in ("criterion", "total_experts", "controls", "top_outputs") if k in model
    }
    metrics: tuple[Metric, ...] = tuple(metrics_of(named))
    if model["ppl_after"] is None:
        return {"statement": "the super experts of this model", "metrics": metrics, "caveat": model["notes"]}
    return {
        "statement": model["intervention"],
        "intervention": Intervention.ZERO,
        "changed": Granularity.EXPERT,
        "corpus": model["eval"],
        "ppl_before": model["ppl_before"],
        "ppl_after": model["ppl_after"],
        "metrics": metrics,
        "caveat": model["notes"],
    }
