"""The JSON document of `lookup --json` and `scan --json`, made from a record. Standard library only.

The shape is stable: names are added, never removed or narrowed. Every name is always there; null means not known.

    model            id, revision, architecture, model_type, parameters, dtype, layers, hidden_size, base_model,
                     relation
    outcome          of the latest scan; `reported` where only outside claims exist; `inherited` where all that is
                     known is what became here of a base model's super weights (survivals); `unknown` where nothing
                     is known of the model itself and what follows is inherited
    reported         true if outside claims exist
    super_weights[]  every candidate, inert and refuted ones too:
                     id, layer, expert, row, col, tensor, index (ready to use on the stored tensor), shape, dtype,
                     value, bits, scale (value over what the bits mean, of a quantized weight), packed (the format of
                     codes that share the word in `bits`), file, byte_offset, role, group,
                     location (reported, confirmed, disputed, refuted), origins (who claims it), denied_by,
                     verdict (of removing it alone), basis (measured by us, or reported by others),
                     ppl_before, ppl_after, ppl_ratio, figures[],
                     texts, tried[], grouped, grouped_basis, grouped_in (the strongest group of more than this weight),
                     activation_in, activation_out, share, coherence, rank, round, scan
    groups[]         id, kind, reported, members (weight ids), verdict, basis, ppl_before, ppl_after, ppl_ratio,
                     figures[], texts, tried[], outliers[], missing (weights that others add to this set and that
                     matter)
      figures[]      what removing exactly these weights did, the one that the verdict rests on first:
                     by (`swindex` or an origin), basis, ppl_before, ppl_after, ppl_ratio, ppl_ratio_ci95 (95 %
                     interval), finite, text (what it was measured on), second_hand, statement, caveat,
                     control (what it is held against, of our figures: kind, removed (how many weights, each alone or
                     together as `kind` says), ppl_ratio and finite of the worst; null if there is none)
      texts          on how many texts swindex measured it; a verdict to be relied on rests on two
      tried[]        what else swindex did to exactly these weights: intervention (mean, class_mean, restore, scale),
                     scale, text, ppl_before, ppl_after, ppl_ratio, finite, recovery (part of the damage undone)
      outliers[]     what removing many large weights did instead: text, removed (how many), ppl_ratio, finite
    conflicts[]      kind, weights, sides, settled (by, time, reason of the decision that settles it; null if open)
    observations[]   outside statements that are neither a plain claim of a listed scalar nor a figure above: about
                     rows, experts, tensors or the model, about other sets, and all that deny:
                     origin, granularity, stance, targets[] (layer, expert, row, col), statement,
                     ppl_before, ppl_after, ppl_ratio, finite, caveat
    sources[]        origin, title, url
    scan             the latest: id, outcome, reason, time, detector, effects, layers, layers_covered (how many),
                     experts, experts_covered, fits_float16, converged, shared_from (model_id, revision, scan: where
                     it was made, as the files here are identical; null if made here), profile[] (layer, activation_in
                     and activation_out: the largest |activation| into and out of the down projection over all
                     prompts, residual, finite); null if there is none
    survivals[]      base models whose recorded super weights were looked for here, which is no scan:
                     base, base_revision, same, drifted, gone, ..., scalars[]: `compared` has the names
    decisions[]      what curators decided on claims, the claims that they took out included: `decided` has the names
    notes[]          about (weight ids), text
    inherited_from   null, or the base model that super_weights, groups and conflicts are taken from:
                     id, revision, relation, outcome, version, time
    record           version, time, digest, schema_version, submitter, withdrawn (time, reason); null if there is none
    index            time (of the newest version in the index; null if the record is not from an index),
                     torn (true if the model's log ends in a half-written version, which was left out),
                     crawl (the last one: started, ended, complete, stopped, listed, eligible, indexed; null if
                     there was none), source (which index that is), released (when what was read was published; null
                     if it is the index itself), checked (when its source was last asked, where this answer did not
                     ask it; else null), as_of (the time asked for; null if it was the newest version)

Figures are copied and sorted here, never judged: verdicts and locations are the record's own status.
"""

from typing import Any

from .compared import scan_of, survivals
from .decided import claim_of, decisions, settled_by
from .figures import figures_of, ids_of, is_figure, pick, quotient
from .measured import outliers, texts, tried

Json = dict[str, Any]

_MODEL = (
    "id",
    "revision",
    "architecture",
    "model_type",
    "parameters",
    "dtype",
    "layers",
    "hidden_size",
    "base_model",
    "relation",
)
_PLACE = ("layer", "expert", "row", "col")
_STORED = (
    "id",
    *_PLACE,
    "tensor",
    "index",
    "shape",
    "dtype",
    "value",
    "bits",
    "scale",
    "packed",
    "file",
    "byte_offset",
    "role",
    "group",
)
_SEEN = ("activation_in", "activation_out", "share", "coherence", "rank", "round", "scan")
_RECORD = ("version", "time", "digest", "schema_version", "submitter", "withdrawn")
_INDEX = ("time", "torn", "crawl", "source", "released", "checked", "as_of")
UNKNOWN = "unknown"


