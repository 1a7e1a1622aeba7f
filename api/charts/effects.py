"""What removing weights does, as a chart: the ratio of perplexities on a log scale, with its controls.

Ours, others' and controls have marks of their own shape, so that none is taken for another without colours either.
"""

import math
from typing import Any

import altair as alt

from ...schema.rules import CONFIRMED_NLL, PARTIAL_NLL
from .rows import CONTROL, MEASURED, REPORTED, drawn, effect_rows
from .themes import Look

Json = dict[str, Any]
_KINDS = (MEASURED, REPORTED, CONTROL)
_SHAPES = {MEASURED: "circle", REPORTED: "diamond", CONTROL: "M0,-1V1"}
_THRESHOLDS = (
    {"ratio": math.exp(PARTIAL_NLL), "said": "partial"},
    {"ratio": math.exp(CONFIRMED_NLL), "said": "confirmed"},
)
"""Of `schema.rules`, as ratios of perplexities."""
_TIMES = "'×' + format(datum.value, datum.value < 1e6 ? ',~g' : '.0e')"
_ROW = 24


def effects(document: Json, look: Look = Look()) -> alt.LayerChart | alt.FacetChart | None:  # noqa: B008
    """The chart; None if there is no figure."""
    rows = effect_rows(document)
    if not rows:
        return None
    domain = _domain(rows)
    title = "perplexity after ÷ before" if look.narrow else "perplexity after removal ÷ before (log scale)"
    axis = alt.Axis(title=title, values=ticks(domain, most=4 if look.narrow else 9), labelExpr=_TIMES)
    x = alt.X("ratio:Q", scale=alt.Scale(type="log", domain=domain, nice=False), axis=axis)
    y = alt.Y("set:N", sort=[label for label, _ in drawn(document)], axis=_rows_axis(look))
    layers = [*_thresholds(look), *_figures(rows, x, y, look), *_beyond(rows, y, look)]
    return alt.layer(*layers).properties(width=look.width - (10 if look.narrow else 60), height=alt.Step(_ROW))


def _rows_axis(look: Look) -> alt.Axis:
    limit = 110 if look.narrow else 260
    return alt.Axis(title=None, labelLimit=limit, labelColor=look.theme.ink, ticks=False, domain=False, labelPadding=8)


def _domain(rows: list[Json]) -> list[float]:
    """From below what does nothing to beyond the largest."""
    known = [r[name] for r in rows for name in ("ratio", "low", "high") if r[name]]
    return [min([0.9, *known]) * 0.95, max([10.0, *known]) * 2]


def ticks(domain: list[float], most: int) -> list[float]:
    """At most so many round ratios within the domain: 1, 2, 5, 10, ..., or powers of ten, each, each second, ..."""
    least, largest = domain
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(largest)) + 1)
    fine = [m * 10.0**p for p in powers for m in (1, 2, 5)]
    coarse = ([10.0**p for p in powers if p % step == 0] for step in range(1, len(powers) + 1))
    for ticks in (fine, *coarse):
        inside = [t for t in ticks if least <= t <= largest]
        if len(inside) <= most:
            return inside
    return [1.0]


def _thresholds(look: Look) -> list[alt.Chart]:
    base = alt.Chart(alt.InlineData(values=list(_THRESHOLDS))).encode(x="ratio:Q")
    rule = base.mark_rule(color=look.theme.muted, strokeDash=[2, 3])
    partial = base.mark_text(color=look.theme.muted, align="right", dx=4, dy=-6, baseline="bottom")
    confirmed = base.mark_text(color=look.theme.muted, align="left", dx=-4, dy=-6, baseline="bottom")
    return [rule, _only(partial, "partial"), _only(confirmed, "confirmed")]


def _only(words: alt.Chart, said: str) -> alt.Chart:
    return words.transform_filter(f"datum.said == '{said}'").encode(text="said:N", y=alt.value(0))


def _figures(rows: list[Json], x: alt.X, y: alt.Y, look: Look) -> list[alt.Chart]:
    shown = alt.Chart(alt.InlineData(values=rows)).transform_filter("isValid(datum.ratio)")
    interval = shown.transform_filter("isValid(datum.low) && isValid(datum.high)").mark_rule(
        color=look.theme.accent, strokeWidth=2
    )
    points = shown.mark_point(size=70, opacity=1, strokeWidth=1.75).encode(x=x, y=y, **_marks(rows, look))
    return [interval.encode(x=alt.X("low:Q"), x2="high:Q", y=y), points]


def _marks(rows: list[Json], look: Look) -> Json:
    """Shape, line and filling by whose figure it is; one legend for the three."""
    kinds = [kind for kind in _KINDS if any(r["kind"] == kind for r in rows)]
    line = {MEASURED: look.theme.accent, REPORTED: look.theme.ink, CONTROL: look.theme.muted}
    fill = {MEASURED: look.theme.accent, REPORTED: look.theme.paper, CONTROL: look.theme.muted}
    legend = alt.Legend(orient="top", title=None, columns=1 if look.narrow else 3, offset=22)

    def by_kind(table: dict[str, str]) -> Json:
        return {"scale": alt.Scale(domain=kinds, range=[table[kind] for kind in kinds]), "legend": legend}

    return {
        "shape": alt.Shape("kind:N", **by_kind(_SHAPES)),
        "stroke": alt.Stroke("kind:N", **by_kind(line)),
        "fill": alt.Fill("kind:N", **by_kind(fill)),
    }


def _beyond(rows: list[Json], y: alt.Y, look: Look) -> list[alt.Chart]:
    """What has no place on the axis, in words at its end; of controls the table tells."""
    rest = [r for r in rows if r["ratio"] is None and r["kind"] != CONTROL]
    gone = [{**r, "said": "beyond print →" if r["finite"] else "not finite →"} for r in rest]
    if not gone:
        return []
    base = alt.Chart(alt.InlineData(values=gone)).encode(y=y, x=alt.value("width"), text="said:N")
    return [base.mark_text(align="right", color=look.theme.alarm, fontWeight=600)]
