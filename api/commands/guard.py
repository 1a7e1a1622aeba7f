"""`swindex guard`: are the super weights of a checkpoint the recorded ones. The work is that of `guarding`."""

import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ...index.errors import StoreError, os_reason
from ...schema.errors import UsageError
from ...schema.ids import is_model_id
from ...schema.record import Record
from ..client import Client
from ..guarding import files
from ..guarding.baseline import Baseline, Step, take, with_casts
from ..guarding.files import Guarded
from ..guarding.flips import Flip, flips_of
from ..guarding.judging import BAD
from ..guarding.ranges import SafeRange, safe_range
from ..main import print_json, write
from ..names import parse_asked, snapshot
from ..page import Cell, Column, Page, clean, number, wants_colour, width_of
from ..putting import put_json
from .options import Json, ReadIndex
from .progress import progress

_SCALARS = (
    Column("SCALAR"),
    Column("STATE"),
    Column("RECORDED", right=True),
    Column("HERE", right=True),
    Column("DTYPE", drop=2),
    Column("BITS", drop=1),
    Column("FLIPPED"),
)
_FLIPS = (
    Column("BIT", right=True),
    Column("PART", drop=1),
    Column("FROM", drop=2),
    Column("TO"),
    Column("VALUE", right=True),
    Column("FACTOR", right=True),
    Column("IN RANGE"),
)
_DIGESTS = (Column("WHAT"), Column("STATE"), Column("ROWS"), Column("WHY"))
_STYLE = {"intact": "green", "cast": "green", "agrees": "green", "same": "green", "not_checkable": "yellow"}
_LOOKED = {
    "nothing": "Elsewhere in the files: not looked at; --full reads every byte, --baseline tells the rows.",
    "stated": "Elsewhere: by the digests that the Hub states; --full reads every byte.",
    "files": "Elsewhere: every byte of the weight files, by the record's digests.",
    "tensors": "Elsewhere: every byte of the weight files, by the baseline.",
}


def guard(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="A local folder, or a model on the Hub.", show_default=False)
    ],
    model: Annotated[
        str | None, typer.Option(metavar="MODEL[@REV]", help="Whose super weights they should be, by the index.")
    ] = None,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A record from a file (scan --out), in place of the index's.")
    ] = None,
    index: ReadIndex = None,
    revision: Annotated[
        str | None, typer.Option(metavar="REV", help="The commit to read from the Hub; without it the recorded one.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Read every byte of the weight files, and compare the record's digests.")
    ] = False,
    baseline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Compare every tensor with this baseline; tells the rows.")
    ] = None,
    write_baseline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a baseline of this checkpoint, which is to be trusted.")
    ] = None,
    flips: Annotated[
        bool, typer.Option("--flips", help="Show what each flipped bit of a recorded scalar would make of it.")
    ] = False,
    json: Json = False,
) -> int:
    """Tell whether the super weights of a checkpoint are the recorded ones, bit by bit.

    A cast to another float type is no change. Exit status 1 if something changed, 3 if something could not be
    compared."""
    known = _record(checkpoint, model, record, index, with_digests=bool(baseline or write_baseline))
    if flips and known is None:
        raise UsageError("--flips: of whose super weights? name a model of the index: --model ORG/NAME")
    read = _opened(checkpoint, known, revision)
    against = Baseline.read(baseline) if baseline else None
    with progress() as steps:
        step: Step | None = (lambda done, of: steps("reading", done, of)) if steps else None
        done = files.guard(read, known, baseline=against, full=full, step=step)
        if write_baseline and done.exit_status == 0:
            put_json(take(read, casts=with_casts(), step=step).model_dump(mode="json"), write_baseline)
    flipped = _flips(known) if flips and known else []
    print_json(_document(done, flipped)) if json else _print(done, flipped)
    if write_baseline and not json:
        _told(done, write_baseline)
    return done.exit_status


# --- what is compared with what ---


def _record(
    checkpoint: str, model: str | None, file: Path | None, index: str | None, with_digests: bool
) -> Record | None:
    if file is not None:
        return _from_file(file)
    named = model or _model_of(checkpoint)
    if named is not None:
        asked = parse_asked(named)
        return Client(index).record(asked.model_id, asked.revision)
    if with_digests:
        return None
    raise UsageError(f"{checkpoint}: whose super weights should be there? name a model of the index: --model ORG/NAME")


def _model_of(checkpoint: str) -> str | None:
    """The model that a checkpoint is by its name: a model's id, or a folder of the Hub client's cache."""
    if not Path(checkpoint).exists():
        return checkpoint
    cached = snapshot(Path(checkpoint).resolve().as_posix())
    return cached[0] if cached else None


def _from_file(file: Path) -> Record:
    try:
        return Record.parse(file.read_bytes(), tolerant=True)
    except OSError as error:
        raise StoreError(f"{file}: {os_reason(error)}") from None


