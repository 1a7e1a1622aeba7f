"""A study as one HTML file: no script, nothing from other hosts, charts as SVG in it, light and dark.

Needs the extra `serve` (jinja2, altair, vl-convert). Everything from a model or a record is escaped.
"""

import base64
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import jinja2

from ..charts import drawing
from ..charts.themes import DARK, LIGHT, Look
from ..page import clean
from .sections import facts, headline, sections
from .shapes import Figure, Json, Section, Table

_HERE = Path(__file__).parent
_STYLE = _HERE.parent / "pages" / "static" / "style.css"
LOOKS = {
    "light": Look(LIGHT),
    "dark": Look(DARK),
    "light-narrow": Look(LIGHT, narrow=True),
    "dark-narrow": Look(DARK, narrow=True),
}


class Drawn(NamedTuple):
    """A figure with its images, as addresses that hold them, by look."""

    name: str
    alt: str
    caption: str
    images: dict[str, str]


class Shown(NamedTuple):
    """A section as the template takes it."""

    anchor: str
    title: str
    said: tuple[str, ...]
    drawn: tuple[Drawn, ...]
    tables: tuple[Table, ...]
    notes: tuple[str, ...]


def html(document: Json) -> str:
    """The page."""
    context = {
        "id": document["record"]["model"]["id"],
        "headline": headline(document),
        "facts": facts(document),
        "sections": [_shown(section) for section in sections(document)],
        "css": _STYLE.read_text(encoding="utf-8"),
    }
    return _environment().get_template("study.html").render(_clean(context))


def _shown(section: Section) -> Shown:
    drawn = tuple(_drawn(figure) for figure in section.figures)
    return Shown(section.anchor, section.title, section.said, drawn, section.tables, section.notes)


def _drawn(figure: Figure) -> Drawn:
    images = {name: _image(figure, look) for name, look in LOOKS.items()}
    return Drawn(figure.name, figure.alt, figure.caption, images)


def _image(figure: Figure, look: Look) -> str:
    svg = drawing.to_svg(drawing.spec_of(figure.draw(look), look, figure.alt))
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


def _clean(context: dict[str, Any]) -> dict[str, Any]:
    """The model's own words on one line, without control characters."""
    return {**context, "id": clean(context["id"])}


@lru_cache(1)
def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(_HERE / "templates")
    return jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
