"""`swindex recipe`: a quantizer's own configuration that keeps what holds super weights. `recipes` does the work."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..client import Client
from ..main import print_json, write
from ..putting import put_text
from ..recipes.tools import NAMES, SCHEMES, scheme_of, tool_of
from .options import Force, Json, ModelId, Offline, Out, ReadIndex

if TYPE_CHECKING:
    from ...crawler.checkpoint.local import LocalCheckpoint


def recipe(
    model: ModelId,
    tool: Annotated[str, typer.Option("--for", metavar=NAMES, help="The tool.", show_default=False)],
    scheme: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"How it is to quantize; the first without it. {SCHEMES}.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="What is to be quantized: the recorded scalars are looked for in it (a rotated or folded one is "
            "refused), and the bits of all of it counted.",
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="The base model whose weights count, where the index has none of MODEL itself."
        ),
    ] = None,
    out: Out = None,
    force: Force = False,
    index: ReadIndex = None,
    offline: Offline = False,
    json: Json = False,
) -> int:
    """Write a quantizer's settings that protect the super weights.

    The tool's own configuration file or command, with a comment on whose word it rests, granularity, and bits per
    weight. Exit status 0 and no file where there is nothing to protect, 1 where the checkpoint was transformed."""
    from ..recipes.recipe import recipe as made

    chosen = tool_of(tool)
    how = scheme_of(chosen, scheme)
    client = Client(index, offline=offline)
    found = client.lookup(model, base=base)
    record = client.record(found.inherited_from.id if found.inherited_from else model)
    done = made(record, chosen, how, model, _opened(checkpoint, model))
    if json:
        print_json(done.as_json())
    elif done.text is None or out is None:
        write(done.text or done.comment[0] + "\n", sys.stdout)
    if out is not None and done.text is not None:
        put_text(done.text, out, force)
    return 0


def _opened(folder: Path | None, model: str) -> "LocalCheckpoint | None":
    from ...crawler.checkpoint.local import LocalCheckpoint

    return LocalCheckpoint(folder, model) if folder else None
