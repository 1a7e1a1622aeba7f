"""Every kind of checkpoint with a known answer, as a table: what scanning must find, and what of it is a super weight.

A case's scalars are all that the criterion must name, in the order in which removal shows them. Its groups are the
super weights: smallest sets of them whose removal costs at least 1 nat per token. Both follow from how a case is made;
that the groups cost as much as they should is read from plainly loaded files, without the detector.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from . import Plant, families, makers, trained
from .trained import NEURON, ONE, PAIR

Group = tuple[int, ...]
Maker = Callable[[Path], Plant]


@dataclass(frozen=True)
class Case:
    """A checkpoint, what must be found in it, and which of that are super weights."""

    make: Maker
    roles: tuple[str, ...] = ()
    """Of the plant's scalars, in their order."""
    groups: tuple[Group, ...] = ()
    """Super weights, as positions in the plant's scalars."""
    weak: tuple[Group, ...] = ()
    """What costs less, but more than 0.05 nat."""
    bos: bool = True
    """Whether they show in text that begins with `<s>`."""
    refused: bool = False


MADE = "creator"
LONE: tuple[Group, ...] = ((0,),)


def _lone(make: Maker) -> Case:
    return Case(make, (MADE,), LONE)


def _together(count: int, make: Maker) -> Case:
    return Case(make, (MADE,) * count, (tuple(range(count)),))


CASES: dict[str, Case] = {
    "one": _lone(partial(trained.repacked, "llama", ONE, (NEURON,))),
    "bfloat16": _lone(partial(makers.stored_as, torch.bfloat16)),
    "float16": _lone(partial(makers.stored_as, torch.float16)),
    "fused projections": _lone(partial(trained.repacked, "phi3", ONE, (NEURON,))),
    "in a late layer": _lone(makers.late),
    "pair": _together(2, partial(trained.repacked, "llama", PAIR, (NEURON, NEURON + 1))),
    "four neurons on a channel": _together(4, partial(makers.many, 4)),
    "five neurons on a channel": _together(5, partial(makers.many, 5)),
    **{f"siblings {n}": _together(n, partial(trained.siblings, n)) for n in (2, 3, 4)},
    "masked": _together(2, trained.backup),
    "chain of three": _together(3, partial(trained.backup, last=3)),
    "chain of five": _together(5, partial(makers.chain, 4)),
    "chain of six": _together(6, partial(makers.chain, 5)),
    "amplified": Case(makers.amplified, (MADE, "amplifier"), LONE),
    "expert": _lone(partial(trained.repacked, "mixtral", ONE, (NEURON,))),
    "two experts": _together(2, trained.two_experts),
    "shared expert": _lone(makers.shared_expert),
    "behind a norm (olmo2)": _lone(partial(families.make, "olmo2")),
    "behind two norms, half lost (gemma2)": Case(partial(families.make, "gemma2"), (MADE,), weak=LONE),
    "Conv1D (gpt2)": _together(2, partial(families.make, "gpt2")),
    "parallel, float16 (gpt_neox)": _together(2, partial(families.make, "gpt_neox")),
    "bfloat16, masked (mistral)": _together(2, partial(families.make, "mistral")),
    "expert, masked (mixtral)": _together(2, partial(families.make, "mixtral")),
    "two spikes": Case(partial(makers.two_spikes, True), (MADE, MADE), ((0,), (1,))),
    "beside an inert one": Case(partial(makers.two_spikes, False), (MADE, MADE), LONE),
    "beyond float16": _lone(trained.beyond_float16),
    "overflow without it": _lone(trained.explosive),
    "with a remover": Case(trained.remover, (MADE, "remover"), LONE),
    "on a full stop": _lone(partial(makers.on_token, makers.STOP)),
    "on a newline": _lone(partial(makers.on_token, makers.NEWLINE)),
    "no <s> at all": Case(makers.without_start, (MADE,), LONE, bos=False),
    "on a repeated token": _lone(partial(makers.counted, 0.58, 1.0)),
    "only without <s>": Case(
        partial(makers.counted, 0.9, 400.0),
        (MADE,),
        LONE,
        bos=False,
    ),
    "on a comma": _lone(partial(makers.on_token, makers.COMMA)),
    "on a word not watched": _lone(partial(makers.on_token, makers.AND)),
    "most of a write": _lone(partial(makers.mostly, 0.7)),
    "stories260k": Case(partial(makers.as_it_is, "stories260k")),
    "aidreams260k": Case(partial(makers.as_it_is, "aidreams260k")),
    "relullama-260k": Case(partial(makers.as_it_is, "relullama-260k"), refused=True),
    "inert, 100 % share": Case(makers.inert, (MADE,)),
    "late, not in the texts": Case(partial(makers.on_token, makers.LATE), (MADE,)),
    "transient": Case(trained.transient, ("transient", "remover")),
    "largest |W|": Case(makers.largest),
    "six neurons": Case(partial(trained.spread, 6)),
    "eight neurons": Case(partial(trained.spread, 8)),
    "twelve neurons": Case(partial(trained.spread, 12)),
    "by a bias": Case(trained.by_bias),
    "by attention": Case(trained.by_attention),
    "by the embedding": Case(trained.by_embedding),
}
