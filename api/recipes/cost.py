"""What a recipe costs in bits per weight, exactly, from shapes: of a checkpoint's headers, or the few in a record.

Counted are all stored weights of the model: matrices of numbered layers as the scheme stores them, all else as it is.
Knows no values.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod

from ...crawler.checkpoint.base import Checkpoint
from ...crawler.checkpoint.header import TensorInfo
from .gguf import Whole, bits_of
from .kept import Kept
from .names import NUMBER, UnnamedTensor, is_fused, names_of
from .schemes import Scheme
from .table import Tool

HIGH = 16
"""Bits of a weight that llama.cpp is told to keep."""
_WIDTHS = {"float32": 4, "float64": 8}
"""Bytes of a kept weight by how it is stored, where that is not two."""
_LEFT = re.compile(
    r"norm|(^|[._])ln_|rotary|conv|embed|router|(mlp|block_sparse_moe|feed_forward|mixer|moe|ffn)\.gate(\.|$)|bias$"
)
"""In the names of matrices that quantizers leave as they are."""


@dataclass(frozen=True)
class Cost:
    """Bits per weight over the whole model; null where that is not known, and then why."""

    without: Fraction | None
    """Quantized throughout."""
    protected: Fraction | None
    """With the recipe."""
    added: Fraction | None
    weights: int | None
    """Of the model."""
    kept: int | None
    """Weights that keep their precision: of whole units, as the tool can exempt them."""
    unknown: str | None = None


def unknown(why: str) -> Cost:
    """No figure, and why there is none."""
    return Cost(None, None, None, None, None, why)


def of_record(kept: Sequence[Kept], tool: Tool, scheme: Scheme, parameters: int | None) -> Cost:
    """What is added, from the shapes and the size that a record has; the rest needs a checkpoint."""
    shapes = [k.shape[-2:] for k in kept if k.shape is not None]
    if parameters is None or len(shapes) < len(kept):
        return unknown("the record has no shapes; --checkpoint DIR counts them")
    if scheme.bits is None:
        return unknown("llama.cpp's types follow from the whole model; --checkpoint DIR counts them")
    fused = any(is_fused(k.tensor) for k in kept)
    if fused and not scheme.experts:
        return Cost(None, None, Fraction(0), parameters, 0)
    if fused and tool.shares:
        return unknown("the unit holds all experts of a layer; --checkpoint DIR counts them")
    count = sum(prod(shape) for shape in shapes)
    high = sum(prod(k.shape[-2:]) * 8 * _WIDTHS.get(k.dtype or "", 2) for k in kept if k.shape)
    quantized = sum(scheme.bits(prod(shape[:-1]), shape[-1]) for shape in shapes)
    return Cost(None, None, Fraction(high - quantized, parameters), parameters, count)


def of_checkpoint(
    checkpoint: Checkpoint, kept: Sequence[Kept], tool: Tool, scheme: Scheme, architecture: str | None
) -> Cost:
    """All of it, from the headers of a checkpoint; raise a Refusal where they cannot be read."""
    model = whole(checkpoint.tensors, checkpoint.config)
    if scheme.bits is None and model.is_special:
        return unknown("llama.cpp has rules of its own for this model; llama-quantize --dry-run counts them")
    layers = {k.layer for k in kept}
    total, count, quantized, protected = 0, Fraction(0), 0, Fraction(0)
    for info in checkpoint.tensors.values():
        own = prod(info.shape)
        high = own * (_unquantized(info) if scheme.bits is None else info.bits)
        bits = _quantized(info, scheme, model)
        part = Fraction(0) if bits is None else _part(info, kept, tool, architecture)
        low = high if bits is None else _quantized(info, scheme, model, layers) or 0
        total, count = total + own, count + own * part
        quantized += high if bits is None else bits
        protected += part * high + (1 - part) * low
    without, with_it = Fraction(quantized, total), protected / total
    return Cost(without, with_it, with_it - without, total, int(count))


def _part(info: TensorInfo, kept: Sequence[Kept], tool: Tool, architecture: str | None) -> Fraction:
    """How much of a tensor is kept: of stacked experts (E, ., .) those that the tool can take apart."""
    inside = {k.expert for k in kept if k.tensor == info.name}
    if len(info.shape) == 3 and inside and None not in inside and not tool.shares:
        return Fraction(len(inside), info.shape[0])
    units = {(_form(k.tensor), tool.unit_of(names_of(k.tensor, k.expert, architecture))) for k in kept}
    return Fraction(bool(inside) or (_form(info.name), _unit(info.name, tool, architecture)) in units)


def _unquantized(info: TensorInfo) -> int:
    """Bits of a weight that llama.cpp does not quantize: float32 for vectors, and 16 for what the recipe keeps."""
    return HIGH if len(info.shape) > 1 and not _LEFT.search(info.name) else 32


def _form(name: str) -> str:
    """A tensor's name with any numbers."""
    return re.sub(r"\.\d+(?=\.)", ".N", name)


def whole(tensors: Mapping[str, TensorInfo], config: Mapping[str, object]) -> Whole:
    """What llama.cpp's rules ask of a model."""
    numbers = [int(found[1]) for name in tensors if (found := NUMBER.search(name))]
    experts = [int(found[1]) for name in tensors if (found := re.search(r"\.experts\.(\d+)\.", name))]
    kind = config.get("model_type")
    return Whole(
        layers=max(numbers, default=-1) + 1,
        tied=not any(name.endswith(("lm_head.weight", "embed_out.weight")) for name in tensors),
        model_type=kind if isinstance(kind, str) else None,
        experts=max(experts, default=-1) + 1,
        latent=any(".kv_b_proj." in name for name in tensors),
    )


def _quantized(info: TensorInfo, scheme: Scheme, model: Whole, kept: Collection[int] = ()) -> int | None:
    """The bits that the scheme stores a tensor in; None if it stays as it is."""
    layered = NUMBER.search(info.name) is not None
    if len(info.shape) < 2 or (layered and _LEFT.search(info.name)):
        return None
    if scheme.bits is None:
        return bits_of(scheme.name, info.name, info.shape, model, kept)
    if not layered or (".experts." in info.name and not scheme.experts):
        return None
    return scheme.bits(prod(info.shape[:-1]), info.shape[-1])


def _unit(name: str, tool: Tool, architecture: str | None) -> str | None:
    expert = re.search(r"\.experts\.(\d+)\.", name)
    try:
        return tool.unit_of(names_of(name, int(expert[1]) if expert else None, architecture))
    except UnnamedTensor:
        return None
