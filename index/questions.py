"""Writes QUESTIONS.md: the tables of the DuckDB file, and what people ask them, with the answers of the shipped index.

Questions and readings stand in questions.toml, tables and columns in `tables`; answers are those of the records beside
this file. `python -m swindex.index.questions` prints the page.
"""

import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from ..schema.errors import SwindexError
from .rows import Table
from .sql import Answered, answer, opened
from .tables import TABLES

HERE = Path(__file__).parent
_LEAST = ("ask", "sql", "reads")
_HEAD = """# The index in SQL

Made by `make questions` from questions.toml, the tables' definitions and the shipped index; a test holds it to them.

    swindex index sql "SELECT model_id, weight_id FROM super_weights WHERE alone = 'confirmed'"

asks the shipped index, or the one that `--index` names. The same tables are in `index.duckdb` of every release, which
DuckDB 1.2 and later opens, and from Python in `swindex.index.connect(Index(directory))`.

**Measured or claimed.** The shipped index is what outside sources published, with their own numbers. Whatever is
derived from that says so: a verdict has a basis column that is `reported` until swindex itself has removed the weight,
then `measured`; a location is `reported` until a scan finds it, then `confirmed`. A query that counts verdicts says
which it counts.

A record that was withdrawn stays in the tables with `withdrawn_time` set (the shipped index has none): add
`WHERE withdrawn_time IS NULL` to a count of what stands. Null is an empty cell below."""


class Question(NamedTuple):
    """What somebody asks, the query that answers it, and how to read the answer."""

    ask: str
    sql: str
    reads: str


def questions(path: Path = HERE / "questions.toml") -> list[Question]:
    """The questions, in their order."""
    found = tomllib.loads(path.read_text(encoding="utf-8"))["question"]
    return [Question(*(str(each[name]).strip() for name in _LEAST)) for each in found]


def page(directory: Path = HERE) -> str:
    """The page, with the answers of the index in a directory; raise StoreError, UsageError."""
    with opened(directory) as con:
        asked = [_asked(number, q, answer(con, q.sql)) for number, q in enumerate(questions(), 1)]
    return "\n\n".join([_HEAD, "## Questions", *asked, "## Tables", *map(_table, TABLES)]) + "\n"


def _asked(number: int, question: Question, answered: Answered) -> str:
    rows = _markdown(answered.columns, answered.rows) if answered.rows else "No rows."
    reads = " ".join(question.reads.split())
    return f"### {number}. {question.ask}\n\n```sql\n{question.sql}\n```\n\n{rows}\n\n{reads}"


def _table(table: Table) -> str:
    columns = [(f"`{c.name}`", c.type, c.meaning) for c in table.columns]
    return f"### `{table.name}`\n\n{table.meaning}\n\n{_markdown(['column', 'type', 'meaning'], columns)}"


def _markdown(columns: list[str], rows: list[Any]) -> str:
    lines = [columns, ["---"] * len(columns), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    """A value as a cell; null is empty."""
    if isinstance(value, list):
        return ", ".join(_cell(each) for each in value)
    text = "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("<", "&lt;")


def main() -> int:
    """Print the page; the exit status."""
    try:
        made = page()
    except SwindexError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    sys.stdout.write(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
