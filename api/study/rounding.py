"""Section 4: perplexities of the model rounded in many ways, and where holding super weights out helps."""

import math

from ..page import number
from . import conditions
from .activations import absent, chart
from .shapes import DASH, Figure, Json, Section, Table, listed, plural, ppl

TITLE = "Rounded to few bits, super weights held out (section 4)"
NONE, SUPER, LARGEST, RANDOM = "none", "super weights", "largest others", "random others"
SAME = 0.01
"""Differences of the mean NLL, in nat per token, that are called none (perplexity x1.01)."""
_SERIES = {
    (NONE, False): "plain round to nearest",
    (NONE, True): "clipped",
    (SUPER, True): "clipped, super weights held out",
}


def rounding(document: Json) -> Section:
    """The tables, a chart for each number of bits, and what they say."""
    measured = document["quantization"]
    if measured is None:
        return absent("section-4", TITLE, document, "quantization")
    weights = [r for r in measured["rows"] if r["table"] == "weights"]
    bits = list(dict.fromkeys(r["bits"] for r in weights))
    said = [_what(measured), *(_verdict(b, weights, measured) for b in bits)]
    both = [r for r in measured["rows"] if r["table"] == "activations"]
    said.append(_said_of_activations(both, measured))
    figures = tuple(_figure(b, weights, measured) for b in bits if len(_blocks(b, weights)) > 1)
    tables = (*(_table(b, weights, measured) for b in bits), _with_activations(both, measured))
    return Section("section-4", TITLE, tuple(s for s in said if s), figures, tables, _notes(document))


def _what(measured: Json) -> str:
    part = f" with “{measured['only']}” in their name" if measured["only"] else ""
    held = f"held out: {listed(measured['held'])}" if measured["held"] else "there is no super weight to hold out"
    return (
        f"{plural(measured['tensors'], 'matrix').replace('matrixs', 'matrices')} of the layers{part} are rounded "
        f"({measured['parameters']:,} weights); {held}. Unrounded, the perplexity is {ppl(measured['ppl'])}."
    )


# --- what the figures say ---


def _verdict(bits: int, rows: list[Json], measured: Json) -> str:
    """Where clipping with the super weights held out helps, and where not, by the least loss of either."""
    said = [_compared(b, [r for r in rows if (r["bits"], r["block"]) == (bits, b)]) for b in _blocks(bits, rows)]
    if not measured["held"]:
        clips = [s for b in _blocks(bits, rows) if (s := _clipping(bits, b, rows))]
        return f"{bits} bits: {'; '.join(clips)}." if clips else ""
    return f"{bits} bits: {'; '.join(said)}."


def _loss(rows: list[Json], held: str, *, clipped: bool | None = None) -> float | None:
    """The least mean NLL of rows that hold this out; of several draws the mean."""
    known = [r for r in rows if r["held"] == held and (clipped is None or (r["clip"] is not None) == clipped)]
    losses: list[float] = [r["nll"] for r in known if r["nll"] is not None]
    if not losses or len(losses) < len(known):
        return None
    return sum(losses) / len(losses) if held == RANDOM else min(losses)


def _compared(block: int | None, rows: list[Json]) -> str:
    name = _block(block)
    without, kept = _loss(rows, NONE), _loss(rows, SUPER)
    if without is None or kept is None:
        return f"{name}: not finite"
    gain = without - kept
    if abs(gain) < SAME:
        return f"{name}: no difference"
    others = min((x for h in (LARGEST, RANDOM) if (x := _loss(rows, h)) is not None), default=None)
    controls = " (others held out do not)" if gain > 0 and others is not None and without - others < SAME else ""
    return f"{name}: {_change(gain)}{controls}"


def _clipping(bits: int, block: int | None, rows: list[Json]) -> str:
    here = [r for r in rows if (r["bits"], r["block"]) == (bits, block)]
    plain, clipped = _loss(here, NONE, clipped=False), _loss(here, NONE, clipped=True)
    if plain is None or clipped is None:
        return f"{_block(block)}: not finite"
    gain = plain - clipped
    if abs(gain) < SAME:
        return f"{_block(block)}: clipping makes no difference"
    return f"{_block(block)}: clipping {_change(gain)}"


def _change(gain: float) -> str:
    """What a gain of the mean NLL does to perplexity."""
    return f"{'helps' if gain > 0 else 'hurts'}, perplexity {'÷' if gain > 0 else '×'}{number(math.exp(abs(gain)))}"


