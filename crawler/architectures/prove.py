"""Find the down projections of a layer by experiment, once for each kind of layer, on the layer itself.

A down projection is a multiplication that (1) gives D channels, (2) feeds no other such multiplication of its layer,
or has the name of a down projection and reaches the residual while all that it feeds is held (a second MLP follows),
and (3) has an input that, with the blocks before it silenced, depends on its own token alone: so it is neither an
attention's output nor a state-space mixer's. Then one scalar W[j, k] is raised: channel j of the residual must move
most, and no other channel at all unless a norm stands behind (ARCHITECTURES.md sections 1 and 8).
Knows nothing of detection; `run` computes the resident layer on a residual.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..products.narrow import held
from ..refusal import unsupported
from .families import ASIDE, DOWN_NAMES, MIXERS
from .sites import Projection, Site, scaled
from .watch import Layout, Multiplication, Watch

Run = Callable[[Tensor], Tensor]
"""The residual (B, T, D) behind the resident layer, from the one before it."""
RAISED = 1e4
"""How many times what a projection gives is written to one channel: it fills a norm behind it, however wide."""
POST_NORM = 1e-3
"""Relative movement of other channels above which a norm stands behind the write. Seen: 0.0 without, 0.03 with."""
MOVED = 1e-5
"""Relative change of an input that counts as one."""

Seen = dict[str, list[Multiplication]]


def kind_of(layer: nn.Module) -> tuple[object, ...]:
    """What layers that compute alike have in common: their class, and names and shapes of their parameters."""
    return (type(layer), *((n, tuple(p.shape)) for n, p in layer.named_parameters()))


@dataclass
class Prover:
    """Knows the proven projections of each kind of layer met so far."""

    place: str
    _kinds: dict[tuple[object, ...], tuple[Projection, ...]] = field(default_factory=dict)

    def sites(self, layer: nn.Module, run: Run, residual: Tensor) -> list[Site]:
        """The down projections of the resident layer; raise a Refusal if one cannot be proven."""
        kind = kind_of(layer)
        if kind not in self._kinds:
            with torch.no_grad():
                self._kinds[kind] = tuple(_Layer(self.place, layer, run, residual).prove())
        return [Site(p, layer) for p in self._kinds[kind]]


@dataclass
class _Layer:
    place: str
    layer: nn.Module
    run: Run
    residual: Tensor

    def prove(self) -> list[Projection]:
        """The projections, each proven; raise a Refusal if something looks like one and is not."""
        before, out = self._first()
        raised = {name: self._raised(name, seen) for name, seen in before.items()}
        feeds = {name: _changed(before, then) - {name} for name, (then, _) in raised.items()}
        held = {n: [m for f in fed for m in before[f]] for n, fed in feeds.items() if not fed or _is_named(n)}
        ups = {n: self._raised(n, before[n], held=rest)[1] if rest else raised[n][1] for n, rest in held.items()}
        writing = [n for n, up in ups.items() if not torch.equal(up, out)]
        found = [n for n in writing if self._is_local(n, [f for f in feeds if n in feeds[f]])]
        self._refuse_unproven(found, [m for n in found for m in before[n]], out)
        return [self._project(n, before[n], out, ups[n], held[n]) for n in found]

    def _first(self) -> tuple[Seen, Tensor]:
        try:
            return self._watch(self.residual)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise unsupported(f"{self.place}: {type(self.layer).__name__} cannot be computed alone: {error}") from None

    def _watch(self, residual: Tensor, held: Iterable[Multiplication] = ()) -> tuple[Seen, Tensor]:
        """Multiplications of one run that give D channels, by parameter, and the residual (N, D) behind the layer."""
        width = residual.shape[-1]
        parameters = [(n, p) for n, p in self.layer.named_parameters() if not any(a in n for a in ASIDE)]
        with Watch(parameters, width, held) as watch:
            out = self.run(residual)
        seen: Seen = {}
        for one in watch.seen:
            seen.setdefault(one.parameter, []).append(one)
        return seen, out.reshape(-1, width)

    def _raised(
        self, name: str, seen: list[Multiplication], sign: float = 1.0, held: Iterable[Multiplication] = ()
    ) -> tuple[Seen, Tensor]:
        """Raise one scalar of a parameter: what is then multiplied, and the residual (N, D) behind the layer."""
        one = max(seen, key=lambda m: len(m.x))
        if not bool(one.x.any()):
            raise unsupported(f"{self.place}: {name} is multiplied with nothing but zeros: nothing to prove")
        col = _common_column(one.x)
        row, matrix = self._row(one)
        size = RAISED * float(one.y.norm(dim=1).mean() + 1e-6) / float(one.x[:, col].abs().mean())
        with changed_to(matrix[row, col : col + 1], sign * size):
            return self._watch(self.residual, held)

    def _row(self, one: Multiplication) -> tuple[int, Tensor]:
        """The strongest row of a matrix, and the matrix."""
        matrix = one.layout.of(self.layer.get_parameter(one.parameter))
        return int(matrix.norm(dim=1).argmax()), matrix

    def _is_local(self, name: str, before: list[str]) -> bool:
        """Whether an input depends on its own token alone once the other blocks that feed it are silenced."""
        block = name.partition(".")[0]
        others = [held(self.layer.get_parameter(n)) for n in before if n.partition(".")[0] != block]
        disturbed = self.residual.clone()
        disturbed[:, 0] = -disturbed[:, 0]
        with ExitStack() as stack:
            stack.enter_context(scaled(others, 0.0))
            calm, _ = self._watch(self.residual)
            stirred, _ = self._watch(disturbed)
        if name not in calm or name not in stirred:
            return False
        sequences = self.residual.shape[0]
        return _new_rows(calm[name], stirred[name]) <= sequences * _fan_out(calm[name], self.residual)

    def _project(
        self, name: str, seen: list[Multiplication], out: Tensor, up: Tensor, held: list[Multiplication]
    ) -> Projection:
        """Compare with the prediction. Up against down, a norm behind is full of channel j either way."""
        row, _ = self._row(max(seen, key=lambda m: len(m.x)))
        _, down = self._raised(name, seen, -1.0, held)
        most, others = _most((up - down).abs(), row)
        if not most > others:
            raise unsupported(f"{self.place}: {name} was raised at row {row}, and channel {row} did not move most")
        most, others = _most((up - out).abs(), row)
        post_norm = others > POST_NORM * most
        first = min((m.layout for m in seen), key=lambda layout: layout.start)
        count = self.layer.get_parameter(name).numel() // (first.rows * first.cols)
        fused = count > 1 or self.layer.get_parameter(name).dim() > 2
        start = first.start % (first.rows * first.cols)
        layout = Layout(first.rows, first.cols, first.row_stride, first.col_stride, start)
        return Projection(name, layout, count if fused else None, post_norm)

    def _refuse_unproven(self, found: list[str], proven: list[Multiplication], out: Tensor) -> None:
        """What has the name of a down projection and is none by experiment: better no scan than half of one."""
        for name, parameter in self.layer.named_parameters():
            if name in found or parameter.dim() < 2 or not _is_named(name):
                continue
            if not self._is_latent(parameter, proven, out):
                raise unsupported(
                    f"{self.place}: {name} has the name of a down projection, but the experiment does not show that it "
                    "writes to the residual"
                )

    def _is_latent(self, parameter: Tensor, proven: list[Multiplication], out: Tensor) -> bool:
        """Whether it gives a latent vector, not D channels, and all that it does passes through what was proven:
        turned around it changes the residual (N, D), and does not while those are held."""
        if out.shape[-1] in parameter.shape:
            return False
        with scaled([parameter.data], -1.0):
            (_, free), (_, fixed) = self._watch(self.residual), self._watch(self.residual, proven)
        return not torch.equal(free, out) and torch.equal(fixed, out)


def _is_named(name: str) -> bool:
    """Whether a parameter has the name of a down projection."""
    leaves = name.lower().split(".")
    return any(leaf in DOWN_NAMES for leaf in leaves) and not any(m in name for m in MIXERS)


def _most(moved: Tensor, row: int) -> tuple[float, float]:
    """How far (N, D) channel `row` moved at most, and any other."""
    most = moved.amax(0)
    return float(most[row]), float(torch.cat([most[:row], most[row + 1 :]]).amax())


def _common_column(x: Tensor) -> int:
    """A column of X (N, F) that is large at many tokens: the largest of all is often large at `<s>` alone, and what
    an attention reads there reaches no other token."""
    size = x.abs()
    return int((size / size.amax(1, keepdim=True).clamp_min(1e-30)).mean(0).argmax())


def _changed(before: Seen, after: Seen) -> set[str]:
    """Parameters whose input changed."""
    return {n for n in before if n not in after or _new_rows(before[n], after[n])}


def _new_rows(before: list[Multiplication], after: list[Multiplication]) -> int:
    """How many rows of input were not there before; rows may have moved to other experts."""
    old, new = _rows(before), _rows(after)
    if len(before) == len(after) == 1:
        limit = MOVED * float(old.abs().amax())
        return int((~((new - old).abs().amax(-1) <= limit)).sum())
    return _unmatched(old, new)


def _rows(seen: list[Multiplication]) -> Tensor:
    return torch.cat([m.x for m in seen])


def _unmatched(old: Tensor, new: Tensor) -> int:
    """Rows of `new` that equal no row of `old`."""
    limit = MOVED * float(old.abs().amax())
    return sum(not bool(((old - row).abs().amax(-1) <= limit).any()) for row in new)


def _fan_out(seen: list[Multiplication], residual: Tensor) -> int:
    """Rows that one token makes at most: the experts it reaches."""
    tokens = residual.shape[0] * residual.shape[1]
    return max(1, -(-sum(len(m.x) for m in seen) // tokens))


@contextmanager
def changed_to(scalar: Tensor, value: float) -> Iterator[None]:
    """Give a view of one weight another value for a while."""
    kept = scalar.clone()
    scalar.fill_(value)
    try:
        yield
    finally:
        scalar.copy_(kept)
