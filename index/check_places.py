"""Rules for one valid record: whether its coordinates fit the model, the tensor and the file that they are in.

What lies beyond the shape of its tensor is no valid record. Knows records, not files.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from ..schema.bits import DTYPES
from ..schema.record import Record
from ..schema.weight import SuperWeight


def _beyond_model(record: Record) -> Iterator[str]:
    """Layers, rows (channels of the residual stream) and experts that the model does not have."""
    model = record.model
    counts = {"layer": model.layers, "row": model.hidden_size, "expert": _experts(record)}
    claimed = (t for o in record.observations for t in o.targets)
    told = {
        f"{name} {at} is claimed or recorded, the model has {count}"
        for place in (*record.super_weights, *claimed)
        for name, count in counts.items()
        if count is not None and (at := getattr(place, name)) is not None and at >= count
    }
    return iter(sorted(told))


def _experts(record: Record) -> int | None:
    return next((s.experts for s in reversed(record.scans) if s.experts), None)


def _beyond_file(record: Record) -> Iterator[str]:
    sizes = {f.path: f.size for f in record.model.files}
    for weight in record.super_weights:
        size = sizes.get(weight.file or "")
        if size is not None and weight.byte_offset is not None and weight.byte_offset + _width(weight) > size:
            yield f"{weight.id} lies at byte {weight.byte_offset} of {weight.file}, which has {size}"


def _width(weight: SuperWeight) -> int:
    """Bytes of the stored element."""
    if weight.bits is not None:
        return len(weight.bits) // 2
    return DTYPES[weight.dtype][0] if weight.dtype in DTYPES else 1


def _unknown_file(record: Record) -> Iterator[str]:
    known = {f.path for f in record.model.files}
    for weight in record.super_weights:
        if known and weight.file is not None and weight.file not in known:
            yield f"{weight.id} lies in {weight.file}, which is none of the model's weight files"


def _one_tensor(record: Record) -> Iterator[str]:
    """A tensor has one shape and one dtype, and lies in one file."""
    held: dict[tuple[str, str], set[str]] = defaultdict(set)
    for weight in record.super_weights:
        for name in ("shape", "dtype", "file"):
            if (said := getattr(weight, name)) is not None:
                held[weight.tensor, name].add(str(said))
    for (tensor, name), said in held.items():
        if len(said) > 1:
            yield f"{tensor} has more than one {name}: {', '.join(sorted(said))}"


RULES: Mapping[str, Callable[[Record], Iterable[str]]] = {
    "beyond-model": _beyond_model,
    "beyond-file": _beyond_file,
    "unknown-file": _unknown_file,
    "tensor-differs": _one_tensor,
}
