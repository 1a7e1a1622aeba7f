"""The commands, as typer sees them. Knows which there are; what each does stands in `commands`, a file per command.

Loaded only when `main` cannot answer by itself. Commands return their exit status.
"""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command

from .. import __version__
from ..schema.errors import UsageError
from .commands import (
    card,
    changes,
    crawl,
    download,
    guard,
    history,
    index,
    lookup,
    plot,
    publish,
    recipe,
    reviewing,
    scan,
    search,
    serve,
    study,
    submit,
    tokens,
    verify,
)
from .main import INTERRUPTED

_HELP = "What is known of super weights: the few scalars of a language model whose removal destroys it."
_COMMANDS = (
    lookup.lookup,
    history.history,
    changes.changes,
    search.search,
    scan.scan,
    crawl.crawl,
    verify.verify,
    guard.guard,
    download.download,
    publish.publish,
    submit.submit,
    serve.serve,
    plot.plot,
    recipe.recipe,
    card.card,
    study.study,
)
_GROUPS = {"index": index.build_group, "review": reviewing.build_group, "token": tokens.build_group}
_EPILOG = "Exit status: 0 done, 1 the answer is no, 2 wrong usage, 3 could not be done."


def _version(wanted: bool) -> None:
    if wanted:
        print(f"swindex {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Hold the options before a command."""


def build() -> typer.Typer:
    """The application; its help has colours and boxes on a terminal only."""
    app = typer.Typer(
        name="swindex",
        help=_HELP,
        epilog=_EPILOG,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich" if sys.stdout.isatty() else None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for command in _COMMANDS:
        app.command()(command)
    for name, group in _GROUPS.items():
        app.add_typer(group(), name=name)
    return app


def run(arguments: Sequence[str]) -> int:
    """Run a command; its exit status. Raise UsageError, in one line, for what typer refuses."""
    command = get_command(build())
    try:
        status = command.main(args=list(arguments) or ["--help"], prog_name="swindex", standalone_mode=False)
    except Exception as error:  # typer brings its own click, whose classes have no public name
        if not hasattr(error, "format_message"):
            raise
        raise UsageError(_one_line(error)) from None
    if status == INTERRUPTED:  # typer swallows it
        raise KeyboardInterrupt
    return status if isinstance(status, int) else 0


def _one_line(error: Exception) -> str:
    message = " ".join(str(error.format_message()).split()).rstrip(".")  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    return f"{message}; see: {context.command_path} --help" if context else message
