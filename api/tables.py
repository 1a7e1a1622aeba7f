"""The two tables of a report: coordinates ready to paste, and what removing them does. Standard library only."""

from typing import Any

from .page import Cell, Column, Page, number
from .paste import coordinate, remarks, short

Json = dict[str, Any]

_STYLES = {
    "confirmed": "bold",
    "non_finite": "bold red",
    "partial": "yellow",
    "inert": "dim",
    "untested": "dim",
    "disputed": "yellow",
    "refuted": "red",
}


class Caveats:
    """Caveats that are printed once, below, and referred to by number."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, text: str | None) -> str:
        """The reference to a caveat, ` [1]`; nothing for none."""
        if not text:
            return ""
        if text not in self.texts:
            self.texts.append(text)
        return f" [{self.texts.index(text) + 1}]"


def _word(word: str) -> Cell:
    return Cell(word.replace("non_finite", "not finite"), _STYLES.get(word))


# --- coordinates ---

_WEIGHTS = (
    Column("COORDINATE"),
    Column("VALUE", drop=2, right=True),
    Column("ALONE"),
    Column("TOGETHER", drop=1),
    Column("LOCATION", drop=3),
    Column("ROLE", drop=4),
)


def coordinates(page: Page, document: Json) -> None:
    """The super weights, and apart from them the claims that are refuted."""
    standing = [w for w in document["super_weights"] if w["location"] != "refuted"]
    refuted = [w for w in document["super_weights"] if w["location"] == "refuted"]
    _coordinates(page, "Super weights, ready to paste", standing, document["model"]["architecture"])
    _coordinates(page, "Refuted claims: these are NOT super weights", refuted, document["model"]["architecture"])


def _coordinates(page: Page, title: str, weights: list[Json], architecture: str | None) -> None:
    if not weights:
        return
    page.heading(title)
    telling = len({w["location"] for w in weights} | {"reported"}) > 1
    shown = page.table(_WEIGHTS, [_weight_row(w, architecture, telling) for w in weights])
    if "VALUE" not in shown:
        _values(page, weights)
    _stored(page, weights)
    _claimed(page, weights)
    for text in remarks(weights):
        page.text(text, "dim")


def _weight_row(weight: Json, architecture: str | None, with_location: bool) -> list[Cell]:
    return [
        Cell(coordinate(weight, architecture), "cyan"),
        Cell(number(weight["value"], 7)),
        _word(weight["verdict"]),
        _word(weight["grouped"] if weight["grouped_in"] else ""),
        _word(weight["location"] if with_location else ""),
        Cell(weight["role"] or ""),
    ]


def _values(page: Page, weights: list[Json]) -> None:
    """The values, where the table has no room for them."""
    values = [f"{short(w)} = {number(w['value'], 7)}" for w in weights if w["value"] is not None]
    if values:
        page.text(f"Values: {', '.join(values)}.", hang="  ")


def _stored(page: Page, weights: list[Json]) -> None:
    """How quantized weights are stored: their values are not what a look at the tensor alone shows."""
    packed = [f"{short(w)} as {w['packed']}, word {w['bits']}" for w in weights if w["packed"]]
    scaled = [f"{short(w)} as {w['dtype']} times {number(w['scale'])}" for w in weights if w["scale"] is not None]
    if packed or scaled:
        page.text(f"Quantized: {'; '.join(packed + scaled)}.", hang="  ")


def _claimed(page: Page, weights: list[Json]) -> None:
    """Who says so, weights with the same origins on one line."""
    by_origins: dict[str, list[str]] = {}
    for weight in weights:
        by_origins.setdefault(", ".join(weight["origins"]), []).append(short(weight))
    for origins, places in by_origins.items():
        if origins:
            page.text(f"Claimed by {origins}: {', '.join(places)}.", "dim", hang="  ")


# --- effects ---

_EFFECTS = (
    Column("REMOVED"),
    Column("VERDICT"),
    Column("PERPLEXITY", right=True),
    Column("RATIO", right=True),
    Column("BY"),
    Column("TEXT", drop=1),
)
_WIDE = 90
"""Columns of a page on which the two members of a pair are spelled out in the table."""


def effects(page: Page, document: Json, caveats: Caveats) -> None:
    """What removing weights does, alone and together, by whose figures; the deciding figure first."""
    named = {w["id"]: short(w) for w in document["super_weights"]}
    groups = [g for g in document["groups"] if len(g["members"]) > 1 and g["figures"]]
    tested = [(named[w["id"]], w) for w in document["super_weights"] if w["figures"]]
    spelled = 2 if page.width >= _WIDE else 0
    tested += [(_together(g, named, spelled), g) for g in groups]
    if not tested:
        return
    page.heading("What removing them does (perplexity before -> after)")
    page.table(_EFFECTS, [row for label, part in tested for row in _effect_rows(label, part, caveats)], fill=5)
    for group in groups:
        if len(group["members"]) > spelled:
            members = ", ".join(named[m] for m in group["members"])
            page.text(f"{group['id']}: {members}.", "dim", hang="  ")
    page.text(whose({part["basis"] for _, part in tested}), "dim")
    if any(part["basis"] == "measured" and part["texts"] < 2 for _, part in tested):
        page.text("One text was measured: a verdict to be relied on rests on two.", "yellow")
    _instead(page, document, named)


DONE = {
    "mean": "its mean over all tokens in its place",
    "class_mean": "its mean, over massive tokens and the others apart",
    "restore": "removed, but its super activation put back",
    "scale": "multiplied by {scale:g}",
}


def _instead(page: Page, document: Json, named: dict[str, str]) -> None:
    """What else was done to the largest measured set, and to other weights: a row each, a column for each text."""
    measured = [g for g in document["groups"] if g["tried"]]
    if not measured:
        return
    group = max(measured, key=lambda g: len(g["members"]))
    rows: dict[str, dict[str, Cell]] = {}
    for tried in group["tried"]:
        label = DONE[tried["intervention"]].format(scale=tried["scale"])
        rows.setdefault(label, {})[tried["text"]] = _outcome(tried)
    for other in group["outliers"]:
        rows.setdefault(f"the {other['removed']} largest other weights removed", {})[other["text"]] = _outcome(other)
    texts = list(dict.fromkeys(text for row in rows.values() for text in row))
    page.heading(f"For comparison: {_together(group, named, 2)} (ratio of perplexities)")
    columns = [Column("DONE"), *(Column(text.upper(), drop=n, right=True) for n, text in enumerate(texts))]
    page.table(columns, [[Cell(label), *(row.get(t, Cell("")) for t in texts)] for label, row in rows.items()], fill=0)


def _outcome(figure: Json) -> Cell:
    if not figure["finite"]:
        return Cell("not finite", "bold red")
    undone = figure.get("recovery")
    part = "" if undone is None else f" ({undone:.0%} undone)"
    return Cell(f"x{number(figure['ppl_ratio'])}{part}" if figure["ppl_ratio"] is not None else "beyond print")


def _together(group: Json, named: dict[str, str], spelled: int) -> str:
    """The members where they are no more than `spelled`, else the group's name and their number."""
    if len(group["members"]) <= spelled:
        return " + ".join(named[m] for m in group["members"])
    return f"{group['id']} ({len(group['members'])})"


