"""Asking a person before something is written or sent; nobody to ask is an error, not a yes."""

import sys

from ...schema.errors import SwindexError, UsageError
from ..page import clean


class NotConfirmed(SwindexError):
    """Nobody said yes; nothing was done."""

    exit_status = 1


def confirm(question: str, act: str, done: str, yes: bool) -> None:
    """Ask, unless that is answered; `act` and `done` say what would be done: write, written.

    Raise NotConfirmed, UsageError where nobody can be asked.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"nobody to ask: add --yes to {act} this, or --dry-run to look only")
    print(f"{clean(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise NotConfirmed(f"nothing was {done}")
