"""The index as a whole in charts: verdicts and whose they are, the layers of super weights, families, owners.

Knows counts as `counts` makes them, of rows that have the names of `service.catalogue.Row`.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import altair as alt

from ...schema.rules import STRENGTH
from .themes import Look

Json = dict[str, Any]
MOST = 20
"""Bars of a chart; the rest is one bar."""
REST = "others"
NONE = "none, or all refuted"
_BASES = {"measured": "measured by swindex", "reported": "reported by others", None: "no figures"}
NONE_FOUND = "scanned, none found"
_ORDER = [*(verdict.value.replace("non_", "not ") for verdict in reversed(STRENGTH)), NONE_FOUND, NONE]
_ROW = 22


def counts(rows: Iterable[Any]) -> dict[str, list[Json]]:
    """The data of the charts, by their names; each row: name, basis, models."""
    rows = list(rows)
    return {
        "verdicts": _counted((_verdict(row), _basis(row)) for row in rows),
        "layers": _counted((layer, _basis(row)) for row in rows for layer in row.layers),
        "families": _largest([(row.family or row.architecture or "not recorded", _basis(row)) for row in rows]),
        "owners": _largest([(row.id.partition("/")[0], _basis(row)) for row in rows]),
    }


def _verdict(row: Any) -> str:
    without = NONE_FOUND if row.outcome == "none_found" else NONE
    return str(row.verdict).replace("non_", "not ") if row.super_weights else without


def _basis(row: Any) -> str:
    return _BASES[row.basis]


def _counted(pairs: Iterable[tuple[Any, str]]) -> list[Json]:
    found = Counter(pairs)
    return [{"name": name, "basis": basis, "models": n} for (name, basis), n in sorted(found.items())]


def _largest(pairs: list[tuple[str, str]]) -> list[Json]:
    by_name = Counter(name for name, _ in pairs)
    kept = {name for name, _ in sorted(by_name.items(), key=lambda each: (-each[1], each[0]))[:MOST]}
    return _counted((name if name in kept else REST, basis) for name, basis in pairs)


# --- charts ---


def verdicts(rows: list[Json], look: Look = Look()) -> alt.Chart:  # noqa: B008
    """Models by their strongest verdict."""
    present = {row["name"] for row in rows}
    return _bars(rows, [name for name in _ORDER if name in present], look)


def ranked(rows: list[Json], look: Look = Look()) -> alt.Chart:  # noqa: B008
    """Models by a name, most first, what is left last."""
    total: Counter[str] = Counter()
    for row in rows:
        total[row["name"]] += row["models"]
    return _bars(rows, sorted(total, key=lambda name: (name == REST, -total[name], name)), look)


def layers(rows: list[Json], look: Look = Look()) -> alt.Chart:  # noqa: B008
    """Models with super weights in a layer, by layer."""
    last = max((row["name"] for row in rows), default=0)
    drawn = [{**row, "from": row["name"] - 0.4, "to": row["name"] + 0.4} for row in rows]
    x = alt.X(
        "from:Q",
        bin="binned",
        scale=alt.Scale(domain=[-0.6, last + 0.6], nice=False),
        axis=alt.Axis(title="layer", tickMinStep=1, format="d", grid=False),
    )
    base = alt.Chart(alt.InlineData(values=drawn)).mark_bar(strokeWidth=1.25)
    encoded: alt.Chart = base.encode(x=x, x2="to:Q", y=_models("y", stack=True), order="basis:N", **_whose(rows, look))
    return encoded.properties(width=look.width, height=150)


def _bars(rows: list[Json], order: list[str], look: Look) -> alt.Chart:
    axis = alt.Axis(title=None, labelColor=look.theme.ink, ticks=False, domain=False, labelPadding=8, labelLimit=150)
    y = alt.Y("name:N", sort=order, axis=axis)
    base = alt.Chart(alt.InlineData(values=rows)).mark_bar(height=13, strokeWidth=1.25)
    encoded: alt.Chart = base.encode(y=y, x=_models("x", stack=True), order="basis:N", **_whose(rows, look))
    return encoded.properties(width=look.width - (60 if look.narrow else 100), height=alt.Step(_ROW))


def _models(which: str, stack: bool) -> Any:
    axis = alt.Axis(title="models", tickMinStep=1, format="d", tickCount=5)
    return {"x": alt.X, "y": alt.Y}[which]("models:Q", axis=axis, stack=stack)


def _whose(rows: list[Json], look: Look) -> Json:
    """Filled: ours; outlined: others'; pale: nobody's."""
    theme, present = look.theme, {row["basis"] for row in rows}
    fills = {"measured": theme.accent, "reported": theme.paper, None: theme.grid}
    lines = {"measured": theme.accent, "reported": theme.ink, None: theme.muted}
    shown = [basis for basis, name in _BASES.items() if name in present]
    domain = [_BASES[basis] for basis in shown]
    legend = alt.Legend(orient="top", title=None, columns=1 if look.narrow else 3, symbolType="square")
    return {
        "fill": alt.Fill("basis:N", scale=alt.Scale(domain=domain, range=[fills[b] for b in shown]), legend=legend),
        "stroke": alt.Stroke("basis:N", scale=alt.Scale(domain=domain, range=[lines[b] for b in shown]), legend=legend),
    }


CHARTS = {"verdicts": verdicts, "layers": layers, "families": ranked, "owners": ranked}
"""A chart for each of the names of `counts`."""
