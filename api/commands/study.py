"""`swindex study`: the paper's figures and tables of one model, as a page. Measuring is the crawler's work."""

import os
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from ...index.errors import NotInIndex
from ...schema.errors import UsageError
from ...schema.ids import is_model_id
from ..client import Client
from ..main import print_json
from .options import Json, MissingExtraError, Offline, ReadIndex, crawler
from .progress import progress

_EXTRA = ("altair", "jinja2", "vl_convert")


def study(
    checkpoint: Annotated[
        str, typer.Argument(metavar="MODEL|DIR", help="A local folder, or a model on the Hub.", show_default=False)
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="DIR", help="The folder for study.html, study.md and study.json.", show_default=False
        ),
    ],
    revision: Annotated[str | None, typer.Option(metavar="SHA", help="The commit; without it the newest.")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PART",
            help="A part of the page; may be repeated: coordinates, spikes, activation, tokens, scale, removal, "
            "quantization, tasks.",
        ),
    ] = None,
    text: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A text to measure on, in place of the shipped ones; may be repeated."),
    ] = None,
    windows: Annotated[int | None, typer.Option(min=1, metavar="N", help="Windows of each text.")] = None,
    window: Annotated[int | None, typer.Option(min=2, metavar="N", help="Tokens of a window.")] = None,
    prompt: Annotated[str | None, typer.Option(metavar="TEXT", help="What figure 5 shows the next token of.")] = None,
    bits: Annotated[
        list[int] | None, typer.Option(metavar="N", help="Bits of rounded weights; may be repeated.")
    ] = None,
    block: Annotated[
        list[int] | None, typer.Option(metavar="N", help="Side of a block, 0 for whole tensors; may be repeated.")
    ] = None,
    tensors: Annotated[
        str | None, typer.Option(metavar="PART", help="Round only tensors with this in their name.")
    ] = None,
    asymmetric: Annotated[
        bool, typer.Option("--asymmetric", help="Round on the paper's grid, from the least to the largest weight.")
    ] = False,
    task: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A zero-shot task of lm-eval; may be repeated.")
    ] = None,
    task_folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where task definitions of your own lie.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Examples of each task at most.")] = None,
    model: Annotated[
        str | None, typer.Option(metavar="ORG/NAME", help="Of a folder: whose claims in the index stand beside.")
    ] = None,
    index: ReadIndex = None,
    offline: Offline = False,
    device: Annotated[str | None, typer.Option(metavar="NAME", help="Where to compute: cpu, cuda, ...")] = None,
    compute: Annotated[
        str | None, typer.Option(metavar="DTYPE", help="Arithmetic on a GPU: float32 (default), bfloat16 or float16.")
    ] = None,
    json: Json = False,
) -> int:
    """Measure what the paper measured, on one model, and write it as a page.

    Spikes by layer, the super activation with and without the weight, next tokens, effect against scale, removal beside
    its controls, coordinates, and quantization with super weights held out. HTML, Markdown and JSON of the same."""
    if not os.path.exists(checkpoint) and not is_model_id(checkpoint):
        raise UsageError(f"{checkpoint!r:.120} is neither a folder nor a model id of the form org/name")
    files, document = _pages("files"), _pages("document")
    asked: dict[str, Any] = {
        "only": tuple(only or ()),
        "prompt": prompt,
        "bits": tuple(bits or ()),
        "blocks": tuple(block or ()),
    }
    asked |= {"tensors": tensors, "tasks": tuple(task or ()), "limit": limit}
    asked |= {"task_folder": str(task_folder) if task_folder else None}
    measure, wanted = crawler("make_study"), crawler("StudyOptions")(**_given(asked))
    scan: dict[str, Any] = {"windows": windows, "window": window, "device": device, "compute": compute}
    options = crawler("Options")(texts=tuple(str(t) for t in text or ()), **_given(scan))
    known = _known(model or checkpoint, model is not None, index, offline)
    files.check_folder(out)
    with progress() as steps:
        made = measure(checkpoint, revision=revision, options=options, wanted=wanted, progress=steps)
    page = document.document_of(made.model_dump(mode="json"), known)
    written = files.save(page, out)
    if json:
        print_json(page)
    else:
        _tell(page, [str(path) for path in written])
    return 0


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value not in (None, ())}


def _pages(name: str) -> Any:
    """A module of `api.study`; raise MissingExtraError with the command that installs what it needs."""
    try:
        return import_module(f"swindex.api.study.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        what = f"{error.name} is not installed"
        raise MissingExtraError(f"{what}; a study needs more: pip install 'swindex[crawl,serve]'") from None


def _known(model: str, named: bool, index: str | None, offline: bool) -> dict[str, Any] | None:
    """What the index has of a model; None where it has nothing, unless it was asked for by name."""
    if not named and not is_model_id(model):
        return None
    if not named and os.path.isdir(model):
        return None
    try:
        return Client(index, offline=offline).lookup(model).model_dump(mode="json")
    except NotInIndex:
        if named:
            raise
        return None


def _tell(page: dict[str, Any], written: list[str]) -> None:
    headline = import_module("swindex.api.study.sections").headline(page)
    print(f"{page['record']['model']['id']}: {headline}")
    for part, reason in page["left_out"].items():
        print(f"left out: {part}: {reason}")
    for path in written:
        print(f"wrote {path}")
