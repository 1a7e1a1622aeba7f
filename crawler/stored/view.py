"""A checkpoint seen in float32: each quantized weight is one tensor under the name that transformers gives it.

`tensors` holds `Quantized` in place of codes, scales and zeros; `read` decodes as it reads, in pieces. Everything else
is the checkpoint's own. Nothing is read before it is asked for.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..checkpoint.base import Checkpoint, Piece, Reader
from ..checkpoint.header import TensorInfo
from ..checkpoint.view import Through
from ..refusal import corrupt
from .codec import DamagedError, Element, Quantized, quantized
from .config import quantization
from .integers import Gptq, Packed
from .methods import Format, formats

TOGETHER = 1 << 28
"""Stored bytes up to which a request is read in file order; beyond it scales come first, so codes need not wait."""
PIECE = 1 << 22
"""Weights decoded at a time, at least one unit of the format (a row, an expert, a transposed matrix)."""
COMPANIONS = (".weight_scale", ".weight_scale_inv", ".weight_zero_point", ".qzeros")
MAX_SHAPE = 1 << 26
"""Bytes of all `weight_shape` tensors together at most."""


@dataclass(frozen=True)
class Bias(TensorInfo):
    """A bias that a quantizer may have added without a need."""

    owner: "Dequantized"

    @property
    def idle(self) -> bool:
        """Whether it holds nothing but zeros; all such biases are read when the first is asked."""
        return self.name in self.owner.zero_biases


def in_floats(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint itself if it is plain, else a view of it in which every weight is float32."""
    return checkpoint if quantization(checkpoint.config) is None else Dequantized(checkpoint)


class Dequantized(Through):
    """A quantized checkpoint whose weights read as float32."""

    @cached_property
    def tensors(self) -> dict[str, TensorInfo]:
        """Weights by the names that transformers knows; raise a `corrupt` Refusal where parts do not fit."""
        stored = self.inner.tensors
        with self._named():
            made = assemble(stored, formats(self.config, self.place, self._shapes(stored)))
        return made | {n: Bias(**vars(made[n]), owner=self) for n in self._biases}

    @cached_property
    def _biases(self) -> list[str]:
        """Biases beside words: AutoGPTQ writes one for every layer, zeros where the model has none."""
        stored, suffix = self.inner.tensors, Gptq.codes
        return [b for b in (f"{n.removesuffix(suffix)}.bias" for n in stored if n.endswith(suffix)) if b in stored]

    @cached_property
    def zero_biases(self) -> frozenset[str]:
        """Biases beside words that hold nothing but zeros."""
        with self._named():
            return frozenset(name for name, bias in self._held(self._biases).items() if not bool(bias.any()))

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except DamagedError as error:
            raise corrupt(f"{self.place}: {error}") from None

    def _shapes(self, stored: dict[str, TensorInfo]) -> dict[str, tuple[int, ...]]:
        """What compressed-tensors' `weight_shape` tensors hold, by stem."""
        suffix = ".weight_shape"
        infos = [
            i for n, i in stored.items() if n.endswith(suffix) and f"{n.removesuffix(suffix)}{Packed.codes}" in stored
        ]
        for info in infos:
            if info.dtype not in ("int64", "int32") or info.shape != (2,):
                raise DamagedError(f"{info.name} is {info.dtype} {list(info.shape)}, expected two sizes")
        if sum(i.size for i in infos) > MAX_SHAPE:
            raise DamagedError(f"{len(infos)} weight_shape tensors are no model's")
        held = self._held([i.name for i in infos])
        return {i.name.removesuffix(suffix): tuple(held[i.name].tolist()) for i in infos}

    def read(self, names: Sequence[str], raw: Reader | None = None) -> Iterator[Piece]:
        """As the base class does; a quantized weight comes as float32 bytes, in pieces in order."""
        raw = raw or self.inner.read
        infos = [self.tensors[n] for n in names]
        yield from raw([i.name for i in infos if not isinstance(i, Quantized)])
        wanted = [i for i in infos if isinstance(i, Quantized)]
        for weight, stored in self._whole(wanted, raw):
            with self._named():
                for at, piece in _pieces(weight, stored):
                    yield weight, at, piece

    def _whole(self, wanted: list[Quantized], raw: Reader) -> Iterator[tuple[Quantized, dict[str, Tensor]]]:
        """Each weight as soon as its stored tensors are there; they are dropped behind it."""
        waiting = {w.name: _stored(w) for w in wanted}
        users = {name: w for w in wanted for name in waiting[w.name]}
        held: dict[str, Tensor] = {}
        for info, tensor in self._complete(_order(wanted), raw):
            held[info.name] = tensor
            weight = users[info.name]
            if all(name in held for name in waiting[weight.name]):
                yield weight, {name: held.pop(name) for name in waiting[weight.name]}

    def _complete(self, batches: Iterable[list[str]], raw: Reader) -> Iterator[tuple[TensorInfo, Tensor]]:
        """Stored tensors, each once it is read to its end."""
        for batch in batches:
            buffers: dict[str, bytearray] = {}
            for info, at, data in raw(batch):
                buffer = buffers.setdefault(info.name, bytearray(info.size))
                buffer[at : at + len(data)] = data
                if at + len(data) == info.size:
                    yield info, _tensor(info, buffers.pop(info.name))

    def _held(self, names: list[str]) -> dict[str, Tensor]:
        return {info.name: tensor for info, tensor in self._complete([names], self.inner.read)}

    def element(self, weight: Quantized, index: tuple[int, ...]) -> Element:
        """One scalar of a quantized weight, read by its own few bytes."""

        def read(info: TensorInfo, start: int, count: int) -> bytes:
            return bytes(self.inner.read_range(info.file, info.start + start, info.start + start + count))

        with self._named():
            return weight.codec.element(index, read)


