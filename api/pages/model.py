"""What the page of a model shows, made of its documents. Decides nothing; says whose figures they are.

Knows documents as plain data, never HTML.
"""

from datetime import date
from typing import Any

from ...index.errors import NotInIndex, StoreError
from ..changes import Change
from ..charts.rows import MOST, has_profile, label_of, profile_rows, sets_of
from ..charts.rows import finds as finds_in
from ..compared import rows, sentence
from ..decided import sentences
from ..names import Asked
from ..paste import coordinate, remarks, short
from ..report import CONFLICTS, OUTCOMES, stale, warnings
from ..service import documents
from ..service.snapshot import Snapshot
from ..tables import DONE, whose
from .copying import copies
from .html import Page
from .words import commit, described, parameters, versions

Json = dict[str, Any]
LOCATIONS = {
    "confirmed": "found by our scan",
    "reported": "reported only",
    "disputed": "disputed",
    "refuted": "refuted",
}
_RELATED_MOST = 20000
"""Models up to which those made from a model are looked for among all."""
_DERIVED = 12


def page(snapshot: Snapshot, asked: Asked, today: date) -> Page:
    """The page of a model; of one that is not in the index, the page that says so."""
    try:
        document = documents.model(snapshot, asked)
    except NotInIndex as error:
        return unknown(snapshot, asked, error)
    at = f"@{asked.revision}" if asked.revision else ""
    path = f"{document['model']['id']}{at}"
    return Page(
        "model.html", {**_told(snapshot, document, asked, today), "path": path, "title": document["model"]["id"]}
    )


def unknown(snapshot: Snapshot, asked: Asked, error: NotInIndex) -> Page:
    """The page of a model, or of a commit of one, of which the index knows nothing."""
    near = nearest_to(snapshot, asked.model_id)
    there = snapshot.catalogue is not None and snapshot.catalogue.find(asked.model_id) is not None
    said = str(error) if there else None
    context = {"title": asked.model_id, "asked": asked, "near": near, "there": there, "said": said}
    return Page("unknown.html", context, 404)


def nearest_to(snapshot: Snapshot, model_id: str) -> list[str]:
    """Ids like one that is not in the index."""
    from ..names import nearest

    return nearest(model_id, snapshot.reader.near_ids())


def _told(snapshot: Snapshot, document: Json, asked: Asked, today: date) -> Json:
    architecture = document["model"]["architecture"]
    weights = [{**w, "says": coordinate(w, architecture), "short": short(w)} for w in document["super_weights"]]
    standing = [w for w in weights if w["location"] != "refuted"]
    return {
        "document": document,
        "facts": _facts(document["model"]),
        "outcome": OUTCOMES.get(document["outcome"], f"Outcome: {document['outcome']}."),
        "warnings": [*warnings(document), *stale(document["index"], today)],
        "weights": standing,
        "refuted": [w for w in weights if w["location"] == "refuted"],
        "remarks": remarks(standing),
        "locations": LOCATIONS,
        "copies": copies(document),
        "described": described(document),
        **_effects(document),
        **_profile(document),
        **_claims(document),
        **_related(snapshot, document),
        **_record(snapshot, document, asked),
    }


def _facts(model: Json) -> list[tuple[str, str]]:
    told = (
        ("Architecture", model["architecture"]),
        ("Family", model["model_type"]),
        ("Parameters", parameters(model["parameters"])),
        ("Layers", model["layers"]),
        ("Hidden size", model["hidden_size"]),
        ("Stored as", model["dtype"]),
    )
    return [(name, str(value)) for name, value in told if value]


# --- figures ---


def _effects(document: Json) -> Json:
    sets = sets_of(document)
    named = {w["id"]: short(w) for w in document["super_weights"]}
    spelled = [(p["id"], ", ".join(named.get(m, m) for m in p["members"])) for _, p in sets if len(_members(p)) > 2]
    return {
        "sets": sets,
        "members": spelled,
        "whose": whose({part["basis"] for _, part in sets}),
        "one_text": any(part["basis"] == "measured" and part["texts"] < 2 for _, part in sets),
        "controls": _controls(sets),
        "left_out": max(len(sets) - MOST, 0),
        "tried": _tried(document, named),
    }


def _members(part: Json) -> list[str]:
    return list(part.get("members", ()))


