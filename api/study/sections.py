"""All sections of a study, in the order of the page. Knows which part is which figure."""

from collections.abc import Callable

from .activations import activation, spikes, tokens
from .coordinates import coordinates
from .effects import removal, scale, tasks
from .rounding import rounding
from .shapes import Json, Section

MAKERS: dict[str, Callable[[Json], Section]] = {
    "coordinates": coordinates,
    "spikes": spikes,
    "activation": activation,
    "tokens": tokens,
    "scale": scale,
    "removal": removal,
    "tasks": tasks,
    "quantization": rounding,
}


def sections(document: Json) -> list[Section]:
    """The sections of the parts that were asked for."""
    return [make(document) for part, make in MAKERS.items() if part in document["parts"]]


def headline(document: Json) -> str:
    """The outcome in one sentence."""
    return coordinates(document).said[0]


def facts(document: Json) -> list[tuple[str, str]]:
    """What the top of the page says of the model and the study."""
    model = document["record"]["model"]
    told = [
        ("commit", model["revision"] or "a folder, not pinned"),
        ("architecture", model["architecture"]),
        ("parameters", f"{model['parameters']:,}" if model["parameters"] else None),
        ("stored as", model["dtype"]),
        ("computed in", f"{document['compute_dtype']} on {document['device']}"),
        ("detector", document["detector"]),
        ("made", document["time"]),
        ("libraries", ", ".join(f"{n} {v}" for n, v in document["libraries"].items())),
    ]
    return [(name, value) for name, value in told if value]
