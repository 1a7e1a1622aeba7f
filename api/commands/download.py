"""`swindex download`: a copy of the dataset, made or brought up to date. The work is done in `download`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .. import origin
from ..download.counted import Format, Report
from ..main import print_json
from ..page import clean
from .options import Json
from .progress import progress
from .sizes import bytes_text, time_text


def download(
    format: Annotated[
        Format, typer.Option(help="jsonl: an index of its own, updated by its changes; parquet, duckdb: files.")
    ] = Format.JSONL,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="SOURCE",
            help=f"hf://datasets/ORG/NAME, https://... or DIR; without it ${origin.ENVIRONMENT}, or {origin.SOURCE}.",
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where to keep it; without it where lookup looks: $XDG_DATA_HOME/swindex."),
    ] = None,
    json: Json = False,
) -> int:
    """Download the dataset, or what changed since.

    Stopped at any moment, it goes on where it was when run again. Every line is checked."""
    from ..download import download as run

    with progress() as step:
        report = run(source, to, format, step=step)
    print_json(report.as_json()) if json else print(clean(summary(report)))
    return 0


def summary(report: Report) -> str:
    """What a download did, in one or two sentences."""
    told: dict[str, Any] = {
        "nothing": "Nothing is new",
        "changes": f"{report.changes} {'change' if report.changes == 1 else 'changes'} fetched",
        "files": f"{report.files} {'file' if report.files == 1 else 'files'} fetched",
    }
    read = f"{bytes_text(report.bytes)} in {report.requests} {'request' if report.requests == 1 else 'requests'}"
    at = f"now at change {report.seq} of {report.newest}" if report.newest else "an empty index"
    took = time_text(report.seconds)
    return f"{told[report.how]} from {report.source}: {read}, {took}; {at}, in {report.target}"