def view(record: Json, index: Json | None = None, torn: bool = False) -> Json:
    """The document for one version of a record, given as plain JSON data; raise KeyError where it is not a record.

    `index`: what is known of the index that it is from; what is left out is null.
    """
    observations = record.get("observations", [])
    scans, decided = record.get("scans", []), decisions(record)
    sets = [{w["id"]} for w in record.get("super_weights", [])] + [set(g["members"]) for g in record.get("groups", [])]
    return {
        "model": pick(record["model"], _MODEL),
        "outcome": record["status"]["outcome"],
        "reported": bool(observations),
        "super_weights": [_weight(w, s, record) for w, s in _with_status(record, "super_weights", "weights", "weight")],
        "groups": [_group(g, s, record) for g, s in _with_status(record, "groups", "groups", "group")],
        "conflicts": [_conflict(c, decided) for c in record["status"]["conflicts"]],
        "observations": [claim_of(o) for o in observations if not _is_told(o, sets)],
        "sources": _sources(observations),
        "scan": scan_of(scans[-1]) if scans else None,
        "survivals": survivals(record),
        "decisions": decided,
        "notes": [pick(r, ("about", "text")) for r in record.get("remarks", [])],
        "inherited_from": None,
        "record": pick(record["provenance"], _RECORD),
        "index": {**dict.fromkeys(_INDEX), **(index or {}), "torn": torn},
    }


def unknown(model_id: str, index: Json | None = None) -> Json:
    """The document for a model without a record: nothing but its id."""
    empty: Json = {"model": {"id": model_id}, "status": {"outcome": UNKNOWN, "weights": [], "groups": []}}
    empty["status"]["conflicts"] = []
    return {**view({**empty, "provenance": {}}, index), "record": None}


def inherit(document: Json, base: Json) -> Json:
    """The document of a model with the weights of its base model, marked as inherited."""
    origin = {**pick(base["model"], ("id", "revision")), "relation": document["model"]["relation"]}
    seen = {"outcome": base["outcome"], **pick(base["record"], ("version", "time"))}
    taken = {name: base[name] for name in ("super_weights", "groups", "conflicts")}
    sources = document["sources"] + [s for s in base["sources"] if s not in document["sources"]]
    return {**document, **taken, "sources": sources, "inherited_from": {**origin, **seen}}


# --- parts ---


def _with_status(record: Json, parts: str, statuses: str, key: str) -> list[tuple[Json, Json]]:
    by_id = {s[key]: s for s in record["status"][statuses]}
    return [(part, by_id[part["id"]]) for part in record.get(parts, [])]


def _weight(weight: Json, status: Json, record: Json) -> Json:
    figures = figures_of([weight["id"]], status["alone_basis"], record)
    denied = {o["source"]["origin"] for o in record.get("observations", []) if _denies(o, weight["id"])}
    return {
        **pick(weight, (*_STORED, *_SEEN)),
        "location": status["location"],
        "origins": status["origins"],
        "denied_by": sorted(denied),
        "verdict": status["alone"],
        "basis": status["alone_basis"],
        **_headline(figures, status["alone_basis"]),
        "figures": figures,
        "texts": texts(figures),
        "tried": tried([weight["id"]], record),
        **pick(status, ("grouped", "grouped_basis", "grouped_in")),
    }


def _group(group: Json, status: Json, record: Json) -> Json:
    figures = figures_of(group["members"], status["basis"], record)
    headline = _headline(figures, status["basis"])
    return {
        **pick(group, ("id", "kind", "reported", "members")),
        "verdict": status["verdict"],
        "basis": status["basis"],
        "ppl_before": status["ppl_before"],
        "ppl_after": status["ppl_after"],
        "ppl_ratio": quotient(status["ppl_before"], status["ppl_after"]) or headline["ppl_ratio"],
        "figures": figures,
        "texts": texts(figures),
        "tried": tried(group["members"], record),
        "outliers": outliers(group["members"], record),
        "missing": status["missing"],
    }


def _conflict(conflict: Json, decided: list[Json]) -> Json:
    return {**pick(conflict, ("kind", "weights", "sides")), "settled": settled_by(conflict, decided)}


def _sources(observations: list[Json]) -> list[Json]:
    found: list[Json] = []
    for observation in observations:
        source = pick(observation["source"], ("origin", "title", "url"))
        if source not in found:
            found.append(source)
    return sorted(found, key=lambda s: s["origin"])


# --- figures ---


def _headline(figures: list[Json], basis: str | None) -> Json:
    names = ("ppl_before", "ppl_after", "ppl_ratio")
    return pick(figures[0], names) if figures and figures[0]["basis"] == basis else dict.fromkeys(names)


def _denies(observation: Json, weight: str) -> bool:
    return bool(observation["stance"] == "denies") and weight in ids_of(observation)


def _is_told(observation: Json, sets: list[set[str]]) -> bool:
    """Whether the super weights, the groups and their figures already say all of it."""
    if observation["stance"] == "denies" or observation["granularity"] != "scalar":
        return False
    return observation["stance"] == "claims" or (is_figure(observation) and ids_of(observation) in sets)
