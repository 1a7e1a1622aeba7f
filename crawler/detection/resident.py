"""Weights that come and go: one layer at a time, and what stands outside the layers when it is first needed.

Every stored tensor is read once. Compute is float32. Knows nothing of what is computed.
"""

import gc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..architectures.placement import Placement
from ..architectures.skeleton import Skeleton
from ..checkpoint.base import Checkpoint
from ..checkpoint.header import TensorInfo
from ..refusal import corrupt
from .ahead import Ahead
from .memory import trim
from .rows import float_dtype, in_rows, looking_up, read_rows

COMPUTE = torch.float32
SMALL = 1 << 20
"""Parameters outside the layers of at most so many elements stay resident."""


class Weights:
    """Fills the parameters of a skeleton from a checkpoint and empties them again."""

    def __init__(self, skeleton: Skeleton, checkpoint: Checkpoint, device: str = "cpu") -> None:
        self.skeleton = skeleton
        self.checkpoint = checkpoint
        self.device = device
        self._ahead = Ahead(checkpoint.source, pinned=torch.device(device).type == "cuda")
        _say_device(skeleton.model, device)
        self._shared = frozenset(n for t in skeleton.tied.values() for n in skeleton.placements[t].names)
        self._kept: dict[str, Tensor] = {}
        """A small vocabulary that is also the head, as stored: it is read once. Of a large one a few rows are."""
        self._tables = frozenset(
            n for p in skeleton.placements.values() if not self._is_float(p.target) for n in p.names
        )
        """Stored tensors of whole numbers (which expert a token goes to): taken as they are."""
        self._pool: dict[int, list[Tensor]] = {}
        """float32 memory of the last layer, by number of elements: fresh pages cost more than the arithmetic."""

    @contextmanager
    def layer(self, number: int, following: int | None = None) -> Iterator[nn.Module]:
        """The decoder layer `number` with its weights, for as long as the context lasts.

        Meanwhile the bytes of layer `following` are read.
        """
        names = self._fill(self.skeleton.of_layer(number))
        try:
            if following is not None and self.checkpoint.source is self.checkpoint:
                self._ahead.start(self._stored(following))
            yield self.skeleton.layers[number]
        finally:
            self._empty(names, pool=True)

    def close(self) -> None:
        """Stop reading ahead."""
        self._ahead.close()

    def release(self) -> None:
        """Give back the memory kept for the next layer, and what only the collector finds (models hold themselves)."""
        self._ahead.buffers.clear()
        self._pool.clear()
        gc.collect()
        trim()

    @contextmanager
    def outside(self, ids: Tensor | None = None) -> Iterator[None]:
        """Modules outside the layers load themselves when first called; large ones are dropped at the end.

        `ids`: the only token ids that are looked up. Of the embedding just their rows are then read, at once: some
        models ask on which device it is before they call it.
        """
        placements, tied = self.skeleton.outside(), self.skeleton.tied
        with ExitStack() as stack:
            for path, module in self.skeleton.model.named_modules():
                own = [f"{path}.{n}" if path else n for n, _ in module.named_parameters(recurse=False)]
                needed = [n for n in own if n in placements or n in tied]
                if ids is not None and self._is_vocabulary(module, needed):
                    stack.enter_context(self._looking_up(needed, module, ids))
                elif needed:
                    stack.callback(module.register_forward_pre_hook(self._loader(needed)).remove)
            stack.callback(self._drop, [*placements, *tied])
            yield

    def _is_vocabulary(self, module: nn.Module, names: list[str]) -> bool:
        """Whether a module is looked up by token ids: the input embedding, and what else has a row for each token."""
        embedding = self.skeleton.model.get_input_embeddings()
        if module is embedding or not isinstance(module, nn.Embedding) or not names:
            return module is embedding and bool(names)
        return module.num_embeddings == getattr(embedding, "num_embeddings", None)

    def _drop(self, names: list[str]) -> None:
        self._empty([n for n in names if self._parameter(n).numel() > SMALL or n in self.skeleton.tied])

    @contextmanager
    def _looking_up(self, names: list[str], module: nn.Module, ids: Tensor) -> Iterator[None]:
        """The embedding with these token ids alone, if they are few and it lies in the file row by row; else whole."""
        placement = self.skeleton.outside().get(names[0]) if len(names) == 1 else None
        known = torch.unique(torch.cat([ids.flatten(), ids.new_zeros(1)]))  # 0 stands for tokens without a row
        if placement is None or not in_rows(placement, module, len(known)):
            self._loader(names)()
            yield
            return
        [info] = [i for _, i in placement.sources]
        rows = read_rows(self.checkpoint, info, known).to(self.device, COMPUTE)
        self._check_finite(info, rows)
        self._set(names[0], nn.Parameter(rows, requires_grad=False))
        with looking_up(module, known.to(self.device)):
            yield
        self._set(names[0], nn.Parameter(torch.empty(info.shape, device="meta"), requires_grad=False))

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

    def _stored(self, number: int) -> list[str]:
        """The tensors that are read for a layer."""
        names = [n for p in self.skeleton.of_layer(number) for n in p.names]
        return [n for n in names if n not in self._kept]

    def _load(self, names: list[str], *, keep: bool = False) -> dict[str, Tensor]:
        """Stored tensors in float32 by disk name; `keep`: remember those that are shared, as stored."""
        loaded = {n: self._kept[n].to(self.device, COMPUTE) for n in names if n in self._kept}
        for info, at, data in self.checkpoint.read([n for n in names if n not in loaded], self._ahead.read):
            table = info.name in self._tables
            dtype = getattr(torch, info.dtype or "") if table else float_dtype(self.checkpoint, info)
            stored = torch.frombuffer(data, dtype=dtype) if len(data) else torch.empty(0)
            if info.name not in loaded:
                loaded[info.name] = torch.empty(info.shape, dtype=dtype) if table else self._take(info)
            first = at * 8 // info.bits
            part = slice(first, first + stored.numel())
            self._check_finite(info, loaded[info.name].view(-1)[part].copy_(stored))
            if keep and info.name in self._shared:
                whole = self._kept.setdefault(info.name, torch.empty(info.shape, dtype=stored.dtype))
                whole.view(-1)[part].copy_(stored)
        return loaded

    def _check_finite(self, info: TensorInfo, values: Tensor) -> None:
        """Refuse a tensor that holds NaN or infinity. A sum is 30 times cheaper than asking each element."""
        if not bool(values.sum().isfinite()) and not bool(values.isfinite().all()):
            raise corrupt(f"{self.checkpoint.place}: {info.name} holds NaN or infinity: the weights are damaged")

    def _take(self, info: TensorInfo) -> Tensor:
        """An uninitialised float32 tensor, from the pool if there is one of that size."""
        pool = self._pool.get(info.elements)
        return pool.pop().view(info.shape) if pool else torch.empty(info.shape, dtype=COMPUTE, device=self.device)

    def _empty(self, names: list[str], *, pool: bool = False) -> None:
        for name in names:
            old = self._parameter(name)
            if pool and old.is_floating_point():
                self._pool.setdefault(old.numel(), []).append(old.data.view(-1))
            self._set(name, nn.Parameter(torch.empty_like(old, device="meta"), requires_grad=False))

    def _is_float(self, name: str) -> bool:
        return self._parameter(name).is_floating_point()

    def _parameter(self, name: str) -> Tensor:
        return self.skeleton.model.get_parameter(name)

    def _set(self, name: str, value: nn.Parameter) -> None:
        path, _, leaf = name.rpartition(".")
        setattr(self.skeleton.model.get_submodule(path), leaf, value)


def _say_device(model: nn.Module, device: str) -> None:
    """Let the model and its towers say that they are on `device`: they go by a parameter that may be empty (meta)."""
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            module.__class__ = type(type(module).__name__, (type(module),), {"device": torch.device(device)})
