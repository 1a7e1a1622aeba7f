"""Rounds of removal in one pass: stream 0 is the unmodified model, stream r runs without the finds of all before it.

Inside a layer the streams are taken in order, so each knows the finds of the earlier ones in this very layer: one
pass equals removing and rerunning (DETECTION.md section 6). A stream forks where the first find is made.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ...schema.types import Role
from ..architectures.gains import Gain, gain_behind
from ..architectures.sites import Site, watching
from ..architectures.watch import Multiplication
from ..refusal import unsupported
from . import constants as c
from .attribution import Explained, Product, explain
from .lockstep import Batch, advance
from .massive import Change, changes, massive
from .memory import rank_of
from .weights import Find, Place, removed

PEELED = (Role.CREATOR, Role.AMPLIFIER)


@dataclass
class Stream:
    """One residual stream (B, T, D) over the watched sequences, and what it found."""

    number: int
    residual: Tensor
    finds: dict[Place, Find] = field(default_factory=dict)

    def wants(self, place: Place, role: Role) -> bool:
        """Whether a find in this role says more than is known: changes come strongest first; what a scalar makes
        counts before what it removes."""
        old = self.finds.get(place)
        return old is None or (old.role not in PEELED and role in PEELED)


@dataclass(frozen=True)
class Seen:
    """An explained change as one stream saw it in one layer."""

    layer: int
    stream: int
    explained: Explained
    residual: Tensor
    """The residual vector (D,) in which the channel stood out."""
    text: int | None = None
    """Number of the text in which it was seen; None: the watched prompts."""


@dataclass
class LayerSeen:
    """Largest absolute values in the unmodified pass, and the channels that are massive behind the layer."""

    layer: int
    activation_in: float | None
    """None where the layer has no down projection."""
    activation_out: float | None
    residual: float
    massive: frozenset[int]
    massive_in_texts: frozenset[int] = frozenset()
    """The same in the texts for effects, where they are watched."""

    def stands(self, channel: int, text: int | None) -> bool:
        """Whether a channel is massive behind the layer, in the texts or (None) in the prompts."""
        return channel in (self.massive if text is None else self.massive_in_texts)


@dataclass(frozen=True)
class Ready:
    """A stream's residual behind a layer from which nothing is removed, and what each site was seen to multiply."""

    after: Tensor
    seen: list[list[Multiplication]]


