"""The charts of a model as one object: drawn when asked, a file, or what a notebook shows.

The work is that of `charts`, which needs the extra `serve`.
"""

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from ..schema.errors import SwindexError, UsageError
from .putting import put

Json = dict[str, Any]
KINDS = ("svg", "png", "json")
"""Endings of files: pictures, and Vega-Lite with the data."""
_EXTRA = ("altair", "vl_convert")


class NothingToDraw(SwindexError):
    """A model of which no activation and no figure is known."""


class Plot:
    """What is known of a model, drawn: activations over its layers, and what removing weights does."""

    def __init__(self, document: Json) -> None:
        self.document = document
        self._drawn: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"Plot({self.document['model']['id']!r})"

    def draw(self, kind: str) -> bytes:
        """The file of a kind: svg, png or json; raise NothingToDraw or MissingExtraError."""
        if kind not in self._drawn:
            content = _charts()(self.document, kind)
            if content is None:
                why = "no scan of it saw activations, and nobody gives a figure of an effect"
                what = f"{self.document['model']['id']}: nothing to draw: {why}"
                raise NothingToDraw(f"{what}; swindex lookup says what is known")
            self._drawn[kind] = content
        return self._drawn[kind]

    def save(self, out: str | Path) -> None:
        """Write a file whose ending says what it is; raise UsageError or StoreError, and what `draw` raises."""
        path = Path(out)
        put(self.draw(kind_of(path)), path)

    def _repr_svg_(self) -> str:
        return self.draw("svg").decode()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Json:
        """What Jupyter asks for: SVG, and PNG only where that is wanted."""
        made = {"text/plain": repr(self), "image/svg+xml": self._repr_svg_()}
        if include and "image/png" in include:
            made["image/png"] = _base64(self.draw("png"))
        kept = {kind: data for kind, data in made.items() if not include or kind in include}
        return {kind: data for kind, data in kept.items() if not exclude or kind not in exclude}


def kind_of(path: Path) -> str:
    """What a file is by its ending; raise UsageError."""
    kind = path.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise UsageError(f"{path}: write to a file that ends in .svg, .png or .json")
    return kind


def _base64(data: bytes) -> str:
    from base64 import b64encode

    return b64encode(data).decode()


@cache
def _charts() -> Any:
    try:
        return import_module("swindex.api.charts.both").plotted
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        from .commands.options import MissingExtraError

        what = f"{error.name} is not installed"
        raise MissingExtraError(f"{what}; drawing needs more: pip install 'swindex[serve]'") from None