def assemble(stored: dict[str, TensorInfo], known: tuple[Format, ...]) -> dict[str, TensorInfo]:
    """Put weights in the place of the tensors they are made of, and leave out what says nothing of a weight."""
    made: dict[str, TensorInfo] = {}
    used: set[str] = set()
    for layout in known:
        for name in [n for n in stored if n.endswith(layout.codes) and n not in used]:
            stem = name.removesuffix(layout.codes) if layout.codes else name
            codec = layout.of(stem, stored)
            if codec is None:
                continue
            target = layout.target(stem)
            if target in made or (target in stored and target != name):
                raise DamagedError(f"{target} is stored twice, as {name} and plainly")
            made[target] = quantized(target, codec)
            used |= set(_stored(made[target]))
    spare = tuple(suffix for layout in known for suffix in layout.spare)
    plain = {n: i for n, i in stored.items() if n not in used and not (spare and n.endswith(spare))}
    lost = next((n for n in plain if known and n.endswith(COMPANIONS)), None)
    if lost is not None:
        raise DamagedError(f"{lost} is stored without the weight that it belongs to")
    return made | plain


def _stored(weight: TensorInfo) -> tuple[str, ...]:
    """Names on disk of what a quantized weight is made of."""
    codec = weight.codec  # type: ignore[attr-defined]
    return (codec.codes.name, *(i.name for i in codec.parts.values()))


def _order(wanted: list[Quantized]) -> list[list[str]]:
    """Which stored tensors to read together."""
    codes = [w.codec.codes for w in wanted]
    parts = [i for w in wanted for i in w.codec.parts.values()]
    if sum(i.size for i in (*codes, *parts)) <= TOGETHER:
        return [[i.name for i in (*codes, *parts)]]
    return [[i.name for i in parts], [i.name for i in codes]]


def _tensor(info: TensorInfo, data: bytearray) -> Tensor:
    dtype = getattr(torch, info.dtype or "", None)
    if dtype is None:
        raise DamagedError(f"{info.name} is of a dtype that torch does not know")
    return torch.frombuffer(data, dtype=dtype).view(info.shape) if data else torch.empty(info.shape, dtype=dtype)


def _pieces(weight: Quantized, stored: dict[str, Tensor]) -> Iterator[tuple[int, memoryview]]:
    """Float32 bytes of a weight: (first byte, data)."""
    codec = weight.codec
    parts = {part: stored[info.name] for part, info in codec.parts.items()}
    codec.check(parts)
    codes = stored[codec.codes.name].view(-1)
    unit_codes, unit = codes.numel() // codec.units, weight.elements // codec.units
    step = max(1, PIECE // unit)
    for first in range(0, codec.units, step):
        values = codec.decode(first, codes[first * unit_codes : (first + step) * unit_codes], parts)
        yield first * unit * 4, values.numpy().data.cast("B")
