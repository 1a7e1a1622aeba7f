"""The criterion's constants at their edges: a planted quantity is swept across each; what is found, and what it costs.

`python -m tests.bench.edges [CONSTANT ...]` prints a table for each. "costs" is the change of the mean NLL (nat per
token) when the planted scalars, or some of them, are zeroed, read from plainly loaded files; the rest is what a scan
says.

Two ways in which a planted scalar acts. `hiding`: a massive J makes the norm hide the noise in B, as in the trained
checkpoints. `cancelling`: what attention reads from J cancels what it reads from B, however small J is, so that the
least loss of J shows: the worst that a criterion for massive channels can meet.
"""

import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from swindex.crawler.detection.massive import massive
from swindex.crawler.scanning import quiet, scan
from swindex.schema.record import Record
from swindex.schema.types import Intervention
from tests.plants import Plant, disk, makers, trained
from tests.plants.confusion import EFFECTS, STRONG, WINDOW, WINDOWS
from tests.plants.trained import DOWN, LAYERS, NEURON, ONE, B, J, State, creator, named, neuron, saved, scalar

NOISE = 50.0
"""What B's noise is multiplied by where it is cancelled: what is left of it must count although J hides it."""
CANCEL = range(2, LAYERS)
Sweep = Iterable[tuple[Any, Callable[[Path], Plant]]]


# --- plants ---


def hiding(kappa: float, folder: Path) -> Plant:
    """The super weight so strong that J has `kappa` times the energy of all other channels."""
    made = makers.as_it_is(ONE.name, folder)
    state = disk.read(ONE)
    state[DOWN.format(1)][J, NEURON] *= math.sqrt(kappa / _kappa(made.folder))
    return saved(folder, state, scalar(1, J, NEURON))


def cancelling(kappa: float, folder: Path) -> Plant:
    """The same, where what attention reads from J cancels what it reads from B."""
    made = hiding(kappa, folder)
    state = disk.read(folder)
    _cancel(state, folder, CANCEL)
    return saved(folder, state, *made.scalars)


def _cancel(state: State, folder: Path, layers: Iterable[int]) -> None:
    """Let keys and values from J cancel those from B in some layers, at the value that J has there in `folder`."""
    behind = residuals(folder)
    for layer in layers:
        for p in "kv":
            matrix = state[named(layer, f"self_attn.{p}_proj")]
            matrix[:, B] *= NOISE
            matrix[:, J] = -matrix[:, B] * behind[layer][B] / behind[layer][J]


def residuals(folder: Path) -> Tensor:
    """Residuals (layers + 1, D) of `<s>` before each layer; behind the last its norm."""
    with torch.no_grad():
        hidden = disk.plain(folder)(torch.tensor([[disk.BOS]]), output_hidden_states=True).hidden_states
    return torch.stack(hidden)[:, 0, 0]


def _kappa(folder: Path) -> float:
    energy = residuals(folder)[2].square()
    return float(energy[J] / (energy.sum() - energy[J]))


def in_two_layers(part: float, folder: Path) -> Plant:
    """Layer 2 adds so much of the whole to what layer 1 writes; the two cancel B in layers 3 and 4."""
    made = makers.amplified(folder, layer=2, part=part)
    state = disk.read(folder)
    trained.quiet(state, range(2, 3))
    _cancel(state, folder, range(3, LAYERS))
    return saved(folder, state, *made.scalars)


def one_of_many(share: float, rest: int, folder: Path, kappa: float | None = None) -> Plant:
    """The first of `rest` + 1 neurons writes this share of J, the others the rest in equal parts; J cancels B, or hides
    it with the energy `kappa`."""
    trained.spread(rest + 1, folder)
    state = disk.read(folder)
    parts = torch.full((rest + 1,), 5.0 * (1 - share) / max(rest, 1))
    parts[0] = 5.0 * share
    state[DOWN.format(1)][J, 176:] = parts * (1.0 if kappa is None else math.sqrt(kappa / _kappa(folder)))
    if kappa is None:
        _cancel(state, folder, CANCEL)
    disk.write(folder, trained.config_of(folder), state)
    return Plant(folder, tuple(scalar(1, J, 176 + n) for n in range(rest + 1)))


def lasting(layers: int, folder: Path) -> Plant:
    """The spike acts in layers 2 to 4 and stands in so many of the eleven layers between its own and the last."""
    state = disk.read(ONE)
    for number in range(LAYERS, 13):
        for name in [n for n in state if n.startswith("model.layers.4.")]:
            idle = "o_proj" in name or "down_proj" in name
            state[name.replace(".4.", f".{number}.")] = state[name] * (0.0 if idle else 1.0)
    if layers < 11:
        neuron(state, 2 + layers, NEURON, {J: (1.0, 1.0)}, {J: -trained.WRITTEN / trained.SHOWN**2})
    return saved(folder, state, scalar(1, J, NEURON), num_hidden_layers=13)


