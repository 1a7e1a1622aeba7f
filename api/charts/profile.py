"""The activation profile of a model: its layers, and the largest activation into and out of each down projection.

As in Figure 3 of Yu et al. 2024: a super weight shows as a spike in both at its layer.
"""

from typing import Any

import altair as alt

from .rows import has_profile, profile_rows
from .themes import Look

Json = dict[str, Any]
_PANELS = (("into", "into the down projection"), ("out_of", "out of the down projection"))


def profile(document: Json, look: Look = Look()) -> alt.VConcatChart | None:  # noqa: B008
    """The chart; None if no scan saw an activation."""
    if not has_profile(document):
        return None
    rows = profile_rows(document)
    panels = [_panel(rows, field, title, look, last=field == "out_of") for field, title in _PANELS]
    return alt.vconcat(*panels, spacing=14)


def _panel(rows: list[Json], field: str, title: str, look: Look, last: bool) -> alt.LayerChart | alt.FacetChart:
    axis = alt.Axis(title="layer", tickMinStep=1, format="d", grid=False, labels=last, ticks=last)
    x = alt.X("layer:Q", scale=alt.Scale(nice=False, padding=12), axis=axis if last else axis.copy())
    if not last:
        axis.title = None
        x = alt.X("layer:Q", scale=alt.Scale(nice=False, padding=12), axis=axis)
    y = alt.Y(f"{field}:Q", scale=alt.Scale(domainMin=0), axis=alt.Axis(title=None, tickCount=4, format="~s"))
    base = alt.Chart(alt.InlineData(values=rows)).encode(x=x, y=y)
    marked = base.transform_filter(f"datum.marked && isValid(datum.{field})")
    return alt.layer(
        base.mark_line(color=look.theme.muted, strokeWidth=1.25),
        base.mark_circle(color=look.theme.muted, size=16, opacity=1),
        marked.mark_circle(color=look.theme.accent, size=80, opacity=1),
        marked.mark_text(color=look.theme.accent, dx=9, dy=-1, align="left", fontWeight=600).encode(
            text=alt.Text(f"{field}:Q", format=",.4~g")
        ),
    ).properties(width=look.width, height=110, title=f"{'' if look.narrow else 'largest '}|activation| {title}")
