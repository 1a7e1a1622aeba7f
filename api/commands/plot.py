"""`swindex plot`: the charts of a model as a file. The work is that of `charts`, which needs the extra `serve`."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from ...index.errors import StoreError, os_reason
from ...schema.errors import SwindexError, UsageError
from ..client import Client
from .options import MissingExtraError, Offline, ReadIndex

_EXTRA = ("altair", "vl_convert")
_KINDS = ("svg", "png", "json")


class NothingToDraw(SwindexError):
    """A model of which no activation and no figure is known."""


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
    kind = out.suffix.lower().removeprefix(".")
    if kind not in _KINDS:
        raise UsageError(f"{out}: write to a file that ends in .svg, .png or .json")
    plotted = _charts()
    document = Client(index, offline=offline).lookup(model).model_dump(mode="json")
    content = plotted(document, kind)
    if content is None:
        why = "no scan of it saw activations, and nobody gives a figure of an effect"
        raise NothingToDraw(f"{document['model']['id']}: nothing to draw: {why}; swindex lookup says what is known")
    _save(out, content)
    return 0


def _charts() -> Any:
    try:
        return import_module("swindex.api.charts.both").plotted
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        what = f"{error.name} is not installed"
        raise MissingExtraError(f"{what}; drawing needs more: pip install 'swindex[serve]'") from None


def _save(out: Path, content: bytes) -> None:
    try:
        out.write_bytes(content)
    except OSError as error:
        raise StoreError(f"{out}: not written: {os_reason(error)}") from None
