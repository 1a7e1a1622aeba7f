"""All charts of a model in one, for a file."""

from typing import Any

import altair as alt

from . import drawing
from .effects import effects
from .profile import profile
from .themes import Look

Json = dict[str, Any]


def both(document: Json, look: Look = Look()) -> alt.VConcatChart | None:  # noqa: B008
    """Activations above effects, those that there are; None if there are none."""
    drawn = [chart for make in (profile, effects) if (chart := make(document, look)) is not None]
    if not drawn:
        return None
    together: alt.VConcatChart = alt.vconcat(*drawn, spacing=28, title=_title(document))
    apart: alt.VConcatChart = together.resolve_scale(shape="independent", stroke="independent", fill="independent")
    return apart


def _title(document: Json) -> alt.TitleParams:
    revision = document["model"]["revision"]
    commit = f"commit {revision[:12]}" if revision else "no commit"
    return alt.TitleParams(document["model"]["id"], subtitle=commit, fontSize=15, offset=14)


def plotted(document: Json, kind: str) -> bytes | None:
    """The file: `svg`, `png` or `json`; None if there is nothing to draw."""
    look = Look()
    chart = both(document, look)
    return None if chart is None else drawing.DRAW[kind](drawing.spec_of(chart, look, document["model"]["id"]))
