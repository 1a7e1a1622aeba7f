"""The command `swindex`. `lookup` and `--version` are answered here, before typer is imported; the rest by `cli`.

What this module cannot read as a plain lookup it leaves to typer, so help and usage errors have one source.
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TextIO

from ..schema.errors import SwindexError

DEBUG = "SWINDEX_DEBUG"
INTERRUPTED = 130


class Lookup(NamedTuple):
    """The arguments of `swindex lookup`."""

    model: str
    as_json: bool = False
    directory: str | None = None
    base: str | None = None
    as_of: str | None = None
    offline: bool = False


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status: 0 done, 1 the answer is no, 2 wrong usage, 3 could not be done."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _fast(arguments))


def guarded(run: Callable[[], int]) -> int:
    """Run a command; every error becomes one line on standard error and an exit status."""
    try:
        status = run()
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        return _hung_up()
    except KeyboardInterrupt:
        return _say("interrupted", INTERRUPTED)
    except SwindexError as error:
        return _say(str(error), error.exit_status)
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        return _say(f"{type(error).__name__}: {error} (set {DEBUG}=1 for the traceback)", 3)


def _say(message: str, status: int) -> int:
    from .page import clean

    print("swindex:", clean(message), file=sys.stderr)
    return status


def _hung_up() -> int:
    """The reader of standard output went away: be quiet, also when Python flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _fast(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        from .. import __version__

        print(f"swindex {__version__}")
        return 0
    wanted = plain_lookup(arguments)
    if wanted is not None:
        return lookup(wanted)
    from .cli import run

    return run(arguments)


# --- lookup ---

_FLAGS = {"--json": "as_json", "--offline": "offline"}
_WITH_VALUE = {"--index": "directory", "--base": "base", "--as-of": "as_of"}


def plain_lookup(arguments: Sequence[str]) -> Lookup | None:
    """The lookup that these arguments ask for; None if they are anything but a plain, complete one."""
    if not arguments or arguments[0] != "lookup":
        return None
    given: dict[str, Any] = {}
    rest = iter(arguments[1:])
    for each in rest:
        option, equals, value = each.partition("=")
        if each in _FLAGS:
            given[_FLAGS[each]] = True
        elif option in _WITH_VALUE:
            given[_WITH_VALUE[option]] = value if equals else next(rest, "")
        elif each.startswith("-") or "model" in given:
            return None
        else:
            given["model"] = each
    return Lookup(**given) if "model" in given and "" not in given.values() else None


def lookup(wanted: Lookup) -> int:
    """Print what is known of a model; the exit status."""
    from .answer import answer
    from .names import parse_asked
    from .reader import open_reader

    asked = parse_asked(wanted.model, wanted.as_of)
    document = answer(asked, open_reader(wanted.directory, wanted.offline), wanted.base)
    show(document, wanted.as_json)
    return 0


def show(document: dict[str, Any], as_json: bool, stream: TextIO | None = None) -> None:
    """Print a document of `view`, as JSON or for a person."""
    out = stream or sys.stdout
    if as_json:
        print_json(document, out)
        return
    from .page import wants_colour, width_of
    from .report import report

    write(report(document, width_of(out), wants_colour(out)), out)


def print_json(document: Any, stream: TextIO | None = None) -> None:
    """Print one JSON document: ASCII, indented, ended by a newline."""
    import json

    write(json.dumps(document, indent=2, allow_nan=False) + "\n", stream or sys.stdout)


def write(text: str, stream: TextIO) -> None:
    """Write text to a stream; characters that its encoding lacks become `?`."""
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "replace").decode(encoding))