TOKENS = (426, 13, 410, 447, 293, 261)
CHANNELS = (64, 65, 66, 68, 69, 71)
"""Tokens of the prompt, and an indicator channel for each."""


def behind_others(others: int, folder: Path) -> Plant:
    """The super weight at `<s>`, and on its channel so many stronger neurons, each at a token of its own."""
    trained.spread(len(TOKENS), folder)
    state = disk.read(folder)
    gain, down = state[named(1, "post_attention_layernorm")], state[DOWN.format(1)]
    down[J, 176:], down[J, NEURON] = 0.0, 5.0
    for n, (token, channel) in enumerate(zip(TOKENS[:others], CHANNELS, strict=False)):
        state[makers.EMBEDDING][token, channel], gain[channel] = 1.0, float(gain[B])
        neuron(state, 1, 176 + n, {B: (0.0, 0.0), channel: creator(state)}, {J: 50.0 * (others - n)})
    disk.write(folder, trained.config_of(folder), state)
    return Plant(folder, (scalar(1, J, NEURON),))


# --- tables ---


def costs(plant: Plant, members: Iterable[int], folder: Path) -> float:
    """What zeroing some of a plant's scalars costs, nat per token, with the libraries alone."""
    ids = disk.windows(WINDOWS, WINDOW)
    edits = [(plant.scalars[n].tensor, plant.scalars[n].index) for n in members]
    zeroed = disk.edited(plant.folder, folder, edits)
    before, after = (disk.plain_nll(disk.plain_logits(disk.plain(f), ids), ids) for f in (plant.folder, zeroed))
    return after - before


def said(record: Record, plant: Plant) -> str:
    """What a scan says of the planted scalars: how many found, in which rounds, with which labels, the verdict."""
    ids = [s.id for s in plant.scalars]
    found = {w.id: w for w in record.super_weights if w.id in ids}
    rounds = sorted({w.round for w in found.values()})
    labels = sorted({str(w.role) for w in found.values()})
    acts = any(
        e.verdict in STRONG and set(e.weights) <= set(ids)
        for e in record.effects
        if e.intervention is Intervention.ZERO
    )
    spreads = sorted({f"{e.origin}/{e.spread}" for e in record.scans[0].events if e.channel == J and not e.stream})
    extra = len(record.super_weights) - len(found)
    verdict = "confirmed" if acts else "not confirmed" if found else "-"
    return (
        f"found {len(found)} of {len(ids)} in rounds {rounds}, {', '.join(labels) or '-'}; {verdict}; "
        f"events {', '.join(spreads) or '-'}" + (f"; {extra} others" if extra else "")
    )


def table(title: str, sweep: Sweep, root: Path, sets: dict[str, Callable[[Plant], list[int]]]) -> None:
    """Print a table: a row for each value."""
    print(f"\n{title}")
    for number, (value, make) in enumerate(sweep):
        folder = root / f"{len(list(root.iterdir()))}-{number}"
        plant = make(folder)
        prices = [
            f"{name} costs {costs(plant, pick(plant), folder.with_name(f'{folder.name}-{n}')):6.2f}"
            for n, (name, pick) in enumerate(sets.items())
        ]
        print(f"  {value!s:>6}  {', '.join(prices)}  {said(scan(str(folder), options=EFFECTS), plant)}", flush=True)


def everything(plant: Plant) -> list[int]:
    """All scalars."""
    return list(range(len(plant.scalars)))


def first(_plant: Plant) -> list[int]:
    """The first alone."""
    return [0]


def second(_plant: Plant) -> list[int]:
    """The second alone."""
    return [1]


def kappa(root: Path) -> None:
    """KAPPA, for both ways of acting."""
    values = (0.1, 0.3, 0.5, 0.9, 1.1, 2, 5, 10, 30, 100, 1000)
    table("KAPPA = 1, hiding", [(v, partial(hiding, v)) for v in values], root, {"it": first})
    table("KAPPA = 1, cancelling", [(v, partial(cancelling, v)) for v in values], root, {"it": first})


def event(root: Path) -> None:
    """EVENT and CREATE: the part of J that a second layer writes."""
    values = (0.05, 0.1, 0.15, 0.19, 0.21, 0.25, 0.3, 0.4, 0.49, 0.51, 0.7, 0.9)
    sweep = [(v, partial(in_two_layers, v)) for v in values]
    table(
        "EVENT = 0.2, CREATE = 0.5: part written by the second layer", sweep, root, {"it": second, "both": everything}
    )


