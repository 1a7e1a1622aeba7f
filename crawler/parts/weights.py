"""Found scalars as a record names them: where they are on disk, their bits, what they do.

Each is read once more from the file, by its own few bytes, and must be the number that was in memory. A scalar of a
quantized weight is named by the stored tensor that holds its code.
"""

import torch

from ...schema.bits import bits_of, decode_bits
from ...schema.types import Role
from ...schema.weight import SuperWeight, Token
from ..checkpoint.base import Checkpoint
from ..checkpoint.header import TensorInfo
from ..detection.ablate import PlaceSet
from ..detection.persistence import is_transient
from ..detection.run import Findings
from ..detection.weights import Find, Place
from ..refusal import corrupt
from ..stored.codec import Element, Quantized
from ..stored.view import Dequantized
from ..stored.words import flat


def weight_of(
    checkpoint: Checkpoint, findings: Findings, find: Find, groups: dict[str, PlaceSet], scan_id: str
) -> SuperWeight:
    place = find.place
    info, index = locate(findings, place)
    stored = _element(checkpoint, info, index)
    _check(checkpoint, findings, stored, findings.values[place])
    mine = [(len(s), n) for n, s in groups.items() if place in s]
    return SuperWeight(
        id=place.id,
        tensor=stored.tensor.name,
        layer=place.layer,
        expert=place.expert,
        row=place.row,
        col=place.col,
        index=stored.index,
        shape=stored.shape,
        dtype=stored.dtype,
        value=stored.value,
        bits=stored.bits,
        scale=stored.scale,
        packed=stored.packed,
        file=stored.tensor.file,
        byte_offset=stored.tensor.start + stored.offset if checkpoint.exact else None,
        role=_role(findings, find),
        group=max(mine)[1] if mine else None,
        activation_in=find.activation_in,
        activation_out=find.activation_out,
        share=find.share,
        coherence=find.coherence,
        rank=find.rank,
        round=find.round,
        token=token_of(findings, find.token, find.text),
        scan=scan_id,
    )


def locate(findings: Findings, place: Place) -> tuple[TensorInfo, tuple[int, ...]]:
    """The stored tensor that holds a scalar and the scalar's index in it, in the order in which it is stored."""
    site = findings.sites[place.layer][place.site]
    name = f"{findings.skeleton.paths[place.layer]}.{site.parameter}"
    placement = findings.skeleton.placements[name]
    sources = [info for _, info in placement.sources]
    shape = findings.skeleton.model.get_parameter(name).shape
    in_memory = site.index(place.expert, place.row, place.col, shape)
    if place.expert is not None and len(sources) > 1:
        info, in_memory = sources[place.expert], in_memory[1:]
    else:
        [info] = sources
    turned = placement.transposes or tuple(info.shape) != tuple(shape[-len(in_memory) :])
    return info, (*in_memory[:-2], in_memory[-1], in_memory[-2]) if turned else in_memory


def _element(checkpoint: Checkpoint, info: TensorInfo, index: tuple[int, ...]) -> Element:
    """A scalar read from the file by its own few bytes."""
    if isinstance(info, Quantized) and isinstance(checkpoint, Dequantized):
        return checkpoint.element(info, index)
    offset = flat(index, info.shape) * info.bits // 8
    start = info.start + offset
    bits = bits_of(bytes(checkpoint.read_range(info.file, start, start + info.bits // 8)))
    dtype = info.dtype or "packed"
    return Element(info, index, info.shape, dtype, offset, bits, decode_bits(bits, dtype))


def _check(checkpoint: Checkpoint, findings: Findings, stored: Element, in_memory: float) -> None:
    """Raise a `corrupt` Refusal unless the number in the file is the one that was computed with."""
    if torch.tensor(stored.value, dtype=findings.dtype) != torch.tensor(in_memory, dtype=findings.dtype):
        name = f"{stored.tensor.name}{list(stored.index)}"
        raise corrupt(f"{checkpoint.place}: {name} is {stored.value} on disk, {in_memory} was computed with")


def _role(findings: Findings, find: Find) -> Role:
    """A peeled find is transient if its channel does not stay massive (the last layer excepted)."""
    return Role.TRANSIENT if is_transient(find, findings.peeler.layers) else find.role


def token_of(findings: Findings, flat: int, text: int | None) -> Token:
    """A token of a text, or (None) of the watched prompts."""
    corpus, batch = (None, findings.peeler.batch) if text is None else findings.corpora[text]
    ids = batch.ids
    position = flat % ids.shape[1]
    token = int(ids.flatten()[flat])
    spelt, kind = findings.tokens.kind(position, token)
    return Token(position=position, id=token, text=spelt, kind=kind, corpus=None if corpus is None else corpus.name)