def _effect_rows(label: str, part: Json, caveats: Caveats) -> list[list[Cell]]:
    rows = []
    for at, figure in enumerate(part["figures"]):
        head = [Cell(label), _word(part["verdict"])] if at == 0 else [Cell(""), Cell("")]
        rows.append([*head, *_figure(figure, caveats)])
    return rows


def _figure(figure: Json, caveats: Caveats) -> list[Cell]:
    before, after = number(figure["ppl_before"]), number(figure["ppl_after"])
    ratio = f"x{number(figure['ppl_ratio'])}" if figure["ppl_ratio"] is not None else ""
    if not figure["finite"]:
        after, ratio = "not finite", ""
    by = figure["by"] + (" (second hand)" if figure["second_hand"] else "") + caveats.mark(figure["caveat"])
    change = f"{before or '?'} -> {after or '?'}" if before or after else ""
    return [Cell(change), Cell(ratio), Cell(by), Cell(figure["text"] or "", "dim")]


def whose(bases: set[str | None]) -> str:
    """Whose figures the verdicts rest on, in a sentence."""
    if bases == {"measured"}:
        return "Verdicts rest on figures that swindex measured against a control, the weakest over the texts."
    if "measured" in bases:
        return "Verdicts rest on swindex's own figures where there are any, else on those of the source named."
    return "Verdicts rest on the sources' own figures, the weakest where they differ. swindex measured nothing here."
