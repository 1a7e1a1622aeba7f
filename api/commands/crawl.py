"""`swindex crawl`: scan listed or discovered models and append them to an index. The work is the crawler's."""

from typing import Annotated

import typer

from ..main import print_json
from .options import Json, WriteIndex, crawler, writable


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

    The listed models, or what discovery on the Hub finds."""
    directory = writable(index)
    options = crawler("CrawlOptions")(
        author=author,
        search=search,
        filters=tuple(filter or ()),
        sort=sort,
        limit=limit,
        num_parameters=num_parameters,
        max_bytes=max_bytes,
        retry_failed=retry_failed,
    )
    work = crawler("plan" if plan else "crawl")
    report = work(list(models or ()), index=directory, options=options, progress=None)
    print_json(report.as_json()) if json else print(report)
    return int(report.exit_status)
