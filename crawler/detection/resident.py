"""Weights that come and go: one layer at a time, and what stands outside the layers when it is first needed.

Every stored tensor is read once, the bytes of the next layer while this one computes; on a GPU the next layer is also
made meanwhile. Knows nothing of what is computed.
"""

import gc
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..architectures.placement import Placement
from ..architectures.skeleton import Skeleton
from ..checkpoint.base import Checkpoint
from ..checkpoint.header import TensorInfo
from ..products import split
from ..products.narrow import held, narrow
from ..refusal import corrupt, failed
from .ahead import PATIENCE, Ahead
from .later import Later, side_stream
from .memory import trim
from .outside import outside
from .rows import float_dtype

NARROW = 1 << 20
"""Elements from which on a stored bfloat16 matrix stays one; the split of its inputs makes smaller ones slower."""


class Weights:
    """Fills the parameters of a skeleton from a checkpoint and empties them again."""

    def __init__(
        self, skeleton: Skeleton, checkpoint: Checkpoint, device: str = "cpu", compute: str = "float32"
    ) -> None:
        self.skeleton = skeleton
        self.checkpoint = checkpoint
        self.device = device
        self.dtype: torch.dtype = getattr(torch, compute)
        self._ahead = Ahead(checkpoint.source, pinned=torch.device(device).type == "cuda")
        _say_device(skeleton.model, device)
        self._shared = frozenset(n for t in skeleton.tied.values() for n in skeleton.placements[t].names)
        self._kept: dict[str, Tensor] = {}
        """A small vocabulary that is also the head, as stored: it is read once. Of a large one a few rows are."""
        self._tables = frozenset(
            n for p in skeleton.placements.values() if not self.parameter(p.target).is_floating_point() for n in p.names
        )
        """Stored tensors of whole numbers (which expert a token goes to): taken as they are."""
        self._next: tuple[list[str], Later] | None = None
        """The tensors of the following layer, and the making of them."""
        self._pool: dict[tuple[int, torch.dtype], list[Tensor]] = {}
        """Memory of the last layer, by number of elements and dtype: fresh pages cost more than the arithmetic."""

    @contextmanager
    def layer(self, number: int, following: int | None = None) -> Iterator[nn.Module]:
        """The decoder layer `number` with its weights, for as long as the context lasts.

        Meanwhile the bytes of layer `following` are read.
        """
        names = self.fill(self.skeleton.of_layer(number))
        for name, source in self.skeleton.shared_of(number).items():
            names += self.fill([self.skeleton.placements[source]], rename=name)
        try:
            if following is not None and self.checkpoint.source is self.checkpoint:
                self._begin(following)
            yield self.skeleton.layers[number]
        finally:
            self.empty(names, pool=True)

    @contextmanager
    def seen_through(self, view: Checkpoint) -> Iterator[None]:
        """Fill parameters from a view of the checkpoint for a while; it has tensors of the same names and shapes."""
        plain, self.checkpoint = self.checkpoint, view
        try:
            yield
        finally:
            self.checkpoint = plain

    @property
    def overlaps(self) -> bool:
        """Whether the next layer is made, not only read, while this one computes: it then takes memory too."""
        return torch.device(self.device).type == "cuda"

    def close(self) -> None:
        """Stop reading ahead."""
        self._ahead.close()
        if self._next is not None:
            self._next[1].join(PATIENCE)

    def release(self) -> None:
        """Give back the memory kept for the next layer, and what only the collector finds (models hold themselves)."""
        self._ahead.buffers.clear()
        self._pool.clear()
        gc.collect()
        trim()

    def outside(self, ids: Tensor | None = None) -> AbstractContextManager[None]:
        """Modules outside the layers load themselves when first called, until the context ends; see `outside`."""
        return outside(self, ids)

    def fill(self, placements: list[Placement], rename: str | None = None) -> list[str]:
        """Read parameters and put them in place; `rename`: the one under another name, to which it is tied."""
        stay = self._stay(placements, rename)
        loaded = self._load([n for p in placements for n in p.names], stay, keep=rename is not None)
        names = []
        for placement in placements:
            for name, tensor in placement.convert(loaded, self.skeleton.model).items():
                names.append(rename or name)
                self.put(names[-1], tensor.contiguous())
            for name in placement.names:
                del loaded[name]
        return names

    def _stay(self, placements: list[Placement], rename: str | None = None) -> frozenset[str]:
        """Stored tensors that stay as they are stored: large bfloat16 matrices of linear modules, on a CPU that
        multiplies such (`products`)."""
        if torch.device(self.device).type != "cpu" or self.dtype != torch.float32 or not split.available():
            return frozenset()
        single = [(p.target, p.sources[0][1]) for p in placements if p.converter is None]
        return frozenset(i.name for t, i in single if _may_stay(i) and self._is_linear(rename or t))

    def _is_linear(self, name: str) -> bool:
        path, _, leaf = name.rpartition(".")
        module = self.skeleton.model.get_submodule(path)
        return leaf == "weight" and isinstance(module, nn.Linear) and type(module).forward is nn.Linear.forward

    def _begin(self, number: int) -> None:
        """Begin with what layer `number` will need."""
        names = [n for p in self.skeleton.of_layer(number) for n in p.names]
        self._ahead.start([n for n in names if n not in self._kept])
        if self.overlaps:
            self._next = names, Later(partial(self._load_beside, names))

    def _load_beside(self, names: list[str]) -> dict[str, Tensor]:
        with side_stream(self.device):
            return self._load_now(names, frozenset(), frozenset())

    def _load(self, names: list[str], stay: frozenset[str], *, keep: bool) -> dict[str, Tensor]:
        """Stored tensors by disk name, in the compute dtype but for those that `stay`; `keep`: remember those that are
        shared, as stored."""
        if self._next is not None and self._next[0] == names and not keep:
            (_, later), self._next = self._next, None
            return later.result()
        return self._load_now(names, stay, self._shared if keep else frozenset())

    def _load_now(self, names: list[str], stay: frozenset[str], shared: frozenset[str]) -> dict[str, Tensor]:
        kept = {n: self._kept[n] for n in names if n in self._kept}
        loaded = {n: t if n in stay else t.to(self.device, self.dtype) for n, t in kept.items()}
        loaded |= self._straight([n for n in names if n not in loaded and n not in shared], stay)
        for info, at, data in self.checkpoint.read([n for n in names if n not in loaded], self._ahead.read):
            stored = torch.frombuffer(data, dtype=self._dtype(info)) if len(data) else torch.empty(0)
            if info.name not in loaded:
                loaded[info.name] = self._take(
                    info, self._dtype(info) if info.name in stay | self._tables else self.dtype
                )
            first = at * 8 // info.bits
            part = slice(first, first + stored.numel())
            # To the device as it is stored: half the bytes, and converted there.
            self.check_finite(info, loaded[info.name].view(-1)[part].copy_(stored.to(self.device)), stored)
            if info.name in shared:
                whole = self._kept.setdefault(info.name, torch.empty(info.shape, dtype=stored.dtype))
                whole.view(-1)[part].copy_(stored)
        return loaded

    def _straight(self, names: list[str], stay: frozenset[str]) -> dict[str, Tensor]:
        """Those of the tensors that are wanted as they are stored, read without a copy where that is worth while."""
        plain = self.checkpoint.source is self.checkpoint and torch.device(self.device).type == "cpu"
        if not plain or not self._ahead.straight:
            return {}
        infos = [i for i in (self.checkpoint.tensors[n] for n in names) if type(i) is TensorInfo and i.size]
        alike = [i for i in infos if i.name in stay or (i.name not in self._tables and self._dtype(i) == self.dtype)]
        made = [(info, self._take(info, self._dtype(info))) for info in alike]
        self._ahead.fill(made)
        for info, tensor in made:
            self.check_finite(info, tensor, tensor)
        return {info.name: tensor for info, tensor in made}

    def _dtype(self, info: TensorInfo) -> torch.dtype:
        """As which a tensor is stored."""
        if info.name in self._tables:
            return getattr(torch, info.dtype or "")  # type: ignore[no-any-return]
        return float_dtype(self.checkpoint, info)

    def check_finite(self, info: TensorInfo, values: Tensor, stored: Tensor) -> None:
        """Refuse a tensor that holds NaN or infinity. A sum is 30 times cheaper than asking each element."""
        if bool(_sums(values).isfinite().all()) or bool(values.isfinite().all()):
            return
        if self.dtype != torch.float32 and bool(stored.float().isfinite().all()):
            raise failed(f"{self.checkpoint.place}: {info.name} is too large for {self.dtype}; compute in float32")
        raise corrupt(f"{self.checkpoint.place}: {info.name} holds NaN or infinity: the weights are damaged")

    def _take(self, info: TensorInfo, dtype: torch.dtype) -> Tensor:
        """An uninitialised tensor, from the pool if there is one of that size and dtype."""
        pool = self._pool.get((info.elements, dtype))
        return pool.pop().view(info.shape) if pool else torch.empty(info.shape, dtype=dtype, device=self.device)

    def empty(self, names: list[str], *, pool: bool = False) -> None:
        """Take parameters away again; `pool`: keep their memory for others."""
        if pool and torch.device(self.device).type == "cuda":
            torch.cuda.synchronize(self.device)  # the other stream may write to this memory at once
        for name in names:
            old = self.parameter(name)
            if pool and old.is_floating_point():
                memory = held(old).view(-1)
                self._pool.setdefault((memory.numel(), memory.dtype), []).append(memory)
            self.put(name, torch.empty(old.shape, dtype=old.dtype, device="meta"))

    def parameter(self, name: str) -> Tensor:
        """A parameter by name."""
        return self.skeleton.model.get_parameter(name)

    def put(self, name: str, value: Tensor) -> None:
        """Give a parameter another value; one of bfloat16 counts as float32 where that is computed in."""
        path, _, leaf = name.rpartition(".")
        narrower = value.dtype == torch.bfloat16 and self.dtype == torch.float32
        parameter = narrow(value) if narrower else nn.Parameter(value, requires_grad=False)
        setattr(self.skeleton.model.get_submodule(path), leaf, parameter)


def _sums(values: Tensor) -> Tensor:
    """Sums that are not finite where a number is not: of a bfloat16 matrix by rows, which takes half the time."""
    if values.dtype == torch.bfloat16 and values.dim() == 2 and values.numel() >= NARROW:
        return values.mv(values.new_ones(values.shape[1]))
    # bfloat16 has the range of float32, and is slow to convert
    return values.sum(dtype=None if values.dtype == torch.bfloat16 else torch.float32)


def _may_stay(info: TensorInfo) -> bool:
    return type(info) is TensorInfo and info.dtype == "bfloat16" and len(info.shape) == 2 and info.elements >= NARROW


def _say_device(model: nn.Module, device: str) -> None:
    """Let the model and its towers say that they are on `device`: they go by a parameter that may be empty (meta)."""
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            module.__class__ = type(type(module).__name__, (type(module),), {"device": torch.device(device)})
