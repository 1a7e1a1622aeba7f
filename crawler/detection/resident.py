"""Weights that come and go: one layer at a time, and what stands outside the layers when it is first needed.

Every stored tensor is read once. Compute is float32, or less on a GPU, where the next layer is made on a stream of its
own while this one computes. Knows nothing of what is computed.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Thread

import torch
from torch import Tensor, nn

from ..architectures.placement import Placement
from ..architectures.skeleton import Skeleton
from ..checkpoint.base import Checkpoint
from ..checkpoint.header import TensorInfo
from ..refusal import corrupt, failed
from .ahead import NAME, PATIENCE, Ahead
from .memory import trim

SMALL = 1 << 20
"""Parameters outside the layers of at most so many elements stay resident."""


class Weights:
    """Fills the parameters of a skeleton from a checkpoint and empties them again."""

    def __init__(
        self, skeleton: Skeleton, checkpoint: Checkpoint, device: str = "cpu", compute: str = "float32"
    ) -> None:
        self.skeleton = skeleton
        self.checkpoint = checkpoint
        self.device = device
        self.dtype: torch.dtype = getattr(torch, compute)
        self._ahead = Ahead(checkpoint, pinned=torch.device(device).type == "cuda")
        self._kept: dict[str, Tensor] = {}
        """Stored tensors that are needed twice (tied embeddings), in their stored dtype."""
        self._next: tuple[list[str], _Later] | None = None
        """The tensors of the following layer, and the making of them."""
        self._shared = frozenset(n for s in skeleton.tied.values() for n in skeleton.placements[s].names)
        self._pool: dict[int, list[Tensor]] = {}
        """Memory of the last layer, by number of elements: fresh pages cost more than the arithmetic."""

    @contextmanager
    def layer(self, number: int, following: int | None = None) -> Iterator[nn.Module]:
        """The decoder layer `number` with its weights, for as long as the context lasts.

        Meanwhile the bytes of layer `following` are read.
        """
        names = self._fill(self.skeleton.of_layer(number))
        try:
            if following is not None:
                self._begin(following)
            yield self.skeleton.layers[number]
        finally:
            self._empty(names, pool=True)

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

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Modules outside the layers load themselves when first called; large ones are dropped at the end."""
        placements, tied = self.skeleton.outside(), self.skeleton.tied
        handles = []
        for path, module in self.skeleton.model.named_modules():
            own = [f"{path}.{n}" if path else n for n, _ in module.named_parameters(recurse=False)]
            needed = [n for n in own if n in placements or n in tied]
            if needed:
                handles.append(module.register_forward_pre_hook(self._loader(needed)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            self._empty([n for n in placements if self._parameter(n).numel() > SMALL] + list(tied))

    def _loader(self, names: list[str]):  # type: ignore[no-untyped-def]
        def load(*_: object) -> None:
            missing = [n for n in names if self._parameter(n).is_meta]
            sources = [self.skeleton.tied.get(n, n) for n in missing]
            placements = self.skeleton.outside()
            for name, source in zip(missing, sources, strict=True):
                self._fill([placements[source]], rename=name)

        return load

    def _fill(self, placements: list[Placement], rename: str | None = None) -> list[str]:
        loaded = self._load([n for p in placements for n in p.names], keep=rename is not None)
        names = []
        for placement in placements:
            for name, tensor in placement.convert(loaded, self.skeleton.model).items():
                names.append(rename or name)
                self._set(names[-1], nn.Parameter(tensor.contiguous(), requires_grad=False))
            for name in placement.names:
                del loaded[name]
        return names

    def _begin(self, number: int) -> None:
        """Begin with what layer `number` will need."""
        names = [n for p in self.skeleton.of_layer(number) for n in p.names]
        self._ahead.start([n for n in names if n not in self._kept])
        if self.overlaps:
            self._next = names, _Later(partial(self._load_beside, names))

    def _load_beside(self, names: list[str]) -> dict[str, Tensor]:
        with _side_stream(self.device):
            return self._load_now(names, frozenset())

    def _load(self, names: list[str], *, keep: bool) -> dict[str, Tensor]:
        """Stored tensors in the compute dtype by disk name; `keep`: remember those that are shared as stored."""
        if self._next is not None and self._next[0] == names and not keep:
            (_, later), self._next = self._next, None
            return later.result()
        return self._load_now(names, self._shared if keep else frozenset())

    def _load_now(self, names: list[str], shared: frozenset[str]) -> dict[str, Tensor]:
        loaded = {n: self._kept[n].to(self.device, self.dtype) for n in names if n in self._kept}
        for info, at, data in self._ahead.read([n for n in names if n not in loaded]):
            stored = torch.frombuffer(data, dtype=self._dtype(info)) if len(data) else torch.empty(0)
            if info.name not in loaded:
                loaded[info.name] = self._take(info)
                if info.name in shared:
                    self._kept[info.name] = torch.empty(info.shape, dtype=self._dtype(info))
            first = at * 8 // info.bits
            part = slice(first, first + stored.numel())
            # To the device as it is stored: half the bytes, and converted there.
            self._check_finite(info, loaded[info.name].view(-1)[part].copy_(stored.to(self.device)), stored)
            if info.name in shared:
                self._kept[info.name].view(-1)[part].copy_(stored)
        return loaded

    def _check_finite(self, info: TensorInfo, values: Tensor, stored: Tensor) -> None:
        """Refuse a tensor that holds NaN or infinity. A sum is 30 times cheaper than asking each element."""
        if bool(values.sum(dtype=torch.float32).isfinite()) or bool(values.isfinite().all()):
            return
        if self.dtype != torch.float32 and bool(stored.float().isfinite().all()):
            raise failed(f"{self.checkpoint.place}: {info.name} is too large for {self.dtype}; compute in float32")
        raise corrupt(f"{self.checkpoint.place}: {info.name} holds NaN or infinity: the weights are damaged")

    def _dtype(self, info: TensorInfo) -> torch.dtype:
        dtype = getattr(torch, info.dtype) if info.dtype else None
        if dtype is None or not dtype.is_floating_point:
            raise corrupt(f"{self.checkpoint.place}: {info.name} is {info.dtype or 'packed'}, not a float weight")
        return dtype  # type: ignore[no-any-return]

    def _take(self, info: TensorInfo) -> Tensor:
        """An uninitialised tensor of the compute dtype, from the pool if there is one of that size."""
        pool = self._pool.get(info.elements)
        return pool.pop().view(info.shape) if pool else torch.empty(info.shape, dtype=self.dtype, device=self.device)

    def _empty(self, names: list[str], *, pool: bool = False) -> None:
        if pool and torch.device(self.device).type == "cuda":
            torch.cuda.synchronize(self.device)  # the other stream may write to this memory at once
        for name in names:
            old = self._parameter(name)
            if pool:
                self._pool.setdefault(old.numel(), []).append(old.data.view(-1))
            self._set(name, nn.Parameter(torch.empty_like(old, device="meta"), requires_grad=False))

    def _parameter(self, name: str) -> Tensor:
        return self.skeleton.model.get_parameter(name)

    def _set(self, name: str, value: nn.Parameter) -> None:
        path, _, leaf = name.rpartition(".")
        setattr(self.skeleton.model.get_submodule(path), leaf, value)


class _Later(Thread):
    """A call in a thread of its own."""

    def __init__(self, call: Callable[[], dict[str, Tensor]]) -> None:
        super().__init__(name=NAME, daemon=True)
        self._call = call
        self._made: dict[str, Tensor] | BaseException = {}
        self.start()

    def run(self) -> None:
        """Make the call and keep what comes of it."""
        try:
            self._made = self._call()
        except BaseException as error:
            self._made = error

    def result(self) -> dict[str, Tensor]:
        """What the call returned, once it did; raises what it raised."""
        self.join()
        if isinstance(self._made, BaseException):
            raise self._made
        return self._made


@contextmanager
def _side_stream(device: str) -> Iterator[None]:
    """On a GPU a stream beside that of the arithmetic, whose work is done at the end; elsewhere nothing."""
    if torch.device(device).type != "cuda":
        yield
        return
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    with torch.cuda.stream(stream):
        yield
    stream.synchronize()