def remove(root: Path) -> None:
    """REMOVE: the part of J that is left."""
    values = (0.0, 0.2, 0.4, 0.6, 0.69, 0.71, 0.8, 0.9)
    sweep = [(v, partial(_kept, v)) for v in values]

    table("REMOVE = 0.7: part left", sweep, root, {"the creator": first, "the remover": second})


def _kept(part: float, folder: Path) -> Plant:
    return trained.remover(folder, keep=part)


def cover(root: Path) -> None:
    """LEAD and COVER: the share of one neuron, the rest in forty parts."""
    values = (0.05, 0.1, 0.2, 0.24, 0.26, 0.3, 0.5, 0.7, 0.77, 0.79, 0.81, 0.9, 1.0)
    sweep = [(v, partial(one_of_many, v, 40)) for v in values]
    table(
        "LEAD = 0.25, COVER = 0.8, cancelling: share of one, the rest in 40",
        sweep,
        root,
        {"it": first, "all": everything},
    )
    sweep = [(v, partial(one_of_many, v, 40, kappa=30.0)) for v in (0.2, 0.24, 0.26, 0.3, 0.5, 0.7, 0.77, 0.79)]
    table("LEAD = 0.25, COVER = 0.8, hiding at kappa 30: the same", sweep, root, {"it": first, "all": everything})


def min_share(root: Path) -> None:
    """MIN_SHARE: the share of the weaker of two neurons."""
    values = (0.02, 0.05, 0.09, 0.11, 0.19, 0.21, 0.3, 0.5)
    sweep = [(v, partial(one_of_many, 1 - v, 1)) for v in values]
    table("MIN_SHARE = 0.1: share of the weaker of two", sweep, root, {"the weaker": second, "both": everything})


def members(root: Path) -> None:
    """MAX_MEMBERS and MAX_GROUP: equal neurons on one channel."""
    values = (1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 16)
    sweep = [(v, partial(makers.many, v)) for v in values]
    table("MAX_MEMBERS = 4, MAX_GROUP = 8: equal neurons", sweep, root, {"one": first, "all": everything})


def persist(root: Path) -> None:
    """PERSIST: in how many of ten later layers the spike stands."""
    sweep = [(f"{v}/11", partial(lasting, v)) for v in (3, 4, 5, 6, 7, 11)]
    table("PERSIST = 0.5: later layers (the last excepted) with the spike", sweep, root, {"it": first})


def rounds(root: Path) -> None:
    """ROUNDS: masked weights one behind the other."""
    sweep = [(v, partial(makers.chain, v - 1)) for v in (1, 2, 5, 6, 9, 10, 11, 12)]
    table("ROUNDS = 10: length of a chain", sweep, root, {"all": everything})


def tokens(root: Path) -> None:
    """TOKENS: stronger neurons of the same channel at other tokens."""
    sweep = [(v, partial(behind_others, v)) for v in range(7)]
    table("TOKENS = 4: stronger neurons of the channel at other tokens", sweep, root, {"it": first})


def noise(_root: Path) -> None:
    """How often `massive` fires on residuals that are nothing but noise."""
    print("\nKAPPA on noise: part of residuals with a massive channel")
    generator = torch.Generator().manual_seed(0)
    t3 = torch.distributions.StudentT(3.0)
    torch.manual_seed(0)
    for width, draws in ((48, 100_000), (128, 100_000), (512, 30_000), (4096, 4_000)):
        rates = []
        for draw in (lambda size: torch.randn(size, generator=generator), t3.sample):
            hits = sum(int(massive(draw((1000, width))).any(-1).sum()) for _ in range(draws // 1000))
            rates.append(hits / draws)
        print(f"  H {width:5}, {draws:7,} draws: Gaussian {rates[0]:.5f}, Student-t(3) {rates[1]:.4f}")


TABLES = {
    "KAPPA": kappa, "NOISE": noise, "EVENT": event, "REMOVE": remove, "COVER": cover, "MIN_SHARE": min_share,
    "MEMBERS": members, "PERSIST": persist, "ROUNDS": rounds, "TOKENS": tokens,
}  # fmt: skip


def main(names: list[str]) -> None:
    """Print the tables, or some."""
    torch.set_num_threads(1)
    quiet()
    started = time.process_time()
    for name in names or TABLES:
        with tempfile.TemporaryDirectory(prefix="swindex-edges-") as root:
            TABLES[name](Path(root))
    print(f"\n{time.process_time() - started:.0f} s of one core")


if __name__ == "__main__":
    main(sys.argv[1:])
