"""`swindex crawl`: scan listed or discovered models and append them to an index. The work is the crawler's."""

import sys
from typing import Annotated, Any

import typer

from ..main import print_json, write
from ..page import Cell, Column, Page, clean, number, wants_colour, width_of
from .options import Json, WriteIndex, crawler, writable
from .progress import crawl_progress

_OUTCOME = {"found": "green", "none_found": None, "skipped": "dim", "failed": "red"}
_ATTEMPTS = (
    Column("MODEL"),
    Column("OUTCOME"),
    Column("READ", right=True, drop=1),
    Column("REQUESTS", right=True, drop=2),
    Column("SECONDS", right=True, drop=1),
    Column("COMMIT", drop=3),
)
_ROWS = (
    Column("MODEL"),
    Column("ACTION"),
    Column("BYTES", right=True),
    Column("REQUESTS", right=True, drop=2),
    Column("WHY", drop=1),
)


def crawl(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL ...]", help="Models to scan; none: what discovery finds.")
    ] = None,
    index: WriteIndex = None,
    author: Annotated[str | None, typer.Option(metavar="ORG", help="Discover models of this author.")] = None,
    search: Annotated[str | None, typer.Option(metavar="TEXT", help="Discover models by name.")] = None,
    filter: Annotated[list[str] | None, typer.Option(metavar="TAG", help="A tag they have; may be repeated.")] = None,
    sort: Annotated[str | None, typer.Option(metavar="KEY", help="Order: downloads, likes, created_at, ...")] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="At most so many models.")] = None,
    num_parameters: Annotated[str | None, typer.Option(metavar="RANGE", help="As min:1B,max:14B.")] = None,
    max_bytes: Annotated[int | None, typer.Option(min=1, metavar="N", help="Skip larger checkpoints.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Scan again what could not be scanned.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Print bytes, requests and time; scan nothing.")] = False,
    json: Json = False,
) -> int:
    """Scan models and append the records.

    The listed models, or what discovery on the Hub finds. A rerun goes on where the last one stopped."""
    directory = writable(index)
    query = crawler("Query")(author, search, tuple(filter or ()), sort, limit, num_parameters)
    options = crawler("CrawlOptions")(query, max_bytes, retry_failed)
    if plan:
        made = crawler("plan")(list(models or ()), index=directory, options=options)
        return _print(made, json, _plan_page)
    with crawl_progress() as watch:
        report = crawler("crawl")(list(models or ()), index=directory, options=options, watch=watch)
    return _print(report, json, _report_page)


def _print(made: Any, json: bool, page: Any) -> int:
    if json:
        print_json(made.as_json())
    else:
        opened = Page(width_of(sys.stdout), wants_colour(sys.stdout))
        page(opened, made)
        write(str(opened), sys.stdout)
    return int(made.exit_status)


def _plan_page(page: Page, plan: Any) -> None:
    page.table(_ROWS, [_planned(row) for row in plan.rows])
    total = plan.as_json()
    unknown = f" and {total['bytes_unknown_for']} of unknown size" if total["bytes_unknown_for"] else ""
    page.lines.append("")
    page.text(
        f"{total['scan']} to scan, {total['skip']} to skip; {_size(total['bytes'])}{unknown}, "
        f"about {total['requests']} requests and {_time(total['seconds'])} at {_size(int(plan.rate))}/s. "
        "Nothing was read but the listing.",
        "bold",
    )


def _planned(row: Any) -> list[Cell]:
    style = "dim" if row.action == "skip" else None
    size = "?" if row.bytes is None else _size(row.bytes)
    texts = (clean(row.model_id), row.action, size, str(row.requests), clean(row.reason))
    return [Cell(text, style) for text in texts]


def _report_page(page: Page, report: Any) -> None:
    page.table(_ATTEMPTS, [_attempted(a) for a in report.attempts])
    for attempt in report.attempts:
        if attempt.reason and attempt.outcome != "skipped":
            page.text(f"{attempt.outcome}: {clean(attempt.reason)}", "dim", hang="  ")
    counted = ", ".join(f"{n} {outcome}" for outcome, n in report.outcomes.items()) or "no model"
    total = report.as_json()
    page.lines.append("")
    page.text(f"{counted}; {total['appended']} versions appended, {_size(total['bytes'])} read, "
              f"{total['requests']} requests, {_time(total['seconds'])}.", "bold")  # fmt: skip


def _attempted(attempt: Any) -> list[Cell]:
    style = _OUTCOME.get(attempt.outcome, "yellow")
    texts = (
        attempt.outcome,
        _size(attempt.bytes),
        str(attempt.requests),
        number(attempt.seconds),
        (attempt.revision or "")[:8],
    )
    return [Cell(clean(attempt.model_id)), *(Cell(text, style) for text in texts)]


def _size(count: int) -> str:
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.3g} min" if seconds < 5400 else f"{seconds / 3600:.3g} h"
