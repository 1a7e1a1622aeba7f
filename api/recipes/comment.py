"""What a recipe says of itself: what it keeps and on whose word, how finely, at what cost, and what would undo it."""

from collections.abc import Iterator, Sequence
from fractions import Fraction

from ...schema.record import Record
from .cost import Cost
from .kept import Chosen
from .table import Tool

MOVES = "Rotations (QuaRot, SpinQuant, QuIP) and folding of norms move coordinates, AWQ and SmoothQuant rescale them."


def lines(
    model: str,
    record: Record,
    found: Chosen,
    tool: Tool,
    units: Sequence[str],
    cost: Cost,
    seen: Sequence[str],
    fused: bool,
) -> Iterator[str]:
    """The comment, a line each."""
    yield f"swindex recipe for {tool.name}: {model}"
    yield from _trust(model, record, found)
    yield f"Keeps at high precision: {', '.join(units)}"
    yield from (f"- {words}" for kept in found.kept for words in kept.words)
    if found.left_out:
        yield f"Not kept, since removing it does nothing: {', '.join(found.left_out)}"
    yield f"Granularity: {tool.unit}; it can exempt neither a row nor a scalar."
    if fused:
        yield f"Experts: {tool.experts}."
    yield f"Cost: {words_of(cost)}"
    yield MOVES + (f" In {tool.name}: {tool.moves}. Not together with this." if tool.moves else "")
    yield from (f"Checked: {line}." for line in seen)
    if not seen:
        yield "Not checked against a checkpoint: --checkpoint DIR reads the recorded scalars in it."
    yield f"Use: {tool.use}. Option: {tool.option}. Tried with {tool.tried}."
    told, at = record.provenance, record.model.revision
    commit = f"commit {at}" if at else "no commit"
    yield f"From version {told.version} of the record of {record.model.id}, {commit}, sha256 {told.digest}"


def _trust(model: str, record: Record, found: Chosen) -> Iterator[str]:
    if record.provenance.withdrawn:
        yield f"WITHDRAWN: the record was withdrawn: {record.provenance.withdrawn.reason}"
    if record.model.id != model:
        yield f"INHERITED from {record.model.id}: nothing was measured in {model} itself."
    if not found.measured:
        yield "REPORTED by outside sources: swindex has not measured what removing these weights does."
    if record.model.revision is None:
        yield "NOT PINNED to a commit: no source says which files it means."


def words_of(cost: Cost) -> str:
    """The cost in words."""
    if cost.added is None or cost.kept is None or cost.weights is None:
        return f"bits per weight unknown: {cost.unknown}."
    share = f"{cost.kept:,} of {cost.weights:,} weights kept"
    if cost.without is None or cost.protected is None:
        whole = "--checkpoint DIR counts all of it"
        return f"{_figure(cost.added, '+')} bits per weight over the whole model ({share}); {whole}."
    both = (
        f"{_figure(cost.without)} bits per weight over the whole model without this, {_figure(cost.protected)} with it"
    )
    return f"{both} ({_figure(cost.added, '+')}; {share})."


def _figure(value: Fraction, sign: str = "") -> str:
    return f"{float(value):{sign}.4f}"
