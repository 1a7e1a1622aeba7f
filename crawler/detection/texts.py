"""The texts for effects watched as the prompts are: a spike may stand at a token that no prompt holds.

The unmodified stream of each text goes through every layer anyway; here it does so window by window, watched. What it
shows beyond the prompts joins the finds of the unmodified pass, so all later streams run without it. Only that pass is
watched on texts: what shows there once a find is gone is looked for in the prompts alone.
The criterion is the same, but for TEXT_KAPPA.
"""

from dataclasses import replace
from functools import partial

from torch import Tensor, nn

from ..architectures.sites import Site
from . import constants as c
from .ablate import Ablator
from .attribution import by_products
from .lockstep import Batch
from .massive import Change
from .peel import Peeler, Seen
from .side import beside, fork, overwrite, split
from .weights import Find, Place


def watch_texts(number: int, layer: nn.Module, sites: list[Site], ablator: Ablator, peeler: Peeler) -> None:
    """Take the ablator's baseline through the resident layer into `ahead`; what is found joins the peeler's finds."""
    for text, (batch, baseline) in enumerate(zip(ablator.batches, ablator.baseline, strict=True)):
        behind = fork(baseline)
        windows = split(behind) if batch.parts else [behind]
        for window, (part, residual) in enumerate(zip(batch.parts or [batch], windows, strict=True)):
            one = _watch(number, layer, sites, part, residual, peeler)
            _join(peeler, one, text, window * batch.ids.shape[1])
            overwrite(residual, one.streams[0].residual)
        ablator.ahead.append(beside(behind, windows) if batch.parts else behind)


def _watch(number: int, layer: nn.Module, sites: list[Site], part: Batch, residual: Tensor, known: Peeler) -> Peeler:
    """One window through the layer, with what is massive in it and not known yet explained."""
    one = Peeler(part, residual, rounds=0)
    one.kappa = c.TEXT_KAPPA
    one.select = partial(_unknown, known, number)
    one.step(number, layer, sites)
    return one


def _unknown(known: Peeler, number: int, found: list[Change], sites: list[Site]) -> list[Change]:
    """The changes, strongest first, that may name a scalar which is not known: in the first TEXT_CHANNELS channels."""
    chosen: dict[int, list[Change]] = {}
    for change in found:
        room = change.channel in chosen or len(chosen) < c.TEXT_CHANNELS
        if room and _says_more(known, number, change, sites):
            chosen.setdefault(change.channel, []).append(change)
    return [change for changes in chosen.values() for change in changes]


def _says_more(known: Peeler, number: int, change: Change, sites: list[Site]) -> bool:
    """Whether explaining a change can name something new. Seen from the products alone where there is one projection;
    of several the parts are known only by experiment, which is made unless something known writes the channel."""
    if len(sites) > 1:
        places = [p for p in known.streams[0].finds if p.layer == number and p.row == change.channel]
        known.in_texts.update(places)
        return not places
    found = by_products(change, sites, known.copies)
    places = [Place(number, m.site, m.expert, m.row, m.col) for m in found.members] if found is not None else []
    known.in_texts.update(places)
    return any(known.streams[0].wants(p, change.role) for p in places)


def _join(peeler: Peeler, one: Peeler, text: int, start: int) -> None:
    """Add what a window showed; its first token is number `start` of the text."""
    for place, find in one.finds.items():
        if peeler.streams[0].wants(place, find.role):
            peeler.streams[0].finds[place] = _placed(find, text, start)
    peeler.seen += [_moved(seen, text, start * one.copies) for seen in one.seen]
    peeler.gains = one.gains | peeler.gains
    for number, experts in one.experts_seen.items():
        peeler.experts_seen.setdefault(number, set()).update(experts)
    peeler.layers[-1].massive_in_texts |= one.layers[-1].massive


def _placed(find: Find, text: int, start: int) -> Find:
    return replace(find, text=text, token=start + find.token)


def _moved(seen: Seen, text: int, start: int) -> Seen:
    change = seen.explained.change
    moved = replace(seen.explained, change=replace(change, at=start + change.at))
    return replace(seen, text=text, explained=moved)
