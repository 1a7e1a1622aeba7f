"""Figure 6 and table 1: effect against scale, and what removal does beside its controls."""

from ..page import number
from . import conditions
from .activations import absent, chart
from .document import removed
from .shapes import DASH, Figure, Json, Section, Table, percent, plural, ppl, times

NOTHING = "there is nothing to remove, as nothing was found"
STARTLESS = " without <s>"


def scale(document: Json) -> Section:
    """Figure 6."""
    title = "Effect against scale (figure 6)"
    together = removed(document)
    rows = _scales(together) if together else []
    if len({r["x"] for r in rows}) < 3:
        return absent("figure-6", title, document, "scale") if together else Section("figure-6", title, (_none(),))
    alt = (
        "Perplexity over that of the unmodified model for each factor on the super weights; the table has the numbers."
    )
    caption = "All super weights multiplied by a factor; 0 removes them, 1 is the model as it is. "
    drawn = [r for r in rows if r["y"] is not None]
    figure = Figure("scale", alt, caption + conditions.of_effects(document), chart("studies", "scaled", drawn))
    return Section(
        "figure-6", title, (_best(rows),), (figure,), (_scale_table(rows),), (conditions.of_model(document),)
    )


def _none() -> str:
    return f"Not measured: {NOTHING}."


def _scales(together: Json) -> list[Json]:
    """A row for each text and factor: series, x, y (ratio of perplexities), ppl, finite."""
    zero = [(f["text"], 0.0, f) for f in together["figures"] if f["basis"] == "measured"]
    others = [(t["text"], t["scale"], t) for t in together["tried"] if t["intervention"] == "scale"]
    texts = [text for text, _, _ in zero if not text.endswith(STARTLESS)]
    rows = [_scaled(*each) for each in (*zero, *others) if each[0] in texts]
    before = {text: f["ppl_before"] for text, _, f in zero}
    rows += [{"series": t, "x": 1.0, "y": 1.0, "ppl": before[t], "finite": True} for t in texts]
    return sorted(rows, key=lambda r: (texts.index(r["series"]), r["x"]))


def _scaled(text: str, factor: float, figure: Json) -> Json:
    figures = {"y": figure["ppl_ratio"], "ppl": figure["ppl_after"], "finite": figure["finite"]}
    return {"series": text, "x": factor, **figures}


def _best(rows: list[Json]) -> str:
    said = []
    for text in dict.fromkeys(r["series"] for r in rows):
        known = [r for r in rows if r["series"] == text and r["y"] is not None]
        best = min(known, key=lambda r: (r["y"], r["x"] != 1))
        said.append(
            f"On {text} the best factor tried is {best['x']:g} (perplexity {number(best['ppl'])}, {times(best['y'])})."
        )
    return " ".join(said)


def _scale_table(rows: list[Json]) -> Table:
    texts = list(dict.fromkeys(r["series"] for r in rows))
    by = {(r["series"], r["x"]): r for r in rows}
    columns = ["factor"]
    for text in texts:
        columns += [f"perplexity, {text}", "ratio"]
    made = []
    for factor in sorted({r["x"] for r in rows}):
        cells = [f"{factor:g}"]
        for text in texts:
            cells += _cells(by.get((text, factor)))
        made.append(tuple(cells))
    return Table("Perplexity by factor", tuple(columns), tuple(made))


def _cells(row: Json | None) -> list[str]:
    if row is None:
        return [DASH, DASH]
    return [ppl(row["ppl"], finite=row["finite"]), times(row["y"], finite=row["finite"])]


