"""Table 2: the super weights, as measured and as reported."""

from ..page import number
from . import conditions
from .document import removed
from .shapes import DASH, Json, Section, Table, listed, plural, times

_COLUMNS = ("weight", "tensor", "index", "role", "value", "X", "Y", "share", "alone", "together")
_CLAIMED = ("weight", "tensor", "index", "value", "location", "claimed by", "perplexity, as reported")


def coordinates(document: Json) -> Section:
    """The directory of super weights."""
    weights = document["found"]["super_weights"]
    tables = [Table("Found by swindex", _COLUMNS, tuple(_row(w) for w in weights), numbers=2)] if weights else []
    reported = document["reported"]
    if reported:
        rows = tuple(_claimed(w) for w in reported["super_weights"])
        sets = tuple(_set(g) for g in reported["groups"] if len(g["members"]) > 1)
        tables.append(Table(f"Reported of {reported['model']} (index)", _CLAIMED, rows + sets, numbers=9))
    notes = (
        "Index: position in the stored tensor, ready to use. X and Y: into the weight and out of the down projection "
        "where it was seen; share: of what was written there that this product explains.",
        conditions.of_model(document),
    )
    return Section("table-2", "Super weights (table 2)", (_said(document), _claims(document)), (), tuple(tables), notes)


def _said(document: Json) -> str:
    found, weights = document["found"], document["found"]["super_weights"]
    if found["outcome"] == "found":
        together = removed(document)
        how = "removed" if len(weights) == 1 else "removed together"
        verdict = f"; {how}: {together['verdict'].replace('_', ' ')}" if together else ""
        return f"{plural(len(weights), 'scalar')} found{verdict}."
    if found["outcome"] == "none_found":
        harmless = (
            f" {plural(len(weights), 'candidate')} make a spike that does no harm when removed." if weights else ""
        )
        return f"This model has no super weight: a scan found none.{harmless}"
    return f"The scan ended as {found['outcome'].replace('_', ' ')}: what it found was not tested by removal."


def _claims(document: Json) -> str:
    if document["reported"] is None:
        return "The index has no claim of others about this model."
    sources = listed(f"{s['origin']}" for s in document["reported"]["sources"])
    return f"Claims of others, from the index, stand below in their own numbers: {sources}."


def _row(weight: Json) -> tuple[str, ...]:
    figures = [number(weight[name]) or DASH for name in ("value", "activation_in", "activation_out")]
    share = DASH if weight["share"] is None else f"{weight['share']:.2f}"
    grouped = (weight["grouped"] or DASH).replace("_", " ").replace("untested", DASH)
    tested = (weight["verdict"].replace("_", " "), grouped)
    return (weight["id"], weight["tensor"], _index(weight), weight["role"] or DASH, *figures, share, *tested)


def _index(weight: Json) -> str:
    return str(list(weight["index"])) if weight["index"] else DASH


def _claimed(weight: Json) -> tuple[str, ...]:
    place = (weight["tensor"] or DASH, _index(weight), number(weight["value"]) or DASH)
    return (weight["id"], *place, weight["location"], listed(weight["origins"]), _figures(weight))


def _set(group: Json) -> tuple[str, ...]:
    return (f"{plural(len(group['members']), 'weight')} together", *(DASH,) * 5, _figures(group))


def _figures(part: Json) -> str:
    """Others' figures: ratio, by whom, on what."""
    told = [
        f"{times(f['ppl_ratio'], finite=f['finite'])} ({f['by']}{', ' + f['text'] if f['text'] else ''})"
        for f in part["figures"]
    ]
    return "; ".join(told) or DASH
