"""How charts look: the colours of the pages in two themes, and what Vega-Lite is told of fonts and lines."""

from typing import Any, NamedTuple

Json = dict[str, Any]
FONT = "Arial, Helvetica, Liberation Sans, sans-serif"
"""Fonts of one width: that of the font by which vl-convert lays out."""


class Theme(NamedTuple):
    """The colours of a chart; text has at least 4.5:1 on `paper`, marks 3:1."""

    name: str
    paper: str
    ink: str
    muted: str
    grid: str
    accent: str
    alarm: str


LIGHT = Theme("light", "#ffffff", "#1d2126", "#5c636e", "#e4e7eb", "#1a5fb4", "#b3261e")
DARK = Theme("dark", "#171a1f", "#e6e8eb", "#a3abb6", "#2f353d", "#82b1ff", "#ff8a80")
THEMES = {theme.name: theme for theme in (LIGHT, DARK)}


class Look(NamedTuple):
    """A theme and whether the chart is for a phone."""

    theme: Theme = LIGHT
    narrow: bool = False

    @property
    def width(self) -> int:
        """Of the plotting area, in pixels."""
        return 250 if self.narrow else 700


def config(theme: Theme) -> Json:
    """The configuration of a spec."""
    text = {"font": FONT, "color": theme.ink}
    return {
        "background": theme.paper,
        "font": FONT,
        "padding": 8,
        "view": {"stroke": None},
        "title": {
            **text,
            "fontSize": 13,
            "fontWeight": 600,
            "anchor": "start",
            "frame": "group",
            "subtitleColor": theme.muted,
        },
        "axis": {
            "labelColor": theme.muted,
            "titleColor": theme.muted,
            "titleFontWeight": "normal",
            "labelFontSize": 11,
            "titleFontSize": 11,
            "gridColor": theme.grid,
            "domainColor": theme.grid,
            "tickColor": theme.grid,
        },
        "legend": {"labelColor": theme.ink, "labelFontSize": 11, "labelLimit": 260, "symbolSize": 70},
        "text": {"font": FONT, "fill": theme.muted, "fontSize": 11},
    }
