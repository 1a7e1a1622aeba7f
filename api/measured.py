"""What swindex itself did to a set of weights, as plain data: every figure of its newest scan. Standard library only.

Figures are copied and sorted here, never judged.
"""

import math
from typing import Any

Json = dict[str, Any]

_MAX_NLL = 700.0
_STARTLESS = " without <s>"


def ours(weights: list[str], record: Json) -> list[Json]:
    """What our newest scan measured on exactly these weights, whatever was done to them."""
    effects = record.get("effects", [])
    newest = effects[-1]["scan"] if effects else None
    return [e for e in effects if e["scan"] == newest and set(e["weights"]) == set(weights)]


def tried(weights: list[str], record: Json) -> list[Json]:
    """What was done to exactly these weights other than zeroing."""
    copied = ("intervention", "scale", "ppl_before", "ppl_after", "finite", "recovery")
    others = [e for e in ours(weights, record) if not zeroes(e)]
    figures = [{**{name: e.get(name) for name in copied}, "text": text_of(e)} for e in others]
    return [{**f, "ppl_ratio": ratio(delta_of(e))} for f, e in zip(figures, others, strict=True)]


def outliers(weights: list[str], record: Json) -> list[Json]:
    """What removing many large weights did, where it stands beside the removal of these."""
    return [_outlier(e) for e in ours(weights, record) if e.get("outliers")]


def _outlier(effect: Json) -> Json:
    control, text = effect["outliers"], text_of(effect)
    delta = control["worst_delta_nll"]
    return {"text": text, "removed": control.get("count"), "ppl_ratio": ratio(delta), "finite": delta is not None}


def control_of(effect: Json) -> Json | None:
    """What an effect is held against: the worst of other weights' removal."""
    control = effect.get("control")
    if control is None:
        return None
    delta, listed = control["worst_delta_nll"], len(control.get("weights", ()))
    told = {"ppl_ratio": ratio(delta), "finite": delta is not None}
    return {"kind": control["kind"], "removed": listed or control.get("count"), **told}


def texts(figures: list[Json]) -> int:
    """On how many texts we measured, by the figures of a set."""
    return len({f["text"].removesuffix(_STARTLESS) for f in figures if f["basis"] == "measured"})


def text_of(effect: Json) -> str:
    """The text an effect was measured on, and whether `<s>` was absent."""
    name: str = effect["corpus"]["name"]
    return name if effect["corpus"]["bos"] else name + _STARTLESS


def delta_of(effect: Json) -> float | None:
    """Change of the mean NLL; None if not finite."""
    return None if effect["nll_after"] is None else effect["nll_after"] - effect["nll_before"]


def ratio_of(delta_nll: float) -> float | None:
    """The ratio of perplexities for a change of the mean NLL; None where it is too large to print."""
    return None if delta_nll > _MAX_NLL else math.exp(delta_nll)


def ratio(delta_nll: float | None) -> float | None:
    """The same, None for None."""
    return None if delta_nll is None else ratio_of(delta_nll)


def zeroes(effect: Json) -> bool:
    """Whether the weights were removed: only that is judged."""
    return bool(effect["intervention"] == "zero")
