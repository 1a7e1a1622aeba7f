"""Found scalars as a record names them: where they are on disk, their bits, what they do.

Each is read once more from the file, by its own few bytes, and must be the number that was in memory.
"""

import torch

from ...schema.bits import bits_of, decode_bits
from ...schema.types import Role
from ...schema.weight import SuperWeight, Token
from ..checkpoint.base import Checkpoint
from ..checkpoint.header import TensorInfo
from ..detection import constants as c
from ..detection.ablate import PlaceSet
from ..detection.peel import PEELED
from ..detection.run import Findings
from ..detection.weights import Find, Place
from ..refusal import corrupt


def weight_of(
    checkpoint: Checkpoint, findings: Findings, find: Find, groups: dict[str, PlaceSet], scan_id: str
) -> SuperWeight:
    place = find.place
    info, index = locate(findings, place)
    bits, value = _bits(checkpoint, findings, info, index, findings.values[place])
    mine = [(len(s), n) for n, s in groups.items() if place in s]
    return SuperWeight(
        id=place.id,
        tensor=info.name,
        layer=place.layer,
        expert=place.expert,
        row=place.row,
        col=place.col,
        index=index,
        shape=info.shape,
        dtype=info.dtype,
        value=value,
        bits=bits,
        file=info.file,
        byte_offset=_offset(info, index),
        role=_role(findings, find),
        group=max(mine)[1] if mine else None,
        activation_in=find.activation_in,
        activation_out=find.activation_out,
        share=find.share,
        coherence=find.coherence,
        rank=find.rank,
        round=find.round,
        token=token_of(findings, find.token),
        scan=scan_id,
    )


def locate(findings: Findings, place: Place) -> tuple[TensorInfo, tuple[int, ...]]:
    """The stored tensor that holds a scalar and the scalar's index in it."""
    site = findings.sites[place.layer][place.site]
    target = f"{findings.skeleton.layers_path}.{place.layer}.{site.parameter}"
    sources = findings.skeleton.placements[target].sources
    if place.expert is not None and len(sources) > 1:
        return sources[place.expert][1], (place.row, place.col)
    info = sources[0][1]
    pair = (place.col, place.row) if site.transposed else (place.row, place.col)
    return info, pair if place.expert is None else (place.expert, *pair)


def _offset(info: TensorInfo, index: tuple[int, ...]) -> int:
    flat = 0
    for at, size in zip(index, info.shape, strict=True):
        flat = flat * size + at
    return info.start + flat * info.bits // 8


def _bits(
    checkpoint: Checkpoint, findings: Findings, info: TensorInfo, index: tuple[int, ...], in_memory: float
) -> tuple[str, float]:
    start = _offset(info, index)
    bits = bits_of(bytes(checkpoint.read_range(info.file, start, start + info.bits // 8)))
    value = decode_bits(bits, info.dtype or "packed")
    if torch.tensor(value, dtype=findings.dtype) != torch.tensor(in_memory, dtype=findings.dtype):
        raise corrupt(f"{checkpoint.place}: {info.name}{list(index)} is {value} on disk, {in_memory} was computed with")
    return bits, value


def _role(findings: Findings, find: Find) -> Role:
    """A peeled find is transient if its channel does not stay massive (the last layer excepted)."""
    later = findings.peeler.layers[find.place.layer + 1 : -1]
    stays = sum(find.place.row in layer.massive for layer in later)
    if find.role in PEELED and later and stays < c.PERSIST * len(later):
        return Role.TRANSIENT
    return find.role


def token_of(findings: Findings, flat: int) -> Token:
    ids = findings.peeler.batch.ids
    position = flat % ids.shape[1]
    token = int(ids.flatten()[flat])
    text, kind = findings.tokens.kind(position, token)
    return Token(position=position, id=token, text=text, kind=kind)