def _controls(sets: list[tuple[str, Json]]) -> list[str]:
    """What figures are held against, in the words of the record."""
    found = [f["control"] for _, part in sets for f in part["figures"] if f["control"]]
    return list(dict.fromkeys(c["kind"] for c in found))


def _tried(document: Json, named: dict[str, str]) -> list[Json]:
    """What else was done, to each set, and what removing other weights did."""
    alone = [(short(w), w) for w in document["super_weights"]]
    together = [(label_of(g, named), g) for g in document["groups"]]
    told = []
    for label, part in alone + together:
        told += [{**t, "set": label, "done": DONE[t["intervention"]].format(scale=t["scale"])} for t in part["tried"]]
        for other in part.get("outliers", ()):
            done = f"the {other['removed']} largest other weights removed"
            told.append({**other, "set": "other weights", "done": done, "recovery": None})
    return told


def _profile(document: Json) -> Json:
    layers = (document["scan"] or {}).get("profile", ())
    return {
        "profile": layers,
        "has_profile": has_profile(document),
        "finds": finds_in(document),
        "peak": _peak(document),
    }


def _peak(document: Json) -> Json | None:
    """The layer with the largest activation out of its down projection."""
    known = [row for row in profile_rows(document) if row["out_of"] is not None]
    return max(known, key=lambda row: row["out_of"], default=None)


# --- claims ---


def _claims(document: Json) -> Json:
    named = {w["id"]: short(w) for w in document["super_weights"]}
    conflicts = [{**c, "about": ", ".join(named.get(w, w) for w in c["weights"])} for c in document["conflicts"]]
    stances = ("denies", "claims", "notes")
    ordered = sorted(document["observations"], key=lambda o: stances.index(o["stance"]))
    return {
        "conflicts": [
            {**c, "what": CONFLICTS.get(c["kind"], f"{c['kind']}: what sources say differs")} for c in conflicts
        ],
        "statements": [{**o, "about": _about(o)} for o in ordered],
        "decisions": [sentences(d) for d in document["decisions"]],
        "notes": [
            {"about": ", ".join(named.get(a, a) for a in n["about"][:3]), "text": n["text"]} for n in document["notes"]
        ],
    }


def _about(observation: Json) -> str:
    places = [short(t) for t in observation["targets"]]
    more = f" and {len(places) - 3} more" if len(places) > 3 else ""
    return (", ".join(places[:3]) or f"the {observation['granularity']}") + more


# --- other models, the record ---


def _related(snapshot: Snapshot, document: Json) -> Json:
    survivals = [{"base": s["base"], "said": sentence(s), "rows": rows(s)} for s in document["survivals"]]
    base = document["model"]["base_model"]
    known = snapshot.catalogue.find(base) if base and snapshot.catalogue else None
    return {"survivals": survivals, "base_known": known, "derived": _derived(snapshot, document["model"]["id"])}


def _derived(snapshot: Snapshot, model_id: str) -> list[Json]:
    """Models of the index that were made from this one, and what survived in them."""
    catalogue, key = snapshot.catalogue, model_id.lower()
    if catalogue is None or len(catalogue) > _RELATED_MOST:
        return []
    rows_of = [row for row in catalogue if key in row.names and row.key != key and key in row.names.split("\n")]
    found = [_descendant(snapshot, row.id, key) for row in rows_of[:_DERIVED]]
    return [each for each in found if each]


def _descendant(snapshot: Snapshot, model_id: str, base: str) -> Json | None:
    try:
        document = documents.model(snapshot, Asked(model_id))
    except StoreError:
        return None
    survived = [sentence(s) for s in document["survivals"] if s["base"].lower() == base]
    if str(document["model"]["base_model"]).lower() != base and not survived:
        return None
    return {"id": model_id, "relation": document["model"]["relation"], "survived": survived}


def _record(snapshot: Snapshot, document: Json, asked: Asked) -> Json:
    if document["record"] is None:
        return {"history": [], "verify": None}
    model_id = document["model"]["id"]
    changes = [Change.model_validate(each) for each in documents.history(snapshot, model_id)["versions"]]
    verify = documents.verify(snapshot, asked)
    return {"history": versions(changes), "verify": verify, "commit": commit(document["model"]["revision"])}
