"""The charts of a study: the super activation over the layers, next tokens, effect against scale, rounded weights.

Rows are made by `api.study`; here they become specs. As in Figures 4 to 7 of Yu et al. 2024.
"""

from typing import Any, cast

import altair as alt

from .effects import ticks
from .themes import Look

Json = dict[str, Any]
_ROW = 26
_TIMES = "'×' + format(datum.value, datum.value < 1e6 ? ',~g' : '.0e')"
SERIES = ("accent", "ink", "muted", "alarm")
"""Colours of the theme by order of series; each has a dash and a mark of its own, too."""
_DASHES = ([1, 0], [6, 3], [2, 2], [8, 2, 2, 2])
_SHAPES = ("circle", "square", "triangle-up", "diamond")


def _series(rows: list[Json], look: Look, palette: tuple[str, ...] = SERIES) -> Json:
    """Colour, dash and mark by series, in the order in which they come; one legend for the three."""
    names = list(dict.fromkeys(r["series"] for r in rows))
    at = [n % len(palette) for n in range(len(names))]
    legend = alt.Legend(orient="top", title=None, columns=1 if look.narrow else 2, labelLimit=320, symbolStrokeWidth=0)

    def scale(table: tuple[Any, ...]) -> alt.Scale:
        return alt.Scale(domain=names, range=[table[n] for n in at])

    colours = tuple(getattr(look.theme, name) for name in palette)
    return {
        "color": alt.Color("series:N", scale=scale(colours), legend=legend),
        "strokeDash": alt.StrokeDash("series:N", scale=scale(_DASHES), legend=None),
        "shape": alt.Shape("series:N", scale=scale(_SHAPES), legend=legend),
    }


def _lines(rows: list[Json], x: alt.X, y: alt.Y, look: Look, palette: tuple[str, ...] = SERIES) -> alt.LayerChart:
    base = alt.Chart(alt.InlineData(values=rows)).transform_filter("isValid(datum.y)").encode(x=x, y=y)
    marks = _series(rows, look, palette)
    line = base.mark_line(strokeWidth=1.75).encode(color=marks["color"], strokeDash=marks["strokeDash"])
    points = base.mark_point(size=34, filled=True, opacity=1).encode(color=marks["color"], shape=marks["shape"])
    return cast(alt.LayerChart, alt.layer(line, points))


def _log(title: str, rows: list[Json], **axis: Any) -> alt.Y:
    """A log scale a little wider than the values, with few and round ticks."""
    known = [r["y"] for r in rows if r["y"] is not None and r["y"] > 0] or [1.0]
    domain = [min(known) / 1.3, max(known) * 1.3]
    shown = alt.Axis(title=title, values=ticks(domain, most=8), **axis)
    return alt.Y("y:Q", scale=alt.Scale(type="log", domain=domain, nice=False), axis=shown)


def carried(rows: list[Json], look: Look = Look()) -> alt.LayerChart:  # noqa: B008
    """A channel of the residual behind each layer: rows of series, x (layer), y (value)."""
    x = alt.X(
        "x:Q",
        scale=alt.Scale(nice=False, padding=12),
        axis=alt.Axis(title="layer", tickMinStep=1, format="d", grid=False),
    )
    y = alt.Y("y:Q", axis=alt.Axis(title="value of the channel", tickCount=5, format="~s"))
    return _lines(rows, x, y, look).properties(width=look.width - 40, height=190)


def scaled(rows: list[Json], look: Look = Look()) -> alt.LayerChart:  # noqa: B008
    """Effect against scale: rows of series (the text), x (the factor), y (perplexity after over before)."""
    factors = sorted({r["x"] for r in rows})
    x = alt.X("x:Q", axis=alt.Axis(title="factor on the super weights", values=factors, format="~g"))
    y = _log("perplexity after ÷ before (log scale)", rows, labelExpr=_TIMES)
    return _lines(rows, x, y, look).properties(width=look.width - 50, height=200)


def rounded(rows: list[Json], look: Look = Look()) -> alt.LayerChart:  # noqa: B008
    """Perplexity against the size of blocks: rows of series (what is held out), x (its name), y, and of."""
    order = list(dict.fromkeys(r["x"] for r in rows))
    x = alt.X("x:O", sort=order, axis=alt.Axis(title="side of a block, in weights", labelAngle=0, grid=False))
    y = _log("perplexity (log scale)", rows, format="~s")
    drawn: alt.LayerChart = _lines(rows, x, y, look, palette=("muted", "ink", "accent"))
    return drawn.properties(width=look.width - 40, height=220)


def tokens(rows: list[Json], look: Look = Look()) -> alt.LayerChart:  # noqa: B008
    """Probabilities of next tokens: rows of x (the token), series (with or without), y."""
    order = list(dict.fromkeys(r["x"] for r in rows))
    axis = alt.Axis(title=None, labelLimit=120, labelColor=look.theme.ink, ticks=False, domain=False, labelPadding=8)
    y = alt.Y("x:N", sort=order, axis=axis)
    x = alt.X("y:Q", axis=alt.Axis(title="probability of the next token", format="%", tickCount=5))
    marks = _series(rows, look)
    base = alt.Chart(alt.InlineData(values=rows)).transform_filter("isValid(datum.y)")
    rule = base.mark_rule(color=look.theme.grid, strokeWidth=2).encode(x="min(y):Q", x2="max(y):Q", y=y)
    points = base.mark_point(size=60, filled=True, opacity=1).encode(
        x=x, y=y, color=marks["color"], shape=marks["shape"]
    )
    drawn = cast(alt.LayerChart, alt.layer(rule, points))
    return drawn.properties(width=look.width - (20 if look.narrow else 80), height=alt.Step(_ROW))
