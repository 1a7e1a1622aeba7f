"""`swindex crawl`: scan listed or discovered models and append them to an index. The work is the crawler's."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..main import print_json, write
from ..page import Cell, Column, Page, clean, number, wants_colour, width_of
from .options import Json, WriteIndex, crawler, require_torch, writable
from .sizes import bytes_text, time_text
from .watching import watching

_OUTCOME = {"found": "green", "none_found": None, "skipped": "dim", "failed": "red"}
_ATTEMPTS = (
    Column("MODEL"),
    Column("OUTCOME"),
    Column("HOW", drop=1),
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
_SHOWN = 50
"""Rows of a table; --json has more."""


def crawl(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL ...]", help="Models to scan; none: what discovery finds.")
    ] = None,
    index: WriteIndex = None,
    policy: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What to list, leave out and spend (TOML)."),
    ] = None,
    author: Annotated[str | None, typer.Option(metavar="ORG", help="Discover models of this author.")] = None,
    search: Annotated[str | None, typer.Option(metavar="TEXT", help="Discover models by name.")] = None,
    filter: Annotated[list[str] | None, typer.Option(metavar="TAG", help="A tag they have; may be repeated.")] = None,
    sort: Annotated[str | None, typer.Option(metavar="KEY", help="Order: downloads, likes, created_at, ...")] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="At most so many models.")] = None,
    num_parameters: Annotated[str | None, typer.Option(metavar="RANGE", help="As min:1B,max:14B.")] = None,
    max_bytes: Annotated[int | None, typer.Option(min=1, metavar="N", help="Skip larger checkpoints.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, metavar="N", help="Scans at a time.")] = None,
    hours: Annotated[float | None, typer.Option(min=0, metavar="H", help="Begin no model after so many hours.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Scan again what could not be scanned.")] = False,
    accept_held: Annotated[
        bool, typer.Option("--accept-held", help="Append first what the circuit breaker held back.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Print bytes, requests and time; scan nothing.")] = False,
    json: Json = False,
) -> int:
    """Scan models and append the records.

    The listed models, or what discovery on the Hub finds. A rerun goes on where the last one stopped."""
    directory = writable(index)
    rules = crawler("policy_of")(
        policy,
        listing={
            "author": author,
            "search": search,
            "filters": filter,
            "sort": sort,
            "limit": limit,
            "num_parameters": num_parameters,
        },
        models={"max_bytes": max_bytes, "retry_failed": retry_failed or None},
        workers={"count": workers},
        budget={"hours": hours},
    )
    if plan:
        return _print(crawler("plan")(list(models or ()), index=directory, policy=rules), json, _plan_page)
    require_torch("scanning")  # of the workers: this process does without
    with watching() as watch:
        report = crawler("crawl")(
            list(models or ()), index=directory, policy=rules, watch=watch, accept_held=accept_held
        )
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
    total = plan.as_json()
    page.table(_ROWS, [_planned(row) for row in total["models"][:_SHOWN]])
    more = total["scan"] + total["skip"] - min(len(plan.rows), _SHOWN)
    if more > 0:
        page.text(f"... and {more} more", "dim")
    for reason, count in {**total["skip_by_reason"]}.items():
        page.text(f"skip {count}: {clean(reason)}", "dim")
    unknown = f" and {total['bytes_unknown_for']} of unknown size" if total["bytes_unknown_for"] else ""
    assumed = "" if total["rate_measured"] else " (assumed)"
    page.lines.append("")
    page.text(
        f"{total['scan']} to scan, {total['skip']} to skip; {bytes_text(total['bytes'])}{unknown}, "
        f"about {total['requests']} requests and {time_text(total['seconds'])} at {bytes_text(plan.rate)}/s{assumed}. "
        "Nothing was read but the listing.",
        "bold",
    )


def _planned(planned: dict[str, Any]) -> list[Cell]:
    style = "dim" if planned["action"] == "skip" else None
    size = "?" if planned["bytes"] is None else bytes_text(planned["bytes"])
    texts = (planned["model_id"], planned["action"], size, str(planned["requests"]), planned["reason"])
    return [Cell(clean(text), style) for text in texts]


def _report_page(page: Page, report: Any) -> None:
    page.table(_ATTEMPTS, [_attempted(a) for a in report.attempts[:_SHOWN]])
    if len(report.attempts) > _SHOWN:
        page.text(f"... and {len(report.attempts) - _SHOWN} more", "dim")
    for attempt in report.attempts[:_SHOWN]:
        if attempt.reason and attempt.outcome != "skipped":
            page.text(f"{attempt.outcome}: {clean(attempt.reason)}", "dim", hang="  ")
    counted = ", ".join(f"{n} {outcome}" for outcome, n in report.outcomes.items()) or "no model"
    total = report.as_json()
    page.lines.append("")
    for reason, count in report.skipped.items():
        page.text(f"skipped {count}: {clean(reason)}", "dim")
    page.text(f"{counted}; {total['appended']} versions appended, {bytes_text(total['bytes'])} read, "
              f"{total['requests']} requests, {time_text(total['seconds'])}.", "bold")  # fmt: skip
    if report.held:
        held = f"{len(report.held)} ({clean(', '.join(report.held[:5]))})"
        page.text(f"Held back by the circuit breaker: {held}. To append them: --accept-held.", "yellow")
    if report.stopped:
        page.text(f"Stopped: {clean(report.stopped)}.", "yellow")


def _attempted(attempt: Any) -> list[Cell]:
    style = _OUTCOME.get(attempt.outcome, "yellow")
    texts = (
        attempt.outcome,
        attempt.how,
        bytes_text(attempt.bytes),
        str(attempt.requests),
        number(attempt.seconds),
        (attempt.revision or "")[:8],
    )
    return [Cell(clean(attempt.model_id)), *(Cell(text, style) for text in texts)]
