"""What a page is made of, before it is HTML or Markdown: sections of sentences, figures and tables of ready text."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ..page import number

Json = dict[str, Any]
DASH = "–"


class Figure(NamedTuple):
    """A chart: its name, what it shows in words, what it rests on, and what draws it in a look."""

    name: str
    alt: str
    caption: str
    draw: Callable[[Any], Any]


class Table(NamedTuple):
    """A table: what it shows, its columns, and rows of text; columns from `numbers` on are numbers."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: int = 1


class Section(NamedTuple):
    """A part of the page."""

    anchor: str
    title: str
    said: tuple[str, ...]
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


def ppl(value: float | None, *, finite: bool = True) -> str:
    """A perplexity."""
    if value is None:
        return "beyond print" if finite else "not finite"
    return number(value)


def times(value: float | None, *, finite: bool = True) -> str:
    """A ratio of perplexities."""
    return ppl(value, finite=finite) if value is None else f"×{number(value)}"


def percent(value: float | None) -> str:
    """A probability."""
    if value is None:
        return DASH
    if 0 < value < 5e-5:
        return "<0.01 %"
    return f"{100 * value:.2f} %" if value else "0 %"


def plural(count: int, word: str) -> str:
    """A number of things."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def listed(words: Iterable[str]) -> str:
    """Words with commas."""
    return ", ".join(words)


def spelt(token: str) -> str:
    """A token as it can be seen."""
    shown = token.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
    return f"“{shown}”"
