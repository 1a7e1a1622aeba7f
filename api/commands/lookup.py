"""`swindex lookup` as typer sees it: help and usage errors; the work is done in `main`."""

from typing import Annotated

import typer

from .. import main
from .options import Json, ReadIndex


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
    json: Json = False,
) -> int:
    """Print what is known of a model.

    Coordinates, effects, sources, and how old the record is. Offline."""
    return main.lookup(main.Lookup(model, json, index, base))
