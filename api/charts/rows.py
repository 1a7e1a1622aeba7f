"""The data of charts: rows copied from a document of `view`, nothing rounded, nothing judged. Standard library only."""

from typing import Any

from ..paste import short

Json = dict[str, Any]
MOST = 24
"""Sets of weights in a chart of effects; of more the ones with the largest effects are drawn."""
_LABEL = 40
MEASURED, REPORTED, CONTROL = "measured by swindex", "reported by others", "control: other weights removed"
_KIND = {"measured": MEASURED, "reported": REPORTED}


# --- activations ---


def profile_rows(document: Json) -> list[Json]:
    """A row for each layer that a scan saw: layer, into, out_of (null where not known), marked (it has finds)."""
    layers = finds(document)
    return [
        {
            "layer": each["layer"],
            "into": each["activation_in"],
            "out_of": each["activation_out"],
            "marked": each["layer"] in layers,
        }
        for each in (document["scan"] or {}).get("profile", ())
    ]


def finds(document: Json) -> set[int]:
    """The layers with weights that are not refuted."""
    return {w["layer"] for w in document["super_weights"] if w["location"] != "refuted"}


def has_profile(document: Json) -> bool:
    """Whether there is an activation to draw."""
    return any(row["into"] is not None or row["out_of"] is not None for row in profile_rows(document))


# --- effects ---


def sets_of(document: Json) -> list[tuple[str, Json]]:
    """What was removed and has figures: a label and the weight or the group, in the document's order."""
    named = {w["id"]: short(w) for w in document["super_weights"]}
    groups = [g for g in document["groups"] if len(g["members"]) > 1 and g["figures"]]
    found = [(named[w["id"]], w) for w in document["super_weights"] if w["figures"]]
    return found + [(label_of(group, named), group) for group in groups]


def label_of(group: Json, named: dict[str, str]) -> str:
    """The members of a pair, else the group's name and their number."""
    members = [named.get(m, m) for m in group["members"]]
    text = " + ".join(members) if len(members) < 3 else f"{group['id']} ({len(members)})"
    return text if len(text) <= _LABEL else text[: _LABEL - 1] + "…"


def effect_rows(document: Json) -> list[Json]:
    """A row for each figure: set, kind, by, text, ratio (null if not finite or beyond print), finite, low, high.

    What a figure of ours is held against is a row of its own, of the kind CONTROL.
    """
    return [row for label, part in drawn(document) for figure in part["figures"] for row in _rows(label, figure)]


def drawn(document: Json) -> list[tuple[str, Json]]:
    """The sets that are drawn: all, or those with the largest effects; each label once."""
    sets = sets_of(document)
    if len(sets) > MOST:
        largest = sorted(range(len(sets)), key=lambda at: -_size(sets[at][1]))[:MOST]
        sets = [sets[at] for at in sorted(largest)]
    seen: dict[str, int] = {}
    named = []
    for label, part in sets:
        seen[label] = seen.get(label, 0) + 1
        named.append((label if seen[label] == 1 else f"{label} ({seen[label]})", part))
    return named


def _size(part: Json) -> float:
    return max((f["ppl_ratio"] if f["ppl_ratio"] is not None else float("inf")) for f in part["figures"])


def _rows(label: str, figure: Json) -> list[Json]:
    low, high = figure["ppl_ratio_ci95"] or (None, None)
    told = {"set": label, "by": figure["by"], "text": figure["text"]}
    rows = [{**told, "kind": _KIND[figure["basis"]], **_ratio(figure), "low": low, "high": high}]
    control = figure["control"]
    return rows + ([{**told, "kind": CONTROL, **_ratio(control), "low": None, "high": None}] if control else [])


def _ratio(figure: Json) -> Json:
    return {"ratio": figure["ppl_ratio"], "finite": figure["finite"]}
