"""The page of `swindex index review`: claims side by side, what the rule concludes and why, the decisions so far.

Knows the documents of `index.review`; decides nothing.
"""

from typing import Any

from .page import Cell, Column, Page, number
from .paste import short
from .tables import Caveats

Json = dict[str, Any]

_ID = 8
"""Digits of a claim's id that are shown; they name it."""
_STYLES = {"confirmed": "bold", "disputed": "yellow", "refuted": "red", "claims": "green", "denies": "red"}
_MODELS = (
    Column("MODEL"),
    Column("OUTCOME", drop=4),
    Column("CLAIMS", drop=3, right=True),
    Column("CONFLICTS", right=True),
    Column("OPEN", right=True),
    Column("DISPUTED", right=True, drop=1),
    Column("REFUTED", right=True, drop=2),
    Column("DECISIONS", right=True, drop=2),
)
_CLAIMS = (
    Column("CLAIM"),
    Column("WHO"),
    Column("SAYS"),
    Column("VALUE", drop=2, right=True),
    Column("PERPLEXITY", drop=1, right=True),
    Column("IN WORDS", drop=3),
)


def overview_page(page: Page, models: list[Json], hidden: int) -> None:
    """The list of models, and how many are not in it."""
    if models:
        page.table(_MODELS, [_model(m) for m in models])
    total = f"{len(models)} models with something to review" if hidden else f"{len(models)} models"
    rest = f"; {hidden} more have no conflict that is open and nothing disputed: --all" if hidden else ""
    page.text(f"{total}{rest}. Side by side: swindex index review MODEL", "bold")


def _model(model: Json) -> list[Cell]:
    counts = [str(model[n]) for n in ("claims", "conflicts", "open", "disputed", "refuted", "decisions")]
    style = "yellow" if model["open"] else None
    return [
        Cell(model["model"]),
        Cell(model["outcome"]),
        *(Cell(c, style if n == 2 else None) for n, c in enumerate(counts)),
    ]


def review_page(page: Page, document: Json, only: set[str] | None = None) -> None:
    """One model; `only`: the weights that are shown, None for all."""
    caveats, claims = Caveats(), []
    named = {w["id"]: short(w) for w in document["weights"]}
    page.text(f"{document['model']}, version {document['version']} of {document['time'][:10]}", "bold")
    if document["withdrawn"]:
        page.text(f"WITHDRAWN: {document['withdrawn']['reason']}", "yellow")
    for weight in document["weights"]:
        if only is None or weight["id"] in only:
            claims += _weight(page, weight, caveats)
    for group in document["groups"]:
        if only is None or only & set(group["members"]):
            claims += _group(page, group, named, caveats)
    claims += _others(page, document["others"] if only is None else [], caveats)
    _conflicts(page, document["conflicts"])
    _decisions(page, document["decisions"])
    _listed(page, "Caveats", [f"[{n}] {text}" for n, text in enumerate(caveats.texts, 1)])
    _listed(page, "Where the claims stand", _sources(claims))


def _weight(page: Page, weight: Json, caveats: Caveats) -> list[Json]:
    page.heading(f"{short(weight)}  {weight['id']}")
    grouped = [("together", "grouped")] if weight["grouped_in"] else []
    for label, name in [("location", "location"), ("alone", "alone"), *grouped]:
        page.text(
            f"{label} {weight[name].replace('_', ' ')}: {weight['why'][name]}", _STYLES.get(weight[name]), "", "  "
        )
    _claims(page, weight["claims"], caveats)
    return list(weight["claims"])


def _group(page: Page, group: Json, named: dict[str, str], caveats: Caveats) -> list[Json]:
    page.heading(f"{group['id']}: {' + '.join(named.get(m, m) for m in group['members'])}")
    page.text(
        f"removed together {group['verdict'].replace('_', ' ')}: {group['why']}",
        _STYLES.get(group["verdict"]),
        "",
        "  ",
    )
    _claims(page, group["claims"], caveats)
    return list(group["claims"])


