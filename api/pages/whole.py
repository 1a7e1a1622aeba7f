"""What the pages of the whole index show: the first page, lists, changes, charts of all. Knows documents, not HTML."""

from datetime import date
from typing import Any

from ...schema.types import Verdict
from ..charts.whole import counts
from ..report import OUTCOMES, stale
from ..service import documents
from ..service.catalogue import Catalogue, Wanted
from ..service.problems import Problem
from ..service.snapshot import Snapshot
from .html import Page
from .reading import described, filled

Json = dict[str, Any]
_SUGGESTED = 200
"""Models up to which all ids are in the page, to be suggested without JavaScript."""
_NEWEST = 8
PAGE = 50
"""Rows of a page."""
CHARTS = {
    "verdicts": ("Verdicts", "Models by the strongest verdict on any of their weights, and by whose figures it is."),
    "layers": ("Layers", "Models with weights on record in a layer, by whose figures their strongest verdict is."),
    "families": ("Families", "Models by family: the model type of their configuration, where a scan has read it."),
    "owners": ("Owners", "Models by the account that publishes them."),
}


def home(snapshot: Snapshot, today: date) -> Page:
    """The first page."""
    catalogue = snapshot.catalogue
    return Page(
        "home.html",
        {
            "title": "swindex: an index of super weights",
            "models": snapshot.models,
            "counted": None if catalogue is None else _counted(catalogue),
            "suggested": suggested(snapshot),
            "changes": documents.changes(snapshot, None, None, _NEWEST)["changes"],
            **fresh(snapshot, today),
        },
    )


def fresh(snapshot: Snapshot, today: date) -> Json:
    """How fresh what is served is."""
    index = {**snapshot.facts, "time": snapshot.newest}
    return {"facts": index, "seq": snapshot.head.seq, "stale": stale(index, today)}


def suggested(snapshot: Snapshot) -> list[str]:
    """Ids for the list of suggestions; none where they are too many."""
    rows = snapshot.catalogue or ()
    return [row.id for row in rows] if len(rows) <= _SUGGESTED else []


def _counted(catalogue: Catalogue) -> Json:
    rows = list(catalogue)
    ours = [row for row in rows if row.outcome in ("found", "none_found", "untested")]
    destructive = [row for row in rows if row.verdict in ("confirmed", "non_finite")]
    return {
        "weights": sum(row.super_weights for row in rows),
        "scanned": len(ours),
        "measured": sum(row.basis == "measured" for row in destructive),
        "reported": sum(row.basis == "reported" for row in destructive),
    }


def models(snapshot: Snapshot, query: str, family: str, verdict: str, cursor: str | None) -> Page:
    """A page of models; raise Problem, UsageError."""
    catalogue = ready(snapshot)
    if verdict and verdict not in list(Verdict):
        raise Problem("invalid-request", "there is no such verdict; see /about")
    wanted = Wanted(query or None, family or None, verdict or None)
    found = documents.models(snapshot, wanted, cursor, PAGE)
    rows = {row["id"]: catalogue.find(row["id"]) for row in found["models"]}
    return Page(
        "models.html",
        {
            "title": f"Models matching {query}" if query else "Models",
            "rows": list(rows.values()),
            "cursor": found["cursor"],
            "first": cursor is None,
            "indexed": found["indexed"],
            "asked": {"query": query, "family": family, "verdict": verdict},
            "families": sorted({name for row in catalogue if (name := row.family or row.architecture)}),
            "verdicts": [verdict.value for verdict in Verdict],
            "suggested": suggested(snapshot),
        },
    )


def whole(snapshot: Snapshot) -> Page:
    """The index in charts and tables."""
    counted = counts(ready(snapshot))
    charts = [
        {"name": name, "title": title, "caption": caption, "table": _table(counted[name])}
        for name, (title, caption) in CHARTS.items()
        if counted[name]
    ]
    outcomes = _outcomes(ready(snapshot))
    return Page(
        "index.html", {"title": "The whole index", "charts": charts, "models": snapshot.models, "outcomes": outcomes}
    )


def _table(rows: list[Json]) -> Json:
    """The data of a chart: a row for each name, a column for each basis."""
    columns = list(dict.fromkeys(row["basis"] for row in sorted(rows, key=lambda row: row["basis"])))
    found: dict[Any, dict[str, int]] = {}
    for row in rows:
        found.setdefault(row["name"], {})[row["basis"]] = row["models"]
    return {"columns": columns, "rows": [(name, [by.get(c, 0) for c in columns]) for name, by in found.items()]}


def _outcomes(catalogue: Catalogue) -> list[tuple[str, str, int]]:
    found: dict[str, int] = {}
    for row in catalogue:
        found[row.outcome] = found.get(row.outcome, 0) + 1
    ranked = sorted(found.items(), key=lambda each: -each[1])
    return [(name, OUTCOMES.get(name, name), count) for name, count in ranked]


def changes(snapshot: Snapshot, before: int | None) -> Page:
    """A page of changes, newest first."""
    found = documents.changes(snapshot, None, before, PAGE)
    return Page("changes.html", {"title": "Changes", **found, "first": before is None})


def api(snapshot: Snapshot) -> Page:
    """The documentation of the HTTP API, its examples of a model that is served."""
    row = next((row for row in snapshot.catalogue or () if row.revision), None)
    org, _, name = row.id.partition("/") if row else ("", "", "")
    example = {"org": org, "name": name, "revision": row.revision or ""} if row else {}
    return Page("api.html", {"title": "HTTP API", "api": described(), "filled": filled, "example": example})


def ready(snapshot: Snapshot) -> Catalogue:
    """The catalogue; raise Problem while it is being read."""
    if snapshot.catalogue is None:
        raise Problem("starting")
    return snapshot.catalogue
