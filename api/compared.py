"""What a record says of its scans and of its base models' super weights, as plain data and in words. Standard library.

Counted here, never judged: states are the record's own. A comparison in a document of `view`:

    base, base_revision, base_record (digest of the version that names the weights)
    revision (the commit looked at here), time, bytes_read, requests
    same, drifted, gone (how many), worst_drift (the largest relative change, signed)
    scalars[]: weight, tensor, index, state (same, drifted, gone), compared (bits, or value where dtypes differ),
               drift, base and here (dtype, bits, value; here null if there is none), reason (why it is gone)
"""

from typing import Any

Json = dict[str, Any]

STATES = ("same", "drifted", "gone")
_SURVIVAL = ("base", "base_revision", "base_record", "revision", "time", "bytes_read", "requests")
_SCALAR = ("weight", "tensor", "index", "state", "compared", "drift", "base", "here", "reason")


_SCAN = ("id", "outcome", "reason", "time", "layers", "experts", "experts_covered", "fits_float16", "converged")
_ORIGIN = ("model_id", "revision", "scan")
_PROFILE = ("layer", "activation_in", "activation_out", "residual")


def scan_of(scan: Json) -> Json:
    """A scan in a document of `view`."""
    settings, origin = scan["settings"], scan.get("shared_from")
    return {
        **{name: scan.get(name) for name in _SCAN},
        "detector": settings["detector"],
        "effects": settings.get("effects", True),
        "layers_covered": len(scan.get("layers_covered", [])),
        "shared_from": origin and {name: origin.get(name) for name in _ORIGIN},
        "profile": [_layer(layer) for layer in scan.get("profile", [])],
    }


def _layer(layer: Json) -> Json:
    return {**{name: layer.get(name) for name in _PROFILE}, "finite": layer.get("finite", True)}


def survivals(record: Json) -> list[Json]:
    """The comparisons of a record, the newest last."""
    return [_survival(s) for s in record.get("survivals", [])]


def _survival(survival: Json) -> Json:
    scalars = survival["scalars"]
    counts = {state: sum(s["state"] == state for s in scalars) for state in STATES}
    drifts = [s["drift"] for s in scalars if s["state"] == "drifted" and s.get("drift") is not None]
    shown = [{name: s.get(name) for name in _SCALAR} for s in scalars]
    return {
        **{name: survival.get(name) for name in _SURVIVAL},
        **counts,
        "worst_drift": max(drifts, key=abs, default=None),
        "scalars": shown,
    }


def sentence(survival: Json) -> str:
    """What became of a base model's super weights, in one sentence."""
    total = len(survival["scalars"])
    parts = [text for state, say in _SAY.items() if survival[state] for text in [say(survival, total)]]
    at = f" at commit {survival['revision'][:12]}" if survival["revision"] else ""
    base = f"{survival['base']} (commit {survival['base_revision'][:12]})"
    return f"Of the {_scalars(total)} recorded of {base} {', '.join(parts)}: compared{at}, {survival['time'][:10]}."


def _same(survival: Json, total: int) -> str:
    same = [s for s in survival["scalars"] if s["state"] == "same"]
    how = "bit-identical here" if all(s["compared"] == "bits" for s in same) else "the same here up to rounding"
    return f"{len(same)} of {total} {_are(len(same))} {how}"


def _drifted(survival: Json, total: int) -> str:
    worst = survival["worst_drift"]
    most = "" if worst is None else f" by at most {worst:+.2%}" if survival["drifted"] > 1 else f" by {worst:+.2%}"
    return f"{survival['drifted']} of {total} drifted{most}"


def _gone(survival: Json, total: int) -> str:
    return f"{survival['gone']} of {total} {_are(survival['gone'])} gone"


_SAY = {"same": _same, "drifted": _drifted, "gone": _gone}


def _scalars(count: int) -> str:
    return f"{count} {'scalar' if count == 1 else 'scalars'}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def rows(survival: Json) -> list[tuple[str, str, str]]:
    """Weight, state and what there is to say of it, for each scalar that is not the same."""
    return [(s["weight"], s["state"], _told(s)) for s in survival["scalars"] if s["state"] != "same"]


def _told(scalar: Json) -> str:
    if scalar["reason"] or scalar["here"] is None:
        return scalar["reason"] or ""
    drift = "" if scalar["drift"] is None else f" ({scalar['drift']:+.2%})"
    return f"{scalar['base']['value']:.6g} -> {scalar['here']['value']:.6g}{drift}"