def _others(page: Page, claims: list[Json], caveats: Caveats) -> list[Json]:
    if claims:
        page.heading("Other claims: about rows, experts, tensors, the model, or other sets")
        _claims(page, claims, caveats)
    return claims


def _claims(page: Page, claims: list[Json], caveats: Caveats) -> None:
    if claims:
        page.table(_CLAIMS, [_claim(c, caveats) for c in claims], fill=5)


def _claim(claim: Json, caveats: Caveats) -> list[Cell]:
    second_hand = " (second hand)" if claim["second_hand"] else ""
    return [
        Cell(claim["id"][:_ID], "cyan"),
        Cell(f"{claim['origin']}{second_hand}{caveats.mark(claim['caveat'])}"),
        Cell(claim["stance"], _STYLES.get(claim["stance"])),
        Cell(number(claim["value"], 7)),
        Cell(_perplexity(claim)),
        Cell(claim["statement"] or "", "dim"),
    ]


def _perplexity(claim: Json) -> str:
    """The perplexities that it gives, else the ratio that its figures amount to."""
    if claim["finite"] is False:
        return "not finite"
    if claim["ppl_before"] and claim["ppl_after"]:
        return f"{number(claim['ppl_before'])} -> {number(claim['ppl_after'])}"
    ratio = claim["observation"].get("ppl_ratio")
    return f"x{number(ratio)}" if ratio else ""


def _conflicts(page: Page, conflicts: list[Json]) -> None:
    told = []
    for each in conflicts:
        settled = each["settled"]
        state = f"settled by {settled['by']} on {settled['time'][:10]}: {settled['reason']}" if settled else "open"
        told.append(f"{each['kind']}:{each['weights'][0]}: {'; '.join(each['sides'])}: {state}.")
    _listed(page, "Conflicts", told)


def _decisions(page: Page, decisions: list[Json]) -> None:
    _listed(page, "Decisions", [text for d in decisions for text in decision_lines(d)])


def decision_lines(decision: Json) -> list[str]:
    """A decision in words: what, by whom and why, and each claim that it took out or put in."""
    about = decision["conflict"]
    of = f" the {about['kind']} conflict of {', '.join(about['weights'])}" if about else ""
    lines = [f"{decision['kind']}{of}, by {decision['by']} on {decision['time'][:10]}: {decision['reason']}"]
    lines += [f"  took out {_brief(c)}" for c in decision["claims"]]
    return lines + [f"  put in {_brief(c)}" for c in decision["instead"]]


def _brief(claim: Json) -> str:
    about = ", ".join(claim["weights"]) or f"the {claim['granularity']}"
    words = f": {claim['statement']}" if claim["statement"] else ""
    return f"{claim['id'][:_ID]}: {claim['origin']} {claim['stance']} {about}{words}"


def _sources(claims: list[Json]) -> list[str]:
    """Where claims stand: each place once, with the claims from it."""
    by_place: dict[str, list[str]] = {}
    for claim in claims:
        ids = by_place.setdefault(_place(claim["origin"], claim["source"]), [])
        ids += [claim["id"][:_ID]] if claim["id"][:_ID] not in ids else []
    return [f"{place} ({', '.join(ids)})" for place, ids in by_place.items()]


def _place(origin: str, source: Json) -> str:
    commit = f" at {source['commit'][:12]}" if source["commit"] else ", no commit"
    where = f"{source['repo']}{commit}" if source["repo"] else None
    return f"{origin}: " + ", ".join(t for t in (source["title"], where, source["path"], source["url"]) if t)


def _listed(page: Page, title: str, texts: list[str]) -> None:
    if texts:
        page.heading(title)
    for text in texts:
        indent = "    " if text.startswith("  ") else ""
        page.text(text if indent or text.startswith("[") else f"- {text}", indent=indent, hang=f"{indent}  ")
