"""A page of text for a person: paragraphs and tables that fit a width, colours if wanted. Standard library only.

What comes from a record was written by strangers: control characters never reach the terminal. Knows no records.
"""

import os
import textwrap
from collections.abc import Sequence
from typing import NamedTuple, TextIO

WIDTH = 100
"""Columns where there is no terminal to ask."""
_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


_LEAST = 16
"""Characters that a column which is cut keeps."""


class Column(NamedTuple):
    """A column of a table; those with the highest `drop` go first when the page is too narrow, 0 never goes."""

    title: str
    drop: int = 0
    right: bool = False


class Cell(NamedTuple):
    """A text and the style it is shown in."""

    text: str
    style: str | None = None


def clean(text: object) -> str:
    """The text on one line, with every character that could steer a terminal replaced."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(str(text).split()))


def number(value: float | None, digits: int = 4) -> str:
    """A number in `digits` significant digits, without an exponent where it can be read without; '' for None."""
    if value is None:
        return ""
    size = abs(value)
    if size != 0 and not 1e-4 <= size < 1e7:
        return f"{value:.{digits}g}"
    whole = len(str(int(size))) if size >= 1 else 0
    text = f"{value:,.{max(digits - whole, 0)}f}" if size >= 1e4 and digits <= 4 else f"{value:.{digits}g}"
    return text if "e" not in text else f"{value:,.0f}"


def wants_colour(stream: TextIO) -> bool:
    """Whether the stream is a terminal that shows colours and nobody said no (NO_COLOR, TERM=dumb)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def width_of(stream: TextIO) -> int:
    """Columns of the terminal behind the stream; COLUMNS goes first, WIDTH where there is neither."""
    given = os.environ.get("COLUMNS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    try:
        return os.get_terminal_size(stream.fileno()).columns or WIDTH
    except (OSError, ValueError):
        return WIDTH


class Page:
    """Lines of text, put together from the top."""

    def __init__(self, width: int = WIDTH, colour: bool = False) -> None:
        self.width = max(width, 40)
        self.colour = colour
        self.lines: list[str] = []

    def __str__(self) -> str:
        return "\n".join(self.lines) + "\n"

    def paint(self, text: str, style: str | None) -> str:
        """The text in a style (words of `_CODES`, joined by spaces), or plain on a page without colours."""
        if not (self.colour and style and text):
            return text
        return f"\x1b[{';'.join(_CODES[word] for word in style.split())}m{text}\x1b[0m"

    def heading(self, text: str) -> None:
        """An empty line and a bold one."""
        self.lines += ["", self.paint(clean(text), "bold")]

    def text(self, text: object, style: str | None = None, indent: str = "", hang: str | None = None) -> None:
        """A paragraph, wrapped; lines after the first begin with `hang`."""
        wrapped = textwrap.wrap(
            clean(text),
            self.width,
            initial_indent=indent,
            subsequent_indent=indent if hang is None else hang,
            break_long_words=False,
            break_on_hyphens=False,
        )
        self.lines += [self.paint(line, style) for line in wrapped]

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], fill: int | None = None) -> list[str]:
        """A table; column `fill` is cut to what is left, others are dropped by their number until it fits.

        Returns the titles of the columns that are shown. A column without a single text is not.
        """
        clear = [[Cell(clean(c.text), c.style) for c in row] for row in rows]
        shown = [i for i in range(len(columns)) if any(row[i].text for row in clear)]
        widths = {i: max(len(columns[i].title), *(len(row[i].text) for row in clear)) for i in shown}
        if fill in widths:
            widths[fill] = min(widths[fill], max(self.width - self._total(widths, without=fill), _LEAST))
        while self._total(widths) > self.width and (loose := [i for i in widths if columns[i].drop]):
            del widths[max(loose, key=lambda i: columns[i].drop)]
        self.lines.append(self._row(columns, [Cell(c.title, "dim") for c in columns], widths))
        self.lines += [self._row(columns, row, widths) for row in clear]
        return [columns[i].title for i in widths]

    def _total(self, widths: dict[int, int], without: int | None = None) -> int:
        return sum(w for i, w in widths.items() if i != without) + 2 * (len(widths) - 1)

    def _row(self, columns: Sequence[Column], row: Sequence[Cell], widths: dict[int, int]) -> str:
        cells = []
        for i, width in widths.items():
            text = row[i].text if len(row[i].text) <= width else row[i].text[: width - 3] + "..."
            padding = " " * (width - len(text))
            painted = self.paint(text, row[i].style)
            cells.append(padding + painted if columns[i].right else painted + padding)
        return "  ".join(cells).rstrip()
