"""What curators decided on a record's claims, as plain data and in words. Standard library only.

A decision in a document of `view`:

    kind (settle, withdraw, split), by, time, reason
    conflict (null, or kind and weights of the one that it settles)
    claims[], instead[]: what it took out and what it put in their place, each with the names of `observations[]`
"""

from typing import Any

from .figures import pick, reported_ratio
from .paste import short

Json = dict[str, Any]

_SAID = ("granularity", "stance", "statement", "ppl_before", "ppl_after", "finite", "caveat")
_PLACE = ("layer", "expert", "row", "col")
_DONE = {"settle": "Settled", "withdraw": "Withdrawn", "split": "Split"}


def claim_of(observation: Json) -> Json:
    """An observation in a document of `view`."""
    return {
        "origin": observation["source"]["origin"],
        **pick(observation, _SAID),
        "ppl_ratio": reported_ratio(observation),
        "targets": [pick(t, _PLACE) for t in observation.get("targets", [])],
    }


def decisions(record: Json) -> list[Json]:
    """The decisions of a record, the newest last."""
    return [_decision(d) for d in record.get("decisions", [])]


def _decision(decision: Json) -> Json:
    about = decision.get("conflict")
    parts = {name: [claim_of(o) for o in decision.get(name, [])] for name in ("claims", "instead")}
    told = pick(decision, ("kind", "by", "time", "reason"))
    return {**told, "conflict": about and pick(about, ("kind", "weights")), **parts}


def settled_by(conflict: Json, decided: list[Json]) -> Json | None:
    """Who settled a conflict, when and why (by the last decision that names it); None if it is open."""
    weights = set(conflict["weights"])
    found = [
        d for d in decided if (c := d["conflict"]) and c["kind"] == conflict["kind"] and set(c["weights"]) == weights
    ]
    return pick(found[-1], ("by", "time", "reason")) if found else None


def brief(claim: Json) -> str:
    """A claim in a few words: who says what of which places."""
    places = [short(t) for t in claim["targets"]]
    about = ", ".join(places[:3]) or f"the {claim['granularity']}"
    more = f" and {len(places) - 3} more" if len(places) > 3 else ""
    words = f": {claim['statement']}" if claim["statement"] else ""
    return f"{claim['origin']} {claim['stance']} {about}{more}{words}"


def sentences(decision: Json) -> str:
    """A decision in a paragraph."""
    about = decision["conflict"]
    of = f" the {about['kind']} conflict of {', '.join(about['weights'])}" if about else ""
    out = "; ".join(brief(c) for c in decision["claims"])
    new = "; ".join(brief(c) for c in decision["instead"])
    said = [f"{_DONE.get(decision['kind'], decision['kind'])}{of} by {decision['by']}, {decision['time'][:10]}"]
    said += [f"Taken out: {out}"] if out else []
    said += [f"Put in place: {new}"] if new else []
    return ". ".join([*said, f"Why: {decision['reason'].rstrip('.')}."])
