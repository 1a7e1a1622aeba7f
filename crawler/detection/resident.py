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
from ..refusal import corrupt, failed
from .ahead import PATIENCE, Ahead
from .later import Later, side_stream
from .memory import trim
from .outside import outside
from .rows import float_dtype


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
        self._pool: dict[int, list[Tensor]] = {}
        """Memory of the last layer, by number of elements: fresh pages cost more than the arithmetic."""

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
        loaded = self._load([n for p in placements for n in p.names], keep=rename is not None)
        names = []
        for placement in placements:
            for name, tensor in placement.convert(loaded, self.skeleton.model).items():
                names.append(rename or name)
                self.put(names[-1], tensor.contiguous())
            for name in placement.names:
                del loaded[name]
        return names

    def _begin(self, number: int) -> None:
        """Begin with what layer `number` will need."""
        names = [n for p in self.skeleton.of_layer(number) for n in p.names]
        self._ahead.start([n for n in names if n not in self._kept])
        if self.overlaps:
            self._next = names, Later(partial(self._load_beside, names))

    def _load_beside(self, names: list[str]) -> dict[str, Tensor]:
        with side_stream(self.device):
            return self._load_now(names, frozenset())

    def _load(self, names: list[str], *, keep: bool) -> dict[str, Tensor]:
        """Stored tensors in the compute dtype by disk name; `keep`: remember those that are shared, as stored."""
        if self._next is not None and self._next[0] == names and not keep:
            (_, later), self._next = self._next, None
            return later.result()
        return self._load_now(names, self._shared if keep else frozenset())

    def _load_now(self, names: list[str], shared: frozenset[str]) -> dict[str, Tensor]:
        loaded = {n: self._kept[n].to(self.device, self.dtype) for n in names if n in self._kept}
        for info, at, data in self.checkpoint.read([n for n in names if n not in loaded], self._ahead.read):
            stored = torch.frombuffer(data, dtype=self._dtype(info)) if len(data) else torch.empty(0)
            if info.name not in loaded:
                loaded[info.name] = self._take(info)
            first = at * 8 // info.bits
            part = slice(first, first + stored.numel())
            # To the device as it is stored: half the bytes, and converted there.
            self.check_finite(info, loaded[info.name].view(-1)[part].copy_(stored.to(self.device)), stored)
            if info.name in shared:
                whole = self._kept.setdefault(info.name, torch.empty(info.shape, dtype=stored.dtype))
                whole.view(-1)[part].copy_(stored)
        return loaded

    def _dtype(self, info: TensorInfo) -> torch.dtype:
        """As which a tensor is stored."""
        if info.name in self._tables:
            return getattr(torch, info.dtype or "")  # type: ignore[no-any-return]
        return float_dtype(self.checkpoint, info)

    def check_finite(self, info: TensorInfo, values: Tensor, stored: Tensor) -> None:
        """Refuse a tensor that holds NaN or infinity. A sum is 30 times cheaper than asking each element."""
        if bool(values.sum(dtype=torch.float32).isfinite()) or bool(values.isfinite().all()):
            return
        if self.dtype != torch.float32 and bool(stored.float().isfinite().all()):
            raise failed(f"{self.checkpoint.place}: {info.name} is too large for {self.dtype}; compute in float32")
        raise corrupt(f"{self.checkpoint.place}: {info.name} holds NaN or infinity: the weights are damaged")

    def _take(self, info: TensorInfo) -> Tensor:
        """An uninitialised tensor of the compute dtype, from the pool if there is one of that size."""
        if info.name in self._tables:
            return torch.empty(info.shape, dtype=self._dtype(info), device=self.device)
        pool = self._pool.get(info.elements)
        return pool.pop().view(info.shape) if pool else torch.empty(info.shape, dtype=self.dtype, device=self.device)

    def empty(self, names: list[str], *, pool: bool = False) -> None:
        """Take parameters away again; `pool`: keep their memory for others."""
        if pool and torch.device(self.device).type == "cuda":
            torch.cuda.synchronize(self.device)  # the other stream may write to this memory at once
        for name in names:
            old = self.parameter(name)
            if pool and old.is_floating_point():
                self._pool.setdefault(old.numel(), []).append(old.data.view(-1))
            self.put(name, torch.empty_like(old, device="meta"))

    def parameter(self, name: str) -> Tensor:
        """A parameter by name."""
        return self.skeleton.model.get_parameter(name)

    def put(self, name: str, value: Tensor) -> None:
        """Give a parameter another value."""
        path, _, leaf = name.rpartition(".")
        setattr(self.skeleton.model.get_submodule(path), leaf, nn.Parameter(value, requires_grad=False))


def _say_device(model: nn.Module, device: str) -> None:
    """Let the model and its towers say that they are on `device`: they go by a parameter that may be empty (meta)."""
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            module.__class__ = type(type(module).__name__, (type(module),), {"device": torch.device(device)})