def _opened(checkpoint: str, record: Record | None, revision: str | None) -> Any:
    from ...crawler.checkpoint.hub import HubCheckpoint
    from ...crawler.checkpoint.local import LocalCheckpoint

    folder = Path(checkpoint)
    if folder.exists():
        return LocalCheckpoint(folder, record.model.id if record else None)
    if not is_model_id(checkpoint.partition("@")[0]):
        raise UsageError(f"{checkpoint!r:.120} is neither a folder nor a model id of the form org/name")
    asked = parse_asked(checkpoint)
    return HubCheckpoint(asked.model_id, revision or asked.revision or (record.model.revision if record else None))


Flips = list[tuple[str, SafeRange, list[Flip]]]


def _flips(record: Record) -> Flips:
    return [(w.id, safe_range(record, w), flips_of(record, w)) for w in record.super_weights]


def _document(done: Guarded, flipped: Flips) -> dict[str, Any]:
    told = [{"weight": w, "range": asdict(r), "flips": [asdict(f) for f in each]} for w, r, each in flipped]
    return {**done.as_json(), "flips": told}


# --- the page ---


def _print(done: Guarded, flipped: Flips) -> None:
    page = Page(width_of(sys.stdout), wants_colour(sys.stdout))
    page.text(f"{done.checkpoint}, read at {clean(done.place)}", "bold")
    if done.scalars:
        page.table(_SCALARS, [_scalar(f) for f in done.scalars])
    for found in done.scalars:
        if found.reason:
            page.text(f"{found.weight}: {clean(found.reason)}", "dim")
    _elsewhere(page, done)
    for weight, within, each in flipped:
        _flip_table(page, weight, within, each)
    write(str(page), sys.stdout)


def _scalar(found: Any) -> list[Cell]:
    state = str(found.state)
    shown = number(found.value, 7) if found.value is not None else "not finite" if found.bits else ""
    flipped = ", ".join(f"bit {n}" for n in found.flipped[:6]) + (", ..." if len(found.flipped) > 6 else "")
    return [
        Cell(clean(found.place)),
        Cell(state.replace("_", " "), _STYLE.get(state, "bold red")),
        Cell(number(found.recorded_value, 7)),
        Cell(shown),
        Cell(found.dtype or ""),
        Cell(found.bits or ""),
        Cell(flipped, "red"),
    ]


def _elsewhere(page: Page, done: Guarded) -> None:
    counts = Counter(_state(f) for f in done.scalars)
    if counts:
        style = "bold red" if any(f.state in BAD for f in done.scalars) else "bold"
        page.text(", ".join(f"{n} {state}" for state, n in counts.items()) + ".", style)
    page.text(_LOOKED[done.elsewhere])
    rows = [_answer(f.path, f.state, "", f.reason) for f in done.files]
    rows += [_answer(t.name, t.state, _rows(t.rows), t.reason) for t in done.tensors]
    if rows:
        page.table(_DIGESTS, rows)
    if done.elsewhere == "tensors" and not done.tensors and not done.alarms:
        page.text("All tensors are what the baseline says.", "green")


def _state(found: Any) -> str:
    return str(found.state).replace("_", " ")


def _answer(what: str, state: Any, rows: str, why: str | None) -> list[Cell]:
    style = _STYLE.get(str(state), "bold red")
    return [Cell(clean(what)), Cell(str(state).replace("_", " "), style), Cell(rows), Cell(clean(why or ""))]


def _rows(runs: tuple[tuple[int, int], ...]) -> str:
    told = [str(first) if first == last else f"{first}-{last}" for first, last in runs[:4]]
    return ", ".join(told) + (", ..." if len(runs) > 4 else "")


def _flip_table(page: Page, weight: str, within: SafeRange, flips: list[Flip]) -> None:
    page.heading(f"Flipped bits of {weight}")
    if not flips:
        page.text("The record has no bits of it.", "yellow")
        return
    page.text(_range(within, flips[0].value_before))
    stored = [f for f in flips if f.stored]
    page.table(_FLIPS, [_flip_row(f) for f in reversed(stored)])
    for dtype in dict.fromkeys(f.dtype for f in flips if not f.stored):
        beyond = [f.bit for f in flips if f.dtype == dtype and f.beyond]
        page.text(f"Stored as {dtype}, these bits would leave it: {', '.join(map(str, reversed(beyond))) or 'none'}.")


def _range(within: SafeRange, value: float) -> str:
    ends = ((within.low, within.low_by), (within.high, within.high_by))
    told = " to ".join(f"x{factor:g} ({f'measured on {by}' if by else 'assumed'})" for factor, by in ends)
    return f"Safe range of {number(value, 7)}: {told}."


def _flip_row(flip: Flip) -> list[Cell]:
    after = "not finite" if flip.value_after is None else number(flip.value_after, 7)
    return [
        Cell(str(flip.bit)),
        Cell(flip.part),
        Cell(flip.bits_before),
        Cell(flip.bits_after),
        Cell(after),
        Cell("" if flip.factor is None else f"x{number(flip.factor, 5)}"),
        Cell("no" if flip.beyond else "yes", "red" if flip.beyond else "dim"),
    ]


def _told(done: Guarded, file: Path) -> None:
    refused = f"{file}: not written: this checkpoint is not what it should be"
    print(f"The baseline is in {file}." if done.exit_status == 0 else refused, file=sys.stderr)