def _said_of_activations(rows: list[Json], measured: Json) -> str:
    plain = next((r for r in rows if r["activation_bits"] and not r["restored"]), None)
    best = [r for r in rows if r["restored"]]
    if plain is None or not best or plain["nll"] is None or any(r["nll"] is None for r in best):
        return ""
    lost = plain["nll"] - measured["nll"]
    gained = plain["nll"] - best[0]["nll"]
    if abs(lost) < SAME:
        return "8 bits for weights and activations cost nothing here, so there is nothing to restore."
    undone = f"undoes {gained / lost:.0%} of" if gained > 0 else f"adds {-gained / lost:.0%} to"
    return f"8 bits, activations too: restoring the super activation {undone} what plain rounding costs, in nat."


# --- tables and charts ---


def _blocks(bits: int, rows: list[Json]) -> list[int | None]:
    return list(dict.fromkeys(r["block"] for r in rows if r["bits"] == bits))


def _block(block: int | None) -> str:
    return "whole tensors" if block is None else f"blocks of {block}²"


_COLUMNS = (
    "plain",
    "clipped (z)",
    "held out",
    "clipped (z), held out",
    "clipped, largest others held out",
    "clipped, random others held out",
)


def _table(bits: int, rows: list[Json], measured: Json) -> Table:
    columns = _COLUMNS if measured["held"] else _COLUMNS[:2]
    made = []
    for block in _blocks(bits, rows):
        here = [r for r in rows if (r["bits"], r["block"]) == (bits, block)]
        cells = [_cell(here, NONE, None), _cell(here, NONE, True), _cell(here, SUPER, None), _cell(here, SUPER, True)]
        cells += [_cell(here, LARGEST, False), _cell(here, RANDOM, False)]
        made.append((_block(block), *cells[: len(columns)]))
    grid = "" if measured["symmetric"] else ", asymmetric"
    return Table(f"Perplexity, weights in {bits} bits{grid}", ("grid of", *columns), tuple(made))


def _cell(rows: list[Json], held: str, clipped: bool | None) -> str:
    """A perplexity; `clipped` None: of the row without clipping, True: with its z, False: with it, unsaid."""
    known = [r for r in rows if r["held"] == held and (r["clip"] is None) == (clipped is None)]
    if not known:
        return DASH
    if not all(r["finite"] and r["ppl"] is not None for r in known):
        return ppl(None, finite=all(r["finite"] for r in known))
    values = [r["ppl"] for r in known]
    text = ppl(values[0]) if len(values) == 1 else f"{ppl(min(values))} to {ppl(max(values))}"
    return f"{text} ({known[0]['clip']:g})" if clipped else text


def _with_activations(rows: list[Json], measured: Json) -> Table:
    made = [("unrounded", ppl(measured["ppl"]))]
    for row in rows:
        inputs = f", activations in {row['activation_bits']}" if row["activation_bits"] else ""
        label = "" if row["label"] == "plain round to nearest" else f": {row['label']}"
        made.append((f"weights in {row['bits']} bits{inputs}{label}", ppl(row["ppl"], finite=row["finite"])))
    return Table("Perplexity, a grid for each whole tensor and each token", ("model", "perplexity"), tuple(made))


def _figure(bits: int, rows: list[Json], measured: Json) -> Figure:
    drawn = [
        {"series": _SERIES[key], "x": _block(r["block"]).removeprefix("blocks of "), "y": r["ppl"]}
        for r in rows
        if r["bits"] == bits and (key := (r["held"], r["clip"] is not None)) in _SERIES
    ]
    alt = f"Perplexity in {bits} bits against the size of blocks, plain, clipped and with super weights held out."
    caption = f"Weights in {bits} bits. {conditions.of_text(measured['measured_on'])}"
    return Figure(f"rounded-{bits}", alt, caption, chart("studies", "rounded", drawn))


_GRIDS = {
    True: "2^bits - 1 points symmetric about zero, up to the largest |weight| of a block",
    False: "2^bits points from the least to the largest weight of a block (the paper's; zero is no point of it)",
}


def _notes(document: Json) -> tuple[str, ...]:
    measured = document["quantization"]
    return (
        f"Weights: round to nearest on {_GRIDS[measured['symmetric']]}, a block being a square of the stored matrix; "
        "clipped: points end z standard deviations from the block's mean; held out: the weight does not count in its "
        "block's grid and keeps its value. Embedding, head, norms, biases and routers stay.",
        "Activations: symmetric, a grid for each token; the super activation is replaced by the token's median, and "
        "restored behind the rounding.",
        "What is said compares the better of plain and clipped with the better of both with super weights held out.",
        "z is the best of those tried on another text, for each size of blocks, with and without the super weights "
        f"held out. Tuned on: {conditions.of_text(measured['tuned_on'])}",
        f"Measured on: {conditions.of_text(measured['measured_on'])} {conditions.of_model(document)}",
    )
