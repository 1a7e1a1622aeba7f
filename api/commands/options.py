"""Options that several commands have, and what they need to run. Knows no command."""

import os
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from ...schema.errors import SwindexError, UsageError
from ..reading import ENVIRONMENT, is_release

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
ReadIndex = Annotated[
    str | None,
    typer.Option(
        "--index",
        metavar="SOURCE",
        help="The index to read: a directory, an address (https://...), or a dataset (hf://datasets/ORG/NAME); "
        f"without it ${ENVIRONMENT}, or the one shipped with swindex.",
    ),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Ask nobody: answer from what was read before, of an index that is elsewhere.")
]
WriteIndex = Annotated[
    str | None, typer.Option("--index", metavar="DIR", help=f"The index to write to; without it ${ENVIRONMENT}.")
]
ModelId = Annotated[
    str, typer.Argument(metavar="MODEL", help="A model id as on the Hub, ORG/NAME.", show_default=False)
]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write to a file, not to the screen.")]
Force = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]

_EXTRA = ("accelerate", "safetensors", "torch", "transformers")


class MissingExtraError(SwindexError):
    """A part of swindex that is installed on request is not there."""


def writable(directory: str | None) -> Path:
    """The index to write to; raise UsageError if none is named: the shipped one is never written."""
    named = directory or os.environ.get(ENVIRONMENT)
    if not named:
        raise UsageError(f"name the index to write to: --index DIR (or {ENVIRONMENT})")
    if is_release(named):
        raise UsageError(f"{named}: a release is not written to; name the directory of an index: --index DIR")
    return Path(named)


def crawler(name: str) -> Any:
    """A name of `swindex.crawler`, which needs torch; raise MissingExtraError with the command that installs it."""
    return with_torch("swindex.crawler", name, "scanning")


def with_torch(module: str, name: str, what_for: str) -> Any:
    """A name of a module that needs torch; raise MissingExtraError with the command that installs it."""
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise _missing(str(error.name), what_for) from None


def require_torch(what_for: str) -> None:
    """Raise MissingExtraError where what needs torch would fail; imports none of it."""
    for name in _EXTRA:
        if find_spec(name) is None:
            raise _missing(name, what_for)


def _missing(name: str, what_for: str) -> MissingExtraError:
    return MissingExtraError(f"{name} is not installed; {what_for} needs more: pip install 'swindex[crawl]'")
