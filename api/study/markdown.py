"""A study as Markdown, for a model card: the sentences and tables of the page, without its charts.

What a model or its record says is made harmless: no markup, no links, no cell that ends early.
"""

import re

from ..page import clean
from .sections import facts, headline, sections
from .shapes import Json, Section, Table

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~$!])")
PAPER = "[Yu et al. 2024](https://arxiv.org/abs/2411.07191)"


def markdown(document: Json) -> str:
    """The page."""
    lines = [f"# Super weights of {safe(document['record']['model']['id'])}", "", f"**{safe(headline(document))}**", ""]
    lines += [f"The measurements of {PAPER} on this model, by swindex.", ""]
    lines += [f"- {name}: {safe(value)}" for name, value in facts(document)]
    for section in sections(document):
        lines += ["", *section_lines(section)]
    return "\n".join(lines) + "\n"


def safe(text: object) -> str:
    """A text that Markdown shows as it is."""
    return _SPECIAL.sub(r"\\\1", clean(text))


def section_lines(section: Section) -> list[str]:
    """One section."""
    lines = [f"## {safe(section.title)}", ""]
    for sentence in section.said:
        lines += [safe(sentence), ""]
    for table in section.tables:
        lines += [*table_lines(table), ""]
    captions = [f"{f.caption}" for f in section.figures]
    lines += [f"<sub>{safe(note)}</sub>\n" for note in dict.fromkeys((*captions, *section.notes)) if note.strip()]
    return lines


def table_lines(table: Table) -> list[str]:
    """One table, its caption before it."""
    marks = ["---" if n < table.numbers else "---:" for n in range(len(table.columns))]
    rows = [f"| {' | '.join(safe(cell) for cell in row)} |" for row in (table.columns, *table.rows)]
    return [f"{safe(table.caption.rstrip('.'))}:", "", rows[0], f"|{'|'.join(marks)}|", *rows[1:]]
