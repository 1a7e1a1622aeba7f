"""`swindex plot`: the charts of a model as a file. The work is that of `plotting`."""

from pathlib import Path
from typing import Annotated

import typer

from ..client import Client
from ..plotting import Plot, kind_of
from .options import Offline, ReadIndex


def plot(
    model: Annotated[
        str, typer.Argument(metavar="MODEL[@REVISION]", help="A model id as on the Hub, ORG/NAME.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The file to write: .svg, .png, or .json for Vega-Lite.")
    ],
    index: ReadIndex = None,
    offline: Offline = False,
) -> int:
    """Draw what is known of a model: activations over its layers, and what removing weights does.

    Ours, others' figures and controls have marks of their own. As JSON it is a Vega-Lite spec with the data."""
    kind_of(out)
    Plot(Client(index, offline=offline).lookup(model).model_dump(mode="json")).save(out)
    return 0
