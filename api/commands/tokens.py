"""`swindex token`: who may submit to a service. Tokens are shown once, when they are made, and kept as digests."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from ..main import print_json, write
from ..page import Cell, Column, Page, clean, wants_colour, width_of
from .options import Json
from .reviewing import FOLDER

Folder = Annotated[
    Path,
    typer.Option("--submissions", metavar="FOLDER", envvar=FOLDER, show_default=False, help="That of the service."),
]
_COLUMNS = (Column("ID"), Column("NAME"), Column("SCOPES"), Column("CREATED"), Column("EXPIRES"), Column("REVOKED"))


def build_group() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(help="Make, list and revoke the tokens with which one submits to a service.")
    commands: dict[str, Callable[..., int]] = {"create": create, "list": listing, "revoke": revoke}
    for name, command in commands.items():
        group.command(name)(command)
    return group


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who submits with it, as records credit.")],
    submissions: Folder,
    scope: Annotated[
        list[str] | None, typer.Option(metavar="SCOPE", help="record or request; without it both. May be repeated.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, metavar="N", help="For so many days.")] = None,
    json: Json = False,
) -> int:
    """Make a token and print it: once, for it is kept nowhere."""
    from ...index.submissions.tokens import SCOPES, Tokens

    now = datetime.now(UTC)
    expires = _text(now + timedelta(days=days)) if days else None
    secret, made = Tokens(submissions).create(name, tuple(dict.fromkeys(scope or SCOPES)), _text(now), expires)
    if json:
        print_json({"token": secret, **_plain(made)})
    else:
        print(f"Token {made.id} for {made.name}: it is not shown again.", file=sys.stderr)
        print(secret)
    return 0


def listing(submissions: Folder, json: Json = False) -> int:
    """List the tokens, without themselves."""
    from ...index.submissions.tokens import Tokens

    found = [_plain(token) for token in Tokens(submissions).all()]
    if json:
        print_json({"tokens": found})
    elif found:
        page = Page(width_of(sys.stdout), wants_colour(sys.stdout))
        page.table(_COLUMNS, [_row(token) for token in found])
        write(str(page), sys.stdout)
    return 0


def revoke(
    token: Annotated[str, typer.Argument(metavar="ID", help="Its id, as `swindex token list` shows it.")],
    submissions: Folder,
    json: Json = False,
) -> int:
    """Let a token count no more, at once."""
    from ...index.submissions.tokens import Tokens

    gone = Tokens(submissions).revoke(token, _text(datetime.now(UTC)))
    print_json(_plain(gone)) if json else print(f"Token {gone.id} of {gone.name} counts no more.")
    return 0


def _plain(token: Any) -> dict[str, Any]:
    told = {name: getattr(token, name) for name in ("id", "name", "created", "expires", "revoked")}
    return {**told, "scopes": list(token.scopes)}


def _row(token: dict[str, Any]) -> list[Cell]:
    days = [(token[name] or "")[:10] for name in ("created", "expires", "revoked")]
    texts = (token["id"], token["name"], ", ".join(token["scopes"]), *days)
    return [Cell(clean(text), "dim" if token["revoked"] else None) for text in texts]


def _text(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
