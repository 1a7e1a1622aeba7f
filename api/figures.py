"""What removing weights did, as figures: ours and those of outside sources, in one order. Standard library only.

Figures are copied and sorted here, never judged.
"""

import math
from typing import Any

from .measured import control_of, delta_of, ours, ratio, ratio_of, text_of, zeroes

Json = dict[str, Any]


def pick(data: Json, names: tuple[str, ...]) -> Json:
    """Some entries by name, None for those that are not there."""
    return {name: data.get(name) for name in names}


def weight_id(place: Json) -> str | None:
    """The id of the scalar at a place; None for a row, a column or an expert (schema/types.py has the rule)."""
    if place.get("row") is None or place.get("col") is None:
        return None
    expert = "" if place.get("expert") is None else f".E{place['expert']}"
    return f"L{place['layer']}{expert}.R{place['row']}.C{place['col']}"


def reported_ratio(observation: Json) -> float | None:
    """Perplexity after over before by a source's own figures; None if it gives none (schema/status.py has the rule)."""
    if ratio := quotient(observation.get("ppl_before"), observation.get("ppl_after")):
        return ratio
    if observation.get("ppl_ratio"):
        return float(observation["ppl_ratio"])
    before, change = observation.get("nll_before"), observation.get("nll_relative_change")
    return None if before is None or change is None else ratio_of(before * change)


def figures_of(weights: list[str], basis: str | None, record: Json) -> list[Json]:
    """What removing exactly these weights did, by us and by others; the weakest of the deciding basis first.

    Of what we measured both behind `<s>` and without it that under which it does more decides (schema/status.py).
    """
    wanted = set(weights)
    mine = _by_condition([e for e in ours(weights, record) if zeroes(e)])
    theirs = [_reported(o) for o in record.get("observations", []) if is_figure(o) and ids_of(o) == wanted]
    theirs.sort(key=_size)
    return sorted(mine + theirs, key=lambda f: (f["basis"] != basis, f["second_hand"]))


def _by_condition(effects: list[Json]) -> list[Json]:
    """Our figures, the weakest first under each condition, the condition under which they are larger first."""
    conditions = [[_measured(e) for e in effects if e["corpus"]["bos"] is bos] for bos in (True, False)]
    behind, without = (sorted(figures, key=_size) for figures in conditions)
    more = bool(behind and without) and _size(without[0]) > _size(behind[0])
    return without + behind if more else behind + without


def _size(figure: Json) -> float:
    return math.inf if figure["ppl_ratio"] is None else float(figure["ppl_ratio"])


def _measured(effect: Json) -> Json:
    interval = effect.get("delta_nll_ci95")
    return {
        "by": "swindex",
        "basis": "measured",
        **pick(effect, ("ppl_before", "ppl_after")),
        "ppl_ratio": ratio(delta_of(effect)),
        "ppl_ratio_ci95": None if interval is None else [ratio_of(bound) for bound in interval],
        "finite": effect["finite"],
        "text": text_of(effect),
        "second_hand": False,
        "statement": None,
        "caveat": None,
        "control": control_of(effect),
    }


def _reported(observation: Json) -> Json:
    return {
        "by": observation["source"]["origin"],
        "basis": "reported",
        **pick(observation, ("ppl_before", "ppl_after")),
        "ppl_ratio": reported_ratio(observation),
        "ppl_ratio_ci95": None,
        "finite": observation.get("finite") is not False,
        "text": observation.get("corpus"),
        "second_hand": bool(observation.get("second_hand")),
        **pick(observation, ("statement", "caveat")),
        "control": None,
    }


def quotient(before: float | None, after: float | None) -> float | None:
    return after / before if before and after else None


def is_figure(observation: Json) -> bool:
    """Whether it is a source's figure for zeroing scalars: what the status rule judges."""
    if observation.get("changed") != "scalar" or observation.get("intervention") != "zero":
        return False
    return bool(observation.get("finite") is False) or reported_ratio(observation) is not None


def ids_of(observation: Json) -> set[str | None]:
    """The scalars that a statement is about, by id."""
    return {i for t in observation.get("targets", []) if (i := weight_id(t)) is not None}
