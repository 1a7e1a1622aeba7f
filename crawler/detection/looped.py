"""Models that call a layer more than once (HRM-Text): all layers are resident, and each stream is a pass of its own.

A scalar that is removed is removed at every call of its layer. A stream can therefore not fork where a find is made:
it starts from the token ids again, without all that earlier streams found, which is what removing and rerunning means
(DETECTION.md section 6). A call is looked at as a layer is elsewhere; what stands between calls (norms, sums of two
states) is transformers' own. Means and restored activations are taken call by call.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from ...schema.types import Outcome
from ..architectures.prove import Prover
from ..architectures.sites import Site
from ..architectures.skeleton import Skeleton
from ..refusal import Refusal, unsupported
from .ablate import Ablator, Residuals, whole_of
from .lockstep import Batch, Visit, advance, logits, replay
from .outliers import Outliers, without
from .peel import PEELED, LayerSeen, Peeler, Stream
from .resident import Weights
from .side import fork
from .treatments import Resident, Trial, treat
from .weights import Find, Place, removed

MOST = 16 << 30
"""Bytes of layers in the compute dtype; above it a looped model is too large to be held whole."""
AGREES = 1e-4
"""Relative difference of logits made from the last call alone and by the model."""
Sites = dict[int, list[Site]]


@contextmanager
def resident(weights: Weights) -> Iterator[None]:
    """All layers with their weights, for as long as the context lasts; raise a `too_large` Refusal."""
    skeleton = weights.skeleton
    size = sum(p.numel() for layer in skeleton.layers for p in layer.parameters()) * weights.dtype.itemsize
    if size > MOST:
        name = f"{weights.checkpoint.place}: {type(skeleton.model).__name__}"
        reason = f"it calls layers more than once, so all {size} bytes of them must be in memory; at most {MOST} may be"
        raise Refusal(Outcome.TOO_LARGE, f"{name}: {reason}")
    with weights.outside(), ExitStack() as stack:
        for number in range(len(skeleton.layers)):
            stack.enter_context(weights.layer(number))
        yield


def prove(skeleton: Skeleton, batch: Batch, place: str) -> Sites:
    """The down projections of each layer, proven where it is called first on a short sequence; raise a Refusal."""
    model, layers, prover, sites = skeleton.model, skeleton.layers, Prover(place), dict[int, list[Site]]()

    def visit(_: int, number: int, residual: Tensor) -> Tensor:
        def run(changed: Tensor) -> Tensor:
            return advance(layers[number], number, batch, changed)

        if residual.shape != batch.first.shape:
            raise unsupported(f"{place}: layers are called more than once, on several residuals for each token")
        if number not in sites:
            sites[number] = prover.sites(layers[number], run, residual)
        return run(residual)

    try:
        last = replay(model, layers, batch, visit)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise unsupported(f"{place}: layers are called more than once, and cannot be looked at: {error}") from None
    with torch.no_grad():
        whole = model(input_ids=batch.ids, use_cache=False).logits
    ours = logits(model, layers, batch, last, torch.arange(batch.ids.shape[1], device=last.device))
    if not float((ours - whole).abs().max()) <= AGREES * float(whole.abs().max()):
        raise unsupported(f"{place}: layers are called more than once, and not the last call alone makes the logits")
    return sites


class LoopedPeeler(Peeler):
    """Rounds of removal, a pass for each."""

    def peel(self, skeleton: Skeleton, sites: Sites) -> None:
        """Run every stream; all layers are resident."""
        self.post_norm = any(s.projection.post_norm for here in sites.values() for s in here)
        at = 0
        while at < len(self.streams):
            stream = self.streams[at]
            with _removed(sites, self._earlier(stream)):
                self._pass(stream, skeleton, sites)
            if any(f.role in PEELED for f in stream.finds.values()) and stream.number < self._last_round:
                self.streams.append(Stream(stream.number + 1, self.batch.first))
            at += 1
        self.layers = [_over_calls([s for s in self.layers if s.layer == n]) for n in sorted(sites)]

    def _pass(self, stream: Stream, skeleton: Skeleton, sites: Sites) -> None:
        def visit(_: int, number: int, residual: Tensor) -> Tensor:
            stream.residual = residual
            after = self._watch(stream, number, skeleton.layers[number], sites[number], None)
            for site in sites[number]:
                site.forget()
            return after

        stream.residual = replay(skeleton.model, skeleton.layers, self.batch, visit)


def _over_calls(seen: list[LayerSeen]) -> LayerSeen:
    """The largest values over all calls of a layer; massive is what is so behind the last."""
    into, out = [s.activation_in for s in seen], [s.activation_out for s in seen]
    return LayerSeen(seen[0].layer, _most(into), _most(out), max(s.residual for s in seen), seen[-1].massive)


def _most(values: list[float | None]) -> float | None:
    return max((v for v in values if v is not None), default=None)


@contextmanager
def _removed(sites: Sites, places: Iterable[Place]) -> Iterator[None]:
    """All layers without these scalars."""
    with ExitStack() as stack:
        for place in places:
            stack.enter_context(removed(sites[place.layer], [place]))
        yield


@dataclass
class LoopedAblator(Ablator):
    """The same streams as elsewhere, a pass for each once all finds are known."""

    def treat_all(self, skeleton: Skeleton, sites: Sites, finds: list[Find]) -> None:
        """Run every stream on every text; all layers are resident."""
        self._finds = finds
        by_layer = {n: [f for f in finds if f.place.layer == n] for n in sorted({f.place.layer for f in finds})}
        here = set(by_layer)
        nulls = [p for n, found in by_layer.items() for p in self._new_controls(n, sites[n], found)]
        passes = [_Passes(skeleton, sites, batch, here) for batch in self.batches]
        self.baseline = [p.baseline() for p in passes]
        self.trials = {t: [p.treated(t) for p in passes] for t in self._wanted()}
        short = [_Passes(skeleton, sites, batch, here) for batch in self._short]
        self.nulls = {place: [p.without([place]) for p in short] for place in nulls}
        if whole_of(finds):
            self.outliers = self._without_others(skeleton, sites, passes)

    def _without_others(self, skeleton: Skeleton, sites: Sites, passes: list["_Passes"]) -> Residuals:
        first = min(p.layer for p in whole_of(self._finds))
        self.others = Outliers(layers=len(skeleton.layers), first=first)
        with _removed(sites, [f.place for f in self._finds]):  # never among the others
            chosen = {n: self.others.choose(n, skeleton.layers[n]) for n in sorted(sites) if n >= first}
        with ExitStack() as stack:
            for number, others in chosen.items():
                stack.enter_context(without(skeleton.layers[number], others))
            return [p.without([]) for p in passes]


@dataclass
class _Passes:
    """Passes over one text."""

    skeleton: Skeleton
    sites: Sites
    batch: Batch
    here: set[int]
    """Layers with finds: what the unmodified pass gives behind each of their calls is kept."""

    def __post_init__(self) -> None:
        self._kept: dict[int, Tensor] = {}

    def baseline(self) -> Tensor:
        """The last residual of the unmodified pass."""

        def visit(call: int, number: int, residual: Tensor) -> Tensor:
            after = advance(self.skeleton.layers[number], number, self.batch, residual)
            if number in self.here:
                self._kept[call] = after
            return after

        return self._replay(visit)

    def treated(self, trial: Trial) -> Tensor:
        """The last residual where a set is treated at every call."""

        def visit(call: int, number: int, residual: Tensor) -> Tensor:
            layer, after = self.skeleton.layers[number], self._kept.get(call, residual)
            return treat(trial, Resident(number, layer, self.sites[number], self.batch, after), fork(residual))

        return self._replay(visit)

    def without(self, places: list[Place]) -> Tensor:
        """The last residual without these scalars."""
        with _removed(self.sites, places):
            return self._replay(lambda _, number, r: advance(self.skeleton.layers[number], number, self.batch, r))

    def _replay(self, visit: Visit) -> Tensor:
        return replay(self.skeleton.model, self.skeleton.layers, self.batch, visit)
