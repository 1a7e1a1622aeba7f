"""The document of a study: what was measured, and beside it what others report of the model. Plain JSON.

kind, version, time, detector, device, compute_dtype, libraries, parts, left_out, trace, quantization, tasks:
             as `crawler.study.results` has them
record       the scan's record, as `swindex scan --out` writes it
found        the same as `swindex scan --json` shows it (`api.view` has the names)
reported     null, or what the index has from outside sources: model, index (which), super_weights[] (id, tensor,
             index, value, location, origins, figures[]), groups[] (id, members, figures[]), sources[];
             figures are the sources' own
"""

from typing import Any

from ..view import view

Json = dict[str, Any]
_WEIGHT = ("id", "tensor", "index", "value", "location", "origins")


def document_of(study: Json, known: Json | None) -> Json:
    """The document of a study (as plain JSON) and of the index's document of the model, where it has one."""
    return {**study, "found": view(study["record"]), "reported": None if known is None else _reported(known)}


def _reported(known: Json) -> Json | None:
    claims = {w["id"]: _claim(w, _WEIGHT) for w in known["super_weights"] if w["origins"]}
    groups = [_claim(g, ("id", "members")) for g in known["groups"]]
    kept = {
        "model": known["model"]["id"],
        "inherited_from": known["inherited_from"],
        "index": known["index"].get("source"),
        "super_weights": list(claims.values()),
        "groups": [g for g in groups if g["figures"]],
        "sources": known["sources"],
    }
    return kept if kept["super_weights"] or kept["groups"] else None


def _claim(part: Json, names: tuple[str, ...]) -> Json:
    figures = [f for f in part["figures"] if f["basis"] == "reported"]
    return {**{name: part[name] for name in names}, "figures": figures}


def removed(document: Json) -> Json | None:
    """The set of everything that was found and peeled, with its figures; None if nothing was."""
    peeled = {w["id"] for w in document["found"]["super_weights"] if w["role"] != "remover"}
    return next((g for g in document["found"]["groups"] if peeled and set(g["members"]) == peeled), None)
