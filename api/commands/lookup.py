"""`swindex lookup` as typer sees it: help and usage errors; the work is done in `main`."""

from typing import Annotated

import typer

from .. import main
from .options import Json, Offline, ReadIndex


def lookup(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL[@REVISION]",
            help="A model id as on the Hub, ORG/NAME, and if wanted a commit (7 or more digits of its sha).",
            show_default=False,
        ),
    ],
    index: ReadIndex = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            metavar="MODEL",
            help="The base model whose weights are shown, as inherited, where the index has none of MODEL itself.",
        ),
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            metavar="TIME",
            help="Answer with what the index said then: a UTC date (its end), or a time with its zone.",
        ),
    ] = None,
    offline: Offline = False,
    json: Json = False,
) -> int:
    """Print what is known of a model.

    Coordinates, effects, sources, and how old the record is. Asks nobody, unless the index named is elsewhere."""
    return main.lookup(main.Lookup(model, json, index, base, as_of, offline))