class Peeler:
    """Carries the streams of one batch through the layers, one resident layer at a time."""

    def __init__(
        self,
        batch: Batch,
        residual: Tensor,
        rounds: int = c.ROUNDS,
        watched: int | None = None,
        pair: Batch | None = None,
    ) -> None:
        """`watched`: how many tokens, from the first on, are looked at; all of them without it. `pair`: the same
        sequences twice; with it streams go through a layer two at a time."""
        self.batch = batch
        self.pair = pair
        self.watched = watched
        self.rounds = rounds
        self.streams = [Stream(0, residual)]
        self.seen: list[Seen] = []
        self.layers: list[LayerSeen] = []
        self.post_norm = False
        self.experts_seen: dict[tuple[int, int], set[int]] = {}
        """By layer and down projection of that layer."""
        self.gains: dict[tuple[int, int], Gain] = {}
        """By layer and channel: the gain of the norm behind, where there is one."""
        self.select: Callable[[list[Change], list[Site]], list[Change]] | None = None
        """Which changes of a layer are worth explaining; all of them without it."""
        self.in_texts: set[Place] = set()
        """Scalars that explain changes in the texts, where those are watched."""
        self.kappa = c.KAPPA
        """What makes a channel massive."""

    @property
    def finds(self) -> dict[Place, Find]:
        """All finds by place; the earliest round counts."""
        found: dict[Place, Find] = {}
        for stream in self.streams:
            for place, find in stream.finds.items():
                found.setdefault(place, find)
        return found

    @property
    def converged(self) -> bool:
        """Whether the last stream found nothing more to peel."""
        return not any(f.role in PEELED for f in self.streams[-1].finds.values())

    def step(
        self, number: int, layer: nn.Module, sites: list[Site], also: Callable[[], None] | None = None
    ) -> list[Find]:
        """Take every stream through the resident layer; return the new finds. `also` is called once the unmodified
        stream is through: what it adds to that stream's finds, all later ones run without."""
        known = set(self.finds)
        self.post_norm |= any(s.projection.post_norm for s in sites)
        ready = self._in_pairs(number, layer, sites)
        at = 0
        while at < len(self.streams):
            self._one(self.streams[at], number, layer, sites, ready.get(at), also if at == 0 else None)
            at += 1
        for site in sites:
            site.forget()
        return [f for p, f in self.finds.items() if p not in known]

    def _in_pairs(self, number: int, layer: nn.Module, sites: list[Site]) -> dict[int, Ready]:
        """Streams by number, two at a time: a product of twice as many tokens costs less than two. Whether something
        is to be removed for a stream is known only when the earlier ones were looked at; it then runs anew."""
        pair = self.pair
        if pair is None or pair.passing.needed or pair.passing.mappings or any(s.projection.experts for s in sites):
            return {}
        ready: dict[int, Ready] = {}
        for two in zip(self.streams[::2], self.streams[1::2], strict=False):
            after = self._run(number, layer, sites, pair, torch.cat([s.residual for s in two])).chunk(2)
            seen = [site.parts(2) for site in sites]
            ready |= {s.number: Ready(after[at], [parts[at] for parts in seen]) for at, s in enumerate(two)}
        return ready

    def _run(self, number: int, layer: nn.Module, sites: list[Site], batch: Batch, residual: Tensor) -> Tensor:
        """The residual behind the layer; the sites watch."""
        sequences, length = residual.shape[:2]
        with watching(sites, (sequences, length)):
            return advance(layer, number, batch, residual)

    def _earlier(self, stream: Stream) -> set[Place]:
        return {p for s in self.streams[: stream.number] for p, f in s.finds.items() if f.role in PEELED}

    def _one(
        self,
        stream: Stream,
        number: int,
        layer: nn.Module,
        sites: list[Site],
        ready: Ready | None,
        also: Callable[[], None] | None,
    ) -> None:
        before = stream.residual
        here = [p for p in self._earlier(stream) if p.layer == number]
        with removed(sites, here):
            stream.residual = self._watch(stream, number, layer, sites, None if here else ready)
        if also is not None:
            also()
        new = any(f.role in PEELED and p.layer == number for p, f in stream.finds.items())
        if new and stream is self.streams[-1] and stream.number < self._last_round:
            self.streams.append(Stream(stream.number + 1, before))

    @property
    def _last_round(self) -> int:
        return min(1, self.rounds) if self.post_norm else self.rounds

    def _watch(self, stream: Stream, number: int, layer: nn.Module, sites: list[Site], ready: Ready | None) -> Tensor:
        before = stream.residual
        if ready is None:
            after = self._run(number, layer, sites, self.batch, before)
        else:
            after = ready.after
            for site, seen in zip(sites, ready.seen, strict=True):
                site.keep(seen, None, (before.shape[0], before.shape[1]))
        if stream.number == 0:
            self.layers.append(_profile(number, sites, self._flat(after)))
        for at, site in enumerate(sites):
            self.experts_seen.setdefault((number, at), set()).update(e for e in site.experts() if e is not None)
        found = changes(self._flat(before), self._flat(after), self.kappa) if sites else []
        found = self.select(found, sites) if self.select is not None else found
        if found:
            self._explain(stream, number, layer, sites, found, after)
        return after

    def _flat(self, residual: Tensor) -> Tensor:
        """The residuals of the watched tokens as (N, D)."""
        return residual.flatten(0, -2)[: self.watched and self.watched * self.copies]

    @property
    def copies(self) -> int:
        """How many residuals a token has."""
        residual = self.streams[0].residual
        return residual.shape[2] if residual.dim() == 4 else 1

    def _explain(
        self, stream: Stream, number: int, layer: nn.Module, sites: list[Site], found: list[Change], after: Tensor
    ) -> None:
        before = stream.residual

        def rerun() -> Tensor:
            return self._flat(advance(layer, number, self.batch, before))

        for explained in explain(found, sites, rerun, self._flat(after), self.copies):
            change = explained.change
            if stream.number == 0 and self.post_norm and explained.written is not None:
                self._gain(number, layer, rerun, explained.written, change.channel)
            stood = before if change.role is Role.REMOVER else after
            self.seen.append(Seen(number, stream.number, explained, self._flat(stood)[change.at].clone()))
            for product in explained.members:
                self._find(stream, number, sites, explained, product)

    def _gain(self, number: int, layer: nn.Module, rerun: Callable[[], Tensor], written: Tensor, channel: int) -> None:
        """Look once for the gain behind a channel that was written."""
        if (number, channel) not in self.gains:
            gain = gain_behind(layer, rerun, written, channel)
            if gain is not None:
                self.gains[number, channel] = gain

    def _find(self, stream: Stream, number: int, sites: list[Site], explained: Explained, product: Product) -> None:
        place = Place(number, product.site, product.expert, product.row, product.col)
        self._refuse_twin(place)
        if not stream.wants(place, explained.change.role):
            return
        weight = sites[place.site].matrix(place.expert)
        stream.finds[place] = Find(
            place=place,
            role=explained.change.role,
            round=stream.number,
            token=explained.change.at // self.copies,
            activation_in=product.x,
            activation_out=product.y,
            share=product.share,
            coherence=explained.coherence or 0.0,
            rank=rank_of(weight, place.row, place.col),
        )

    def _refuse_twin(self, place: Place) -> None:
        """A record names neurons by layer, expert and column: not enough where two down projections have the same."""
        for other in self.finds:
            same = (other.layer, other.expert, other.col) == (place.layer, place.expert, place.col)
            if same and other.site != place.site:
                raise unsupported(f"{place.id} and {other.id} stand in two down projections: one id for two neurons")


def _profile(number: int, sites: list[Site], flat: Tensor) -> LayerSeen:
    return LayerSeen(
        number,
        max((s.activation_in for s in sites), default=None),
        max((s.activation_out for s in sites), default=None),
        float(flat.abs().amax()),
        frozenset(massive(flat).any(0).nonzero().flatten().tolist()),
    )
