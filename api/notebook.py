"""A report as HTML that stands in any page: what `lookup` prints, for the output of a notebook. Standard library only.

Records are written by strangers: every text is escaped. No styles but inline ones, no scripts, nothing from elsewhere.
"""

from collections.abc import Sequence
from html import escape
from typing import Any

from .page import Cell, Column, Page, clean
from .report import fill

Json = dict[str, Any]
_CSS = {
    "bold": "font-weight:600",
    "dim": "opacity:.7",
    "red": "color:#d0362b",
    "green": "color:#2e8540",
    "yellow": "color:#a86a00",
    "cyan": "font-family:monospace",
}
_WIDTH = 120
"""Columns for which what is printed is chosen; HTML itself may be wider."""


def html_of(document: Json) -> str:
    """A document of `view` as HTML."""
    page = _HtmlPage(_WIDTH)
    fill(page, document)
    return f'<div class="swindex" style="max-width:72em">{page}</div>'


class _HtmlPage(Page):
    """A page whose lines are elements."""

    def heading(self, text: str) -> None:
        """A small heading."""
        self.lines.append(f'<div style="margin:.9em 0 .2em;font-weight:600">{escape(clean(text))}</div>')

    def text(self, text: object, style: str | None = None, indent: str = "", hang: str | None = None) -> None:
        """A paragraph."""
        self.lines.append(f'<div style="margin:.1em 0;{_styled(style)}">{escape(clean(text))}</div>')

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], fill: int | None = None) -> list[str]:
        """A table of all columns that have a text; their titles."""
        shown = [n for n in range(len(columns)) if any(clean(row[n].text) for row in rows)]
        head = "".join(_cell("th", Cell(columns[n].title, "dim"), columns[n]) for n in shown)
        body = ["".join(_cell("td", row[n], columns[n]) for n in shown) for row in rows]
        lines = "".join(f"<tr>{cells}</tr>" for cells in (head, *body))
        self.lines.append(f'<table style="border-collapse:collapse">{lines}</table>')
        return [columns[n].title for n in shown]


def _styled(style: str | None) -> str:
    return ";".join(_CSS[word] for word in (style or "").split())


def _cell(tag: str, cell: Cell, column: Column) -> str:
    align = "right" if column.right else "left"
    css = f"text-align:{align};padding:.1em 1em .1em 0;{_styled(cell.style)}"
    return f'<{tag} style="{css}">{escape(clean(cell.text))}</{tag}>'
