"""`swindex scan`: one checkpoint, scanned and printed. The scan itself is the crawler's."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ...schema.errors import UsageError
from ...schema.ids import is_model_id
from ...schema.record import Record
from ...schema.types import SCANNED
from ..main import show, write
from ..page import Cell, Column, Page, number, wants_colour, width_of
from ..putting import put_json
from ..view import view
from .options import Json, crawler
from .progress import progress

_PROFILE = (
    Column("LAYER", right=True),
    Column("INTO DOWN PROJECTION", right=True),
    Column("OUT OF IT", right=True),
    Column("RESIDUAL", right=True),
    Column("FINITE"),
)


def scan(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="A local folder, or a model on the Hub.", show_default=False)
    ],
    revision: Annotated[
        str | None, typer.Option(metavar="SHA", help="The commit to scan; without it the newest, which is then named.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the record to a file, as JSON.")] = None,
    no_effects: Annotated[
        bool, typer.Option("--no-effects", help="Stop at detection: do not measure what removal does.")
    ] = False,
    depth: Annotated[
        str,
        typer.Option(metavar="full|screen", help="How thorough: screen looks at the first token only and stops early."),
    ] = "full",
    rounds: Annotated[
        int | None,
        typer.Option(min=0, max=64, metavar="N", help="Rounds of removal at most; 0: one plain pass."),
    ] = None,
    text: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A text to measure effects on; may be repeated.")
    ] = None,
    windows: Annotated[int | None, typer.Option(min=1, metavar="N", help="Windows of each text.")] = None,
    window: Annotated[int | None, typer.Option(min=2, metavar="N", help="Tokens of a window.")] = None,
    scale: Annotated[
        list[float] | None,
        typer.Option(metavar="FACTOR", help="Also multiply all that was found by this; may be repeated."),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The text to watch, in place of the shipped prompt.")
    ] = None,
    device: Annotated[str | None, typer.Option(metavar="NAME", help="Where to compute: cpu, cuda, ...")] = None,
    allow_pickle: Annotated[
        bool,
        typer.Option(
            "--allow-pickle", help="Unpickle weights that are there only as pytorch_model.bin: tensors alone."
        ),
    ] = False,
    compute: Annotated[
        str | None, typer.Option(metavar="DTYPE", help="Arithmetic on a GPU: float32 (default), bfloat16 or float16.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Print the activations of every layer too.")] = False,
    json: Json = False,
) -> int:
    """Scan a checkpoint and print the result.

    A folder, or a model on the Hub. Nothing is written unless --out is given."""
    if not os.path.exists(checkpoint) and not is_model_id(checkpoint):
        raise UsageError(f"{checkpoint!r:.120} is neither a folder nor a model id of the form org/name")
    if depth not in ("full", "screen"):
        raise UsageError(f"--depth {depth!r:.40}: full or screen")
    wanted = {"depth": depth, "rounds": rounds, "windows": windows, "window": window, "prompt": prompt}
    wanted |= {"device": device, "compute": compute}
    given = {name: value for name, value in wanted.items() if value is not None}
    run, options = crawler("scan"), crawler("Options")
    texts, factors = tuple(str(t) for t in text or ()), tuple(scale or ())
    chosen = options(effects=not no_effects, texts=texts, factors=factors, **given)
    with progress() as steps:
        record: Record = run(checkpoint, revision=revision, options=chosen, progress=steps, allow_pickle=allow_pickle)
    return _finish(record, out, json, verbose)


def _finish(record: Record, out: Path | None, json: bool, verbose: bool) -> int:
    plain = record.model_dump(mode="json")
    if out is not None:
        put_json(plain, out)
    show(view(plain), json)
    if verbose and not json:
        _profile(plain)
    return 0 if record.scans[-1].outcome in SCANNED else 3


def _profile(record: dict[str, Any]) -> None:
    page = Page(width_of(sys.stdout), wants_colour(sys.stdout))
    page.heading("Largest activation of each layer")
    page.table(_PROFILE, [_layer(each) for each in record["scans"][-1]["profile"]])
    write(str(page), sys.stdout)


def _layer(layer: dict[str, Any]) -> list[Cell]:
    figures = [number(layer[name]) for name in ("activation_in", "activation_out", "residual")]
    return [Cell(text) for text in (str(layer["layer"]), *figures, "" if layer["finite"] else "no")]
