"""What a recipe says of itself: what it keeps and on whose word, how finely, at what cost, and what would undo it."""

from collections.abc import Iterator, Sequence
from fractions import Fraction

from ...schema.record import Record
from .cost import Cost
from .kept import Chosen
from .table import Tool

ROTATIONS = "QuaRot, SpinQuant, QuIP"
_NOT_MEASURED = {
    True: "REPORTED by outside sources: swindex has not measured what removing these weights does.",
    False: "UNTESTED: a scan found these weights; what removing them does was not measured.",
}
_UNPINNED = {True: "a folder was scanned", False: "no source says which files it means"}


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
    yield f"Not with rotations ({tool.moves or ROTATIONS}), which move coordinates, nor with norms folded into weights."
    yield "AWQ and SmoothQuant change values and leave places."
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
        yield _NOT_MEASURED[bool(record.observations)]
    if record.model.revision is None:
        yield f"NOT PINNED to a commit: {_UNPINNED[bool(record.scans)]}."


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