def removal(document: Json) -> Section:
    """Table 1."""
    title = "What removal does (table 1)"
    together = removed(document)
    if together is None or not any(f["basis"] == "measured" for f in together["figures"]):
        reason = NOTHING if together is None else "removal was not measured"
        return Section("table-1", title, (f"Not measured: {reason}.",))
    alt = "Ratio of perplexities for each weight and group removed, with controls; the table has those of all together."
    caption = "Each weight and group removed, with the worst of eight other large weights of the same matrix. "
    figure = Figure(
        "effects", alt, caption + conditions.of_effects(document), chart("effects", "effects", _ours(document))
    )
    said = (
        f"Everything that was found ({plural(len(together['members']), 'weight')}) removed together; beside it the "
        "largest other weights, and the removal with the super activation put back where it stood.",
    )
    notes = (
        "The largest others, 7,000 where the model is large enough: an equal share of every layer from the first find "
        "on, at most 0.1 % of a layer; the paper takes the largest of the whole model.",
        conditions.of_effects(document) + " " + conditions.of_model(document),
    )
    return Section("table-1", title, said, (figure,), (_table(together),), notes)


def _ours(document: Json) -> Json:
    """What was found, with what others report of the same sets: their figures have a mark of their own."""
    reported = document["reported"] or {"super_weights": [], "groups": []}
    theirs = {w["id"]: w["figures"] for w in reported["super_weights"]}
    sets = {frozenset(g["members"]): g["figures"] for g in reported["groups"]}
    found = document["found"]
    weights = [{**w, "figures": w["figures"] + theirs.get(w["id"], [])} for w in found["super_weights"]]
    groups = [{**g, "figures": g["figures"] + sets.get(frozenset(g["members"]), [])} for g in found["groups"]]
    return {**found, "super_weights": weights, "groups": groups}


def _table(together: Json) -> Table:
    figures = [f for f in together["figures"] if f["basis"] == "measured" and not f["text"].endswith(STARTLESS)]
    columns, rows = ["model"], [["original"], ["super weights removed"], ["largest others removed"]]
    rows += [["super weights removed, activation restored"], ["what they write replaced by its mean"]]
    for figure in figures:
        columns += [f"perplexity, {figure['text']}", "ratio"]
        for row, cells in zip(rows, _column(together, figure), strict=True):
            row += cells
    for row in rows[2:3]:
        row[0] = _others(together)
    return Table("Perplexity", tuple(columns), tuple(tuple(r) for r in rows))


def _others(together: Json) -> str:
    counts = {o["removed"] for o in together["outliers"]}
    return f"{max(counts):,} largest others removed" if counts else "largest others removed"


def _column(together: Json, figure: Json) -> list[list[str]]:
    text, before = figure["text"], figure["ppl_before"]
    others = next((o for o in together["outliers"] if o["text"] == text), None)
    tried = {t["intervention"]: t for t in together["tried"] if t["text"] == text and t["intervention"] != "scale"}
    made = [[ppl(before), "×1"], _pair(figure["ppl_after"], figure)]
    after = None if others is None or others["ppl_ratio"] is None else others["ppl_ratio"] * before
    made.append([DASH, DASH] if others is None else _pair(after, others))
    for kind in ("restore", "mean"):
        made.append(_pair(tried[kind]["ppl_after"], tried[kind]) if kind in tried else [DASH, DASH])
    return made


def _pair(after: float | None, figure: Json) -> list[str]:
    return [ppl(after, finite=figure["finite"]), times(figure["ppl_ratio"], finite=figure["finite"])]


def tasks(document: Json) -> Section:
    """Zero-shot tasks."""
    title = "Zero-shot tasks (table 1)"
    reason = document["left_out"].get("tasks")
    if reason:
        return Section("tasks", title, (f"{reason[:1].upper()}{reason[1:]}.",))
    rows = tuple(
        (t["task"], t["metric"], str(t["examples"] or DASH), percent(t["before"]), percent(t["after"]))
        for t in document["tasks"]
    )
    columns = ("task", "metric", "examples", "original", "super weights removed")
    table = Table("Accuracy, by lm-eval", columns, rows, numbers=2)
    limit = document["tasks_limit"]
    part = f"The first {limit:,} examples of each task. " if limit else ""
    said = f"{plural(len(rows), 'score')} with everything that was found and without it, no examples in the prompt."
    return Section("tasks", title, (said,), (), (table,), (part + conditions.of_model(document),))
